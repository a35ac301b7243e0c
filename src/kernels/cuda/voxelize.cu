#include "kernels/voxelize.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/cuda/voxelize_parts.hpp"

// The host side of voxelize: which way its results are made, and of how many clouds at a time.
namespace robocache::cuda {

namespace {

/// Whether reductions of features have anything to write.
bool has_elements(const VoxelizeArgs& args) {
  return args.columns > 0 && args.clouds > 0 && args.rows() * args.grid.shape[2] > 0;
}

const void* behind(const void* data, std::int64_t bytes) {
  return data != nullptr ? static_cast<const std::byte*>(data) + bytes : nullptr;
}

/// Clouds [first, first + count) of a batch [B, N, 3], without outputs and points dropped.
VoxelizeArgs clouds_of(const VoxelizeArgs& args, std::int64_t first, std::int64_t count) {
  VoxelizeArgs part = args;
  for (PointRows* rows : {&part.points, &part.features}) {
    rows->data = behind(rows->data, first * rows->batch * static_cast<std::int64_t>(size_of(rows->dtype)));
  }
  const auto size = [](bool wide) { return static_cast<std::int64_t>(wide ? sizeof(std::int64_t) : sizeof(float)); };
  part.lengths.data = behind(args.lengths.data, first * args.lengths.stride * size(args.lengths.wide));
  part.transforms.data = behind(args.transforms.data, first * args.transforms.batch * size(args.transforms.wide));
  part.clouds = count;
  part.outputs = {};
  part.dropped = nullptr;
  return part;
}

/// How many clouds at a time keep within the limit, which allows the least that there can be.
std::int64_t clouds_at_once(const VoxelizeArgs& args) {
  const bool packed = args.offsets.data != nullptr;  // How many points each has, the device alone knows.
  if (packed || voxelize_scratch(args).all <= args.max_scratch) return args.clouds;
  std::int64_t fits = 1;
  std::int64_t too_many = args.clouds;
  while (fits + 1 < too_many) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (voxelize_scratch(clouds_of(args, 0, middle)).all <= args.max_scratch ? fits : too_many) = middle;
  }
  return fits;
}

/// All reductions are of features.
void reduce_features(const VoxelizeArgs& args, const Context& ctx) {
  const std::int64_t step = args.max_scratch == kNoMemoryLimit ? args.clouds : clouds_at_once(args);
  const std::int64_t row_bytes = args.columns * static_cast<std::int64_t>(size_of(args.features.dtype));
  const std::int64_t cloud_bytes = args.rows() * args.grid.shape[2] * row_bytes;
  std::vector<VoxelOutput> outputs(args.outputs.size());
  for (std::int64_t first = 0; first < args.clouds; first += step) {
    VoxelizeArgs part = clouds_of(args, first, std::min(step, args.clouds - first));
    std::ranges::transform(args.outputs, outputs.begin(), [&](VoxelOutput output) {
      output.data = static_cast<std::byte*>(output.data) + first * cloud_bytes;
      return output;
    });
    part.outputs = outputs;
    if (args.dropped != nullptr) part.dropped = args.dropped + first;
    voxelize_features(part, ctx);
  }
}

}  // namespace

VoxelizeScratch voxelize_scratch(const VoxelizeArgs& args) {
  if (!has_elements(args)) return {};
  const auto all = static_cast<std::int64_t>(features_scratch(args));
  if (args.offsets.data != nullptr) return {all, all};
  return {all, static_cast<std::int64_t>(features_scratch(clouds_of(args, 0, 1)))};
}

void voxelize(const VoxelizeArgs& args, const Context& ctx) {
  std::vector<VoxelOutput> counts;
  std::vector<VoxelOutput> features;
  for (const VoxelOutput& output : args.outputs) {
    if (!needs_features(output.reduce)) {
      counts.push_back(output);
    } else if (has_elements(args)) {
      features.push_back(output);
    }
  }
  VoxelizeArgs part = args;
  if (!features.empty()) {
    part.outputs = features;
    reduce_features(part, ctx);
    part.dropped = nullptr;  // counted once
  }
  part.outputs = counts;
  if (counts.empty() && part.dropped == nullptr) return;
  if (!voxelize_bits(part, ctx)) voxelize_counts(part, ctx);
}

}  // namespace robocache::cuda
