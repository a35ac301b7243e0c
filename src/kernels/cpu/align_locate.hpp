#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/align_tile.hpp"

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

/// The targets of one tile, with their origin added.
template <class T>
struct TileTargets {
  T at[kTile];
  std::int64_t count;
  bool sorted;  ///< non-decreasing and no NaN among several

  TileTargets(const AlignArgs& args, std::int64_t b, std::int64_t begin, std::int64_t end) : count(end - begin) {
    const T* const from = static_cast<const T*>(args.at) + b * args.at_batch + begin * args.at_row;
    const T origin = args.origin != nullptr ? static_cast<const T*>(args.origin)[b * args.origin_row] : T{};
    for (std::int64_t j = 0; j < count; ++j) at[j] = from[j * args.at_row];
    if (args.origin != nullptr) {
      for (std::int64_t j = 0; j < count; ++j) at[j] = Clock<T>::sum(origin, at[j]);
    }
    bool disorder = false;
    for (std::int64_t j = 0; j + 1 < count; ++j) disorder |= !(at[j] <= at[j + 1]);
    sorted = !disorder;
  }
};

/// Where valid and age_ns of one tile and stream go; null: not wanted.
struct Marks {
  bool* valid;
  std::int64_t* age_ns;
  std::int64_t valid_row;
  std::int64_t age_row;
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
std::int64_t walk(const S& stamp, std::int64_t i, T t) {
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

/// Places one tile of targets in a segment. Returns the first target that the stream refuses, or -1.
template <class S, class T>
std::int64_t locate(const S& stamp, const TileTargets<T>& targets, const PlaceOptions options, Row* rows,
                    const Marks marks) {
  std::int64_t refused = -1;
  std::int64_t i = targets.sorted ? search(stamp, targets.at[0]) : -1;
  for (std::int64_t j = 0; j < targets.count; ++j) {
    const T t = targets.at[j];
    i = targets.sorted ? walk(stamp, i, t) : search(stamp, t);
    const Placement p = place(stamp, stamp.count, i, t, options);
    rows[j] = {p.index, p.weight, p.store};
    if (marks.valid != nullptr) marks.valid[j * marks.valid_row] = p.valid;
    if (marks.age_ns != nullptr) marks.age_ns[j * marks.age_row] = p.age_ns;
    if (p.refused && refused < 0) refused = j;
  }
  return refused;
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
