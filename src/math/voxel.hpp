#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.hpp"

namespace robocache {

template <class C>
struct Point {
  C x, y, z;
};

/// The upper three rows of a rigid transform, or of any affine one.
template <class C>
struct Affine {
  C m[3][4];

  /// Products and sums from left to right, each rounded: the same on every device.
  [[nodiscard]] ROBOCACHE_HD Point<C> operator()(const Point<C>& p) const { return {row(0, p), row(1, p), row(2, p)}; }

 private:
  [[nodiscard]] ROBOCACHE_HD C row(int i, const Point<C>& p) const {
    return m[i][0] * p.x + m[i][1] * p.y + m[i][2] * p.z + m[i][3];
  }
};

/// One axis of a grid in compute type C.
template <class C>
struct VoxelAxis {
  C origin;
  C per_m;  ///< voxels a metre
  C size;

  VoxelAxis(double origin_m, double voxel_m, std::int64_t voxels)
      : origin(static_cast<C>(origin_m)), per_m(C{1} / static_cast<C>(voxel_m)), size(static_cast<C>(voxels)) {}

  /// The voxel as a whole number; in the grid where holds() says so.
  [[nodiscard]] ROBOCACHE_HD C at(C coordinate) const {
    using std::floor;
    return floor(scaled(coordinate));
  }
  /// Of one coordinate, or of a vector of them.
  template <class V>
  [[nodiscard]] ROBOCACHE_HD V scaled(V coordinate) const {
    return (coordinate - origin) * per_m;
  }
  [[nodiscard]] ROBOCACHE_HD bool holds(C voxel) const { return voxel >= C{0} && voxel < size; }  // false for NaN
};

/// Where a point is: the row of its voxel along z, x * Y + y, and the place in it. row < 0: in no voxel.
struct VoxelPlace {
  std::int64_t row;
  std::int32_t z;
};

template <class C>
struct VoxelAxes {
  VoxelAxis<C> x, y, z;
  std::int64_t rows_x;  ///< Y: rows along z for one x

  [[nodiscard]] ROBOCACHE_HD VoxelPlace place(const Point<C>& p) const {
    return place(x.at(p.x), y.at(p.y), z.at(p.z));
  }

  /// Of voxel (i, j, k). Sizes are 2^24 at most, so that each in the grid is a whole number of C.
  [[nodiscard]] ROBOCACHE_HD VoxelPlace place(C i, C j, C k) const {
    if (!(x.holds(i) && y.holds(j) && z.holds(k))) return {-1, 0};
    return {static_cast<std::int64_t>(i) * rows_x + static_cast<std::int64_t>(j), static_cast<std::int32_t>(k)};
  }
};

}  // namespace robocache
