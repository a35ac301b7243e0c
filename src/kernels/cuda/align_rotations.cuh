#pragma once

#include "kernels/cuda/align_signs.cuh"

// slerp and se3 where samples and results are alike and lie side by side. f32 quaternions are computed in f64 by five
// terms of the series, 16-bit ones in f32 by three; one reciprocal root and one Newton step each stand for a root and a
// division.
namespace robocache::cuda {

__device__ __forceinline__ float inverse_root(float x) {
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ double inverse_root(double x) {
  double y;
  asm("rsqrt.approx.ftz.f64 %0, %1;" : "=d"(y) : "d"(x));
  return fma(0.5 * y, fma(-x * y, y, 1.0), y);
}

/// Elements as they are loaded and stored, and the type to compute in.
template <DType dtype>
struct RotationElement;
template <>
struct RotationElement<DType::f32> {
  using Stored = float;
  using Compute = double;
  static constexpr int kTerms = 5;
  __device__ static float widened(float v) { return v; }
  __device__ static float narrowed(double v) { return static_cast<float>(v); }
  __device__ static float repeated(std::int64_t bits) { return __uint_as_float(static_cast<unsigned>(bits)); }
};
template <>
struct RotationElement<DType::bf16> {
  using Stored = unsigned short;
  using Compute = float;
  static constexpr int kTerms = 3;
  __device__ static float widened(unsigned short v) { return __uint_as_float(static_cast<unsigned>(v) << 16); }
  __device__ static unsigned short narrowed(float v) { return __bfloat16_as_ushort(__float2bfloat16_rn(v)); }
  __device__ static unsigned short repeated(std::int64_t bits) { return static_cast<unsigned short>(bits); }
};
template <>
struct RotationElement<DType::f16> {
  using Stored = unsigned short;
  using Compute = float;
  static constexpr int kTerms = 3;
  __device__ static float widened(unsigned short v) { return __half2float(__ushort_as_half(v)); }
  __device__ static unsigned short narrowed(float v) { return __half_as_ushort(__float2half_rn(v)); }
  __device__ static unsigned short repeated(std::int64_t bits) { return static_cast<unsigned short>(bits); }
};

/// The weight sine_ratio<kTerms>(t, x) / 4 as a polynomial in x.
template <int kTerms, class C>
__device__ __forceinline__ void sine_ratio_coefficients(double t, C* c) {
  double product = t / 4;
  c[0] = static_cast<C>(product);
#pragma unroll
  for (int j = 1; j <= kTerms; ++j) {
    product *= fma(t, t, static_cast<double>(-j * j)) * (1.0 / (j * (2 * j + 1)));
    c[j] = static_cast<C>(product);
  }
}

/// NaN where there is nothing to blend or the series does not reach.
template <int kTerms, class C>
__device__ __forceinline__ ArcRow<C, kTerms> arc_row(const Step& step, double w) {
  const bool reached = !step.is(Placement::Store::fill) && w >= 0 && w <= 1;
  const double t = reached ? 4 * w : std::numeric_limits<double>::quiet_NaN();
  ArcRow<C, kTerms> row;
  sine_ratio_coefficients<kTerms>(4 - t, row.from);
  sine_ratio_coefficients<kTerms>(t, row.to);
  return row;
}

template <int kTerms, class C>
__device__ __forceinline__ C polynomial(const C* c, C x) {
  C sum = c[kTerms];
#pragma unroll
  for (int j = kTerms - 1; j >= 0; --j) sum = fma(sum, x, c[j]);
  return sum;
}

/// A quaternion as it lies in memory, in one access.
template <class Stored>
struct RawQuaternion;
template <>
struct RawQuaternion<float> {
  float4 c;

  __device__ __forceinline__ void read(const char* from) { c = __ldg(reinterpret_cast<const float4*>(from)); }
  __device__ __forceinline__ float get(int i) const { return i == 0 ? c.x : i == 1 ? c.y : i == 2 ? c.z : c.w; }
  __device__ __forceinline__ static void write(char* to, const float* v) {
    *reinterpret_cast<float4*>(to) = {v[0], v[1], v[2], v[3]};
  }
};
template <>
struct RawQuaternion<unsigned short> {
  uint2 c;

  __device__ __forceinline__ void read(const char* from) { c = __ldg(reinterpret_cast<const uint2*>(from)); }
  __device__ __forceinline__ unsigned short get(int i) const {
    const unsigned word = i < 2 ? c.x : c.y;
    return static_cast<unsigned short>(i % 2 == 0 ? word : word >> 16);
  }
  __device__ __forceinline__ static void write(char* to, const unsigned short* v) {
    *reinterpret_cast<uint2*>(to) = {v[0] | static_cast<unsigned>(v[1]) << 16, v[2] | static_cast<unsigned>(v[3])
                                                                                          << 16};
  }
};

/// A pose: three pairs of elements, and a single one behind or, where the pairs would not be aligned, before them.
template <class Stored>
struct RawPose {
  using Pair = std::conditional_t<sizeof(Stored) == 4, float2, ushort2>;
  Stored single;
  Pair pairs[3];
  bool odd;

  __device__ __forceinline__ static bool is_odd(const char* pose) {
    return reinterpret_cast<std::uintptr_t>(pose) % sizeof(Pair) != 0;
  }
  __device__ __forceinline__ void read(const char* from) {
    odd = is_odd(from);
    single = __ldg(reinterpret_cast<const Stored*>(from) + (odd ? 0 : 6));
    const Pair* const first = reinterpret_cast<const Pair*>(from + (odd ? sizeof(Stored) : 0));
#pragma unroll
    for (int i = 0; i < 3; ++i) pairs[i] = __ldg(first + i);
  }
  __device__ __forceinline__ Stored flat(int i) const { return i % 2 == 0 ? pairs[i / 2].x : pairs[i / 2].y; }
  __device__ __forceinline__ Stored get(int i) const {
    const Stored of_even = i < 6 ? flat(i) : single;
    const Stored of_odd = i > 0 ? flat(i - 1) : single;
    return odd ? of_odd : of_even;
  }
  __device__ __forceinline__ static void write(char* to, const Stored* v) {
    const bool single_first = is_odd(to);
    reinterpret_cast<Stored*>(to)[single_first ? 0 : 6] = single_first ? v[0] : v[6];
    Pair* const first = reinterpret_cast<Pair*>(to + (single_first ? sizeof(Stored) : 0));
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      first[i] = {single_first ? v[2 * i + 1] : v[2 * i], single_first ? v[2 * i + 2] : v[2 * i + 1]};
    }
  }
};

/// Poses or quaternions: kFirst columns of position, then four.
template <DType dtype, int kFirst>
struct AlikeRotation {
  using Element = RotationElement<dtype>;
  using Stored = typename Element::Stored;
  using Compute = typename Element::Compute;
  using Raw = std::conditional_t<kFirst == 0, RawQuaternion<Stored>, RawPose<Stored>>;
  using Arcs = ArcRow<Compute, Element::kTerms>;
  static constexpr bool kPicky = true;
  static constexpr auto kBytes = static_cast<std::uint32_t>((kFirst + 4) * sizeof(Stored));
  struct Loaded {
    std::uint32_t store;
    Raw a, b;
  };
  struct Value {
    std::uint32_t store;
    Compute q[4];
    float position[3];
  };
  const char* values;  ///< of the segment
  std::int64_t pitch;
  char* out;  ///< of row 0
  std::int64_t out_pitch;
  const Step* steps;
  const Arcs* arcs;

