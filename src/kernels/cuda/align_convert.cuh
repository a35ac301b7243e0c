#pragma once

#include "kernels/cuda/align_apply.cuh"
#include "math/convert.hpp"

// Elements of a dtype that only the call knows.
namespace robocache::cuda {

template <class C>
__device__ __forceinline__ C load_element(DType dtype, const char* p) {
  return with_element_type(dtype, [p]<class T>() {
    if constexpr (std::is_same_v<T, bool>)
      return widened<C>(*reinterpret_cast<const std::uint8_t*>(p) != 0);
    else
      return widened<C>(*reinterpret_cast<const T*>(p));
  });
}

/// The same in f64, out of line: where a whole unit is loaded it is not to be repeated for each of its elements.
__device__ __noinline__ inline double load_f64(DType dtype, const char* p) { return load_element<double>(dtype, p); }

/// Stores a computed value in a float dtype.
template <class C>
__device__ __forceinline__ void store_element(DType dtype, char* p, C value) {
  switch (dtype) {
    case DType::f64:
      *reinterpret_cast<double*>(p) = static_cast<double>(value);
      break;
    case DType::f32:
      *reinterpret_cast<float*>(p) = static_cast<float>(value);
      break;
    case DType::f16:
      *reinterpret_cast<f16*>(p) = narrowed<f16>(value);
      break;
    default:
      *reinterpret_cast<bf16*>(p) = narrowed<bf16>(value);
      break;
  }
}

/// The bits of a fill value, repeated over 64 bits.
__device__ __noinline__ inline std::int64_t fill_bits(DType dtype, double value) {
  return with_element_type(dtype, [value]<class T>() {
    const T element = filled<T>(value);
    std::int64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(bits); i += sizeof(T))
      memcpy(reinterpret_cast<char*>(&bits) + i, &element, sizeof(T));
    return bits;
  });
}

/// Copies an element as it is.
__device__ __forceinline__ void copy_element(DType dtype, char* to, const char* from) {
  switch (size_of(dtype)) {
    case 8:
      *reinterpret_cast<std::int64_t*>(to) = *reinterpret_cast<const std::int64_t*>(from);
      break;
    case 4:
      *reinterpret_cast<std::int32_t*>(to) = *reinterpret_cast<const std::int32_t*>(from);
      break;
    case 2:
      *reinterpret_cast<std::int16_t*>(to) = *reinterpret_cast<const std::int16_t*>(from);
      break;
    default:
      *to = *from;
      break;
  }
}

__device__ __forceinline__ void store_fill(DType dtype, char* p, double value) {
  const std::int64_t bits = fill_bits(dtype, value);
  copy_element(dtype, p, reinterpret_cast<const char*>(&bits));
}

template <class C>
__device__ __forceinline__ C scaled(const AlignStream& stream, std::int64_t column, C value) {
  if (stream.scale != nullptr) value = value * static_cast<C>(__ldg(stream.scale + column));
  if (stream.bias != nullptr) value = value + static_cast<C>(__ldg(stream.bias + column));
  return value;
}

}  // namespace robocache::cuda
