#pragma once

#include "kernels/cuda/align_apply.cuh"
#include "math/convert.hpp"
#include "math/quaternion.hpp"

// Step 2 of align, element by element: where the output's dtype is not the samples', where there is scale or bias,
// slerp.
namespace robocache::cuda {

/// Calls f.operator()<T>() with the element type of `dtype`; bools are bytes.
template <class F>
__device__ __forceinline__ auto with_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f64:
      return f.template operator()<double>();
    case DType::f32:
      return f.template operator()<float>();
    case DType::f16:
      return f.template operator()<f16>();
    case DType::bf16:
      return f.template operator()<bf16>();
    case DType::i64:
      return f.template operator()<std::int64_t>();
    case DType::i32:
      return f.template operator()<std::int32_t>();
    case DType::i16:
      return f.template operator()<std::int16_t>();
    case DType::i8:
      return f.template operator()<std::int8_t>();
    case DType::u64:
      return f.template operator()<std::uint64_t>();
    case DType::u32:
      return f.template operator()<std::uint32_t>();
    case DType::u16:
      return f.template operator()<std::uint16_t>();
    case DType::u8:
      return f.template operator()<std::uint8_t>();
    case DType::boolean:
      break;
  }
  return f.template operator()<bool>();
}

template <class C>
__device__ __forceinline__ C load_element(DType dtype, const char* p) {
  return with_type(dtype, [p]<class T>() {
    if constexpr (std::is_same_v<T, bool>)
      return widened<C>(*reinterpret_cast<const std::uint8_t*>(p) != 0);
    else
      return widened<C>(*reinterpret_cast<const T*>(p));
  });
}

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
  return with_type(dtype, [value]<class T>() {
    const T element = filled<T>(value);
    std::int64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(bits); i += sizeof(T))
      memcpy(reinterpret_cast<char*>(&bits) + i, &element, sizeof(T));
    return bits;
  });
}

/// Writes the fill of one element from its repeated bits.
__device__ __forceinline__ void store_fill(DType dtype, char* p, std::int64_t bits) {
  switch (size_of(dtype)) {
    case 8:
      *reinterpret_cast<std::int64_t*>(p) = bits;
      break;
    case 4:
      *reinterpret_cast<std::int32_t*>(p) = static_cast<std::int32_t>(bits);
      break;
    default:
      *reinterpret_cast<std::int16_t*>(p) = static_cast<std::int16_t>(bits);
      break;
  }
}

template <class C>
__device__ __forceinline__ C scaled(const AlignStream& stream, std::int64_t column, C value) {
  if (stream.scale != nullptr) value = value * static_cast<C>(__ldg(stream.scale + column));
  if (stream.bias != nullptr) value = value + static_cast<C>(__ldg(stream.bias + column));
  return value;
}

/// One thread for each element; C is the type it is computed in.
template <class C>
__device__ __forceinline__ void convert_rows(const AlignPlan& plan, const AlignStream& stream, const Tile& tile) {
  const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
  for (std::int64_t i = threadIdx.x; i < tile.rows * stream.columns; i += kAlignThreads) {
    const std::int64_t row = i / stream.columns;
    const std::int64_t column = i - row * stream.columns;
    const Step step = tile.steps[row];
    char* const out = tile.out + row * plan.out_pitch + column * out_size;
    if (step.is(Placement::Store::fill)) {
      store_fill(stream.out_dtype, out, step.source);
      continue;
    }
    const char* source = tile.values + step.source + column * plan.value_chunk;
    C value = load_element<C>(stream.dtype, source);
    if (step.is(Placement::Store::blend)) {
      const C next = load_element<C>(stream.dtype, source + plan.value_pitch);
      value = value + static_cast<C>(tile.weights[row]) * (next - value);
    }
    store_element(stream.out_dtype, out, scaled(stream, column, value));
  }
}

__device__ __forceinline__ Quaternion load_quaternion(DType dtype, const char* p, std::int64_t pitch) {
  Quaternion q;
  for (int i = 0; i < 4; ++i) q.c[i] = load_element<double>(dtype, p + i * pitch);
  return q;
}

/// One thread for each quaternion.
__device__ __noinline__ inline void slerp_rows(const AlignPlan& plan, const AlignStream& stream, const Tile& tile) {
  const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
  const std::int64_t groups = stream.columns / 4;
  for (std::int64_t k = threadIdx.x; k < tile.rows * groups; k += kAlignThreads) {
    const std::int64_t row = k / groups;
    const std::int64_t column = (k - row * groups) * 4;
    const Step step = tile.steps[row];
    char* const out = tile.out + row * plan.out_pitch + column * out_size;
    if (step.is(Placement::Store::fill)) {
      for (int i = 0; i < 4; ++i) store_fill(stream.out_dtype, out + i * out_size, step.source);
      continue;
    }
    const char* source = tile.values + step.source + column * plan.value_chunk;
    Quaternion q = load_quaternion(stream.dtype, source, plan.value_chunk);
    if (step.is(Placement::Store::blend)) {
      q = slerp(q, load_quaternion(stream.dtype, source + plan.value_pitch, plan.value_chunk), tile.weights[row]);
    } else {
      q = normalized(q);
    }
    for (int i = 0; i < 4; ++i) {
      store_element(stream.out_dtype, out + i * out_size, scaled(stream, column + i, q.c[i]));
    }
  }
}

__device__ __forceinline__ void apply_elements(const AlignPlan& plan, const AlignStream& stream, const Tile& tile) {
  if (plan.interp == Interp::slerp) return slerp_rows(plan, stream, tile);
  const bool wide = stream.dtype == DType::f64 || (!is_float(stream.dtype) && stream.out_dtype == DType::f64);
  if (wide) return convert_rows<double>(plan, stream, tile);
  convert_rows<float>(plan, stream, tile);
}

}  // namespace robocache::cuda
