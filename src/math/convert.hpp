#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/host_device.hpp"
#include "math/half.hpp"
#include "robocache/dtype.hpp"

// Conversions between element types and the compute types (f32; f64 for f64 data), as both backends do them.
namespace robocache {

template <class T>
inline constexpr bool is_half = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;

/// Calls f.operator()<T>() with the element type of `dtype`.
template <class F>
ROBOCACHE_HD auto with_element_type(DType dtype, const F& f) {
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

/// A stored element in compute type C. Integers round to nearest; a bool is 0 or 1.
template <class C, class T>
ROBOCACHE_HD C widened(T v) {
  if constexpr (is_half<T>) {
    return static_cast<C>(widen(v));
  } else {
    return static_cast<C>(v);
  }
}

/// A computed value as a float element type, rounded once.
template <class T, class C>
ROBOCACHE_HD T narrowed(C v) {
  if constexpr (std::is_same_v<T, f16>) {
    return to_f16(v);
  } else if constexpr (std::is_same_v<T, bf16>) {
    return to_bf16(v);
  } else {
    return static_cast<T>(v);
  }
}

/// A fill value as any element type. Integers: towards zero, saturated, NaN is 0. Bools: anything but 0 and NaN is
/// true.
template <class T>
ROBOCACHE_HD T filled(double v) {
  if constexpr (is_half<T> || std::is_floating_point_v<T>) {
    return narrowed<T>(v);
  } else if constexpr (std::is_same_v<T, bool>) {
    return v == v && v != 0;
  } else {
    constexpr T low = std::numeric_limits<T>::min();
    constexpr T high = std::numeric_limits<T>::max();
    if (v != v) return 0;
    if (v <= static_cast<double>(low)) return low;
    // For 64 bits `high` rounds up to a power of two, which is itself out of range.
    if (v >= static_cast<double>(high)) return high;
    return static_cast<T>(v);
  }
}

}  // namespace robocache
