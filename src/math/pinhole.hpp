#pragma once

#include "core/host_device.hpp"

namespace robocache {

/// A camera without distortion, in compute type C. Pixel centres are whole numbers.
template <class C>
struct Pinhole {
  C fx, fy, cx, cy;

  /// x / z of what column u sees, and y / z of row v.
  [[nodiscard]] ROBOCACHE_HD C slope_x(C u) const { return (u - cx) / fx; }
  [[nodiscard]] ROBOCACHE_HD C slope_y(C v) const { return (v - cy) / fy; }
};

/// Whether something was seen z metres away; `most_m` is finite. False for NaN and inf.
template <class C>
ROBOCACHE_HD bool is_depth(C z, C most_m) {
  return (z > C{0}) & (z <= most_m);
}

}  // namespace robocache
