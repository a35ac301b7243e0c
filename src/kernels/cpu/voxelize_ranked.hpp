#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <numeric>
#include <span>

#include "kernels/cpu/voxelize_rows.hpp"

namespace robocache::cpu::ROBOCACHE_ISA {

/// A set of small numbers, and how many members are below each number.
class RankedSet {
 public:
  /// Of numbers 0 to `last`.
  RankedSet(std::uint32_t last, MemoryResource& memory)
      : words_(last / 64 + 1), bits_(memory, words_), ranks_(memory, words_) {
    std::fill_n(bits_.data(), words_, 0);
  }

  /// By many threads at once. Most numbers are there already: looking costs less than a write that others wait for.
  void add(std::uint32_t number) const {
    const std::uint64_t bit = std::uint64_t{1} << number % 64;
    const std::atomic_ref word(bits_[number / 64]);
    if ((word.load(std::memory_order_relaxed) & bit) == 0) word.fetch_or(bit, std::memory_order_relaxed);
  }

  /// After the last add().
  void rank() {
    std::uint32_t below = 0;
    for (std::int64_t w = 0; w < words_; ++w) {
      ranks_[w] = below;
      below += static_cast<std::uint32_t>(std::popcount(bits_[w]));
    }
  }

  [[nodiscard]] std::uint32_t rank_of(std::uint32_t number) const {
    const std::uint64_t lower = bits_[number / 64] << 1 << (63 - number % 64);
    return ranks_[number / 64] + static_cast<std::uint32_t>(std::popcount(lower));
  }

  /// body(number, rank) for all members, by many threads.
  template <class F>
  void each(int threads, const F& body) const {
    parallel_for(words_, 1 << 10, threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t w = begin; w < end; ++w) {
        std::uint32_t rank = ranks_[w];
        for (std::uint64_t left = bits_[w]; left != 0; left &= left - 1) {
          body(static_cast<std::uint32_t>(w * 64 + std::countr_zero(left)), rank++);
        }
      }
    });
  }

 private:
  std::int64_t words_;
  Scratch<std::uint64_t> bits_;
  Scratch<std::uint32_t> ranks_;
};

/// Finds the rows of a call by a bit for each voxel of the grid. Nothing is sorted but the points of each piece by tile.
class RankedVoxels {
 public:
  /// Whether the bits take no more than 12 bytes a point. Limits need a voxel's points one after the other, and there is a
  /// counter for each cloud and piece.
  static bool fits(const VoxelRows& rows) {
    const SparseLimits& limits = rows.args().limits;
    if (rows.args().input.clouds * 1024 > rows.chunks().points()) return false;
    const std::uint64_t keys = cells(rows.args().input.grid) * static_cast<std::uint64_t>(rows.args().input.clouds);
    return limits.max_points == kKeepAll && limits.max_voxels == kKeepAll && keys < ~std::uint32_t{0} &&
           keys <= 64 * static_cast<std::uint64_t>(rows.chunks().points());
  }

  explicit RankedVoxels(VoxelRows& rows)
      : rows_(rows),
        piece_(std::clamp<std::int64_t>(rows.chunks().points() / (4 * kStreams * rows.threads()), 1 << 10, 1 << kBits)),
        cells_(static_cast<std::uint32_t>(cells(rows.args().input.grid))),
        keys_(cells_ * static_cast<std::uint32_t>(rows.args().input.clouds)),
        voxels_(keys_, rows.memory()),
        key_of_(rows.memory(), rows.chunks().points()),
        points_(rows.memory(), rows.chunks().points()) {
    enter_keys();
    voxels_.rank();
    for (std::int64_t b = 0; b <= rows.args().input.clouds; ++b) {
      rows.offsets()[b] = voxels_.rank_of(static_cast<std::uint32_t>(b) * cells_);
    }
    rows.cut();
    sort_into_tiles();
  }

