#pragma once

#include <cstdint>
#include <limits>

#include "core/host_device.hpp"

namespace robocache {

/// Arithmetic of time stamps. T is int64 ns, or f64 | f32 seconds. Differences are taken in T: an epoch stamp in f64
/// keeps its 238 ns, an int64 its last nanosecond. Order of arguments: later, earlier.
template <class T>
struct Clock {
  static constexpr bool is_integer = false;

  ROBOCACHE_HD static T shift(T stamp, std::int64_t offset_ns) {
    return offset_ns == 0 ? stamp : static_cast<T>(stamp + static_cast<T>(static_cast<double>(offset_ns) / 1e9));
  }
  ROBOCACHE_HD static T sum(T a, T b) { return a + b; }
  ROBOCACHE_HD static bool is_nan(T t) { return t != t; }

  /// later - earlier in units of T, as f64; needs later >= earlier.
  ROBOCACHE_HD static double elapsed(T later, T earlier) {
    return static_cast<double>(static_cast<T>(later - earlier));
  }

  /// In whole ns, as ages are told: 0.8 - 0.7 s is not more than 100 ms.
  ROBOCACHE_HD static bool longer_than(T later, T earlier, std::int64_t limit_ns) {
    return age_ns(later, earlier) > limit_ns;
  }
  /// (a - b) <= (c - d)
  ROBOCACHE_HD static bool not_longer(T a, T b, T c, T d) { return static_cast<T>(a - b) <= static_cast<T>(c - d); }

  /// t - stamp in ns, rounded half to even, saturated; INT64_MAX for NaN.
  ROBOCACHE_HD static std::int64_t age_ns(T t, T stamp) {
    const double ns = static_cast<double>(static_cast<T>(t - stamp)) * 1e9;
    if (ns <= -9.2233720368547758e18) return std::numeric_limits<std::int64_t>::min();
    if (!(ns < 9.2233720368547758e18)) return std::numeric_limits<std::int64_t>::max();
    const double magnitude = ns < 0 ? -ns : ns;
    if (magnitude >= 4503599627370496.0) return static_cast<std::int64_t>(ns);  // 2^52: already whole
    // Adding and subtracting 2^52 rounds to nearest even without a libm call.
    const double whole = (magnitude + 4503599627370496.0) - 4503599627370496.0;
    return static_cast<std::int64_t>(ns < 0 ? -whole : whole);
  }
};

template <>
struct Clock<std::int64_t> {
  static constexpr bool is_integer = true;
  using T = std::int64_t;
  using U = std::uint64_t;  // Unsigned differences cannot overflow when later >= earlier.

  ROBOCACHE_HD static T shift(T stamp, std::int64_t offset_ns) { return sum(stamp, offset_ns); }
  ROBOCACHE_HD static T sum(T a, T b) { return static_cast<T>(static_cast<U>(a) + static_cast<U>(b)); }
  ROBOCACHE_HD static bool is_nan(T) { return false; }
  ROBOCACHE_HD static U difference(T later, T earlier) { return static_cast<U>(later) - static_cast<U>(earlier); }
  ROBOCACHE_HD static double elapsed(T later, T earlier) { return static_cast<double>(difference(later, earlier)); }

  ROBOCACHE_HD static bool longer_than(T later, T earlier, std::int64_t limit_ns) {
    return difference(later, earlier) > static_cast<U>(limit_ns);
  }
  ROBOCACHE_HD static bool not_longer(T a, T b, T c, T d) { return difference(a, b) <= difference(c, d); }

  ROBOCACHE_HD static std::int64_t age_ns(T t, T stamp) {
    constexpr U limit = static_cast<U>(std::numeric_limits<T>::max());
    if (t >= stamp) {
      const U age = difference(t, stamp);
      return static_cast<T>(age < limit ? age : limit);
    }
    const U lead = difference(stamp, t);
    return lead <= limit ? -static_cast<T>(lead) : std::numeric_limits<T>::min();
  }
};

/// Weight of the later sample of the interval [s0, s1] at t: in [0, 1) inside, beyond when extrapolating. Needs s0 <
/// s1.
template <class T>
ROBOCACHE_HD double interval_weight(T t, T s0, T s1) {
  const bool after = t >= s0;
  const double weight = (after ? Clock<T>::elapsed(t, s0) : Clock<T>::elapsed(s0, t)) / Clock<T>::elapsed(s1, s0);
  return after ? weight : -weight;
}

}  // namespace robocache
