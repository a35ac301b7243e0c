#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "math/convert.hpp"

// Vectors of a compute type, N lanes wide, and how element types enter and leave them. Arithmetic on them is the
// compiler's (GCC and Clang vector types); an intrinsic is used only for what those cannot say.
namespace robocache::cpu::ROBOCACHE_ISA {

#define ROBOCACHE_SIMD inline __attribute__((always_inline))

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

/// The type that float elements T are computed in.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T, int N>
struct VectorType {
  // NOLINTNEXTLINE(modernize-use-using): GCC drops the attribute from a dependent alias
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T, int N>
using Vector = typename VectorType<T, N>::type;

template <class V>
ROBOCACHE_SIMD V load_bytes(const void* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <int N>
ROBOCACHE_SIMD Vector<float, N> widen_f16(const f16* from) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    return _mm512_maskz_cvtph_ps(0xffff, load_bytes<__m256i>(from));  // GCC 12 warns of the unmasked form.
  } else
#endif
#if defined(__F16C__)
      if constexpr (N == 8) {
    return _mm256_cvtph_ps(load_bytes<__m128i>(from));
  } else if constexpr (N == 4) {
    return _mm_cvtph_ps(_mm_cvtsi64_si128(load_bytes<long long>(from)));
  } else
#endif
  {
    Vector<float, N> v;
    for (int lane = 0; lane < N; ++lane) v[lane] = widen(load_bytes<f16>(from + lane));
    return v;
  }
}

template <int N>
ROBOCACHE_SIMD Vector<std::uint16_t, N> narrow_f16(Vector<float, N> v) {
  using Bits = Vector<std::uint16_t, N>;
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    return __builtin_bit_cast(Bits, _mm512_maskz_cvtps_ph(0xffff, v, _MM_FROUND_TO_NEAREST_INT));
  } else
#endif
#if defined(__F16C__)
      if constexpr (N == 8) {
    return __builtin_bit_cast(Bits, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  } else if constexpr (N == 4) {
    return __builtin_bit_cast(Bits, _mm_cvtsi128_si64(_mm_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)));
  } else
#endif
  {
    Bits bits;
    for (int lane = 0; lane < N; ++lane) bits[lane] = to_f16(v[lane]).bits;
    return bits;
  }
}

/// N elements of T in their compute type; one as a scalar.
template <class T, int N>
ROBOCACHE_SIMD auto load(const T* from) {
  if constexpr (N == 1) {
    return widened<Compute<T>>(load_bytes<T>(from));
  } else if constexpr (std::is_same_v<T, bf16>) {
    const auto bits = load_bytes<Vector<std::uint16_t, N>>(from);
    return __builtin_bit_cast(Vector<float, N>, __builtin_convertvector(bits, Vector<std::uint32_t, N>) << 16);
  } else if constexpr (std::is_same_v<T, f16>) {
    return widen_f16<N>(from);
  } else {
    return load_bytes<Vector<T, N>>(from);
  }
}

/// The bytes of N values, blended from elements of T, as elements of T.
template <class T, int N, class V>
ROBOCACHE_SIMD auto narrow(V v) {
  if constexpr (N == 1) {
    return narrowed<T>(v);
  } else if constexpr (std::is_same_v<T, bf16>) {
    // No case for NaN: one that blending bf16 elements gives has only zeros below, and rounding cannot carry out of it.
    const auto u = __builtin_bit_cast(Vector<std::uint32_t, N>, v);
    return __builtin_convertvector((u + 0x7fffu + ((u >> 16) & 1u)) >> 16, Vector<std::uint16_t, N>);
  } else if constexpr (std::is_same_v<T, f16>) {
    return narrow_f16<N>(v);
  } else {
    return v;
  }
}

/// std::floor of each lane. Of a loop of those GCC makes no vectors: they could trap.
template <class V>
ROBOCACHE_SIMD V floor_lanes(V v) {
  using C = std::remove_cvref_t<decltype(v[0])>;
#if defined(__AVX512F__)
  if constexpr (sizeof v == 64 && sizeof(C) == 4) return _mm512_maskz_roundscale_ps(0xffff, v, _MM_FROUND_FLOOR);
  if constexpr (sizeof v == 64 && sizeof(C) == 8) return _mm512_maskz_roundscale_pd(0xff, v, _MM_FROUND_FLOOR);
#elif defined(__AVX2__)
  if constexpr (sizeof v == 32 && sizeof(C) == 4) return _mm256_floor_ps(v);
  if constexpr (sizeof v == 32 && sizeof(C) == 8) return _mm256_floor_pd(v);
#endif
  for (std::size_t lane = 0; lane < sizeof v / sizeof(C); ++lane) v[lane] = std::floor(v[lane]);
  return v;
}

template <class V>
ROBOCACHE_SIMD void store_bytes(void* to, const V& v) {
  __builtin_memcpy(to, &v, sizeof v);
}

/// A store that leaves the caches alone. `to` must be aligned to the size of V. Needs a fence afterwards.
template <class V>
ROBOCACHE_SIMD void stream_bytes(void* to, const V& v) {
#if defined(__AVX512F__)
  if constexpr (sizeof v == 64) return _mm512_stream_si512(static_cast<__m512i*>(to), __builtin_bit_cast(__m512i, v));
#endif
#if defined(__AVX2__)
  if constexpr (sizeof v == 32) return _mm256_stream_si256(static_cast<__m256i*>(to), __builtin_bit_cast(__m256i, v));
#endif
#if defined(__x86_64__)
  if constexpr (sizeof v == 16) return _mm_stream_si128(static_cast<__m128i*>(to), __builtin_bit_cast(__m128i, v));
  if constexpr (sizeof v == 8) return _mm_stream_si64(static_cast<long long*>(to), __builtin_bit_cast(long long, v));
#else
  store_bytes(to, v);
#endif
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
