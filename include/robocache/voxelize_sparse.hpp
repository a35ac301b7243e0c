#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include <robocache/voxelize.hpp>

namespace robocache {

inline constexpr std::int64_t kKeepAll = std::numeric_limits<std::int64_t>::max();

/// Which points and voxels are kept; both at least 1.
struct SparseLimits {
  std::int64_t max_points = kKeepAll;  ///< of a voxel: the first ones in the order of the cloud
  std::int64_t max_voxels = kKeepAll;  ///< of a cloud: those whose first points come first
};

/// One reduction of features: sum, mean, min, max, first or last, with the bits of the dense voxelize.
struct SparseReduction {
  Reduce reduce = Reduce::mean;
  Tensor out{};  ///< [M, F], as features
};

/// The occupied voxels of all clouds, sorted by (cloud, x, y, z). The caller chooses the capacity M; offsets[B] says how
/// many voxels there are. Where they are more, the first M of them are written. Each may be not given; all contiguous.
struct SparseVoxels {
  Tensor coords{};                                ///< [M, 4] i32: cloud, x, y, z
  Tensor counts{};                                ///< [M] i32: kept points
  std::span<const SparseReduction> reductions{};  ///< of the kept points
  Tensor
      points{};  ///< [M, P, F], as features, with P = max_points: those of the kept points in their order, then zeros
  Tensor inverse{};  ///< i64, as points without their last axis: the row of the point's voxel;
                     ///< -1 for points that are dropped, and for padding
  Tensor offsets{};  ///< [B + 1] i64: cloud b has voxels offsets[b] to offsets[b + 1]
  Tensor dropped{};  ///< [B], or [] for a single cloud; i64: points that no voxel has kept
};

/// Puts points into the occupied voxels of a grid: memory goes with the points, not with the grid. The same bits in every
/// run, on every device and with any number of threads. Outputs must overlap neither inputs nor each other.
/// Runs on points.device, ordered on ctx.stream; returns before the GPU is done; takes scratch: on the CPU 8 to 32 bytes a
/// point, 8 to 28 a voxel, and half a MiB for each thread; on CUDA 28 bytes a point (36 where there are 2^32 voxels in all
/// clouds), 4 more with max_points and 8 with max_voxels, and 1 % of the features as f32 (f64 for f64). On CUDA a call can be
/// captured in a graph: how many voxels there are stays there.
/// Throws InvalidArgument (shape, dtype, device, limits, on the CPU lengths and offsets out of range), Unsupported (dtype;
/// on CUDA more than 2^31 - 1 points, or 2^24 columns), OutOfMemory.
void voxelize_sparse(const Clouds& clouds, const VoxelGrid& grid, const SparseLimits& limits, const SparseVoxels& out,
                     const Context& ctx = {});

/// One point for each occupied voxel. Capacity M and offsets as in SparseVoxels.
struct DownsampledCloud {
  Tensor points{};    ///< [M, 3], as points: the mean of the voxel's points
  Tensor features{};  ///< [M, F], as features: their mean
  Tensor counts{};    ///< [M] i32: points of the voxel
  Tensor offsets{};   ///< [B + 1] i64
  Tensor dropped{};   ///< [B], or [] for a single cloud; i64: points with a coordinate that is not finite
};

/// Means of the points of each voxel of a grid without bounds: voxel i of an axis, any whole number, holds the coordinates p
/// with i = floor((p - origin) * (1 / voxel_m)), computed as for VoxelGrid. Sorted by (cloud, x, y, z).
/// Runs as voxelize_sparse, with its scratch, but on CUDA waits for the device once, to learn the box of all points.
/// Throws as voxelize_sparse, Unsupported for a stream that is being captured, and InvalidArgument for points too far:
/// voxels beyond 2^24 from the origin (2^53 for f64 points), or a box of all points of more than 2^24 voxels along an axis
/// or of 2^63 in all clouds.
void voxel_downsample(const Clouds& clouds, const double (&voxel_m)[3], const double (&origin)[3],
                      const DownsampledCloud& out, const Context& ctx = {});

}  // namespace robocache
