#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/cpu/simd.hpp"

// A vector that behaves as its element type does, so that the formulas of src/math can be computed for N elements at
// once.
namespace robocache::cpu::ROBOCACHE_ISA {

template <class T, int N>
struct Lanes {
  using Number = T;
  using V = Vector<T, N>;
  V v;

  Lanes() = default;
  ROBOCACHE_SIMD explicit Lanes(const V& all) : v(all) {}
  template <class A>
    requires(std::is_arithmetic_v<A>)
  ROBOCACHE_SIMD Lanes(A each) : v(static_cast<T>(each) - V{}) {}  // NOLINT(google-explicit-constructor): 2 * lanes

  ROBOCACHE_SIMD friend Lanes operator+(const Lanes& a, const Lanes& b) { return Lanes(a.v + b.v); }
  ROBOCACHE_SIMD friend Lanes operator-(const Lanes& a, const Lanes& b) { return Lanes(a.v - b.v); }
  ROBOCACHE_SIMD friend Lanes operator*(const Lanes& a, const Lanes& b) { return Lanes(a.v * b.v); }
  ROBOCACHE_SIMD friend Lanes operator/(const Lanes& a, const Lanes& b) { return Lanes(a.v / b.v); }
  ROBOCACHE_SIMD friend Lanes operator-(const Lanes& a) { return Lanes(-a.v); }
  // Masks are vectors of integers, with & and | of their own.
  ROBOCACHE_SIMD friend auto operator<(const Lanes& a, const Lanes& b) { return a.v < b.v; }
  ROBOCACHE_SIMD friend auto operator<=(const Lanes& a, const Lanes& b) { return a.v <= b.v; }
  ROBOCACHE_SIMD friend auto operator>(const Lanes& a, const Lanes& b) { return a.v > b.v; }
  ROBOCACHE_SIMD friend auto operator>=(const Lanes& a, const Lanes& b) { return a.v >= b.v; }
  ROBOCACHE_SIMD friend auto operator==(const Lanes& a, const Lanes& b) { return a.v == b.v; }

  template <class Mask>
  ROBOCACHE_SIMD friend Lanes select(const Mask& mask, const Lanes& a, const Lanes& b) {
    return Lanes(mask ? a.v : b.v);
  }

  ROBOCACHE_SIMD friend Lanes sqrt(const Lanes& x) {
#if defined(__AVX512F__)
    // GCC 12 warns of the unmasked forms.
    if constexpr (sizeof(V) == 64 && sizeof(T) == 8) return Lanes(V(_mm512_maskz_sqrt_pd(0xff, x.v)));
    if constexpr (sizeof(V) == 64 && sizeof(T) == 4) return Lanes(V(_mm512_maskz_sqrt_ps(0xffff, x.v)));
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(V) == 32 && sizeof(T) == 8) return Lanes(V(_mm256_sqrt_pd(x.v)));
    if constexpr (sizeof(V) == 32 && sizeof(T) == 4) return Lanes(V(_mm256_sqrt_ps(x.v)));
#endif
#if defined(__x86_64__)
    if constexpr (sizeof(V) == 16 && sizeof(T) == 8) return Lanes(V(_mm_sqrt_pd(x.v)));
    if constexpr (sizeof(V) == 16 && sizeof(T) == 4) return Lanes(V(_mm_sqrt_ps(x.v)));
#else
    Lanes root;
    for (int lane = 0; lane < N; ++lane) {
      root.v[lane] = sizeof(T) == 4 ? __builtin_sqrtf(x.v[lane]) : __builtin_sqrt(x.v[lane]);
    }
    return root;
#endif
  }
};

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class L, class T>
ROBOCACHE_SIMD L load_lanes(const T* from) {
  return L(load_bytes<typename L::V>(from));
}

/// Four vectors that hold N groups of four, one group behind the other, as one vector for each of the four components.
template <class T, int N, int... I>
ROBOCACHE_SIMD void split_four(const T* from, Lanes<T, N> (&to)[4], std::integer_sequence<int, I...>) {
  using V = Vector<T, N>;
  const V v0 = load_bytes<V>(from), v1 = load_bytes<V>(from + N);
  const V v2 = load_bytes<V>(from + 2 * N), v3 = load_bytes<V>(from + 3 * N);
  const V even0 = __builtin_shufflevector(v0, v1, (2 * I)...), odd0 = __builtin_shufflevector(v0, v1, (2 * I + 1)...);
  const V even1 = __builtin_shufflevector(v2, v3, (2 * I)...), odd1 = __builtin_shufflevector(v2, v3, (2 * I + 1)...);
  to[0].v = __builtin_shufflevector(even0, even1, (2 * I)...);
  to[1].v = __builtin_shufflevector(odd0, odd1, (2 * I)...);
  to[2].v = __builtin_shufflevector(even0, even1, (2 * I + 1)...);
  to[3].v = __builtin_shufflevector(odd0, odd1, (2 * I + 1)...);
}

/// The other way around.
template <class T, int N, int... I>
ROBOCACHE_SIMD void join_four(T* to, const Lanes<T, N> (&from)[4], std::integer_sequence<int, I...>) {
  using V = Vector<T, N>;
  const V a = from[0].v, b = from[1].v, c = from[2].v, d = from[3].v;
  // (I % 2) * N + I / 2 takes elements of two vectors in turn.
  const V even0 = __builtin_shufflevector(a, c, ((I % 2) * N + I / 2)...);
  const V even1 = __builtin_shufflevector(a, c, ((I % 2) * N + (I + N) / 2)...);
  const V odd0 = __builtin_shufflevector(b, d, ((I % 2) * N + I / 2)...);
  const V odd1 = __builtin_shufflevector(b, d, ((I % 2) * N + (I + N) / 2)...);
  store_bytes<V>(to, __builtin_shufflevector(even0, odd0, ((I % 2) * N + I / 2)...));
  store_bytes<V>(to + N, __builtin_shufflevector(even0, odd0, ((I % 2) * N + (I + N) / 2)...));
  store_bytes<V>(to + 2 * N, __builtin_shufflevector(even1, odd1, ((I % 2) * N + I / 2)...));
  store_bytes<V>(to + 3 * N, __builtin_shufflevector(even1, odd1, ((I % 2) * N + (I + N) / 2)...));
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
