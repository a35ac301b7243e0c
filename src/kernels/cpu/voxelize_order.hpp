#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include "kernels/cpu/voxelize_chunks.hpp"

// Points sorted by voxel, in their own order within a voxel, however many voxels the grid has.
namespace robocache::cpu::ROBOCACHE_ISA {

inline constexpr std::uint64_t kNoKey = ~std::uint64_t{0};

/// A key and a point's number in one word.
struct NarrowEntries {
  static constexpr std::int64_t words = 1;
  std::uint64_t* data;
  int number_bits;

  void set(std::int64_t i, std::uint64_t key, std::uint64_t number) const { data[i] = key << number_bits | number; }
  void copy(std::int64_t i, const NarrowEntries& from, std::int64_t j) const { data[i] = from.data[j]; }
  [[nodiscard]] std::uint64_t key(std::int64_t i) const { return data[i] >> number_bits; }
  [[nodiscard]] std::uint64_t number(std::int64_t i) const { return data[i] & ((std::uint64_t{1} << number_bits) - 1); }
};

/// For keys and numbers that do not fit into one.
struct WideEntries {
  static constexpr std::int64_t words = 2;
  std::uint64_t* data;
  int number_bits;

  void set(std::int64_t i, std::uint64_t key, std::uint64_t number) const {
    data[2 * i] = key;
    data[2 * i + 1] = number;
  }
  void copy(std::int64_t i, const WideEntries& from, std::int64_t j) const {
    set(i, from.data[2 * j], from.data[2 * j + 1]);
  }
  [[nodiscard]] std::uint64_t key(std::int64_t i) const { return data[2 * i]; }
  [[nodiscard]] std::uint64_t number(std::int64_t i) const { return data[2 * i + 1]; }
};

/// Points [begin, begin + points) of the order share the voxel `key`.
struct OccupiedVoxel {
  std::uint64_t key;
  std::int64_t begin;
  std::int64_t points;
};

class VoxelOrder {
 public:
  /// `make.operator()<C>(cloud)` returns what gives the keys of a block of points: below `keys`, or kNoKey.
  template <class Make>
  VoxelOrder(const PointChunks& chunks, std::uint64_t keys, const Make& make, MemoryResource& memory)
      : chunks_(chunks), memory_(memory), pieces_(chunks.pieces()) {
    const int key_bits = keys > 1 ? bits_of(keys - 1) : 0;
    constexpr int most_bits = 11;  // With more, the places to write to are more than a first-level cache has lines.
    passes_ = std::max(1, (key_bits + most_bits - 1) / most_bits);
    digit_bits_ = std::max(1, (key_bits + passes_ - 1) / passes_);
    digits_ = std::int64_t{1} << digit_bits_;
    const int number_bits = bits_of(static_cast<std::uint64_t>(chunks.points()));
    if (key_bits + number_bits < 64) {
      sort<NarrowEntries>(number_bits, make);
    } else {
      sort<WideEntries>(number_bits, make);
    }
  }

  /// Sorted by key.
  [[nodiscard]] OccupiedVoxel* voxels() const { return voxels_.data(); }
  [[nodiscard]] std::int64_t count() const { return count_; }
  /// The points of all voxels: numbers among those of all clouds.
  [[nodiscard]] std::uint64_t* points() const { return numbers_; }

 private:
  static int bits_of(std::uint64_t v) { return static_cast<int>(std::bit_width(v)); }

  template <class Entries, class Make>
  void sort(int number_bits, const Make& make) {
    const std::int64_t points = chunks_.points();
    first_ = Scratch<std::uint64_t>(memory_, points * Entries::words);
    second_ = Scratch<std::uint64_t>(memory_, points * Entries::words);
    // One row more: the sum over all pieces.
    next_ = Scratch<std::int64_t>(memory_, (pieces_ + 1) * digits_);
    Entries from{second_.data(), number_bits};
    Entries to{first_.data(), number_bits};
    enter_keys(second_.data(), make);
    count_keys(second_.data());
    sum_up();
    scatter_keys(second_.data(), to);
    for (int pass = 1; pass < passes_; ++pass) {
      std::swap(from, to);
      const int shift = pass * digit_bits_;
      count_digits(from, shift);
      sum_up();
      scatter(from, to, shift);
    }
    find_voxels(to, from.data);
  }

  [[nodiscard]] std::int64_t* next(std::int64_t piece) const { return next_.data() + piece * digits_; }
  [[nodiscard]] std::int64_t digit(std::uint64_t key, int shift) const {
    return static_cast<std::int64_t>(key >> shift & static_cast<std::uint64_t>(digits_ - 1));
  }

