#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/align_plan.hpp"

// Step 2 of align: source rows to output rows, in chunks of 1 to 16 bytes.
namespace robocache::cuda {

/// What one output row is made of, in one 16-byte access.
struct alignas(16) Step {
  std::int64_t source;  ///< byte offset of the sample in the segment; fill: the element's bits, repeated
  float weight;
  std::uint32_t store;  ///< Placement::Store

  [[nodiscard]] __device__ __forceinline__ bool is(Placement::Store kind) const {
    return store == static_cast<std::uint32_t>(kind);
  }
};

__device__ __forceinline__ Step make_step(std::int64_t source, float weight, Placement::Store store) {
  return {source, weight, static_cast<std::uint32_t>(store)};
}

/// The rows that a block stores.
struct Tile {
  const Step* steps;      ///< in shared memory
  const double* weights;  ///< the same weights in f64
  const char* values;     ///< of the segment
  char* out;              ///< of the first row
  std::uint32_t rows;
};

template <int Width>
struct ChunkOf;
template <>
struct ChunkOf<16> {
  using type = uint4;
};
template <>
struct ChunkOf<8> {
  using type = uint2;
};
template <>
struct ChunkOf<4> {
  using type = unsigned;
};
template <>
struct ChunkOf<2> {
  using type = unsigned short;
};
template <>
struct ChunkOf<1> {
  using type = unsigned char;
};

/// a + w * (b - a) on words: two 16-bit floats, an f32 or an f64.
struct Bf16Words {
  using Weight = float;
  __device__ static unsigned blend(unsigned a, unsigned b, float w) {
    const float low = __uint_as_float(a << 16);
    const float high = __uint_as_float(a & 0xffff0000u);
    const __nv_bfloat162 packed = __floats2bfloat162_rn(low + w * (__uint_as_float(b << 16) - low),
                                                        high + w * (__uint_as_float(b & 0xffff0000u) - high));
    return reinterpret_cast<const unsigned&>(packed);
  }
};
struct F16Words {
  using Weight = float;
  __device__ static unsigned blend(unsigned a, unsigned b, float w) {
    const float2 from = __half22float2(reinterpret_cast<const __half2&>(a));
    const float2 to = __half22float2(reinterpret_cast<const __half2&>(b));
    const __half2 packed = __floats2half2_rn(from.x + w * (to.x - from.x), from.y + w * (to.y - from.y));
    return reinterpret_cast<const unsigned&>(packed);
  }
};
struct F32Words {
  using Weight = float;
  __device__ static unsigned blend(unsigned a, unsigned b, float w) {
    const float from = __uint_as_float(a);
    return __float_as_uint(from + w * (__uint_as_float(b) - from));
  }
};
struct F64Words {
  using Weight = double;
  __device__ static uint2 blend(uint2 a, uint2 b, double w) {
    const double from = __hiloint2double(static_cast<int>(a.y), static_cast<int>(a.x));
    const double to = __hiloint2double(static_cast<int>(b.y), static_cast<int>(b.x));
    const double r = from + w * (to - from);
    return {static_cast<unsigned>(__double2loint(r)), static_cast<unsigned>(__double2hiint(r))};
  }
};

template <class Words, class Chunk>
__device__ __forceinline__ Chunk blend(Chunk a, Chunk b, typename Words::Weight w) {
  if constexpr (sizeof(Chunk) == 16) {
    const uint2 low = blend<Words>(uint2{a.x, a.y}, uint2{b.x, b.y}, w);
    const uint2 high = blend<Words>(uint2{a.z, a.w}, uint2{b.z, b.w}, w);
    return {low.x, low.y, high.x, high.y};
  } else if constexpr (std::is_same_v<Words, F64Words>) {
    return F64Words::blend(a, b, w);
  } else if constexpr (sizeof(Chunk) == 8) {
    return {Words::blend(a.x, b.x, w), Words::blend(a.y, b.y, w)};
  } else if constexpr (sizeof(Chunk) > 1) {
    return static_cast<Chunk>(Words::blend(a, b, w));
  } else {
    return a;  // one-byte types are never blended
  }
}

/// The bits of a fill value, repeated over a chunk.
template <class Chunk>
__device__ __forceinline__ Chunk repeat(std::int64_t bits) {
  const auto low = static_cast<unsigned>(bits);
  const auto high = static_cast<unsigned>(bits >> 32);
  if constexpr (sizeof(Chunk) == 16)
    return {low, high, low, high};
  else if constexpr (sizeof(Chunk) == 8)
    return {low, high};
  else
    return static_cast<Chunk>(low);
}

/// What one chunk of a row is made of: uninitialized but for what was loaded.
template <class Chunk>
struct Pair {
  Chunk a, b;
};

template <class Chunk>
__device__ __forceinline__ void load_pair(const Step& step, const char* source, std::int64_t pitch, Pair<Chunk>& pair) {
  if (!step.is(Placement::Store::fill)) pair.a = __ldg(reinterpret_cast<const Chunk*>(source));
  if (step.is(Placement::Store::blend)) pair.b = __ldg(reinterpret_cast<const Chunk*>(source + pitch));
}

template <class Words>
__device__ __forceinline__ typename Words::Weight weight_of(const Tile& tile, std::uint32_t row, const Step& step) {
  if constexpr (std::is_same_v<typename Words::Weight, double>)
    return tile.weights[row];
  else
    return step.weight;
}

template <class Words, class Chunk>
__device__ __forceinline__ Chunk stored(const Tile& tile, std::uint32_t row, const Step& step,
                                        const Pair<Chunk>& pair) {
  if (step.is(Placement::Store::blend)) return blend<Words>(pair.a, pair.b, weight_of<Words>(tile, row, step));
  return step.is(Placement::Store::fill) ? repeat<Chunk>(step.source) : pair.a;
}

/// A lane's chunks of one row, 32 chunks apart.
struct Lane {
  const char* source;
  std::int64_t source_step;
  std::int64_t pitch;  ///< to the next sample
  char* out;
};

/// `Count` of these: all loads leave before the first store. The whole warp has one step, so its kind is asked for once:
/// 1.05x over a predicate for each chunk on H200 (bench align_cuda, fusion B=1024).
template <class Words, int Width, int Count>
__device__ __forceinline__ void store_chunks(Lane& lane, const Step& step, typename Words::Weight weight) {
  using Chunk = typename ChunkOf<Width>::type;
  const auto put = [&](int k, Chunk chunk) { *reinterpret_cast<Chunk*>(lane.out + 32 * k * Width) = chunk; };
  const auto load = [&](int k, std::int64_t offset) {
    return __ldg(reinterpret_cast<const Chunk*>(lane.source + k * lane.source_step + offset));
  };
  if (step.is(Placement::Store::blend)) {
    Pair<Chunk> pairs[Count];
#pragma unroll
    for (int k = 0; k < Count; ++k) pairs[k] = {load(k, 0), load(k, lane.pitch)};
#pragma unroll
    for (int k = 0; k < Count; ++k) put(k, blend<Words>(pairs[k].a, pairs[k].b, weight));
  } else {
    const bool fill = step.is(Placement::Store::fill);
#pragma unroll
    for (int k = 0; k < Count; ++k) put(k, fill ? repeat<Chunk>(step.source) : load(k, 0));
  }
  lane.source += Count * lane.source_step;
  lane.out += 32 * Count * Width;
}

/// Rows of more than 32 chunks: a warp takes a row, a lane every 32nd chunk of it. `Contiguous`: the chunks of a sample lie
/// side by side. `Plan` is AlignPlan, or what has its names for a row's chunks and pitches.
template <class Words, int Width, bool Contiguous, int Threads, class Plan>
__device__ __forceinline__ void apply_wide(const Plan& plan, const Tile& tile) {
  constexpr std::uint32_t kInFlight = Width == 16 ? 2 : 4;
  const std::uint32_t first = threadIdx.x % 32;
  std::int64_t chunk_step = Width;
  if constexpr (!Contiguous) chunk_step = plan.value_chunk;
  for (std::uint32_t row = threadIdx.x / 32; row < tile.rows; row += Threads / 32) {
    const Step step = tile.steps[row];
    const auto weight = weight_of<Words>(tile, row, step);
    Lane lane{tile.values + (step.is(Placement::Store::fill) ? 0 : step.source) + first * chunk_step, 32 * chunk_step,
              plan.value_pitch, tile.out + row * plan.out_pitch + first * Width};
    std::uint32_t chunk = first;
    for (; chunk + 32 * (kInFlight - 1) < plan.chunks; chunk += 32 * kInFlight) {
      store_chunks<Words, Width, kInFlight>(lane, step, weight);
    }
    for (; chunk < plan.chunks; chunk += 32) store_chunks<Words, Width, 1>(lane, step, weight);
  }
}

/// A thread's place among rows of up to 32 chunks: 2^lane_bits lanes take a row, a chunk each.
template <int Threads>
struct NarrowLane {
  std::uint32_t chunk;
  std::uint32_t row;       ///< its first
  std::uint32_t row_step;  ///< to its next

