#pragma once

#include <span>

#include "kernels/voxelize.hpp"
#include "robocache/voxelize_gradient.hpp"

namespace robocache {

/// By one result of voxelize; contiguous.
struct VoxelGradientInput {
  Reduce reduce = Reduce::sum;
  const void* grad_out = nullptr;
};

/// voxelize_gradient as a backend takes it, checked.
struct VoxelizeGradientArgs {
  VoxelizeArgs input;  ///< without outputs
  std::span<const VoxelGradientInput> gradients;
  void* grad_features = nullptr;  ///< contiguous
};

namespace cpu {

/// One instance per ISA level.
template <Isa>
void voxelize_gradient(const VoxelizeGradientArgs& args, const Context& ctx);

}  // namespace cpu

namespace cuda {

/// On ctx.stream of the current device.
void voxelize_gradient(const VoxelizeGradientArgs& args, const Context& ctx);

}  // namespace cuda

}  // namespace robocache
