#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>

#include "kernels/cpu/voxelize_block.hpp"
#include "kernels/cpu/voxelize_chunks.hpp"

// Points sorted by the tile of their voxel, in their own order within a tile.
namespace robocache::cpu::ROBOCACHE_ISA {

/// Whether it has no voxels. A Tiling needs some.
inline bool is_empty(const VoxelGrid& grid) { return std::ranges::find(grid.shape, 0) != std::end(grid.shape); }

/// How a cloud's grid is cut: into tiles of a power of two of whole rows along z, so that no two tiles share a byte of any result.
struct Tiling {
  std::int64_t rows = 0;    ///< of the grid
  std::int64_t z = 0;       ///< voxels of a row
  int shift = 0;            ///< a tile has 2^shift rows
  std::int64_t tiles = 0;   ///< of a cloud
  std::int64_t voxels = 0;  ///< of a tile, at most 2^24

  Tiling(const VoxelizeArgs& args, std::int64_t bytes_per_voxel) : rows(args.rows()), z(args.grid.shape[2]) {
    constexpr std::int64_t tile_bytes = 512 << 10;  // A tile and its accumulators stay in the L2 of one core.
    const std::int64_t wanted = std::clamp<std::int64_t>(tile_bytes / (z * bytes_per_voxel), 1, rows);
    shift = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(wanted))) - 1;
    tiles = (rows + (std::int64_t{1} << shift) - 1) >> shift;
    voxels = z << shift;
  }

  [[nodiscard]] std::int64_t first_row(std::int64_t tile) const { return tile << shift; }
  [[nodiscard]] std::int64_t rows_of(std::int64_t tile) const {
    return std::min(rows - first_row(tile), std::int64_t{1} << shift);
  }
};

/// body(CloudGroup) for all clouds, in groups of one cloud or of as many as fits(clouds, their points) allows. Counters for each
/// cloud and tile take no more memory than this: of tiny clouds in a large grid there would be far more of them than points.
template <class Fits, class F>
void each_group(const VoxelizeArgs& args, const Tiling& tiling, const Fits& fits, const F& body) {
  constexpr std::int64_t most_counters = 4 << 20;
  CloudGroup group{0, 0};
  std::int64_t points = 0;
  for (std::int64_t b = 0; b < args.clouds; ++b) {
    const CloudRange range = cloud_range(args, b);
    const std::int64_t more = points + range.end - range.begin;
    const std::int64_t clouds = b + 1 - group.first;
    if (clouds > 1 && !(clouds * tiling.tiles <= most_counters && fits(clouds, more))) {
      body(group, points);
      group.first = b;
      points = 0;
    }
    group.last = b + 1;
    points += range.end - range.begin;
  }
  if (group.last > group.first) body(group, points);
}

/// A voxel's place in its tile, below what else is said of a point: its tile, or its number in the cloud.
inline constexpr int kPlaceBits = 24;
inline constexpr std::uint64_t kPlaceMask = (std::uint64_t{1} << kPlaceBits) - 1;
inline constexpr std::uint64_t kNoVoxel = ~std::uint64_t{0};

class PointBins {
 public:
  PointBins(const VoxelizeArgs& args, CloudGroup group, const Tiling& tiling, const Context& ctx)
      : args_(args),
        group_(group),
        tiling_(tiling),
        chunks_(args, group, std::max<std::int64_t>(16 << 10, tiling.tiles), ctx),
        bins_(scratch_memory(ctx), (group.last - group.first) * (tiling.tiles + 1)),
        first_of_chunks_(scratch_memory(ctx), (chunks_.count() + 1) * tiling.tiles),
        keys_(scratch_memory(ctx), chunks_.points()),
        entries_(scratch_memory(ctx), chunks_.points()) {
    chunks_.over([this](const Chunk& chunk) { place(chunk); });
    sum_up();
    chunks_.over([this](const Chunk& chunk) { sort(chunk); });
  }

  /// The scratch that so many clouds with so many points take, at most.
  static std::int64_t scratch(std::int64_t clouds, std::int64_t points, const Tiling& tiling, const Context& ctx) {
    const std::int64_t chunks = PointChunks::most_pieces(ctx) + clouds;
    const std::int64_t counters = clouds * (tiling.tiles + 1) + (chunks + 1) * tiling.tiles;
    return static_cast<std::int64_t>(sizeof(PointChunks::Cloud)) * (clouds + 1) + 8 * (counters + 2 * points);
  }

