#pragma once

#include "kernels/voxelize.hpp"

// The parts of voxelize on CUDA; each is launched on ctx.stream of the current device.
namespace robocache::cuda {

/// Counts and occupancy, and the dropped points if args.dropped is given.
void voxelize_counts(const VoxelizeArgs& args, const Context& ctx);

/// Does the same for occupancy_bits alone where another way is faster; false: it has done nothing.
bool voxelize_bits(const VoxelizeArgs& args, const Context& ctx);

/// Reductions of features, of a grid that has voxels, and the dropped points if args.dropped is given.
void voxelize_features(const VoxelizeArgs& args, const Context& ctx);

/// Fills an output of `size` elements, at least one, with what a voxel without points holds; writes nothing else.
void fill_features(const VoxelOutput& output, DType dtype, std::uint64_t size, void* stream);

/// The bytes of scratch that voxelize_features() takes. Outputs are not looked at.
[[nodiscard]] std::size_t features_scratch(const VoxelizeArgs& args);

}  // namespace robocache::cuda
