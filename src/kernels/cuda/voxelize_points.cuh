#pragma once

#include <cstdint>

#include "kernels/voxelize.hpp"

// What kernels take of VoxelizeArgs to tell the voxels of points.
namespace robocache::cuda {

struct PlacedPoints {
  PointRows points;
  IndexList lengths, offsets;
  Transforms transforms;
  VoxelAxes<float> axes;
  VoxelAxes<double> wide_axes;
  double low[3] = {0, 0, 0};  ///< of VoxelizeSparseArgs
  std::int64_t samples;
  std::int64_t clouds;
  std::int64_t rows;  ///< of one cloud's grid
  std::int64_t z;

  explicit PlacedPoints(const VoxelizeArgs& args)
      : points(args.points),
        lengths(args.lengths),
        offsets(args.offsets),
        transforms(args.transforms),
        axes(args.axes<float>()),
        wide_axes(args.axes<double>()),
        samples(args.samples),
        clouds(args.clouds),
        rows(args.rows()),
        z(args.grid.shape[2]) {}

  [[nodiscard]] ROBOCACHE_HD std::int64_t voxels() const { return rows * z; }

  /// A cloud's points; what lengths and offsets say beyond the memory that there is, is not followed.
  [[nodiscard]] __device__ CloudRange range(std::int64_t cloud) const {
    const auto inside = [&](std::int64_t n) { return max(std::int64_t{0}, min(n, samples)); };
    if (offsets.data != nullptr) return {0, inside(offsets[cloud]), inside(offsets[cloud + 1])};
    return {cloud, 0, lengths.data != nullptr ? inside(lengths[cloud]) : samples};
  }

  /// The cloud of place `i` of [B, N]; -1 for padding, and for what packed clouds leave out.
  template <class Index>
  [[nodiscard]] __device__ std::int64_t cloud_at(Index i) const {
    if (offsets.data == nullptr) {
      const Index cloud = i / static_cast<Index>(samples);
      const Index n = i % static_cast<Index>(samples);
      return lengths.data != nullptr && static_cast<std::int64_t>(n) >= lengths[cloud]
                 ? std::int64_t{-1}
                 : static_cast<std::int64_t>(cloud);
    }
    const std::int64_t after = offsets.first_above(static_cast<std::int64_t>(i), clouds + 1);
    return after <= clouds ? after - 1 : -1;
  }

  /// A point's voxel of its cloud; all bits set: none. Index holds the number of voxels.
  template <class C, class Index>
  [[nodiscard]] __device__ Index voxel(const Point<C>& p) const {
    const VoxelAxes<C>& a = axes_of<C>();
    const C x = a.x.at(p.x) - static_cast<C>(low[0]);
    const C y = a.y.at(p.y) - static_cast<C>(low[1]);
    const C k = a.z.at(p.z) - static_cast<C>(low[2]);
    if (!(a.x.holds(x) && a.y.holds(y) && a.z.holds(k))) return ~Index{0};
    return (static_cast<Index>(x) * static_cast<Index>(a.rows_x) + static_cast<Index>(y)) * static_cast<Index>(z) +
           static_cast<Index>(k);
  }

  template <class C>
  [[nodiscard]] __device__ const VoxelAxes<C>& axes_of() const {
    if constexpr (sizeof(C) == sizeof(double)) {
      return wide_axes;
    } else {
      return axes;
    }
  }
};

}  // namespace robocache::cuda
