#include "kernels/voxelize.hpp"

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/voxelize_bins.hpp"
#include "kernels/cpu/voxelize_tile.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

void count_points(Tile& tile, std::uint32_t* count) {
  std::fill_n(count, tile.voxels, 0U);
  for (const std::uint64_t entry : tile.entries) tile.most = std::max(tile.most, ++count[Tile::place(entry)]);
  tile.count = count;
}

void write_occupancy(const Tile& tile, std::uint8_t* out) {
  for (std::int64_t voxel = 0; voxel < tile.voxels; ++voxel) out[voxel] = tile.count[voxel] != 0;
}

void write_bits(const Tile& tile, std::int64_t z, std::uint8_t* out) {
  for (std::int64_t row = 0; row < tile.voxels; row += z) {
    for (std::int64_t first = row; first < row + z; first += 8) {
      unsigned bits = 0;
      for (std::int64_t voxel = first; voxel < std::min(first + 8, row + z); ++voxel) {
        bits |= static_cast<unsigned>(tile.count[voxel] != 0) << (voxel - first);
      }
      *out++ = static_cast<std::uint8_t>(bits);
    }
  }
}

void write_counts(const VoxelizeArgs& args, const Tile& tile, const VoxelOutput& output) {
  const std::int64_t z = args.grid.shape[2];
  if (output.reduce == Reduce::count) {
    std::copy_n(tile.count, tile.voxels, static_cast<std::uint32_t*>(output.data) + tile.first_voxel);
  } else if (output.reduce == Reduce::occupancy) {
    write_occupancy(tile, static_cast<std::uint8_t*>(output.data) + tile.first_voxel);
  } else {
    write_bits(tile, z, static_cast<std::uint8_t*>(output.data) + tile.first_voxel / z * args.bytes_z());
  }
}

/// What one thread does with a tile.
template <class T, class C>
class Reducer {
 public:
  Reducer(const VoxelizeArgs& args, const Tiling& tiling, MemoryResource& memory)
      : args_(args), count_(memory, tiling.voxels), reduce_(args.features, args.columns, tiling.voxels, memory) {}

  /// The scratch that one takes.
  static std::int64_t scratch(const VoxelizeArgs& args, const Tiling& tiling) {
    return tiling.voxels * static_cast<std::int64_t>(sizeof(std::uint32_t)) +
           FeatureReducer<T, C>::scratch(args.columns, tiling.voxels);
  }

  void operator()(Tile& tile) const {
    count_points(tile, count_.data());
    for (const VoxelOutput& output : args_.outputs) {
      if (needs_features(output.reduce)) {
        reduce_(tile, output);
      } else {
        write_counts(args_, tile, output);
      }
    }
  }

 private:
  const VoxelizeArgs& args_;
  Scratch<std::uint32_t> count_;
  FeatureReducer<T, C> reduce_;
};

/// A call's clouds, in groups that are computed one after the other.
template <class T, class C>
class DenseCall {
 public:
  DenseCall(const VoxelizeArgs& args, const Context& ctx)
      : args_(args),
        ctx_(ctx),
        tiling_(args, static_cast<std::int64_t>(sizeof(std::uint32_t) + sizeof(C) * args.columns)) {}

  void run() const {
    each_tile(
        args_, tiling_, ctx_,
        [this](std::int64_t clouds, std::int64_t points) { return scratch(clouds, points) <= args_.max_scratch; },
        [this] { return Reducer<T, C>(args_, tiling_, scratch_memory(ctx_)); });
  }

  /// In the groups that run() makes without a limit, and with the largest cloud alone.
  [[nodiscard]] VoxelizeScratch scratch() const {
    VoxelizeScratch most;
    for (std::int64_t b = 0; b < args_.clouds; ++b) {
      const CloudRange range = cloud_range(args_, b);
      most.least = std::max(most.least, scratch(1, range.end - range.begin));
    }
    each_group(
        args_, tiling_, [](std::int64_t, std::int64_t) { return true; },
        [&](CloudGroup group, std::int64_t points) {
          most.all = std::max(most.all, scratch(group.last - group.first, points));
        });
    return most;
  }

 private:
  [[nodiscard]] std::int64_t scratch(std::int64_t clouds, std::int64_t points) const {
    return PointBins::scratch(clouds, points, tiling_, ctx_) + workers(ctx_) * Reducer<T, C>::scratch(args_, tiling_);
  }

  const VoxelizeArgs& args_;
  const Context& ctx_;
  Tiling tiling_;
};

void drop_all(const VoxelizeArgs& args) {
  for (std::int64_t b = 0; b < args.clouds; ++b) {
    const CloudRange range = cloud_range(args, b);
    if (args.dropped != nullptr) args.dropped[b] = range.end - range.begin;
  }
}

void voxelize(const VoxelizeArgs& args, const Context& ctx) {
  if (is_empty(args.grid)) return drop_all(args);
  visit_element_type(args.features.dtype, [&]<class T, class C>() { DenseCall<T, C>(args, ctx).run(); });
}

VoxelizeScratch voxelize_scratch(const VoxelizeArgs& args, const Context& ctx) {
  VoxelizeScratch scratch;
  if (is_empty(args.grid)) return scratch;
  visit_element_type(args.features.dtype, [&]<class T, class C>() { scratch = DenseCall<T, C>(args, ctx).scratch(); });
  return scratch;
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void voxelize<Isa::ROBOCACHE_ISA>(const VoxelizeArgs& args, const Context& ctx) {
  ROBOCACHE_ISA::voxelize(args, ctx);
}

template <>
VoxelizeScratch voxelize_scratch<Isa::ROBOCACHE_ISA>(const VoxelizeArgs& args, const Context& ctx) {
  return ROBOCACHE_ISA::voxelize_scratch(args, ctx);
}

}  // namespace robocache::cpu
