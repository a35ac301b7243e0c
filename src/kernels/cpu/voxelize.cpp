#include "kernels/voxelize.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

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

template <class T, class C>
void reduce_tiles(const VoxelizeArgs& args, const Context& ctx) {
  const Tiling tiling(args, static_cast<std::int64_t>(sizeof(std::uint32_t) + sizeof(C) * args.columns));
  const PointBins bins(args, tiling, ctx);
  parallel_for(args.clouds * tiling.tiles, 4, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
    const Reducer<T, C> reduce(args, tiling, scratch_memory(ctx));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t cloud = i / tiling.tiles;
      const std::int64_t t = i % tiling.tiles;
      Tile tile{.cloud = cloud_range(args, cloud),
                .entries = bins.tile(cloud, t),
                .first_voxel = (cloud * tiling.rows + tiling.first_row(t)) * tiling.z,
                .voxels = tiling.rows_of(t) * tiling.z};
      reduce(tile);
    }
  });
}

void drop_all(const VoxelizeArgs& args) {
  for (std::int64_t b = 0; b < args.clouds; ++b) {
    const CloudRange range = cloud_range(args, b);
    if (args.dropped != nullptr) args.dropped[b] = range.end - range.begin;
  }
}

void voxelize(const VoxelizeArgs& args, const Context& ctx) {
  if (std::ranges::find(args.grid.shape, 0) != std::end(args.grid.shape)) return drop_all(args);
  visit_element_type(args.features.dtype, [&]<class T, class C>() { reduce_tiles<T, C>(args, ctx); });
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void voxelize<Isa::ROBOCACHE_ISA>(const VoxelizeArgs& args, const Context& ctx) {
  ROBOCACHE_ISA::voxelize(args, ctx);
}

}  // namespace robocache::cpu
