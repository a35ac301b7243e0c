#pragma once

#include <cstdint>
#include <span>

#include "kernels/voxelize.hpp"
#include "robocache/voxelize_sparse.hpp"

namespace robocache {

/// Rows to reduce, and into what; an output has a row for each voxel.
struct SparseFeatures {
  PointRows rows;
  std::int64_t columns = 0;
  std::span<const VoxelOutput> outputs;
};

/// voxelize_sparse as a backend takes it, checked. Outputs that are null are not wanted.
struct VoxelizeSparseArgs {
  const char* op = "voxelize_sparse";  ///< whose errors these are
  VoxelizeArgs input;                  ///< without outputs; there may be no clouds, and no voxels in the grid
  double low[3] = {0, 0, 0};           ///< the voxel of the unbounded grid that is the grid's (0, 0, 0): a whole number
  SparseLimits limits{};
  std::span<const SparseFeatures> features{};
  std::int64_t capacity = 0;  ///< M
  std::int32_t* coords = nullptr;
  std::int32_t* counts = nullptr;
  void* points = nullptr;  ///< [M, max_points, F], as features
  std::int64_t* inverse = nullptr;
  std::int64_t inverse_size = 0;
  std::int64_t* offsets = nullptr;
};

/// The voxels that hold the finite points of all clouds, from `low` to `high` along each axis; none where low > high.
struct VoxelSpan {
  double low[3];
  double high[3];
};

namespace cpu {

/// One instance per ISA level.
template <Isa>
void voxelize_sparse(const VoxelizeSparseArgs& args, const Context& ctx);

template <Isa>
[[nodiscard]] VoxelSpan voxel_span(const VoxelizeArgs& args, const Context& ctx);

}  // namespace cpu

namespace cuda {

/// On ctx.stream of the current device.
void voxelize_sparse(const VoxelizeSparseArgs& args, const Context& ctx);

/// Waits for the device. Throws Unsupported for a stream that is being captured.
[[nodiscard]] VoxelSpan voxel_span(const VoxelizeArgs& args, const Context& ctx);

}  // namespace cuda

}  // namespace robocache
