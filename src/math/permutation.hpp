#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/host_device.hpp"

namespace robocache {

/// A key made of two, none of which shows in it (the finaliser of splitmix64).
ROBOCACHE_HD std::uint64_t mix_keys(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a + (b + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// A permutation of 0 ... size - 1 that a key chooses. It takes no memory, and every element can be asked for by itself.
///
/// A Feistel network over a grid of about sqrt(size) rows and columns that has at least `size` places; what lands
/// behind `size` goes through it again (cycle walking), which about one in sqrt(size) does. Eight rounds, and 256 places
/// at least: with six, or fewer places, neighbours follow each other more often than by chance (permutation_test). All
/// products are of 32 bits by 32, which vector units have.
class Permutation {
 public:
  static constexpr std::uint64_t kMostElements = std::uint64_t{1} << 60;

  /// size: 1 ... kMostElements
  Permutation(std::uint64_t size, std::uint64_t key) : size_(size) {
    constexpr std::uint64_t kLeast = 16;
    const auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(size)));
    columns_ = static_cast<std::uint32_t>(root < kLeast ? kLeast : root);
    const std::uint64_t rows = (size + columns_ - 1) / columns_;
    rows_ = static_cast<std::uint32_t>(rows < kLeast ? kLeast : rows);
    for (int round = 0; round < kRounds; ++round) {
      const std::uint64_t k = mix_keys(key, static_cast<std::uint64_t>(round));
      keys_[round] = {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(k >> 32)};
    }
  }

  /// The element at a position, both below size.
  ROBOCACHE_HD std::uint64_t operator()(std::uint64_t position) const {
    do position = walk(position);
    while (position >= size_);
    return position;
  }

  /// Calls put(i, element) for the elements at positions first + i, i < count. Several times as fast as asking one by
  /// one: no divisions, and the rounds of a block are vectors.
  template <class Put>
  void read(std::uint64_t first, std::size_t count, const Put& put) const {
    constexpr std::size_t kBlock = 64;
    std::uint32_t rows[kBlock];
    std::uint32_t columns[kBlock];
    auto row = static_cast<std::uint32_t>(first / columns_);
    auto column = static_cast<std::uint32_t>(first % columns_);
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
      for (std::size_t i = 0; i < kBlock; ++i) {
        rows[i] = row;
        columns[i] = column;
        const bool last = ++column == columns_;
        column = last ? 0 : column;
        row += last ? 1 : 0;
      }
      for (int round = 0; round < kRounds; round += 2) {
        for (std::size_t i = 0; i < kBlock; ++i) rows[i] = turn(rows[i], columns[i], keys_[round], rows_);
        for (std::size_t i = 0; i < kBlock; ++i) columns[i] = turn(columns[i], rows[i], keys_[round + 1], columns_);
      }
      for (std::size_t i = 0; i < kBlock && begin + i < count; ++i) {
        std::uint64_t place = std::uint64_t{rows[i]} * columns_ + columns[i];
        if (place >= size_) place = (*this)(place);
        put(begin + i, place);
      }
    }
  }

 private:
  static constexpr int kRounds = 8;
  struct Key {
    std::uint32_t a, b;
  };

  ROBOCACHE_HD static std::uint32_t fold(std::uint64_t z) {
    return static_cast<std::uint32_t>(z) ^ static_cast<std::uint32_t>(z >> 32);
  }

  /// x moved by a number that `other` and the key choose, round the end at n. x and n are at most 2^30 and a bit.
  ROBOCACHE_HD static std::uint32_t turn(std::uint32_t x, std::uint32_t other, Key key, std::uint32_t n) {
    const std::uint32_t once = fold(std::uint64_t{other ^ key.a} * 0x9E3779B9U) ^ key.b;
    const std::uint32_t twice = fold(std::uint64_t{once} * 0xD6E8FEB7U);
    const std::uint32_t sum = x + static_cast<std::uint32_t>((std::uint64_t{twice} * n) >> 32);
    return sum < n ? sum : sum - n;
  }

  ROBOCACHE_HD std::uint64_t walk(std::uint64_t place) const {
    auto row = static_cast<std::uint32_t>(place / columns_);
    auto column = static_cast<std::uint32_t>(place % columns_);
    ROBOCACHE_UNROLL
    for (int round = 0; round < kRounds; round += 2) {
      row = turn(row, column, keys_[round], rows_);
      column = turn(column, row, keys_[round + 1], columns_);
    }
    return std::uint64_t{row} * columns_ + column;
  }

  std::uint64_t size_;
  std::uint32_t rows_, columns_;
  Key keys_[kRounds];
};

}  // namespace robocache
