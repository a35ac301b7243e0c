#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/align_tile.hpp"
#include "kernels/cpu/simd.hpp"

// Locate: from targets and stamps to rows. The meaning is in math/place.hpp; here is only how the interval is found.
namespace robocache::cpu::ROBOCACHE_ISA {

/// The shifted stamps of one segment. `unit`: they lie side by side.
template <class T, bool unit>
struct Stamps {
  const T* first;
  std::int64_t stride;
  T offset;
  std::int64_t count;

  T operator()(std::int64_t i) const { return Clock<T>::sum(first[unit ? i : i * stride], offset); }
};

/// Where a tile lies in its batch row.
struct Tile {
  std::int64_t b;
  std::int64_t number;
  std::int64_t begin;
  std::int64_t count;
};

/// The targets of one tile, with their origin added.
template <class T>
struct TileTargets {
  std::int64_t count;
  bool lead;    ///< there is a target -1: the one before the tile
  bool sorted;  ///< non-decreasing and no NaN among several; the lead does not count

  TileTargets(const AlignArgs& args, const Tile& tile, bool with_lead) : count(tile.count), lead(with_lead) {
    const std::int64_t first = lead ? -1 : 0;
    const T* const from = static_cast<const T*>(args.at) + tile.b * args.at_batch + tile.begin * args.at_row;
    const T origin = args.origin != nullptr ? static_cast<const T*>(args.origin)[tile.b * args.origin_row] : T{};
    for (std::int64_t j = first; j < count; ++j) at_[j + 1] = from[j * args.at_row];
    if (args.origin != nullptr) {
      for (std::int64_t j = first; j < count; ++j) at_[j + 1] = Clock<T>::sum(origin, at_[j + 1]);
    }
    bool disorder = false;
    for (std::int64_t j = 0; j + 1 < count; ++j) disorder |= !((*this)[j] <= (*this)[j + 1]);
    sorted = !disorder;
  }
  T operator[](std::int64_t j) const { return at_[j + 1]; }

 private:
  T at_[kTile + 1];
};

/// The first sample in (begin, end] whose stamp is not at or after the one before it, or -1.
template <class S>
std::int64_t first_disorder(const S& stamp, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kBlock = 512;
  for (std::int64_t low = begin; low < end; low += kBlock) {
    const std::int64_t high = end - low < kBlock ? end : low + kBlock;
    bool disorder = false;
    for (std::int64_t i = low; i < high; ++i) disorder |= !(stamp(i) <= stamp(i + 1));  // No early exit: vectorises.
    if (!disorder) continue;
    for (std::int64_t i = low; i < high; ++i) {
      if (!(stamp(i) <= stamp(i + 1))) return i + 1;
    }
  }
  return -1;
}

/// The last stamp at or before t, or -1. Without branches: searches for several targets overlap.
template <class S, class T>
std::int64_t search(const S& stamp, T t) {
  std::int64_t found = -1;
  for (std::int64_t left = stamp.count; left > 0;) {
    const std::int64_t half = (left + 1) / 2;
    found += half & -static_cast<std::int64_t>(stamp(found + half) <= t);
    left -= half;
  }
  return found;
}

/// The same, from the answer `i` for an earlier target on: short blocks, then strides that double.
template <class S, class T>
ROBOCACHE_SIMD std::int64_t walk(const S& stamp, std::int64_t i, T t) {
  constexpr std::int64_t kBlock = 8;
  constexpr int kBlocks = 4;
  for (int block = 0; block < kBlocks && i + kBlock < stamp.count; ++block) {
    // All of the block, without an exit on the way: where it would be taken cannot be predicted. 0.6x the time.
    std::int64_t passed = 0;
    for (std::int64_t k = 1; k <= kBlock; ++k) passed += stamp(i + k) <= t;
    i += passed;
    if (passed < kBlock) return i;
  }
  std::int64_t stride = 1;
  while (i + stride < stamp.count && stamp(i + stride) <= t) {
    i += stride;
    stride *= 2;
  }
  const std::int64_t end = i + stride < stamp.count ? i + stride : stamp.count;
  return last_at_or_before<T>(stamp, i + 1, end, t);
}

/// The last sample at or before each target of a tile, or -1; asked for one after the other, from the first on.
template <class S, class T>
class Finder {
 public:
  Finder(const S& stamp, const TileTargets<T>& targets)
      : stamp_(stamp), targets_(targets), i_(targets.sorted ? search(stamp, targets[0]) : -1) {}

  std::int64_t operator()(std::int64_t j) {
    if (!targets_.sorted) return search(stamp_, targets_[j]);
    i_ = walk(stamp_, i_, targets_[j]);
    return i_;
  }

 private:
  const S stamp_;
  const TileTargets<T>& targets_;
  std::int64_t i_;
};

// NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): place_rows asks for that of a variable
inline const Placement& placement_of(const Placement& p) { return p; }
inline const Placement& placement_of(const UnitPlace& u) { return u.p; }

/// Makes a row of each target by place_one(j), which gives a UnitPlace, or a Placement where the widths do not count.
/// Returns the first that the stream refuses, or -1.
template <class F>
std::int64_t place_rows(std::int64_t count, const Marks marks, Row* rows, F place_one) {
  std::int64_t refused = -1;
  for (std::int64_t j = 0; j < count; ++j) {
    const auto placed = place_one(j);  // The only call: it must be inlined.
    const Placement& p = placement_of(placed);
    set_row(rows[j], placed);
    marks.set(j, p.valid, p.age_ns);
    if (p.refused && refused < 0) refused = j;
  }
  return refused;
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
