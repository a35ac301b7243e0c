#pragma once

#include <limits>

#include "core/host_device.hpp"
#include "math/voxel.hpp"

namespace robocache {

/// A half-open box in compute type C.
template <class C>
struct BoxBounds {
  Point<C> low, high;

  ROBOCACHE_HD BoxBounds(const double (&from)[3], const double (&to)[3])
      : low{lowest(from[0]), lowest(from[1]), lowest(from[2])},
        high{static_cast<C>(to[0]), static_cast<C>(to[1]), static_cast<C>(to[2])} {}

  /// Without branches, so that a loop over points becomes vectors. False for NaN and for what is infinite.
  [[nodiscard]] ROBOCACHE_HD bool holds(const Point<C>& p) const {
    return (p.x >= low.x) & (p.x < high.x) & (p.y >= low.y) & (p.y < high.y) & (p.z >= low.z) & (p.z < high.z);
  }

 private:
  /// A box without an end still has no place for -inf.
  [[nodiscard]] ROBOCACHE_HD static C lowest(double from) {
    const C least = std::numeric_limits<C>::lowest();
    return static_cast<C>(from) > least ? static_cast<C>(from) : least;
  }
};

}  // namespace robocache
