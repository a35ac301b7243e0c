#pragma once

#include <cmath>
#include <type_traits>

#include "core/host_device.hpp"
#include "math/angle.hpp"

namespace robocache {

/// A number and its derivative by one variable: forward-mode differentiation of whatever is templated on its compute
/// type. Comparisons look at the number alone.
template <class R>
struct Dual {
  using Number = R;

  R v{};  ///< the number
  R d{};  ///< its derivative

  Dual() = default;
  template <class A>
    requires(std::is_arithmetic_v<A>)
  ROBOCACHE_HD Dual(A value) : v(static_cast<R>(value)), d(0) {}  // NOLINT(google-explicit-constructor): 2 * x
  ROBOCACHE_HD Dual(R value, R derivative) : v(value), d(derivative) {}

  friend ROBOCACHE_HD Dual operator-(const Dual& a) { return {-a.v, -a.d}; }
  friend ROBOCACHE_HD Dual operator+(const Dual& a, const Dual& b) { return {a.v + b.v, a.d + b.d}; }
  friend ROBOCACHE_HD Dual operator-(const Dual& a, const Dual& b) { return {a.v - b.v, a.d - b.d}; }
  friend ROBOCACHE_HD Dual operator*(const Dual& a, const Dual& b) { return {a.v * b.v, a.d * b.v + a.v * b.d}; }
  friend ROBOCACHE_HD Dual operator/(const Dual& a, const Dual& b) {
    const R quotient = a.v / b.v;
    return {quotient, (a.d - quotient * b.d) / b.v};
  }

  // Of constants: without the terms that are zero.
  friend ROBOCACHE_HD Dual operator+(const Dual& a, R b) { return {a.v + b, a.d}; }
  friend ROBOCACHE_HD Dual operator+(R a, const Dual& b) { return {a + b.v, b.d}; }
  friend ROBOCACHE_HD Dual operator-(const Dual& a, R b) { return {a.v - b, a.d}; }
  friend ROBOCACHE_HD Dual operator-(R a, const Dual& b) { return {a - b.v, -b.d}; }
  friend ROBOCACHE_HD Dual operator*(const Dual& a, R b) { return {a.v * b, a.d * b}; }
  friend ROBOCACHE_HD Dual operator*(R a, const Dual& b) { return {a * b.v, a * b.d}; }
  friend ROBOCACHE_HD Dual operator/(const Dual& a, R b) { return {a.v / b, a.d / b}; }
  friend ROBOCACHE_HD Dual operator/(R a, const Dual& b) {
    const R quotient = a / b.v;
    return {quotient, -quotient * b.d / b.v};
  }

  friend ROBOCACHE_HD bool operator<(const Dual& a, const Dual& b) { return a.v < b.v; }
  friend ROBOCACHE_HD bool operator>(const Dual& a, const Dual& b) { return a.v > b.v; }
  friend ROBOCACHE_HD bool operator<=(const Dual& a, const Dual& b) { return a.v <= b.v; }
  friend ROBOCACHE_HD bool operator>=(const Dual& a, const Dual& b) { return a.v >= b.v; }

  friend ROBOCACHE_HD Dual sqrt(const Dual& a) {
    using std::sqrt;
    const R root = sqrt(a.v);
    return {root, a.d / (root + root)};
  }
  friend ROBOCACHE_HD Dual asin(const Dual& a) {
    using std::asin;
    using std::sqrt;
    return {asin(a.v), a.d / sqrt(R(1) - a.v * a.v)};
  }
  friend ROBOCACHE_HD Dual sin(const Dual& a) {
    using std::cos;
    using std::sin;
    return {sin(a.v), a.d * cos(a.v)};
  }
  friend ROBOCACHE_HD Dual nearest_whole(const Dual& a) { return {nearest_whole(a.v), R(0)}; }
};

}  // namespace robocache
