#pragma once

#include "core/host_device.hpp"
#include "math/select.hpp"

namespace robocache {

/// The nearest whole number, ties to even, of |x| < 2^51: without a call, so that compilers make vectors of it.
ROBOCACHE_HD double nearest_whole(double x) {
  constexpr double shift = 6755399441055744.0;  // 1.5 * 2^52
  return (x + shift) - shift;
}

/// An angle in [-pi, pi): whole turns taken away. What is in that range stays as it is, bit for bit.
template <class C>
ROBOCACHE_HD C wrapped_angle(C rad) {
  constexpr double pi = 3.14159265358979323846;
  constexpr double turn = 2 * pi;
  // The number of turns is rounded, and can be one too many or too few next to pi; turning back is exact there.
  const C near = rad - nearest_whole(rad * (1 / turn)) * turn;
  const C back = select(near < C(-pi), C(-1), C(0)) + select(near >= C(pi), C(1), C(0));
  return near - back * turn;
}

/// From a the shorter way around to b.
template <class C>
ROBOCACHE_HD C blended_angle(C a, C b, double w) {
  return wrapped_angle<C>(a + wrapped_angle<C>(b - a) * w);
}

}  // namespace robocache
