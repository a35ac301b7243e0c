#pragma once

#include <cmath>

#include "core/host_device.hpp"

namespace robocache {

/// An angle in [-pi, pi): whole turns taken away. What is in that range stays as it is, bit for bit.
template <class C>
ROBOCACHE_HD C wrapped_angle(C rad) {
  using std::floor;
  constexpr double pi = 3.14159265358979323846;
  return rad - floor((rad + pi) / (2 * pi)) * (2 * pi);
}

/// From a the shorter way around to b.
template <class C>
ROBOCACHE_HD C blended_angle(C a, C b, double w) {
  return wrapped_angle<C>(a + wrapped_angle<C>(b - a) * w);
}

}  // namespace robocache