  template <class Make>
  void enter_keys(std::uint64_t* keys, const Make& make) const {
    chunks_.over([&](const Chunk& chunk) {
      std::uint64_t* const to = keys + chunks_[chunk.cloud].first_point;
      chunks_.visit_blocks(chunk, [&]<class C>() {
        return [to, keys_of = make.template operator()<C>(chunk.cloud)](
                   std::int64_t first, const PointBlock<C>& block) { keys_of(block, kNoKey, to + first); };
      });
    });
  }

  void count_keys(const std::uint64_t* keys) const {
    chunks_.over_pieces(chunks_.points(), [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      std::int64_t* const found = next(piece);
      std::fill_n(found, digits_, 0);
      for (std::int64_t n = begin; n < end; ++n) found[digit(keys[n], 0)] += keys[n] != kNoKey ? 1 : 0;
    });
  }

  /// Turns the counts of digits into places: by digit, then by piece.
  void sum_up() {
    std::int64_t* const all = next(pieces_);
    std::fill_n(all, digits_, 0);
    for (std::int64_t c = 0; c < pieces_; ++c) {
      for (std::int64_t d = 0; d < digits_; ++d) all[d] += std::exchange(next(c)[d], all[d]);
    }
    sorted_ = 0;
    for (std::int64_t d = 0; d < digits_; ++d) sorted_ += std::exchange(all[d], sorted_);
    for (std::int64_t c = 0; c < pieces_; ++c) {
      for (std::int64_t d = 0; d < digits_; ++d) next(c)[d] += all[d];
    }
  }

  template <class Entries>
  void scatter_keys(const std::uint64_t* keys, const Entries& to) const {
    chunks_.over_pieces(chunks_.points(), [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      std::int64_t* const at = next(piece);
      for (std::int64_t n = begin; n < end; ++n) {
        if (keys[n] != kNoKey) to.set(at[digit(keys[n], 0)]++, keys[n], static_cast<std::uint64_t>(n));
      }
    });
  }

  template <class Entries>
  void count_digits(const Entries& from, int shift) {
    chunks_.over_pieces(sorted_, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      std::int64_t* const found = next(piece);
      std::fill_n(found, digits_, 0);
      for (std::int64_t i = begin; i < end; ++i) ++found[digit(from.key(i), shift)];
    });
  }

  template <class Entries>
  void scatter(const Entries& from, const Entries& to, int shift) {
    chunks_.over_pieces(sorted_, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      std::int64_t* const at = next(piece);
      for (std::int64_t i = begin; i < end; ++i) to.copy(at[digit(from.key(i), shift)]++, from, i);
    });
  }

  template <class Entries>
  void find_voxels(const Entries& sorted, std::uint64_t* numbers) {
    const auto is_first = [&](std::int64_t i) { return i == 0 || sorted.key(i) != sorted.key(i - 1); };
    std::int64_t* const row = next_.data();  // of each piece's first new voxel
    chunks_.over_pieces(sorted_, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      std::int64_t found = 0;
      for (std::int64_t i = begin; i < end; ++i) found += is_first(i) ? 1 : 0;
      row[piece] = found;
    });
    for (std::int64_t piece = 0; piece < pieces_; ++piece) count_ += std::exchange(row[piece], count_);
    voxels_ = Scratch<OccupiedVoxel>(memory_, count_);
    chunks_.over_pieces(sorted_, [&](std::int64_t piece, std::int64_t begin, std::int64_t end) {
      while (begin < end && !is_first(begin)) {  // of a voxel that another piece has begun
        numbers[begin] = sorted.number(begin);
        ++begin;
      }
      // Backwards, so that a voxel's first point is the last to be written and nothing branches on where voxels end.
      std::int64_t at = (piece + 1 < pieces_ ? row[piece + 1] : count_) - 1;
      for (std::int64_t i = end - 1; i >= begin; --i) {
        numbers[i] = sorted.number(i);
        voxels_[at].key = sorted.key(i);
        voxels_[at].begin = i;
        at -= is_first(i) ? 1 : 0;
      }
    });
    numbers_ = numbers;
    parallel_for(count_, std::int64_t{1} << 14, chunks_.threads(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t v = begin; v < end; ++v) {
        voxels_[v].points = (v + 1 < count_ ? voxels_[v + 1].begin : sorted_) - voxels_[v].begin;
      }
    });
  }

  const PointChunks& chunks_;
  MemoryResource& memory_;
  std::int64_t pieces_;
  int passes_ = 1, digit_bits_ = 1;
  std::int64_t digits_ = 2;
  std::int64_t sorted_ = 0;  ///< points that have a key
  std::int64_t count_ = 0;
  Scratch<std::uint64_t> first_, second_;
  Scratch<std::int64_t> next_;  ///< [piece][digit]: where its next point goes
  Scratch<OccupiedVoxel> voxels_;
  std::uint64_t* numbers_ = nullptr;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
