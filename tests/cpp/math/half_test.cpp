#include "math/half.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>

namespace robocache {
namespace {

/// A 16-bit float format, defined by its mantissa bits alone; decoded and encoded with ldexp and nearbyint.
struct Format {
  int mantissa_bits;

  [[nodiscard]] int exponent_bits() const { return 15 - mantissa_bits; }
  [[nodiscard]] int bias() const { return (1 << (exponent_bits() - 1)) - 1; }
  [[nodiscard]] int smallest_exponent() const { return 1 - bias(); }

  [[nodiscard]] double decode(std::uint16_t bits) const {
    const int exponent = (bits & 0x7fff) >> mantissa_bits;
    const int mantissa = bits & ((1 << mantissa_bits) - 1);
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == (1 << exponent_bits()) - 1) {
      return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
    }
    if (exponent == 0) return sign * std::ldexp(mantissa, smallest_exponent() - mantissa_bits);
    return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias() - mantissa_bits);
  }

  /// Rounded to nearest, ties to even: the value, not its bits.
  [[nodiscard]] double round(double x) const {
    if (std::isnan(x) || std::isinf(x) || x == 0) return x;
    int exponent = 0;
    std::frexp(x, &exponent);  // |x| in [2^(exponent - 1), 2^exponent)
    const int unit = std::max(exponent - 1, smallest_exponent()) - mantissa_bits;
    const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
    const double most = std::ldexp(2.0 - std::ldexp(1.0, -mantissa_bits), bias());
    return std::fabs(rounded) > most ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
  }
};

constexpr Format kF16{10};
constexpr Format kBf16{7};

template <class Got>
void expect_same(Got got, double want, const char* what, double from) {
  const auto value = static_cast<double>(got);
  if (std::isnan(want)) {
    ASSERT_TRUE(std::isnan(value)) << what << " of " << from;
  } else {
    ASSERT_EQ(value, want) << what << " of " << from;
    ASSERT_EQ(std::signbit(value), std::signbit(want)) << what << " of " << from;
  }
}

TEST(Half, WidensAll65536) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    ASSERT_NO_FATAL_FAILURE(expect_same(widen(f16{bits}), kF16.decode(bits), "f16", i));
    ASSERT_NO_FATAL_FAILURE(expect_same(widen(bf16{bits}), kBf16.decode(bits), "bf16", i));
  }
}

TEST(Half, NarrowingKeepsAll65536) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    if (!std::isnan(kF16.decode(bits))) {
      ASSERT_EQ(to_f16(widen(f16{bits})).bits, bits);
      ASSERT_EQ(to_f16(kF16.decode(bits)).bits, bits);
    }
    if (!std::isnan(kBf16.decode(bits))) {
      ASSERT_EQ(to_bf16(widen(bf16{bits})).bits, bits);
      ASSERT_EQ(to_bf16(kBf16.decode(bits)).bits, bits);
    }
  }
}

TEST(Half, RoundsRandomFloats) {
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    float x = 0;
    std::memcpy(&x, &bits, sizeof x);
    // Half of them where f16 has values.
    int exponent = 0;
    if (i % 2 == 0 && std::isfinite(x)) x = std::ldexp(std::frexp(x, &exponent), static_cast<int>(random() % 48) - 28);
    ASSERT_NO_FATAL_FAILURE(expect_same(kF16.decode(to_f16(x).bits), kF16.round(x), "f16", x));
    ASSERT_NO_FATAL_FAILURE(expect_same(kBf16.decode(to_bf16(x).bits), kBf16.round(x), "bf16", x));
  }
}

TEST(Half, RoundsEveryTieAndItsNeighbours) {
  for (std::uint32_t i = 0; i < 0x7c00; ++i) {
    const double low = kF16.decode(static_cast<std::uint16_t>(i));
    const double high = i + 1 == 0x7c00 ? 65536.0 : kF16.decode(static_cast<std::uint16_t>(i + 1));
    const float tie = static_cast<float>((low + high) / 2);  // exact: one more bit than f16 has
    for (const float x : {std::nextafter(tie, 0.0F), tie, std::nextafter(tie, 1e6F)}) {
      ASSERT_NO_FATAL_FAILURE(expect_same(kF16.decode(to_f16(x).bits), kF16.round(x), "f16", x));
      ASSERT_NO_FATAL_FAILURE(expect_same(kF16.decode(to_f16(-x).bits), kF16.round(-x), "f16", -x));
    }
  }
  for (std::uint32_t i = 0; i < 0x7f80; ++i) {
    const std::uint32_t bits = i << 16 | 0x8000u;  // half way to the next bf16
    for (const std::uint32_t u : {bits - 1, bits, bits + 1}) {
      float x = 0;
      std::memcpy(&x, &u, sizeof x);
      ASSERT_NO_FATAL_FAILURE(expect_same(kBf16.decode(to_bf16(x).bits), kBf16.round(x), "bf16", x));
    }
  }
}

TEST(Half, RoundsDoublesOnce) {
  // Just above a tie: rounded to f32 first it would become the tie, and then the even neighbour below.
  const double above = 1.0 + std::ldexp(1.0, -11) + std::ldexp(1.0, -40);
  EXPECT_EQ(kF16.decode(to_f16(above).bits), 1.0 + std::ldexp(1.0, -10));
  EXPECT_EQ(kF16.decode(to_f16(static_cast<float>(above)).bits), 1.0);
  const double brain = 1.0 + std::ldexp(1.0, -8) + std::ldexp(1.0, -40);
  EXPECT_EQ(kBf16.decode(to_bf16(brain).bits), 1.0 + std::ldexp(1.0, -7));

  std::mt19937_64 random(2);
  for (int i = 0; i < 1'000'000; ++i) {
    // A 16-bit tie, moved by anything from nothing to far below what f32 can hold.
    const auto bits = static_cast<std::uint16_t>(random());
    const Format& format = i % 2 == 0 ? kF16 : kBf16;
    const double value = format.decode(bits);
    if (!std::isfinite(value)) continue;
    const double unit = std::fabs(format.decode(static_cast<std::uint16_t>(bits ^ 1)) - value);
    const double x =
        value + unit / 2 + unit * std::ldexp(static_cast<double>(random() % 3) - 1.0, -static_cast<int>(random() % 45));
    const double got = i % 2 == 0 ? kF16.decode(to_f16(x).bits) : kBf16.decode(to_bf16(x).bits);
    ASSERT_NO_FATAL_FAILURE(expect_same(got, format.round(x), i % 2 == 0 ? "f16" : "bf16", x));
  }
  for (const double x : {1e300, -1e300, 65519.999999, 65520.0, 3.3961e38, 1e-320, -1e-320, 0.0, -0.0, std::nan(""),
                         std::numeric_limits<double>::infinity()}) {
    expect_same(kF16.decode(to_f16(x).bits), kF16.round(x), "f16", x);
    expect_same(kBf16.decode(to_bf16(x).bits), kBf16.round(x), "bf16", x);
  }
}

}  // namespace
}  // namespace robocache
