#pragma once

#include "kernels/cuda/align_pchip.cuh"
#include "math/angle.hpp"

// Angles where samples and results are alike and lie side by side: f32, f16 or bf16 in chunks of 16, 8 or 4 bytes,
// computed in f64 as on the CPU.
namespace robocache::cuda {

/// wrapped(a), or the shorter way from a to b: words of one f32 or two 16-bit floats.
template <DType dtype>
struct AngleWord {
  using Floats = WordFloats<dtype>;
  using Element = std::conditional_t<dtype == DType::f16, f16, bf16>;

  template <class F>
  __device__ static unsigned each(const F& f) {
    if constexpr (dtype == DType::f32) {
      return __float_as_uint(static_cast<float>(f(0)));
    } else {
      const unsigned low = narrowed<Element>(f(0)).bits;
      return low | static_cast<unsigned>(narrowed<Element>(f(1)).bits) << 16;
    }
  }
  __device__ static unsigned wrap(unsigned a) {
    return each([a](int i) { return wrapped_angle<double>(Floats::get(a, i)); });
  }
  __device__ static unsigned blend(unsigned a, unsigned b, double w) {
    return each([=](int i) { return blended_angle<double>(Floats::get(a, i), Floats::get(b, i), w); });
  }
};

/// f(word) of every word of a chunk, or of two chunks.
template <class F>
__device__ __forceinline__ unsigned each_word(const F& f, unsigned a, unsigned b) {
  return f(a, b);
}
template <class F>
__device__ __forceinline__ uint2 each_word(const F& f, const uint2& a, const uint2& b) {
  return {f(a.x, b.x), f(a.y, b.y)};
}
template <class F>
__device__ __forceinline__ uint4 each_word(const F& f, const uint4& a, const uint4& b) {
  return {f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w)};
}

template <DType dtype, class Chunk>
__device__ __forceinline__ void apply_angle_chunks(const RunTile& tile) {
  each_chunk(tile, tile.plan.chunks, [&](std::uint32_t k, std::uint32_t chunk) {
    constexpr auto kBytes = static_cast<std::uint32_t>(sizeof(Chunk));
    const Step step = tile.rows.steps[k];
    const char* const from = tile.values + step.source + chunk * kBytes;
    Chunk result;
    if (step.is(Placement::Store::blend)) {
      const double w = tile.rows.weights[k];
      const auto blend = [w](unsigned a, unsigned b) { return AngleWord<dtype>::blend(a, b, w); };
      result = each_word(blend, read_chunk<Chunk>(from), read_chunk<Chunk>(from + tile.plan.value_pitch));
    } else if (step.is(Placement::Store::copy)) {
      const Chunk a = read_chunk<Chunk>(from);
      result = each_word([](unsigned word, unsigned) { return AngleWord<dtype>::wrap(word); }, a, a);
    } else {
      result = repeat<Chunk>(step.source);
    }
    *reinterpret_cast<Chunk*>(tile.row(k) + chunk * kBytes) = result;
  });
}

template <DType dtype>
__device__ __forceinline__ void apply_angles(const RunTile& tile) {
  if (tile.plan.width == 16)
    apply_angle_chunks<dtype, uint4>(tile);
  else if (tile.plan.width == 8)
    apply_angle_chunks<dtype, uint2>(tile);
  else
    apply_angle_chunks<dtype, unsigned>(tile);
}

}  // namespace robocache::cuda
