#pragma once

#include <type_traits>

#include "kernels/align.hpp"
#include "kernels/cpu/simd.hpp"

// Elements of any type, any stride apart, in and out of arrays of a compute type.
namespace robocache::cpu::ROBOCACHE_ISA {

/// n elements, `stride` apart, in compute type C.
template <class C>
using Read = void (*)(C* to, const std::byte* from, std::int64_t stride, std::int64_t n);

template <class C, class T>
void read(C* to, const std::byte* from, std::int64_t stride, std::int64_t n) {
  // A bool is read as a byte: any other byte than 0 and 1 would be undefined as a bool.
  using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;
  const auto element = [from](std::int64_t i) {
    const auto stored = load_bytes<Stored>(from + i * static_cast<std::int64_t>(sizeof(T)));
    if constexpr (std::is_same_v<T, bool>) {
      return widened<C>(stored != 0);
    } else {
      return widened<C>(stored);
    }
  };
  if (stride == 1) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = element(i);
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = element(i * stride);
  }
}

template <class C>
Read<C> reader(DType dtype) {
  return with_element_type(dtype, []<class T>() -> Read<C> { return read<C, T>; });
}

template <class C>
using Write = void (*)(std::byte* to, const C* from, std::int64_t n);

template <class C>
Write<C> writer(DType dtype) {
  return with_element_type(dtype, []<class T>() -> Write<C> {
    if constexpr (is_half<T> || std::is_floating_point_v<T>) {
      return [](std::byte* to, const C* from, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i)
          store_bytes(to + i * static_cast<std::int64_t>(sizeof(T)), narrowed<T>(from[i]));
      };
    } else {
      return nullptr;  // Integers are copied, never computed.
    }
  });
}

/// Columns first .. first + n - 1 of a row.
template <class C>
void scale_and_shift(const AlignStream& stream, C* values, std::int64_t first, std::int64_t n) {
  if (stream.scale != nullptr) {
    for (std::int64_t i = 0; i < n; ++i) values[i] *= static_cast<C>(stream.scale[first + i]);
  }
  if (stream.bias != nullptr) {
    for (std::int64_t i = 0; i < n; ++i) values[i] += static_cast<C>(stream.bias[first + i]);
  }
}

/// Whether one of n elements is NaN.
using NanTest = bool (*)(const std::byte* from, std::int64_t stride, std::int64_t n);

template <class T>
bool any_nan(const std::byte* from, std::int64_t stride, std::int64_t n) {
  const auto nan_at = [from](std::int64_t i) {
    const T v = load_bytes<T>(from + i * static_cast<std::int64_t>(sizeof(T)));
    if constexpr (is_half<T>) {
      return (v.bits & 0x7fff) > (std::is_same_v<T, f16> ? 0x7c00 : 0x7f80);
    } else {
      return v != v;
    }
  };
  bool found = false;  // No early exit: vectorises.
  if (stride == 1) {
    for (std::int64_t i = 0; i < n; ++i) found |= nan_at(i);
  } else {
    for (std::int64_t i = 0; i < n; ++i) found |= nan_at(i * stride);
  }
  return found;
}

/// Only floats can be NaN.
inline NanTest nan_test(DType dtype) {
  return with_element_type(dtype, []<class T>() -> NanTest {
    if constexpr (is_half<T> || std::is_floating_point_v<T>) {
      return any_nan<T>;
    } else {
      return nullptr;
    }
  });
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
