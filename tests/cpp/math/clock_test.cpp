#include "math/clock.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace robocache {
namespace {

using Ns = Clock<std::int64_t>;
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

TEST(Clock, NanosecondsKeepTheLastOneAtAnEpoch) {
  constexpr std::int64_t epoch = 1'700'000'000'000'000'001;
  EXPECT_EQ(Ns::age_ns(epoch + 1, epoch), 1);
  EXPECT_EQ(Ns::age_ns(epoch - 1, epoch), -1);
  EXPECT_EQ(Ns::elapsed(epoch + 3, epoch), 3.0);
  EXPECT_EQ(interval_weight(epoch + 1, epoch, epoch + 4), 0.25);
}

TEST(Clock, NanosecondDifferencesDoNotOverflow) {
  EXPECT_EQ(Ns::elapsed(kMax, kMin), 18446744073709551615.0);
  EXPECT_EQ(Ns::age_ns(kMax, kMin), kMax);
  EXPECT_EQ(Ns::age_ns(kMin, kMax), kMin);
  EXPECT_EQ(Ns::age_ns(0, kMin), kMax);
  EXPECT_EQ(Ns::age_ns(kMin, 0), kMin);
  EXPECT_EQ(Ns::age_ns(kMin, -1), -kMax);
  EXPECT_TRUE(Ns::longer_than(kMax, kMin, kMax - 1));
  EXPECT_TRUE(Ns::not_longer(0, kMin, kMax, kMin));
  EXPECT_FALSE(Ns::not_longer(kMax, kMin, 0, kMin));
  EXPECT_EQ(interval_weight(std::int64_t{-1}, kMin, kMax), 0.5);
}

TEST(Clock, NanosecondLimits) {
  EXPECT_FALSE(Ns::longer_than(110, 100, 10));
  EXPECT_TRUE(Ns::longer_than(111, 100, 10));
  EXPECT_FALSE(Ns::longer_than(100, 100, 0));
  EXPECT_EQ(Ns::shift(100, -30), 70);
}

template <class T>
class SecondsClock : public testing::Test {};
using SecondTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(SecondsClock, SecondTypes);

TYPED_TEST(SecondsClock, DifferencesAreTakenInTheirOwnType) {
  using T = TypeParam;
  const T a = static_cast<T>(1000.1);
  const T b = static_cast<T>(0.3);
  EXPECT_EQ(Clock<T>::elapsed(a, b), static_cast<double>(static_cast<T>(a - b)));
  EXPECT_EQ(Clock<T>::shift(a, 250'000'000), static_cast<T>(a + static_cast<T>(0.25)));
  EXPECT_EQ(Clock<T>::shift(a, 0), a);
  EXPECT_TRUE(Clock<T>::is_nan(std::numeric_limits<T>::quiet_NaN()));
  EXPECT_FALSE(Clock<T>::is_nan(a));
}

TYPED_TEST(SecondsClock, AgeRoundsHalfToEven) {
  using T = TypeParam;
  // Multiples of 2^-10 s are 976562.5 ns and exact.
  for (std::int64_t tick = -3000; tick <= 3000; ++tick) {
    const T t = static_cast<T>(tick) / 1024;
    const auto want = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(tick) * 976562.5));
    ASSERT_EQ((Clock<T>::age_ns(t, T{0})), want) << tick;
    ASSERT_EQ((Clock<T>::age_ns(T{1}, 1 - t)), want) << tick;
  }
}

TYPED_TEST(SecondsClock, AgeSaturates) {
  using T = TypeParam;
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  constexpr T infinity = std::numeric_limits<T>::infinity();
  EXPECT_EQ(Clock<T>::age_ns(nan, T{0}), kMax);
  EXPECT_EQ(Clock<T>::age_ns(T{0}, nan), kMax);
  EXPECT_EQ(Clock<T>::age_ns(infinity, T{0}), kMax);
  EXPECT_EQ(Clock<T>::age_ns(-infinity, T{0}), kMin);
  EXPECT_EQ(Clock<T>::age_ns(static_cast<T>(1e12), T{0}), kMax);
  EXPECT_EQ(Clock<T>::age_ns(T{0}, static_cast<T>(1e12)), kMin);
}

TEST(Clock, AgeInSecondsMatchesNearbyint) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-12, 9.9);
  for (int i = 0; i < 200'000; ++i) {
    const double t = std::pow(10.0, exponent(random)) * (i % 2 == 0 ? 1 : -1);
    if (std::fabs(t) * 1e9 >= 9.2e18) continue;
    ASSERT_EQ(Clock<double>::age_ns(t, 0), static_cast<std::int64_t>(std::nearbyint(t * 1e9))) << t;
  }
}

TEST(Clock, LimitsInSecondsHoldForWholeNanoseconds) {
  // Ages and limits agree: what is told to be 100 ms old is not older than 100 ms.
  for (int tick = 1; tick < 1000; ++tick) {
    const double earlier = (tick - 1) * 0.1;
    const double later = tick * 0.1;
    ASSERT_FALSE(Clock<double>::longer_than(later, earlier, 100'000'000)) << tick;
    ASSERT_TRUE(Clock<double>::longer_than(later, earlier, 99'999'999)) << tick;
  }
  EXPECT_TRUE(Clock<float>::longer_than(0.8F, 0.7F, 100'000'000));  // f32 has 24 ns more
  EXPECT_FALSE(Clock<double>::longer_than(1.5, 1.5, 0));
  EXPECT_TRUE(Clock<double>::longer_than(std::numeric_limits<double>::infinity(), 0.0, kMax - 1));
}

TYPED_TEST(SecondsClock, WeightInsideAndBeyond) {
  using T = TypeParam;
  EXPECT_EQ(interval_weight(T{2}, T{2}, T{4}), 0.0);
  EXPECT_EQ(interval_weight(T{3}, T{2}, T{4}), 0.5);
  EXPECT_EQ(interval_weight(T{6}, T{2}, T{4}), 2.0);
  EXPECT_EQ(interval_weight(T{1}, T{2}, T{4}), -0.5);
}

}  // namespace
}  // namespace robocache
