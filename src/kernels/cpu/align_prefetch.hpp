#pragma once

#include "kernels/cpu/align_tile.hpp"
#include "kernels/cpu/simd.hpp"

namespace robocache::cpu::ROBOCACHE_ISA {

/// Asks for the samples of rows before they are needed. Narrow ones all at once: while one is stored there is no time.
class Prefetch {
 public:
  explicit Prefetch(const Store& store)
      : store_(store),
        bytes_(store.stream.columns * static_cast<std::int64_t>(size_of(store.stream.dtype))),
        each_(store.ahead && bytes_ > kNarrow) {
    if (!store.ahead || each_) return;
    for (std::int64_t r = 0; r < store.count; ++r) fetch(r);
  }

  /// Before row r is stored.
  ROBOCACHE_SIMD void before(std::int64_t r) const {
    if (each_ && r + 1 < store_.count) fetch(r + 1);
  }

 private:
  static constexpr std::int64_t kNarrow = 512;
  static constexpr std::int64_t kMost = 4096;  // The processor itself follows longer runs.

  ROBOCACHE_SIMD void fetch(std::int64_t r) const {
    const Row& row = store_.rows[r];
    if (is_fill(row)) return;
    const std::int64_t last = blends(row) ? row.index + 1 : row.index;
    for (std::int64_t index = row.index; index <= last; ++index) {
      const std::byte* const from = store_.sample(index);
      for (std::int64_t d = 0; d < bytes_ && d < kMost; d += 64) __builtin_prefetch(from + d);
    }
  }

  const Store& store_;
  std::int64_t bytes_;
  bool each_;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
