#include "math/angle.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "math/dual.hpp"

namespace robocache {
namespace {

constexpr double kPi = 3.14159265358979323846;

bool in_range(double rad) { return -kPi <= rad && rad < kPi; }

TEST(Angle, WhatIsInTheRangeStaysAsItIs) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> rad(-kPi, kPi);
  for (int i = 0; i < 200'000; ++i) {
    const double a = rad(random);
    ASSERT_EQ(wrapped_angle(a), a);
  }
  double edge = kPi;
  for (int i = 0; i < 1000; ++i) {
    edge = std::nextafter(edge, 0.0);
    ASSERT_EQ(wrapped_angle(edge), edge) << i << " below pi";
    ASSERT_EQ(wrapped_angle(-edge), -edge) << i << " above -pi";
  }
  EXPECT_EQ(wrapped_angle(-kPi), -kPi);
  EXPECT_TRUE(std::signbit(wrapped_angle(-0.0)));
  EXPECT_EQ(wrapped_angle(std::numeric_limits<double>::denorm_min()), std::numeric_limits<double>::denorm_min());
}

TEST(Angle, NothingLeavesTheRange) {
  EXPECT_EQ(wrapped_angle(kPi), -kPi);
  // Next to odd multiples of pi the number of turns comes out one too large or, rarely, too small.
  for (int k = -5000; k <= 5000; ++k) {
    double rad = (2.0 * k + 1) * kPi;
    for (int step = 0; step < 6; ++step) rad = std::nextafter(rad, -1e9);
    for (int step = 0; step < 12; ++step, rad = std::nextafter(rad, 1e9)) {
      ASSERT_TRUE(in_range(wrapped_angle(rad))) << rad;
    }
  }
}

TEST(Angle, WholeTurnsAreTakenAway) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> rad(-1e6, 1e6);
  for (int i = 0; i < 200'000; ++i) {
    const double a = rad(random);
    const double wrapped = wrapped_angle(a);
    ASSERT_TRUE(in_range(wrapped)) << a;
    ASSERT_LE(std::fabs(std::remainder(wrapped - std::remainder(a, 2 * kPi), 2 * kPi)), 2e-10) << a;
  }
  EXPECT_TRUE(std::isnan(wrapped_angle(std::numeric_limits<double>::infinity())));
  EXPECT_TRUE(std::isnan(wrapped_angle(std::nan(""))));
}

TEST(Angle, BlendsTheShorterWayAround) {
  EXPECT_NEAR(blended_angle(3.0, -3.0, 0.25), 3.0 + (kPi - 3.0) / 2, 1e-15);
  EXPECT_NEAR(blended_angle(3.0, -3.0, 0.75), -3.0 - (kPi - 3.0) / 2, 1e-15);
  EXPECT_NEAR(blended_angle(10.0, 10.5, 0.5), 10.25 - 4 * kPi, 1e-14);
  EXPECT_NEAR(blended_angle(0.0, kPi, 0.5), -kPi / 2, 1e-15);  // half a turn: towards smaller angles
}

TEST(Angle, WrappingHasTheDerivativeOne) {
  for (const double a : {0.5, 4.0, -4.0, std::nextafter(kPi, 0.0), kPi, -kPi, 1e4}) {
    EXPECT_EQ(wrapped_angle(Dual<double>(a, 3.0)).d, 3.0) << a;
    EXPECT_EQ(wrapped_angle(Dual<double>(a, 3.0)).v, wrapped_angle(a)) << a;
  }
}

}  // namespace
}  // namespace robocache