  __device__ __forceinline__ explicit NarrowLane(std::uint32_t lane_bits)
      : chunk(threadIdx.x & ((1u << lane_bits) - 1)), row(threadIdx.x >> lane_bits), row_step(Threads >> lane_bits) {}
};

/// Rows of up to 32 chunks.
template <class Words, int Width, bool Contiguous, int Threads, class Plan>
__device__ __forceinline__ void apply_narrow(const Plan& plan, const Tile& tile, const NarrowLane<Threads>& lane) {
  using Chunk = typename ChunkOf<Width>::type;
  constexpr std::uint32_t kInFlight = Width == 16 ? 2 : Width == 8 ? 3 : 4;  // what fits the registers
  const std::uint32_t chunk = lane.chunk;
  if (chunk >= plan.chunks) return;
  const char* values = tile.values + chunk * Width;
  if constexpr (!Contiguous) values = tile.values + chunk * plan.value_chunk;
  char* const out = tile.out + chunk * Width;
  for (std::uint32_t row = lane.row; row < tile.rows; row += kInFlight * lane.row_step) {
    Step steps[kInFlight];
    Pair<Chunk> pairs[kInFlight];
#pragma unroll
    for (std::uint32_t k = 0; k < kInFlight; ++k) {
      // Past the end: the last row once more, which costs no branch.
      steps[k] = tile.steps[min(row + k * lane.row_step, tile.rows - 1)];
      load_pair(steps[k], values + steps[k].source, plan.value_pitch, pairs[k]);
    }
#pragma unroll
    for (std::uint32_t k = 0; k < kInFlight; ++k) {
      const std::uint32_t at = row + k * lane.row_step;
      if (at >= tile.rows) break;
      *reinterpret_cast<Chunk*>(out + at * plan.out_pitch) = stored<Words>(tile, at, steps[k], pairs[k]);
    }
  }
}

template <class Words, int Width, bool Contiguous, int Threads, class Plan>
__device__ __forceinline__ void apply_words(const Plan& plan, const Tile& tile, const NarrowLane<Threads>& lane) {
  if (plan.chunks > 32) return apply_wide<Words, Width, Contiguous, Threads>(plan, tile);
  apply_narrow<Words, Width, Contiguous>(plan, tile, lane);
}

/// Integers and bools are only ever copied or filled, which any kind of word does.
template <int Width, bool Contiguous, int Threads = kAlignThreads>
__device__ __forceinline__ void apply_width(const AlignPlan& plan, const Tile& tile) {
  const NarrowLane<Threads> lane(plan.lane_bits);
  if constexpr (Width >= 8) {
    if (plan.dtype == DType::f64) return apply_words<F64Words, Width, Contiguous>(plan, tile, lane);
  }
  if constexpr (Width >= 4) {
    if (plan.dtype == DType::f32) return apply_words<F32Words, Width, Contiguous>(plan, tile, lane);
  }
  if constexpr (Width >= 2) {
    if (plan.dtype == DType::f16) return apply_words<F16Words, Width, Contiguous>(plan, tile, lane);
  }
  apply_words<Bf16Words, Width, Contiguous>(plan, tile, lane);
}

}  // namespace robocache::cuda
