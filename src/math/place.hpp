#pragma once

#include <cstdint>
#include <limits>

#include "core/host_device.hpp"
#include "math/clock.hpp"
#include "robocache/align.hpp"

namespace robocache {

/// What one row of one stream becomes: the whole alignment contract except for finding the interval and moving bytes.
struct Placement {
  enum class Store : std::uint8_t {
    copy,   ///< sample `index`
    blend,  ///< samples `index` and `index + 1` with `weight`
    fill    ///< the constant `weight` (NaN: no value; integers 0)
  };
  std::int64_t index = 0;
  double weight = 0;
  std::int64_t age_ns = std::numeric_limits<std::int64_t>::max();
  Store store = Store::fill;
  bool valid = false;
  bool refused = false;  ///< outside the range of a stream whose policy is `error`
};

struct PlaceOptions {
  Interp interp;
  Outside before;
  Outside after;
  std::int64_t max_gap_ns;
  std::int64_t max_age_ns;
};

/// The last i in [first, last) with stamp(i) <= t, or first - 1. `stamp` maps an index to a (shifted) stamp.
template <class T, class Stamp>
ROBOCACHE_HD std::int64_t last_at_or_before(const Stamp& stamp, std::int64_t first, std::int64_t last, T t) {
  while (first < last) {
    const std::int64_t middle = first + (last - first) / 2;
    if (stamp(middle) <= t) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first - 1;
}

/// The first i in [first, last) with stamp(i) >= t, or last.
template <class T, class Stamp>
ROBOCACHE_HD std::int64_t first_at_or_after(const Stamp& stamp, std::int64_t first, std::int64_t last, T t) {
  while (first < last) {
    const std::int64_t middle = first + (last - first) / 2;
    if (stamp(middle) < t) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

/// The last of the samples that share the stamp of sample i.
template <class T, class Stamp>
ROBOCACHE_HD std::int64_t last_duplicate(const Stamp& stamp, std::int64_t n, std::int64_t i) {
  const T t = stamp(i);
  if (i + 1 >= n || stamp(i + 1) != t) return i;
  const std::int64_t last = last_at_or_before<T>(stamp, i + 1, n, t);
  return last > i ? last : i;
}

/// Outside the range: `end` is the end sample there, `interval` the start of the outermost interval of non-zero length
/// (or -1 where there is none).
template <class T, class Stamp>
ROBOCACHE_HD void place_outside(const Stamp& stamp, std::int64_t end, std::int64_t interval, T t,
                                const Outside& outside, Interp interp, Placement& p) {
  const bool curve = interp == Interp::linear || interp == Interp::slerp;
  p.store = Placement::Store::copy;
  p.index = end;
  if (outside.policy == Outside::Policy::fill) {
    p.store = Placement::Store::fill;
    p.weight = outside.value;
  } else if (outside.policy == Outside::Policy::error) {
    p.refused = true;
  } else if (outside.policy == Outside::Policy::extrapolate && curve && interval >= 0) {
    p.store = Placement::Store::blend;
    p.index = interval;
    p.weight = interval_weight(t, stamp(interval), stamp(interval + 1));
  }
}

/// Whether later - earlier is more than a limit that was given: kNoLimit holds differences beyond 292 years, too.
template <class T>
ROBOCACHE_HD bool exceeds(T later, T earlier, std::int64_t limit_ns) {
  return limit_ns != kNoLimit && Clock<T>::longer_than(later, earlier, limit_ns);
}

/// A target between samples i and i + 1, off both: s0 < t < s1. `nearest` leaves index i + 1 where that one is nearer; of its
/// duplicates the last counts.
template <class T>
ROBOCACHE_HD Placement place_between(std::int64_t i, T s0, T s1, T t, const PlaceOptions& o) {
  using C = Clock<T>;
  Placement p;
  p.store = Placement::Store::copy;
  p.index = i;
  p.age_ns = C::age_ns(t, s0);
  bool too_old = exceeds(t, s0, o.max_age_ns);
  if (o.interp == Interp::nearest) {
    if (!C::not_longer(t, s0, s1, t)) {
      p.index = i + 1;
      too_old = exceeds(s1, t, o.max_age_ns);
    }
  } else if (o.interp != Interp::hold) {
    p.store = Placement::Store::blend;
    p.weight = C::elapsed(t, s0) / C::elapsed(s1, s0);
    too_old = too_old && exceeds(s1, t, o.max_age_ns);
  }
  p.valid = !too_old && !exceeds(s1, s0, o.max_gap_ns);
  return p;
}

/// `i` is the last of the n samples at or before t, or -1. Reads stamps i and i + 1 only, and more of them solely among
/// duplicates and when extrapolating.
template <class T, class Stamp>
ROBOCACHE_HD Placement place(const Stamp& stamp, std::int64_t n, std::int64_t i, T t, const PlaceOptions& o) {
  using C = Clock<T>;
  Placement p;
  if (n == 0 || C::is_nan(t)) {
    p.weight = std::numeric_limits<double>::quiet_NaN();
    return p;
  }
  if (i < 0) {
    const T first = stamp(0);
    p.age_ns = C::age_ns(t, first);
    std::int64_t interval = -1;
    if (o.before.policy == Outside::Policy::extrapolate) {
      interval = last_duplicate<T>(stamp, n, 0);
      if (interval + 1 >= n) interval = -1;
    }
    place_outside(stamp, 0, interval, t, o.before, o.interp, p);
    return p;
  }
  const T s0 = stamp(i);
  const bool exact = t == s0;
  if (i + 1 < n && !exact) {
    p = place_between(i, s0, stamp(i + 1), t, o);
    if (p.index != i) p.index = last_duplicate<T>(stamp, n, i + 1);
    return p;
  }
  p.age_ns = C::age_ns(t, s0);
  if (!exact && o.interp != Interp::hold) {
    const std::int64_t interval =
        o.after.policy == Outside::Policy::extrapolate ? first_at_or_after<T>(stamp, 0, n, s0) - 1 : -1;
    place_outside(stamp, n - 1, interval, t, o.after, o.interp, p);
    return p;
  }
  p.store = Placement::Store::copy;
  p.index = i;
  p.valid = exact || !exceeds(t, s0, o.max_age_ns);
  return p;
}

}  // namespace robocache
