#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cpu/voxelize_keys.hpp"
#include "kernels/cpu/voxelize_tile.hpp"

// The rows of the results of voxelize_sparse: one for each occupied voxel.
namespace robocache::cpu::ROBOCACHE_ISA {

/// Rows [first, last), of one cloud; at most 2^16.
struct RowTile {
  std::int64_t cloud;
  std::int64_t first, last;
};

class VoxelRows {
 public:
  VoxelRows(const VoxelizeSparseArgs& args, const Context& ctx)
      : args_(args),
        ctx_(ctx),
        chunks_(args.input, 4 << 10, ctx),
        offsets_(scratch_memory(ctx), args.input.clouds + 1) {}

  [[nodiscard]] const VoxelizeSparseArgs& args() const { return args_; }
  [[nodiscard]] const PointChunks& chunks() const { return chunks_; }
  [[nodiscard]] std::int64_t threads() const { return workers(ctx_); }
  [[nodiscard]] MemoryResource& memory() const { return scratch_memory(ctx_); }
  /// [B + 1]; who finds the voxels writes them.
  [[nodiscard]] std::int64_t* offsets() const { return offsets_.data(); }
  [[nodiscard]] std::int64_t count() const { return offsets_[args_.input.clouds]; }
  /// Of kept points, for each row; who finds the voxels writes them.
  [[nodiscard]] std::uint32_t* counts() const { return counts_.data(); }
  [[nodiscard]] std::span<const RowTile> tiles() const { return tiles_; }

  /// What needs offsets alone. Tiles are of one cloud, their accumulators stay in the L2 of a core, and one ends where the
  /// capacity does.
  void cut() {
    counts_ = Scratch<std::uint32_t>(memory(), count());
    std::int64_t bytes = 0;
    for (const SparseFeatures& set : args_.features) {
      bytes = std::max<std::int64_t>(bytes, 2 * static_cast<std::int64_t>(sizeof(double)) * set.columns);
    }
    const std::int64_t most = std::max<std::int64_t>((512 << 10) / (bytes + 8), 1);
    const std::int64_t step =
        std::clamp<std::int64_t>(count() / (8 * workers(ctx_)), std::min<std::int64_t>(64, most), most);
    for (std::int64_t b = 0; b < args_.input.clouds; ++b) {
      for (std::int64_t first = offsets_[b]; first < offsets_[b + 1];) {
        std::int64_t last = std::min(first + step, offsets_[b + 1]);
        if (first < args_.capacity) last = std::min(last, args_.capacity);
        tiles_.push_back({b, first, last});
        first = last;
      }
    }
    parallel_for(
        args_.inverse != nullptr ? args_.inverse_size : 0, 1 << 16, ctx_.threads,
        [&](std::int64_t begin, std::int64_t end) { std::fill(args_.inverse + begin, args_.inverse + end, -1); });
  }

  /// Writes what there is to say of the rows and of their points. entries(number of a tile, body) writes the counts of its rows
  /// and calls body(points as a Tile has them); of many tiles at a time.
  template <class F>
  void write(const F& entries) const {
    parallel_for(static_cast<std::int64_t>(tiles_.size()), 1, ctx_.threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const RowTile& rows = tiles_[static_cast<std::size_t>(t)];
        entries(t, [&](std::span<const std::uint64_t> points) {
          if (rows.first >= args_.capacity) return;
          if (args_.counts != nullptr) {
            std::copy(counts() + rows.first, counts() + rows.last, args_.counts + rows.first);
          }
          const Tile tile = tile_of(rows, points);
          reduce(tile);
          if (args_.points != nullptr) list_points(tile);
        });
      }
    });
    write_totals();
  }

  /// The place of a cloud's first point in `inverse`.
  [[nodiscard]] std::int64_t first_of_inverse(std::int64_t cloud) const {
    const CloudRange& range = chunks_[cloud].range;
    return range.base * args_.input.samples + range.begin;
  }

  /// `key` is the voxel's among those of all clouds.
  void write_coords(std::int64_t row, std::int64_t cloud, std::uint64_t key) const {
    if (args_.coords == nullptr || row >= args_.capacity) return;
    const VoxelGrid& grid = args_.input.grid;
    std::int32_t* const to = args_.coords + 4 * row;
    std::uint64_t rest = key - static_cast<std::uint64_t>(cloud) * cells(grid);
    for (int axis = 2; axis >= 0; --axis) {
      const auto size = static_cast<std::uint64_t>(grid.shape[axis]);
      to[1 + axis] = static_cast<std::int32_t>(rest % size);
      rest /= size;
    }
    to[0] = static_cast<std::int32_t>(cloud);
  }

 private:
  void reduce(const Tile& tile) const {
    for (const SparseFeatures& features : args_.features) {
      visit_element_type(features.rows.dtype, [&]<class T, class C>() {
        const FeatureReducer<T, C> reduce(features.rows, features.columns, tile.voxels, memory());
        for (const VoxelOutput& output : features.outputs) reduce(tile, output);
      });
    }
  }

  void list_points(const Tile& tile) const {
    switch (size_of(args_.input.features.dtype)) {
      case 2:
        return list_points_as<std::uint16_t>(tile);
      case 4:
        return list_points_as<std::uint32_t>(tile);
      default:
        return list_points_as<std::uint64_t>(tile);
    }
  }

  /// Features as they are, whatever their type.
  template <class U>
  void list_points_as(const Tile& tile) const {
    const PointRows& features = args_.input.features;
    const std::int64_t columns = args_.input.columns;
    const std::int64_t pitch = args_.limits.max_points * columns;
    const U* const from = static_cast<const U*>(features.data) + tile.cloud.base * features.batch;
    U* const out = static_cast<U*>(args_.points) + tile.first_voxel * pitch;
    const Scratch<std::int64_t> next(memory(), tile.voxels);  // where the voxel's next point goes
    for (std::int64_t voxel = 0; voxel < tile.voxels; ++voxel) {
      next[voxel] = voxel * pitch;
      std::fill(out + voxel * pitch + tile.count[voxel] * columns, out + (voxel + 1) * pitch, U{0});
    }
    for (const std::uint64_t entry : tile.entries) {
      const U* const row = from + tile.point(entry) * features.row;
      U* const to = out + std::exchange(next[Tile::place(entry)], next[Tile::place(entry)] + columns);
      for (std::int64_t f = 0; f < columns; ++f) to[f] = row[f * features.column];
    }
  }

  [[nodiscard]] Tile tile_of(const RowTile& rows, std::span<const std::uint64_t> points) const {
    const std::uint32_t* const counts = counts_.data() + rows.first;
    return {.cloud = chunks_[rows.cloud].range,
            .entries = points,
            .first_voxel = rows.first,
            .voxels = rows.last - rows.first,
            .count = counts,
            .most = *std::max_element(counts, counts + (rows.last - rows.first))};
  }

  void write_totals() const {
    for (std::int64_t b = 0; b < args_.input.clouds; ++b) {
      std::int64_t left = chunks_[b].range.end - chunks_[b].range.begin;
      for (std::int64_t row = offsets_[b]; row < offsets_[b + 1]; ++row) left -= counts_[row];
      if (args_.input.dropped != nullptr) args_.input.dropped[b] = left;
    }
    if (args_.offsets != nullptr) std::copy_n(offsets_.data(), args_.input.clouds + 1, args_.offsets);
  }

  const VoxelizeSparseArgs& args_;
  const Context& ctx_;
  PointChunks chunks_;
  Scratch<std::int64_t> offsets_;
  Scratch<std::uint32_t> counts_;
  std::vector<RowTile> tiles_;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
