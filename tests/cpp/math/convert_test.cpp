#include "math/convert.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace robocache {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
class FillIntegers : public testing::Test {};
using Integers = testing::Types<std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t,
                                std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(FillIntegers, Integers);

TYPED_TEST(FillIntegers, SaturatesAndTruncates) {
  using T = TypeParam;
  constexpr T low = std::numeric_limits<T>::min();
  constexpr T high = std::numeric_limits<T>::max();
  EXPECT_EQ(filled<T>(kNan), 0);
  EXPECT_EQ(filled<T>(kInfinity), high);
  EXPECT_EQ(filled<T>(-kInfinity), low);
  EXPECT_EQ(filled<T>(1e30), high);
  EXPECT_EQ(filled<T>(-1e30), low);
  EXPECT_EQ(filled<T>(static_cast<double>(high)), high);
  EXPECT_EQ(filled<T>(static_cast<double>(low)), low);
  EXPECT_EQ(filled<T>(0.0), 0);
  EXPECT_EQ(filled<T>(100.9), 100);
  EXPECT_EQ(filled<T>(-0.9), 0);
  if (low < 0) {
    EXPECT_EQ(filled<T>(-100.9), static_cast<T>(-100));
  }
}

TEST(Fill, LargestExactIntegers) {
  EXPECT_EQ(filled<std::int64_t>(9223372036854774784.0), 9223372036854774784);
  EXPECT_EQ(filled<std::uint64_t>(18446744073709549568.0), 18446744073709549568u);
}

TEST(Fill, BoolsAndFloats) {
  EXPECT_FALSE(filled<bool>(kNan));
  EXPECT_FALSE(filled<bool>(0.0));
  EXPECT_FALSE(filled<bool>(-0.0));
  EXPECT_TRUE(filled<bool>(0.25));
  EXPECT_TRUE(filled<bool>(-kInfinity));
  EXPECT_EQ(filled<double>(0.1), 0.1);
  EXPECT_EQ(filled<float>(0.1), 0.1F);
  EXPECT_TRUE(std::isnan(filled<float>(kNan)));
  EXPECT_EQ(widen(filled<f16>(-2.5)), -2.5F);
  EXPECT_TRUE(std::isnan(widen(filled<bf16>(kNan))));
}

TEST(Widened, IntegersRoundOnce) {
  EXPECT_EQ((widened<float>(std::int64_t{16777217})), 16777216.0F);
  EXPECT_EQ((widened<float>(std::int64_t{16777219})), 16777220.0F);
  EXPECT_EQ((widened<double>(std::int32_t{2147483647})), 2147483647.0);
  EXPECT_EQ((widened<float>(std::uint64_t{18446744073709551615u})), 18446744073709551616.0F);
  EXPECT_EQ((widened<float>(true)), 1.0F);
}

}  // namespace
}  // namespace robocache