  void write() const {
    rows_.write([this](std::int64_t tile, const auto& body) {
      const Scratch<std::uint64_t> entries(rows_.memory(), points_of(tile));
      body(unpack(tile, entries.data()));
    });
    if (rows_.args().coords != nullptr) write_coords();
    if (rows_.args().inverse != nullptr) write_inverse();
  }

 private:
  /// A row's place in its tile, or a point's in its piece, and one of the other.
  static constexpr int kBits = 16;
  static constexpr std::uint32_t kMask = (1U << kBits) - 1;

  static constexpr std::int64_t kStreams = 4;  ///< pieces that are sorted at once

  [[nodiscard]] std::int64_t pieces() const { return (rows_.chunks().points() + piece_ - 1) / piece_; }

  /// Of points in no voxel the key is one above all, and so is the row.
  void enter_keys() const {
    const PointChunks& chunks = rows_.chunks();
    chunks.over([&](const Chunk& chunk) {
      std::uint32_t* const to = key_of_.data() + chunks[chunk.cloud].first_point;
      chunks.visit_blocks(chunk, [&]<class C>() {
        return [this, to, keys_of = BlockKeys<C>(rows_.args(), chunk.cloud)](std::int64_t first,
                                                                             const PointBlock<C>& block) {
          keys_of(block, keys_, to + first);
          for (std::int64_t i = first; i < first + block.count; ++i) voxels_.add(to[i]);
        };
      });
    });
  }

