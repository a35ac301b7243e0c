#pragma once

#include "kernels/cuda/align_runs.cuh"

// Quaternions in the hemisphere of the row above. The rows of a tile are cut into strips: a thread walks down one strip
// of one unit and knows its signs but for the first. It stores them as if that were right. The rare ones that are told
// otherwise, by the strip above or the tile above, store again.
//
// Tiles tell each other through memory: the first launch notes for each tile and unit whether its last row is turned
// against the row before the tile; in the second one, tiles that find themselves turned by those before them store
// again.
namespace robocache::cuda {

template <class C>
__device__ __forceinline__ C fused_dot(const C* a, const C* b) {
  return fma(a[0], b[0], fma(a[1], b[1], fma(a[2], b[2], a[3] * b[3])));
}

/// How the units of a tile are told about the tiles before it.
struct TileSigns {
  std::uint8_t* turned;  ///< [tile][unit] of this batch row; null: there is one tile
  std::uint32_t tile;
  std::uint32_t units;
  bool second;  ///< launch

  __device__ __forceinline__ bool before(std::uint32_t unit) const {
    std::uint32_t sum = 0;
#pragma unroll 4
    for (std::uint32_t i = 0; i < tile; ++i) sum ^= turned[std::int64_t{i} * units + unit];
    return sum != 0;
  }
  __device__ __forceinline__ void tell(std::uint32_t unit, bool turns) const {
    if (turned != nullptr && !second) turned[std::int64_t{tile} * units + unit] = turns ? 1 : 0;
  }
};

/// Whether the tiles before one turn any of its units. Called by every thread of the block. They look for a single turn
/// together: there is none as a rule, and one by one it would take time that grows with the square of the targets.
__device__ __forceinline__ bool turned_by_others(const TileSigns& signs) {
  const std::int64_t earlier = std::int64_t{signs.tile} * signs.units;
  std::uint32_t turns = 0;
#pragma unroll 4
  for (std::int64_t i = threadIdx.x; i < earlier; i += kAlignThreads) turns |= signs.turned[i];
  if (!__syncthreads_or(turns != 0)) return false;
  bool turned = false;
  for (std::uint32_t unit = threadIdx.x; unit < signs.units; unit += kAlignThreads) turned |= signs.before(unit);
  return __syncthreads_or(turned) != 0;
}

/// The rows of a unit that one thread walks down. The first strip of a tile begins with the row before it, if any.
struct Strip {
  std::uint32_t unit, from, begin, end;
  bool active;
};

/// How a tile's units are cut into strips: 2^bits units side by side.
struct StripPlan {
  std::uint32_t bits, strip, lane, strips, begin, end;

  __device__ __forceinline__ StripPlan(const RunTile& tile, std::uint32_t units) {
    bits = 32 - __clz(min(units, static_cast<std::uint32_t>(kAlignThreads)) - 1);
    strip = threadIdx.x >> bits;
    lane = threadIdx.x & ((1U << bits) - 1);
    strips = kAlignThreads >> bits;
    const std::uint32_t height = (tile.end - tile.lead + strips - 1) / strips;
    begin = min(tile.lead + strip * height, tile.end);
    end = min(begin + height, tile.end);
  }
  __device__ __forceinline__ Strip at(std::uint32_t first_unit, std::uint32_t units) const {
    const std::uint32_t unit = first_unit + lane;
    return {unit, strip == 0 ? 0 : begin, begin, end, begin < end && unit < units};
  }
};

/// A row is turned by this bit, the sign of an f32.
inline constexpr std::uint32_t kTurned = 0x80000000U;

/// Walks down a strip and stores its rows, the first of them turned if `turned` says so. Leaves the first row, as it is
/// computed, in the exchange and the last in `last`; returns whether the last is turned. `unusual`: a row cannot be
/// computed on this path.
template <class Path>
__device__ __forceinline__ std::uint32_t walk(const Path& path, const Strip& strip, std::uint32_t turned,
                                              SignExchange& exchange, Quaternion<typename Path::Compute>& last,
                                              bool& unusual) {
  typename Path::Loaded next = path.load(strip.from, strip.unit);
#pragma unroll 1
  for (std::uint32_t k = strip.from; k < strip.end; ++k) {
    const typename Path::Loaded loaded = next;
    if (k + 1 < strip.end) next = path.load(k + 1, strip.unit);
    const typename Path::Value value = path.value(k, strip.unit, loaded);
    const Quaternion<typename Path::Compute> q = path.direction(value);
    unusual |= path.is_unusual(value);
    if (k == strip.from) {
#pragma unroll
      for (int i = 0; i < 4; ++i) exchange.first[threadIdx.x][i] = static_cast<double>(q.c[i]);
    } else if (fused_dot(q.c, last.c) < 0) {
      turned ^= kTurned;
    }
    if (k >= strip.begin) path.store(k, strip.unit, value, turned);
    last = q;
  }
  return turned;
}

/// Whether the strips above turn this one; `turns`: it turns those below. Called by every thread of the block.
template <class C>
__device__ __forceinline__ std::uint32_t turned_from_above(SignExchange& exchange, const StripPlan& plan,
                                                           const Quaternion<C>& last, bool active,
                                                           std::uint32_t turns) {
  for (int i = 0; i < 4; ++i) exchange.last[threadIdx.x][i] = static_cast<double>(last.c[i]);
  __syncthreads();
  std::uint32_t turned = 0;
  if (active && plan.strip > 0) {
    const double* const above = exchange.last[threadIdx.x - (1U << plan.bits)];
    if (fused_dot(exchange.first[threadIdx.x], above) < 0) turned = kTurned;
  }
  exchange.turned[threadIdx.x] = turns != turned ? 1 : 0;
  if (!__syncthreads_or((turns | turned) != 0)) return 0;
#pragma unroll 1
  for (std::uint32_t s = 0; s < plan.strip; ++s) {
    if (exchange.turned[(s << plan.bits) + plan.lane] != 0) turned ^= kTurned;
  }
  return turned;
}

/// Stores all units of a tile. `Path` says how one is loaded, computed and stored. Called by every thread of the block;
/// false: a unit was not usual, and the tile has to be stored on another path. Nobody waits before the next units: where
/// there are any, a unit is one strip, which exchanges nothing.
template <class Path>
__device__ __forceinline__ bool apply_rotations(const RunTile& tile, const Path& path, const TileSigns& signs,
                                                SignExchange& exchange) {
  const StripPlan plan(tile, signs.units);
#pragma unroll 1
  for (std::uint32_t first_unit = 0; first_unit < signs.units; first_unit += 1U << plan.bits) {
    const Strip strip = plan.at(first_unit, signs.units);
    const std::uint32_t seed = strip.active && signs.second && signs.before(strip.unit) ? kTurned : 0;
    std::uint32_t turned = 0;  // by the strips above
    std::uint32_t turns = 0;   // from its first row to its last
    Quaternion<typename Path::Compute> last{};
    bool unusual = false;
#pragma unroll 1
    for (bool again = false;; again = true) {
      if (strip.active && (!again || turned != 0)) {
        const std::uint32_t start = seed ^ turned;
        turns = walk(path, strip, start, exchange, last, unusual) ^ start;
      }
      if (again) break;
      if (Path::kPicky && __syncthreads_or(unusual)) return false;
      if (plan.strips == 1) break;
      turned = turned_from_above(exchange, plan, last, strip.active, turns);
    }
    if (strip.active && strip.end == tile.end) signs.tell(strip.unit, turned != turns);
  }
  return true;
}

}  // namespace robocache::cuda
