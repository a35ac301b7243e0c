#pragma once

#include "kernels/cuda/align_apply.cuh"
#include "math/quaternion.hpp"

// Step 2 of align, element by element: where the output's dtype is not the samples', where there is scale or bias, slerp.
namespace robocache::cuda {

/// Rounding to odd before rounding to a format at least two bits narrower makes the two roundings one.
__device__ __forceinline__ float to_odd(double x) {
  const float f = __double2float_rz(x);
  return static_cast<double>(f) == x || x != x ? f : __uint_as_float(__float_as_uint(f) | 1u);
}
__device__ __forceinline__ double to_odd(std::int64_t x) {
  const double d = __ll2double_rz(x);
  return static_cast<std::int64_t>(d) == x ? d : __longlong_as_double(__double_as_longlong(d) | 1);
}
__device__ __forceinline__ double to_odd(std::uint64_t x) {
  const double d = __ull2double_rz(x);
  return static_cast<std::uint64_t>(d) == x ? d : __longlong_as_double(__double_as_longlong(d) | 1);
}

template <class T>
__device__ __forceinline__ T element(const char* p) {
  return __ldg(reinterpret_cast<const T*>(p));
}

/// An element in the type that it is computed in; `exact64`: 64-bit integers are rounded to nearest, else to odd.
template <class Compute>
__device__ __forceinline__ Compute load_element(DType dtype, const char* p, bool nearest) {
  switch (dtype) {
    case DType::f64: return static_cast<Compute>(element<double>(p));
    case DType::f32: return static_cast<Compute>(element<float>(p));
    case DType::f16: return static_cast<Compute>(__half2float(__ushort_as_half(element<unsigned short>(p))));
    case DType::bf16: return static_cast<Compute>(__uint_as_float(static_cast<unsigned>(element<unsigned short>(p)) << 16));
    case DType::i64: {
      const auto x = static_cast<std::int64_t>(element<long long>(p));
      return std::is_same_v<Compute, float> || nearest ? static_cast<Compute>(x) : static_cast<Compute>(to_odd(x));
    }
    case DType::u64: {
      const auto x = static_cast<std::uint64_t>(element<unsigned long long>(p));
      return std::is_same_v<Compute, float> || nearest ? static_cast<Compute>(x) : static_cast<Compute>(to_odd(x));
    }
    case DType::i32: return static_cast<Compute>(element<int>(p));
    case DType::u32: return static_cast<Compute>(element<unsigned>(p));
    case DType::i16: return static_cast<Compute>(element<short>(p));
    case DType::u16: return static_cast<Compute>(element<unsigned short>(p));
    case DType::i8: return static_cast<Compute>(element<signed char>(p));
    case DType::u8: return static_cast<Compute>(element<unsigned char>(p));
    case DType::boolean: return static_cast<Compute>(element<unsigned char>(p) != 0);
  }
  return Compute{};
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(double x) { return to_odd(x); }

/// The bits of x in a float dtype, rounded once.
template <class Compute>
__device__ __forceinline__ std::uint64_t float_bits(DType dtype, Compute x) {
  switch (dtype) {
    case DType::f64: return static_cast<std::uint64_t>(__double_as_longlong(static_cast<double>(x)));
    case DType::f32: return __float_as_uint(static_cast<float>(x));
    case DType::f16: return __half_as_ushort(__float2half_rn(to_float(x)));
    default: return __bfloat16_as_ushort(__float2bfloat16_rn(to_float(x)));
  }
}

__device__ __forceinline__ void store_element(DType dtype, char* p, std::uint64_t bits) {
  switch (size_of(dtype)) {
    case 8: *reinterpret_cast<std::uint64_t*>(p) = bits; break;
    case 4: *reinterpret_cast<std::uint32_t*>(p) = static_cast<std::uint32_t>(bits); break;
    default: *reinterpret_cast<std::uint16_t*>(p) = static_cast<std::uint16_t>(bits); break;
  }
}

/// x as an integer of `dtype`: NaN is 0, fractions are dropped, too large saturates.
__device__ __forceinline__ std::uint64_t integer_bits(DType dtype, double x) {
  if (x != x) return 0;
  if (dtype == DType::boolean) return x != 0;
  if (dtype == DType::u64) return __double2ull_rz(x);
  const int bits = 8 * static_cast<int>(size_of(dtype));
  if (dtype >= DType::u64) return __double2ull_rz(fmin(fmax(x, 0.0), ldexp(1.0, bits) - 1));
  if (dtype == DType::i64) return static_cast<std::uint64_t>(__double2ll_rz(x));
  const double limit = ldexp(1.0, bits - 1);
  return static_cast<std::uint64_t>(__double2ll_rz(fmin(fmax(x, -limit), limit - 1)));
}

/// The bits of a fill value, repeated over 64 bits.
__device__ __noinline__ std::int64_t fill_bits(DType dtype, double x) {
  std::uint64_t bits = is_float(dtype) ? float_bits(dtype, x) : integer_bits(dtype, x);
  for (int size = 8 * static_cast<int>(size_of(dtype)); size < 64; size *= 2) {
    bits &= (std::uint64_t{1} << size) - 1;
    bits |= bits << size;
  }
  return static_cast<std::int64_t>(bits);
}

/// Element by element; `Compute` is double for f64 samples and for integers without scale and bias.
template <class Compute>
__device__ __forceinline__ void convert(const AlignStream& stream, const Rows& tile, std::int64_t rows) {
  const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
  const bool nearest = stream.out_dtype == DType::f64;
  for (std::int64_t i = threadIdx.x; i < rows * stream.columns; i += kAlignThreads) {
    const std::int64_t row = i / stream.columns;
    const std::int64_t column = i - row * stream.columns;
    const Step& step = tile.steps[row];
    std::uint64_t bits = static_cast<std::uint64_t>(step.source);
    if (step.store != Placement::Store::fill) {
      const char* source = tile.values + step.source + column * tile.value_chunk;
      Compute x = load_element<Compute>(stream.dtype, source, nearest);
      if (step.store == Placement::Store::blend) {
        const Compute next = load_element<Compute>(stream.dtype, source + tile.value_pitch, nearest);
        x = x + static_cast<Compute>(step.weight) * (next - x);
      }
      if (stream.scale != nullptr) x = x * static_cast<Compute>(__ldg(stream.scale + column));
      if (stream.bias != nullptr) x = x + static_cast<Compute>(__ldg(stream.bias + column));
      bits = float_bits(stream.out_dtype, x);
    }
    store_element(stream.out_dtype, tile.out + row * tile.out_pitch + column * out_size, bits);
  }
}

__device__ __forceinline__ Quaternion load_quaternion(DType dtype, const char* p, std::int64_t pitch) {
  Quaternion q;
  for (int i = 0; i < 4; ++i) q.c[i] = load_element<double>(dtype, p + i * pitch, true);
  return q;
}

/// One thread for each quaternion.
__device__ __forceinline__ void slerp_rows(const AlignStream& stream, const Rows& tile, std::int64_t rows) {
  const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
  const std::int64_t groups = stream.columns / 4;
  for (std::int64_t k = threadIdx.x; k < rows * groups; k += kAlignThreads) {
    const std::int64_t row = k / groups;
    const std::int64_t column = (k - row * groups) * 4;
    const Step& step = tile.steps[row];
    const char* source = tile.values + step.source + column * tile.value_chunk;
    Quaternion q{};
    if (step.store != Placement::Store::fill) q = load_quaternion(stream.dtype, source, tile.value_chunk);
    if (step.store == Placement::Store::copy) q = normalized(q);
    if (step.store == Placement::Store::blend) {
      q = slerp(q, load_quaternion(stream.dtype, source + tile.value_pitch, tile.value_chunk), step.weight);
    }
    for (int i = 0; i < 4; ++i) {
      double x = q.c[i];
      if (stream.scale != nullptr) x = x * stream.scale[column + i];
      if (stream.bias != nullptr) x = x + stream.bias[column + i];
      const std::uint64_t bits =
          step.store == Placement::Store::fill ? static_cast<std::uint64_t>(step.source) : float_bits(stream.out_dtype, x);
      store_element(stream.out_dtype, tile.out + row * tile.out_pitch + (column + i) * out_size, bits);
    }
  }
}

}  // namespace robocache::cuda