  void sort_into_tiles() {
    const std::span<const RowTile> tiles = rows_.tiles();
    const auto count = static_cast<std::int64_t>(tiles.size());
    const Scratch<std::uint32_t> tile_of(rows_.memory(), rows_.count() + 1);
    const Scratch<std::uint32_t> first_of(rows_.memory(), count + 1);
    const std::int64_t grain = 1 + (count << 16) / (rows_.count() + 1);  // some ten thousand rows
    parallel_for(count, grain, rows_.chunks().threads(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const RowTile& tile = tiles[static_cast<std::size_t>(t)];
        std::fill(tile_of.data() + tile.first, tile_of.data() + tile.last, static_cast<std::uint32_t>(t));
        first_of[t] = static_cast<std::uint32_t>(tile.first);
      }
    });
    tile_of[rows_.count()] = static_cast<std::uint32_t>(count);
    first_of[count] = static_cast<std::uint32_t>(rows_.count());
    bins_ = count + 2;
    const std::int64_t groups = (pieces() + kStreams - 1) / kStreams;
    ends_ = Scratch<std::uint32_t>(rows_.memory(), groups * kStreams * bins_);
    parallel_for(groups, 1, rows_.chunks().threads(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t group = begin; group < end; ++group) {
        sort_pieces(group * kStreams, tile_of.data(), first_of.data());
      }
    });
  }

  [[nodiscard]] std::int64_t points_of_piece(std::int64_t piece) const {
    return std::clamp<std::int64_t>(rows_.chunks().points() - piece * piece_, 0, piece_);
  }

  [[nodiscard]] std::uint32_t* ends(std::int64_t piece) const { return ends_.data() + piece * bins_ + 1; }

  /// body(piece - first, its next point) for pieces first to first + kStreams, in turn: a counter that is raised again at once
  /// is a chain of loads and stores, and points that follow one another are close together.
  template <class F>
  void each_in_turn(std::int64_t first, const F& body) const {
    const std::int64_t all = points_of_piece(first + kStreams - 1);
    for (std::int64_t n = 0; n < all; ++n) {
      for (std::int64_t s = 0; s < kStreams; ++s) body(s, n);
    }
    for (std::int64_t s = 0; s < kStreams; ++s) {
      const std::int64_t points = points_of_piece(first + s);
      for (std::int64_t n = all; n < points; ++n) body(s, n);
    }
  }

  /// Sorts the points of each of kStreams pieces by the tile of their row, in their order; points in no voxel come last.
  void sort_pieces(std::int64_t first, const std::uint32_t* tile_of, const std::uint32_t* first_of) const {
    std::uint32_t* row[kStreams];
    std::uint32_t* out[kStreams];
    std::uint32_t* end[kStreams];
    for (std::int64_t s = 0; s < kStreams; ++s) {
      row[s] = key_of_.data() + (first + s) * piece_;
      out[s] = points_.data() + (first + s) * piece_;
      end[s] = ends(first + s);
    }
    std::fill(end[0] - 1, end[0] - 1 + kStreams * bins_, 0);
    each_in_turn(first, [&, &voxels = voxels_, tile_of](std::int64_t s, std::int64_t n) {
      row[s][n] = voxels.rank_of(row[s][n]);
      ++end[s][tile_of[row[s][n]]];
    });
    for (std::uint32_t* const e : end) std::exclusive_scan(e, e + bins_ - 1, e, 0U);
    each_in_turn(first, [&, tile_of, first_of](std::int64_t s, std::int64_t n) {
      const std::uint32_t tile = tile_of[row[s][n]];
      out[s][end[s][tile]++] = (row[s][n] - first_of[tile]) << kBits | static_cast<std::uint32_t>(n);
    });
  }

  /// Where the points of a tile are among those of a piece.
  [[nodiscard]] std::span<const std::uint32_t> points_of(std::int64_t piece, std::int64_t tile) const {
    const std::uint32_t* const end = ends(piece) + tile;
    return {points_.data() + piece * piece_ + end[-1], end[0] - end[-1]};
  }

  [[nodiscard]] std::int64_t points_of(std::int64_t tile) const {
    std::size_t points = 0;
    for (std::int64_t piece = 0; piece < pieces(); ++piece) points += points_of(piece, tile).size();
    return static_cast<std::int64_t>(points);
  }

  /// The points of a tile, and how many each row has.
  std::span<const std::uint64_t> unpack(std::int64_t t, std::uint64_t* entries) const {
    const RowTile& tile = rows_.tiles()[static_cast<std::size_t>(t)];
    std::uint32_t* const counts = rows_.counts() + tile.first;
    std::fill_n(counts, tile.last - tile.first, 0);
    std::uint64_t* next = entries;
    for (std::int64_t piece = 0; piece < pieces(); ++piece) {
      const std::int64_t first = piece * piece_ - rows_.chunks()[tile.cloud].first_point;
      for (const std::uint32_t point : points_of(piece, t)) {
        const std::int64_t number = first + (point & kMask);
        const std::uint32_t place = point >> kBits;
        *next++ = static_cast<std::uint64_t>(number) << kPlaceBits | place;
        ++counts[place];
      }
    }
    return {entries, next};
  }

  void write_coords() const {
    voxels_.each(rows_.chunks().threads(), [this](std::uint32_t key, std::uint32_t row) {
      if (key < keys_) rows_.write_coords(row, key / cells_, key);
    });
  }

  void write_inverse() const {
    const PointChunks& chunks = rows_.chunks();
    chunks.over([&, count = rows_.count()](const Chunk& chunk) {
      const std::uint32_t* const row = key_of_.data() + chunks[chunk.cloud].first_point;
      std::int64_t* const to = rows_.args().inverse + rows_.first_of_inverse(chunk.cloud);
      for (std::int64_t n = chunk.begin; n < chunk.end; ++n) to[n] = row[n] < count ? std::int64_t{row[n]} : -1;
    });
  }

  VoxelRows& rows_;
  std::int64_t piece_;  ///< points of a piece
  std::uint32_t cells_;
  std::uint32_t keys_;  ///< cells of all clouds
  RankedSet voxels_;
  Scratch<std::uint32_t> key_of_;  ///< of each point; later the row
  Scratch<std::uint32_t> points_;  ///< of each piece by tile: place << kBits | number in the piece
  std::int64_t bins_ = 0;          ///< tiles, and two
  Scratch<std::uint32_t> ends_;    ///< [piece][bin]: 0, and where each tile ends, and the points in no voxel
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
