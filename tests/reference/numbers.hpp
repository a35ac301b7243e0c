#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "robocache/dtype.hpp"

namespace robocache::reference {

/// Extended precision: holds every element of every dtype exactly.
using Real = long double;
static_assert(std::numeric_limits<Real>::digits >= 64);

struct FloatFormat {
  int bits;     ///< of the significand, the implicit one included
  int lowest;   ///< exponent of the smallest normal number
  int highest;  ///< exponent of the largest number
};

inline FloatFormat format_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return {53, -1022, 1023};
    case DType::f32:
      return {24, -126, 127};
    case DType::f16:
      return {11, -14, 15};
    case DType::bf16:
      return {8, -126, 127};
    default:
      throw std::logic_error("no float dtype");
  }
}

inline DType dtype_named(const std::string& text) {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
    if (name(static_cast<DType>(i)) == text) return static_cast<DType>(i);
  }
  throw std::invalid_argument("no dtype " + text);
}

/// The spacing of a float dtype at x.
inline Real ulp(Real x, DType dtype) {
  const FloatFormat f = format_of(dtype);
  const int exponent = x == 0 || !std::isfinite(x) ? f.lowest : std::clamp(std::ilogb(x), f.lowest, f.highest);
  return std::ldexp(Real{1}, exponent - (f.bits - 1));
}

inline Real largest(DType dtype) {
  const FloatFormat f = format_of(dtype);
  return std::ldexp(Real{2} - std::ldexp(Real{1}, 1 - f.bits), f.highest);
}

struct IntegerRange {
  Real low;
  Real high;
};

inline IntegerRange range_of(DType dtype) {
  switch (dtype) {
    case DType::i64:
      return {-0x1p63L, 0x1p63L - 1};
    case DType::i32:
      return {-0x1p31L, 0x1p31L - 1};
    case DType::i16:
      return {-0x1p15L, 0x1p15L - 1};
    case DType::i8:
      return {-128, 127};
    case DType::u64:
      return {0, 0x1p64L - 1};
    case DType::u32:
      return {0, 0x1p32L - 1};
    case DType::u16:
      return {0, 0x1p16L - 1};
    case DType::u8:
      return {0, 255};
    case DType::boolean:
      return {0, 1};
    default:
      throw std::logic_error("no integer dtype");
  }
}

/// x in `dtype`, rounded once (to nearest, ties to even); integers: towards zero, saturated, NaN is 0.
inline Real rounded(Real x, DType dtype) {
  if (!is_float(dtype)) {
    if (std::isnan(x)) return 0;
    if (dtype == DType::boolean) return x != 0 ? 1 : 0;
    const IntegerRange range = range_of(dtype);
    return std::clamp(std::trunc(x), range.low, range.high);
  }
  if (!std::isfinite(x)) return x;
  const Real step = ulp(x, dtype);
  const Real near = std::nearbyint(x / step) * step;
  return std::abs(near) > largest(dtype) ? std::copysign(std::numeric_limits<Real>::infinity(), near) : near;
}

/// The bits of a 16-bit float; x must be one of its values.
inline std::uint16_t to_bits16(Real x, DType dtype) {
  const FloatFormat f = format_of(dtype);
  const int mantissa = f.bits - 1;
  const unsigned sign = std::signbit(x) ? 0x8000u : 0u;
  const unsigned exponent_field = (0x7fffu >> mantissa) << mantissa;
  if (std::isnan(x)) return static_cast<std::uint16_t>(exponent_field | (1u << (mantissa - 1)));
  if (std::isinf(x)) return static_cast<std::uint16_t>(sign | exponent_field);
  if (x == 0) return static_cast<std::uint16_t>(sign);
  const int exponent = std::max(std::ilogb(x), f.lowest);
  const Real units = std::abs(x) / std::ldexp(Real{1}, exponent - mantissa);
  if (units != std::nearbyint(units)) throw std::logic_error("not a value of the dtype");
  // A normal number's leading bit carries into the exponent field, which therefore starts at 0 for the lowest exponent.
  return static_cast<std::uint16_t>(
      sign | ((static_cast<unsigned>(exponent - f.lowest) << mantissa) + static_cast<unsigned>(units)));
}

inline Real from_bits16(std::uint16_t bits, DType dtype) {
  const FloatFormat f = format_of(dtype);
  const int mantissa = f.bits - 1;
  const int fraction = bits & ((1 << mantissa) - 1);
  const int field = (bits & 0x7fff) >> mantissa;
  const Real sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (field == 0x7fff >> mantissa) {
    return fraction != 0 ? std::numeric_limits<Real>::quiet_NaN() : sign * std::numeric_limits<Real>::infinity();
  }
  const int whole = field == 0 ? fraction : fraction + (1 << mantissa);
  return sign * std::ldexp(static_cast<Real>(whole), std::max(field, 1) - 1 + f.lowest - mantissa);
}

/// Calls f with a zero of the C++ type of `dtype`; 16-bit floats are uint16_t bits and bool is uint8_t.
template <class F>
void with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64:
      return f(double{});
    case DType::f32:
      return f(float{});
    case DType::f16:
    case DType::bf16:
    case DType::u16:
      return f(std::uint16_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i16:
      return f(std::int16_t{});
    case DType::i8:
      return f(std::int8_t{});
    case DType::u64:
      return f(std::uint64_t{});
    case DType::u32:
      return f(std::uint32_t{});
    case DType::u8:
    case DType::boolean:
      return f(std::uint8_t{});
  }
}

/// Writes x, a value of `dtype`, as one element.
inline void store(Real x, DType dtype, std::byte* to) {
  with_type(dtype, [&]<class T>(T element) {
    element = dtype == DType::f16 || dtype == DType::bf16 ? static_cast<T>(to_bits16(x, dtype)) : static_cast<T>(x);
    std::memcpy(to, &element, sizeof element);
  });
}

inline Real load(const std::byte* from, DType dtype) {
  Real x = 0;
  with_type(dtype, [&]<class T>(T element) {
    std::memcpy(&element, from, sizeof element);
    x = dtype == DType::f16 || dtype == DType::bf16 ? from_bits16(static_cast<std::uint16_t>(element), dtype)
                                                    : static_cast<Real>(element);
  });
  return x;
}

}  // namespace robocache::reference
