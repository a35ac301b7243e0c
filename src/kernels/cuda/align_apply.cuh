#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/align_plan.hpp"

// Step 2 of align: source rows to output rows, in chunks of 1 to 16 bytes.
namespace robocache::cuda {

/// What one output row is made of.
struct Step {
  std::int64_t source;  ///< byte offset of the sample in the segment; fill: the element's bits, repeated
  double weight;
  float weight_f32;
  Placement::Store store;
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

/// a + w * (b - a) on a 32-bit word of two 16-bit floats or one f32.
__device__ __forceinline__ float2 lerp(float2 a, float2 b, float w) {
  return {a.x + w * (b.x - a.x), a.y + w * (b.y - a.y)};
}
struct Bf16Words {
  __device__ static unsigned blend(unsigned a, unsigned b, const Step& step) {
    const auto wide = [](unsigned u) { return float2{__uint_as_float(u << 16), __uint_as_float(u & 0xffff0000u)}; };
    const float2 r = lerp(wide(a), wide(b), step.weight_f32);
    const __nv_bfloat162 packed = __floats2bfloat162_rn(r.x, r.y);
    return reinterpret_cast<const unsigned&>(packed);
  }
};
struct F16Words {
  __device__ static unsigned blend(unsigned a, unsigned b, const Step& step) {
    const auto wide = [](unsigned u) { return __half22float2(reinterpret_cast<const __half2&>(u)); };
    const float2 r = lerp(wide(a), wide(b), step.weight_f32);
    const __half2 packed = __floats2half2_rn(r.x, r.y);
    return reinterpret_cast<const unsigned&>(packed);
  }
};
struct F32Words {
  __device__ static unsigned blend(unsigned a, unsigned b, const Step& step) {
    const float from = __uint_as_float(a);
    return __float_as_uint(from + step.weight_f32 * (__uint_as_float(b) - from));
  }
};
struct F64Words {
  __device__ static uint2 blend(uint2 a, uint2 b, const Step& step) {
    const double from = __hiloint2double(static_cast<int>(a.y), static_cast<int>(a.x));
    const double to = __hiloint2double(static_cast<int>(b.y), static_cast<int>(b.x));
    const double r = from + step.weight * (to - from);
    return {static_cast<unsigned>(__double2loint(r)), static_cast<unsigned>(__double2hiint(r))};
  }
};

template <class Words>
__device__ __forceinline__ unsigned blend(unsigned a, unsigned b, const Step& step) {
  return Words::blend(a, b, step);
}
template <class Words>
__device__ __forceinline__ unsigned short blend(unsigned short a, unsigned short b, const Step& step) {
  return static_cast<unsigned short>(Words::blend(a, b, step));
}
template <class Words>
__device__ __forceinline__ unsigned char blend(unsigned char a, unsigned char, const Step&) {
  return a;  // one-byte types are never blended
}
template <class Words>
__device__ __forceinline__ uint2 blend(uint2 a, uint2 b, const Step& step) {
  if constexpr (std::is_same_v<Words, F64Words>) return F64Words::blend(a, b, step);
  else return {Words::blend(a.x, b.x, step), Words::blend(a.y, b.y, step)};
}
template <class Words>
__device__ __forceinline__ uint4 blend(uint4 a, uint4 b, const Step& step) {
  const uint2 low = blend<Words>(uint2{a.x, a.y}, uint2{b.x, b.y}, step);
  const uint2 high = blend<Words>(uint2{a.z, a.w}, uint2{b.z, b.w}, step);
  return {low.x, low.y, high.x, high.y};
}

/// The bits of a fill value, repeated over a chunk.
template <class Chunk>
__device__ __forceinline__ Chunk repeat(std::int64_t bits) {
  const auto low = static_cast<unsigned>(bits);
  const auto high = static_cast<unsigned>(bits >> 32);
  if constexpr (sizeof(Chunk) == 16) return {low, high, low, high};
  else if constexpr (sizeof(Chunk) == 8) return {low, high};
  else return static_cast<Chunk>(low);
}

/// One tile of one stream. Pitches are bytes.
struct Rows {
  const Step* steps;  ///< of the rows, in shared memory
  const char* values;
  char* out;
  std::int64_t value_pitch, value_chunk, out_pitch;
};

/// Writes `rows` rows of `chunks` chunks each; called by every thread of the block. Index is wide enough for a row and for
/// the number of rows.
template <class Words, int Width, class Index>
__device__ __forceinline__ void apply_chunks(const Rows& tile, Index rows, Index chunks) {
  using Chunk = typename ChunkOf<Width>::type;
  constexpr int kInFlight = 2;
  const Index threads = kAlignThreads;
  const Index row_step = threads / chunks;
  const Index chunk_step = threads % chunks;
  Index row = static_cast<Index>(threadIdx.x) / chunks;
  Index chunk = static_cast<Index>(threadIdx.x) % chunks;
  while (row < rows) {
    Chunk a[kInFlight] = {};
    Chunk b[kInFlight] = {};
    Index rows_of[kInFlight];
    Index chunks_of[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      rows_of[k] = row;
      chunks_of[k] = chunk;
      if (row < rows) {
        const Step& step = tile.steps[row];
        const char* source = tile.values + step.source + chunk * tile.value_chunk;
        if (step.store != Placement::Store::fill) a[k] = __ldg(reinterpret_cast<const Chunk*>(source));
        if (step.store == Placement::Store::blend) {
          b[k] = __ldg(reinterpret_cast<const Chunk*>(source + tile.value_pitch));
        }
      }
      row += row_step;
      chunk += chunk_step;
      if (chunk >= chunks) {
        chunk -= chunks;
        ++row;
      }
    }
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      if (rows_of[k] >= rows) break;
      const Step& step = tile.steps[rows_of[k]];
      Chunk result = a[k];
      if (step.store == Placement::Store::blend) result = blend<Words>(a[k], b[k], step);
      if (step.store == Placement::Store::fill) result = repeat<Chunk>(step.source);
      *reinterpret_cast<Chunk*>(tile.out + rows_of[k] * tile.out_pitch + chunks_of[k] * Width) = result;
    }
  }
}

/// Integers and bools are only ever copied or filled, which any kind of word does.
template <int Width, class Index>
__device__ __forceinline__ void apply_width(DType dtype, const Rows& tile, Index rows, Index chunks) {
  if constexpr (Width >= 8) {
    if (dtype == DType::f64) return apply_chunks<F64Words, Width>(tile, rows, chunks);
  }
  if constexpr (Width >= 4) {
    if (dtype == DType::f32) return apply_chunks<F32Words, Width>(tile, rows, chunks);
  }
  if constexpr (Width >= 2) {
    if (dtype == DType::f16) return apply_chunks<F16Words, Width>(tile, rows, chunks);
  }
  apply_chunks<Bf16Words, Width>(tile, rows, chunks);
}

}  // namespace robocache::cuda