  /// The points in a tile of a cloud of the group, in their order: number in the cloud << kPlaceBits | place in the tile.
  [[nodiscard]] std::span<const std::uint64_t> tile(std::int64_t cloud, std::int64_t t) const {
    const std::int64_t* bin = &bins_[cloud * (tiling_.tiles + 1) + t];
    return {entries_.data() + bin[0], static_cast<std::size_t>(bin[1] - bin[0])};
  }

 private:
  std::int64_t* counters(std::int64_t chunk) const { return first_of_chunks_.data() + chunk * tiling_.tiles; }

  /// Writes the tile and place of each point, and how many each tile has.
  void place(const Chunk& chunk) {
    std::int64_t* const found = counters(chunk.number);
    std::fill_n(found, tiling_.tiles, 0);
    std::uint64_t* const keys = keys_.data() + chunks_[chunk.cloud].first_point;
    const auto low_rows = (std::uint64_t{1} << tiling_.shift) - 1;
    const auto z = static_cast<std::uint64_t>(tiling_.z);
    chunks_.visit_blocks(chunk, [&]<class C>() {
      return [=, shift = tiling_.shift, axes = args_.axes<C>()](std::int64_t first, const PointBlock<C>& block) {
        const BlockVoxels<C> at(block, axes, {0, 0, 0});
        const auto rows_x = static_cast<std::uint64_t>(axes.rows_x);
        std::uint64_t* const to = keys + first;
        for (std::int64_t i = 0; i < block.count; ++i) {
          const std::uint64_t row = static_cast<std::uint64_t>(at.x[i]) * rows_x + static_cast<std::uint64_t>(at.y[i]);
          const std::uint64_t place = (row & low_rows) * z + static_cast<std::uint64_t>(at.z[i]);
          to[i] = at.inside(i) ? row >> shift << kPlaceBits | place : kNoVoxel;
        }
        for (std::int64_t i = 0; i < block.count; ++i) {
          if (to[i] != kNoVoxel) ++found[to[i] >> kPlaceBits];
        }
      };
    });
  }

  /// Turns counts into places among the entries: by cloud, tile, and chunk.
  void sum_up() {
    parallel_for(group_.last - group_.first, 1, chunks_.threads(), [this](std::int64_t first, std::int64_t last) {
      for (std::int64_t b = first; b < last; ++b) {
        std::int64_t next = chunks_[b].first_point;
        std::int64_t* bin = &bins_[b * (tiling_.tiles + 1)];
        for (std::int64_t t = 0; t < tiling_.tiles; ++t) {
          bin[t] = next;
          for (std::int64_t c = chunks_[b].first_chunk; c < chunks_[b + 1].first_chunk; ++c) {
            next += std::exchange(counters(c)[t], next);
          }
        }
        bin[tiling_.tiles] = next;
        if (args_.dropped != nullptr) args_.dropped[group_.first + b] = chunks_[b + 1].first_point - next;
      }
    });
  }

  void sort(const Chunk& chunk) {
    const std::int64_t first = chunks_[chunk.cloud].first_point;
    std::int64_t* next = counters(chunk.number);
    for (std::int64_t n = chunk.begin; n < chunk.end; ++n) {
      const std::uint64_t key = keys_[first + n];
      if (key == kNoVoxel) continue;
      const auto tile = static_cast<std::int64_t>(key >> kPlaceBits);
      entries_[next[tile]++] = static_cast<std::uint64_t>(n) << kPlaceBits | (key & kPlaceMask);
    }
  }

  const VoxelizeArgs& args_;
  CloudGroup group_;
  const Tiling& tiling_;
  PointChunks chunks_;
  Scratch<std::int64_t> bins_;
  Scratch<std::int64_t> first_of_chunks_;  ///< [chunk][tile]
  Scratch<std::uint64_t> keys_;            ///< tile << kPlaceBits | place, or kNoVoxel
  Scratch<std::uint64_t> entries_;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