  /// Called by every thread of the block.
  __device__ __forceinline__ AlikeRotation(const RunTile& tile, Arcs* table)
      : values(tile.values),
        pitch(tile.plan.value_pitch),
        out(tile.out),
        out_pitch(tile.plan.out_pitch),
        steps(tile.rows.steps),
        arcs(table) {
    const std::uint32_t k = threadIdx.x;
    if (k < tile.end) table[k] = arc_row<Element::kTerms, Compute>(tile.rows.steps[k], tile.rows.weights[k]);
    __syncthreads();
  }

  __device__ __forceinline__ Loaded load(std::uint32_t k, std::uint32_t unit) const {
    const Step step = steps[k];
    Loaded loaded{step.store, {}, {}};
    if (step.is(Placement::Store::fill)) return loaded;
    // A copy is the arc from a sample to itself.
    const char* const from = values + step.source + unit * kBytes;
    loaded.a.read(from);
    loaded.b.read(from + (step.is(Placement::Store::blend) ? pitch : 0));
    return loaded;
  }

  /// NaN for a fill, and where a length is 0 or more than can be squared.
  __device__ __forceinline__ Value value(std::uint32_t k, std::uint32_t, const Loaded& loaded) const {
    Compute a[4], b[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      a[i] = Element::widened(loaded.a.get(kFirst + i));
      b[i] = Element::widened(loaded.b.get(kFirst + i));
    }
    const Compute a2 = fused_dot(a, a);
    const Compute b2 = fused_dot(b, b);
    const Compute product = fused_dot(a, b);
    const Compute a_scale = inverse_root(a2);
    const Compute b_scale = inverse_root(b2);
    Compute cosine = abs(product * a_scale * b_scale);
    if constexpr (dtype == DType::bf16) cosine = fma(Compute(0), a2 + b2, cosine);
    // Of half and a quarter of the angle.
    const Compute half2 = fma(cosine, Compute(0.5), Compute(0.5));
    const Compute over_half = inverse_root(half2);
    const Compute quarter2 = fma(half2 * over_half, Compute(0.5), Compute(0.5));
    const Compute over_quarter = inverse_root(quarter2);
    const Compute x = fma(quarter2, over_quarter, Compute(-1));
    const Compute scale = over_half * over_quarter;
    const Arcs row = arcs[k];
    const Compute from = polynomial<Element::kTerms>(row.from, x) * (scale * a_scale);
    const Compute to = polynomial<Element::kTerms>(row.to, x) * (scale * copysign(b_scale, product));
    Value v;
    v.store = loaded.store;
#pragma unroll
    for (int i = 0; i < 4; ++i) v.q[i] = fma(from, a[i], to * b[i]);
    const bool copies = loaded.store == static_cast<std::uint32_t>(Placement::Store::copy);  // infinities, too
#pragma unroll
    for (int i = 0; i < kFirst; ++i) {
      const float p = Element::widened(loaded.a.get(i));
      v.position[i] = copies ? p : fmaf(steps[k].weight, Element::widened(loaded.b.get(i)) - p, p);
    }
    return v;
  }
  __device__ __forceinline__ static bool is_fill(std::uint32_t store) {
    return store == static_cast<std::uint32_t>(Placement::Store::fill);
  }
  __device__ __forceinline__ bool is_unusual(const Value& v) const { return v.q[0] != v.q[0] && !is_fill(v.store); }
  __device__ __forceinline__ Quaternion<Compute> direction(const Value& v) const {
    return {{v.q[0], v.q[1], v.q[2], v.q[3]}};
  }

  __device__ __forceinline__ void store(std::uint32_t k, std::uint32_t unit, const Value& v,
                                        std::uint32_t turned) const {
    Stored element[kFirst + 4];
#pragma unroll
    for (int i = 0; i < kFirst; ++i) element[i] = Element::narrowed(v.position[i]);
#pragma unroll
    for (int i = 0; i < 4; ++i) element[kFirst + i] = Element::narrowed(turned != 0 ? -v.q[i] : v.q[i]);
    if (is_fill(v.store)) {
#pragma unroll
      for (int i = 0; i < kFirst + 4; ++i) element[i] = Element::repeated(steps[k].source);
    }
    Raw::write(out + k * out_pitch + unit * kBytes, element);
  }
};

}  // namespace robocache::cuda
