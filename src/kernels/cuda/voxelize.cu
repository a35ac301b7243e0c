#include "kernels/voxelize.hpp"

#include <vector>

#include "kernels/cuda/voxelize_parts.hpp"

// The host side of voxelize: which way its results are made.
namespace robocache::cuda {

void voxelize(const VoxelizeArgs& args, const Context& ctx) {
  std::vector<VoxelOutput> counts;
  std::vector<VoxelOutput> features;
  const bool has_elements = args.columns > 0 && args.rows() * args.grid.shape[2] > 0;
  for (const VoxelOutput& output : args.outputs) {
    if (!needs_features(output.reduce)) {
      counts.push_back(output);
    } else if (has_elements) {
      features.push_back(output);
    }
  }
  VoxelizeArgs part = args;
  if (!features.empty()) {
    part.outputs = features;
    voxelize_features(part, ctx);
    part.dropped = nullptr;  // counted once
  }
  part.outputs = counts;
  if (counts.empty() && part.dropped == nullptr) return;
  if (!voxelize_bits(part, ctx)) voxelize_counts(part, ctx);
}

}  // namespace robocache::cuda
