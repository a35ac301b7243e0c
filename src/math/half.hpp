#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace robocache {

/// 16-bit storage types. widen() is exact; narrowing rounds once, to nearest, ties to even, and keeps NaN a NaN.
struct f16 {
  std::uint16_t bits;
};
struct bf16 {
  std::uint16_t bits;
};

// The builtin is std::bit_cast without a function that a debug build would emit once per ISA level.
ROBOCACHE_HD float float_of(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
ROBOCACHE_HD std::uint32_t bits_of(float f) { return __builtin_bit_cast(std::uint32_t, f); }

ROBOCACHE_HD float widen(bf16 h) { return float_of(static_cast<std::uint32_t>(h.bits) << 16); }

ROBOCACHE_HD bf16 to_bf16(float f) {
  const std::uint32_t u = bits_of(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

ROBOCACHE_HD float widen(f16 h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h.bits & 0x8000u) << 16;
  const std::uint32_t rest = h.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | ((rest & 0x3ffu) << 13));
  // Scaling by 2^112 re-biases the exponent and normalises subnormals exactly.
  return float_of(sign | bits_of(float_of(rest << 13) * float_of(0x77800000u)));
}

ROBOCACHE_HD f16 to_f16(float f) {
  const std::uint32_t u = bits_of(f);
  const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
  const std::uint32_t rest = u & 0x7fffffffu;
  if (rest > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (rest >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // rounds to infinity
  if (rest < 0x38800000u) {
    // Subnormal: adding 0.5 puts the rounding at bit 0 of the mantissa.
    return {static_cast<std::uint16_t>(sign | (bits_of(float_of(rest) + 0.5f) - 0x3f000000u))};
  }
  const std::uint32_t rebased = rest - 0x38000000u;
  return {static_cast<std::uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13))};
}

/// f64 to f32 rounded to odd: a second rounding, to 16 bits, then gives what one rounding would (Boldo, Melquiond
/// 2008).
ROBOCACHE_HD float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const double back = static_cast<double>(nearest);
  const std::uint32_t u = bits_of(nearest);
  if (back == x || x != x || (u & 1u) != 0) return nearest;
  const bool towards_zero = (back < 0 ? -back : back) < (x < 0 ? -x : x);
  return float_of(towards_zero ? u + 1 : u - 1);
}

ROBOCACHE_HD bf16 to_bf16(double x) { return to_bf16(round_to_odd(x)); }
ROBOCACHE_HD f16 to_f16(double x) { return to_f16(round_to_odd(x)); }

}  // namespace robocache
