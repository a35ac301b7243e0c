#pragma once

#include <cstdint>

#include "core/fault.hpp"
#include "core/thread_pool.hpp"
#include "kernels/cpu/align_tile.hpp"
#include "memory/buffer.hpp"

// How a call is cut into tiles, and what the tiles tell each other.
namespace robocache::cpu::ROBOCACHE_ISA {

/// Item = batch row * row_tiles + tile.
struct Cut {
  std::int64_t row_tiles;
  std::int64_t tile;   ///< targets in a tile; the last one may be shorter
  std::int64_t grain;  ///< items that one thread takes at once
  bool ahead;          ///< what is read and written does not fit in a near cache
  bool bypass;         ///< what is written does not fit in any cache

  explicit Cut(const AlignArgs& args) {
    // Less work than this for each thread costs more to hand out than it saves.
    constexpr std::int64_t kGrainBytes = 64 << 10;
    constexpr std::int64_t kNearCache = 2 << 20;
    // About the share of the last-level cache that a process can count on: bypassing it takes 0.75x the time of a
    // 67 MB result and 1.2x that of an 8 MB one.
    constexpr std::int64_t kFarCache = 24 << 20;
    std::int64_t read = 0;
    std::int64_t written = 0;
    std::int64_t checked = 0;
    for (const AlignStream& stream : args.streams) {
      read += stream.columns * static_cast<std::int64_t>(size_of(stream.dtype)) + 32;
      written += stream.columns * static_cast<std::int64_t>(size_of(stream.out_dtype));
      if (args.check_data && !stream.continues) {
        checked += stream.samples * static_cast<std::int64_t>(size_of(args.time));
      }
    }
    row_tiles = (args.targets + kTile - 1) / kTile;
    tile = (args.targets + row_tiles - 1) / row_tiles;
    const std::int64_t item_bytes = tile * (read + written) + checked / row_tiles;
    grain = (kGrainBytes + item_bytes - 1) / item_bytes;
    ahead = read + written > kNearCache / args.targets / args.batch;
    bypass = written > kFarCache / args.targets / args.batch;
  }
};

/// The lowest fault that any thread reports.
class FirstFault {
 public:
  void report(const Fault& fault) {
    const std::uint64_t word = fault.encode();
    std::uint64_t first = __atomic_load_n(&first_, __ATOMIC_RELAXED);
    while ((first == 0 || word < first) &&
           !__atomic_compare_exchange_n(&first_, &first, word, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
  }
  [[nodiscard]] std::uint64_t word() const { return __atomic_load_n(&first_, __ATOMIC_RELAXED); }

 private:
  std::uint64_t first_ = 0;
};

/// The signs of the quaternions of the last rows of the tiles. Empty where none follows another in an earlier tile.
///
/// Where there are batch rows enough for all threads, one thread runs the tiles of a row in order, and each tile knows
/// the signs before it. Else it knows only how its quaternions turn with respect to the target before it: the signs are
/// chained when all tiles have run, and what was stored with the wrong one is stored again.
class TileSigns {
 public:
  TileSigns(const AlignArgs& args, const Cut& cut, const Context& ctx) : row_tiles_(cut.row_tiles) {
    if (row_tiles_ < 2) return;
    for (const AlignStream& stream : args.streams) units_ += units(stream);
    MemoryResource& scratch = ctx.scratch != nullptr ? *ctx.scratch : host_memory();
    signs_ = Buffer(scratch, static_cast<std::size_t>(args.batch * row_tiles_ * units_));
    in_order_ = given() && args.batch >= (ctx.threads > 0 ? ctx.threads : processor_count());
  }

  static std::int64_t units(const AlignStream& stream) {
    const Interp interp = stream.place.interp;
    return has_quaternion(interp) ? stream.columns / unit_columns(interp) : 0;
  }
  [[nodiscard]] bool given() const { return units_ > 0; }
  /// Whether the tiles of a batch row are to run one after the other.
  [[nodiscard]] bool in_order() const { return in_order_; }

  /// Those of a tile, from unit `first` of the call on.
  [[nodiscard]] std::int8_t* last(std::int64_t b, std::int64_t tile, std::int64_t first) const {
    return static_cast<std::int8_t*>(signs_.data()) + (b * row_tiles_ + tile) * units_ + first;
  }

  /// From signs relative to the row before each tile to signs relative to the samples.
  void chain(std::int64_t b) const {
    for (std::int64_t tile = 1; tile < row_tiles_; ++tile) {
      const std::int8_t* const before = last(b, tile - 1, 0);
      std::int8_t* const signs = last(b, tile, 0);
      for (std::int64_t u = 0; u < units_; ++u) signs[u] = static_cast<std::int8_t>(signs[u] * before[u]);
    }
  }

  /// Whether what a tile has stored must turn: in any unit, or in units first .. first + n - 1.
  [[nodiscard]] bool turned(std::int64_t b, std::int64_t tile) const { return turned(b, tile, 0, units_); }
  [[nodiscard]] bool turned(std::int64_t b, std::int64_t tile, std::int64_t first, std::int64_t n) const {
    if (tile == 0) return false;
    const std::int8_t* const before = last(b, tile - 1, first);
    bool any = false;
    for (std::int64_t u = 0; u < n; ++u) any |= before[u] < 0;
    return any;
  }

 private:
  std::int64_t row_tiles_;
  std::int64_t units_ = 0;
  bool in_order_ = false;
  Buffer signs_;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
