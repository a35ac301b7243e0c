#pragma once

#include "kernels/cuda/align_runs.cuh"

// pchip where samples and results are alike and lie side by side: f32, f16 or bf16 in chunks of 16, 8 or 4 bytes,
// computed in f32.
namespace robocache::cuda {

/// How a row is made: as the step says, or by a whole cubic.
inline constexpr auto kCubic = static_cast<std::uint32_t>(Placement::Store::fill) + 1;

__device__ __forceinline__ float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// What the columns of a row share. The cubic at w is y0 + change * m + the two slopes, each times its own cubic in w.
/// A slope is factor * z * (m / (term_of_z * z + term_of_m * m)), m the change over the interval and z over the one
/// beside it, or 0 where they differ in sign. Half of each product of factor and cubic is kept: of_before, of_after.
__device__ __forceinline__ Cubic cubic_of(const Step& step, double w, const Widths& widths) {
  Cubic c;
  c.source = step.source;
  c.kind = step.store;
  if (!step.is(Placement::Store::blend) || !(widths.before > 0) || !(widths.after > 0)) return c;
  c.kind = kCubic;
  const double u = 1 - w;
  const auto before = static_cast<float>(widths.before);
  const auto after = static_cast<float>(widths.after);
  const float over_before = reciprocal(before);
  const float over_after = reciprocal(after);
  c.change = static_cast<float>(w * w * (1 + 2 * u));
  c.of_before = (1.5F + 1.5F * over_before) * static_cast<float>(w * u * u);
  c.before_term = 2 + over_before;
  c.change_of_before = 2 + before;
  c.of_after = (1.5F + 1.5F * over_after) * static_cast<float>(-w * w * u);
  c.after_term = 2 + over_after;
  c.change_of_after = 2 + after;
  return c;
}

/// Half of a slope's factor is in the table: z |u| + |z| u is 2 z u where the signs agree, and 0 where they do not.
__device__ __forceinline__ float slope_part(float z, float m, float term_of_z, float term_of_m) {
  constexpr float kLeast = 1.17549435e-38F;  // has a reciprocal, where z and m are 0
  const float u = m * reciprocal(fmaf(term_of_z, fabsf(z), fmaf(term_of_m, fabsf(m), kLeast)));
  return fmaf(fabsf(z), u, z * fabsf(u));
}

__device__ __forceinline__ float on_cubic(const Cubic& c, float before, float y0, float y1, float after) {
  const float m = y1 - y0;
  const float part0 = slope_part(y0 - before, m, c.before_term, c.change_of_before);
  const float part1 = slope_part(after - y1, m, c.after_term, c.change_of_after);
  return fmaf(c.of_after, part1, fmaf(c.of_before, part0, fmaf(c.change, m, y0)));
}

/// The floats of a word.
template <DType dtype>
struct WordFloats;
template <>
struct WordFloats<DType::bf16> {
  static constexpr int kCount = 2;
  __device__ static float get(unsigned word, int i) {
    return __uint_as_float(i == 0 ? word << 16 : word & 0xffff0000U);
  }
  __device__ static unsigned word(float a, float b) {
    const __nv_bfloat162 packed = __floats2bfloat162_rn(a, b);
    return reinterpret_cast<const unsigned&>(packed);
  }
};
template <>
struct WordFloats<DType::f16> {
  static constexpr int kCount = 2;
  __device__ static float get(unsigned word, int i) {
    const float2 both = __half22float2(reinterpret_cast<const __half2&>(word));
    return i == 0 ? both.x : both.y;
  }
  __device__ static unsigned word(float a, float b) {
    const __half2 packed = __floats2half2_rn(a, b);
    return reinterpret_cast<const unsigned&>(packed);
  }
};
template <>
struct WordFloats<DType::f32> {
  static constexpr int kCount = 1;
  __device__ static float get(unsigned word, int) { return __uint_as_float(word); }
  __device__ static unsigned word(float a, float) { return __float_as_uint(a); }
};

/// The chunks of samples that a chunk of a row is made of.
template <class Chunk>
struct Four {
  Chunk before, from, to, after;
};

/// f(before, y0, y1, after) of every element.
template <DType dtype, class F>
__device__ __forceinline__ unsigned each_element(const Four<unsigned>& y, const F& f) {
  using Floats = WordFloats<dtype>;
  const auto element = [&](int i) {
    return f(Floats::get(y.before, i), Floats::get(y.from, i), Floats::get(y.to, i), Floats::get(y.after, i));
  };
  return Floats::word(element(0), element(Floats::kCount - 1));
}
template <DType dtype, class F>
__device__ __forceinline__ uint2 each_element(const Four<uint2>& y, const F& f) {
  return {each_element<dtype>(Four<unsigned>{y.before.x, y.from.x, y.to.x, y.after.x}, f),
          each_element<dtype>(Four<unsigned>{y.before.y, y.from.y, y.to.y, y.after.y}, f)};
}
template <DType dtype, class F>
__device__ __forceinline__ uint4 each_element(const Four<uint4>& y, const F& f) {
  return {each_element<dtype>(Four<unsigned>{y.before.x, y.from.x, y.to.x, y.after.x}, f),
          each_element<dtype>(Four<unsigned>{y.before.y, y.from.y, y.to.y, y.after.y}, f),
          each_element<dtype>(Four<unsigned>{y.before.z, y.from.z, y.to.z, y.after.z}, f),
          each_element<dtype>(Four<unsigned>{y.before.w, y.from.w, y.to.w, y.after.w}, f)};
}

/// 2^lane_bits threads take a row, a chunk each at a time: f(row, chunk) of `chunks`.
template <class F>
__device__ __forceinline__ void each_chunk(const RunTile& tile, std::uint32_t chunks, const F& f) {
  const std::uint32_t lanes = 1U << tile.plan.lane_bits;
  const std::uint32_t rows_at_once = kAlignThreads >> tile.plan.lane_bits;
  for (std::uint32_t k = tile.lead + (threadIdx.x >> tile.plan.lane_bits); k < tile.end; k += rows_at_once) {
    for (std::uint32_t chunk = threadIdx.x & (lanes - 1); chunk < chunks; chunk += lanes) f(k, chunk);
  }
}

template <class Chunk>
__device__ __forceinline__ Chunk read_chunk(const char* from) {
  return __ldg(reinterpret_cast<const Chunk*>(from));
}

/// The rows where the curve begins or ends, word by word: rare, and with divisions.
template <DType dtype>
__device__ __noinline__ void apply_ends(const RunTile tile) {
  const std::int64_t pitch = tile.plan.value_pitch;
  each_chunk(tile, tile.plan.chunks * (tile.plan.width / 4), [&](std::uint32_t k, std::uint32_t word) {
    const Step& step = tile.rows.steps[k];
    const Widths widths = tile.widths[k];
    if (!step.is(Placement::Store::blend) || (widths.before > 0 && widths.after > 0)) return;
    const char* const from = tile.values + step.source + word * 4;
    Four<unsigned> y{0, read_chunk<unsigned>(from), read_chunk<unsigned>(from + pitch), 0};
    if (widths.before > 0) y.before = read_chunk<unsigned>(from - pitch);
    if (widths.after > 0) y.after = read_chunk<unsigned>(from + 2 * pitch);
    const auto before_width = static_cast<float>(widths.before);
    const auto after_width = static_cast<float>(widths.after);
    *reinterpret_cast<unsigned*>(tile.row(k) + word * 4) =
        each_element<dtype>(y, [&](float before, float y0, float y1, float after) {
          return pchip<float>(before, y0, y1, after, before_width, after_width, step.weight);
        });
  });
}

/// The others, in chunks.
template <DType dtype, class Chunk>
__device__ __forceinline__ void apply_inner(const RunTile& tile, const Cubic* cubics) {
  const char* const values = tile.values;
  const std::int64_t pitch = tile.plan.value_pitch;
  char* const out = tile.out;
  const std::int64_t out_pitch = tile.plan.out_pitch;
  each_chunk(tile, tile.plan.chunks, [&](std::uint32_t k, std::uint32_t chunk) {
    constexpr auto kBytes = static_cast<std::uint32_t>(sizeof(Chunk));
    const Cubic c = cubics[k];
    const char* const from = values + c.source + chunk * kBytes;
    Chunk result;
    if (c.kind == kCubic) {
      const Four<Chunk> y{read_chunk<Chunk>(from - pitch), read_chunk<Chunk>(from), read_chunk<Chunk>(from + pitch),
                          read_chunk<Chunk>(from + 2 * pitch)};
      result = each_element<dtype>(
          y, [&c](float before, float y0, float y1, float after) { return on_cubic(c, before, y0, y1, after); });
    } else if (c.kind == static_cast<std::uint32_t>(Placement::Store::copy)) {
      result = read_chunk<Chunk>(from);
    } else if (c.kind == static_cast<std::uint32_t>(Placement::Store::blend)) {
      return;  // an end
    } else {
      result = repeat<Chunk>(c.source);
    }
    *reinterpret_cast<Chunk*>(out + k * out_pitch + chunk * kBytes) = result;
  });
}

template <DType dtype>
__device__ __forceinline__ void apply_pchip(const RunTile& tile, Cubic* cubics) {
  bool end = false;
  if (tile.lead + threadIdx.x < tile.end) {
    const std::uint32_t k = tile.lead + threadIdx.x;
    cubics[k] = cubic_of(tile.rows.steps[k], tile.rows.weights[k], tile.widths[k]);
    end = cubics[k].kind == static_cast<std::uint32_t>(Placement::Store::blend);
  }
  const bool ends = __syncthreads_or(end) != 0;
  if (tile.plan.width == 16)
    apply_inner<dtype, uint4>(tile, cubics);
  else if (tile.plan.width == 8)
    apply_inner<dtype, uint2>(tile, cubics);
  else
    apply_inner<dtype, unsigned>(tile, cubics);
  if (ends) apply_ends<dtype>(tile);
}

}  // namespace robocache::cuda
