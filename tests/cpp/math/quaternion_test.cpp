#include "math/quaternion.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace robocache {
namespace {

using Real = long double;
using Quat = Quaternion<double>;

Quat random_rotation(std::mt19937& random) {
  std::normal_distribution<double> normal;
  Quat q{{normal(random), normal(random), normal(random), normal(random)}};
  return normalized(q);
}

/// q times the rotation by `angle` about a random axis, as w x y z in long double.
Quat turned(std::mt19937& random, const Quat& q, Real angle) {
  std::normal_distribution<double> normal;
  Real axis[3] = {normal(random), normal(random), normal(random)};
  const Real length = std::sqrt(axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]);
  const Real s = std::sin(angle / 2) / length;
  const Real r[4] = {std::cos(angle / 2), axis[0] * s, axis[1] * s, axis[2] * s};
  const Real w = q.c[0], x = q.c[1], y = q.c[2], z = q.c[3];
  return {{static_cast<double>(w * r[0] - x * r[1] - y * r[2] - z * r[3]),
           static_cast<double>(w * r[1] + x * r[0] + y * r[3] - z * r[2]),
           static_cast<double>(w * r[2] - x * r[3] + y * r[0] + z * r[1]),
           static_cast<double>(w * r[3] + x * r[2] - y * r[1] + z * r[0])}};
}

/// The angle of the rotation from a to b: 2 atan2(|a - b|, |a + b|) of the nearer sign, in long double.
Real angle_between(const Quat& a, const Quat& b) {
  Real minus = 0;
  Real plus = 0;
  for (int i = 0; i < 4; ++i) {
    const Real d = static_cast<Real>(a.c[i]) - b.c[i];
    const Real s = static_cast<Real>(a.c[i]) + b.c[i];
    minus += d * d;
    plus += s * s;
  }
  return 4 * std::atan2(std::sqrt(std::min(minus, plus)), std::sqrt(std::max(minus, plus)));
}

Real norm(const Quat& q) {
  Real sum = 0;
  for (const double c : q.c) sum += static_cast<Real>(c) * c;
  return std::sqrt(sum);
}

TEST(Slerp, TurnsInProportion) {
  std::mt19937 random(4);
  std::uniform_real_distribution<double> weight(0, 1);
  for (const Real angle : {1e-12L, 1e-8L, 1e-5L, 1.5e-4L, 2.5e-4L, 1e-3L, 0.1L, 1.0L, 2.0L, 3.0L, 3.14159L}) {
    for (int i = 0; i < 500; ++i) {
      const Quat a = random_rotation(random);
      const Quat b = turned(random, a, angle);
      const double w = weight(random);
      const Quat q = slerp(a, b, w);
      // Of two rotations that are nearly opposite the errors of a and b themselves count more.
      const Real bound = angle > 3.1L ? 1e-10L : 2e-13L;
      ASSERT_NEAR(angle_between(a, q), w * angle, bound) << "angle " << angle << " weight " << w;
      ASSERT_NEAR(angle_between(q, b), (1 - w) * angle, bound) << "angle " << angle << " weight " << w;
      ASSERT_NEAR(norm(q), 1, 1e-15);
    }
  }
}

TEST(Slerp, EndsAreTheInputs) {
  std::mt19937 random(5);
  for (int i = 0; i < 1000; ++i) {
    const Quat a = random_rotation(random);
    const Quat b = random_rotation(random);
    ASSERT_LT(angle_between(slerp(a, b, 0), a), 1e-15);
    ASSERT_LT(angle_between(slerp(a, b, 1), b), 1e-15);
  }
}

TEST(Slerp, TakesTheShorterArcAndStartsInTheHemisphereOfA) {
  std::mt19937 random(6);
  for (int i = 0; i < 1000; ++i) {
    const Quat a = random_rotation(random);
    const Quat b = turned(random, a, 1.0L);
    const Quat minus_b{{-b.c[0], -b.c[1], -b.c[2], -b.c[3]}};
    const Quat q = slerp(a, b, 0.3);
    const Quat p = slerp(a, minus_b, 0.3);
    for (int k = 0; k < 4; ++k) ASSERT_EQ(q.c[k], p.c[k]);
    ASSERT_GT(dot(a, q), 0);
  }
}

TEST(Slerp, ContinuesTheArc) {
  std::mt19937 random(7);
  const Quat a = random_rotation(random);
  const Quat b = turned(random, a, 0.25L);
  EXPECT_NEAR(angle_between(a, slerp(a, b, 3)), 0.75L, 1e-14L);
  EXPECT_NEAR(angle_between(b, slerp(a, b, -1)), 0.5L, 1e-14L);
}

TEST(Slerp, ContinuesSlowArcsFar) {
  std::mt19937 random(9);
  for (const Real angle : {1e-9L, 1e-7L, 1e-5L, 8e-5L, 1e-4L, 1e-3L, 1e-2L, 0.1L}) {
    for (const Real reached : {0.01L, 0.06L, 0.1L, 0.13L, 1.0L, 3.0L}) {
      const Quat a = random_rotation(random);
      const Quat b = turned(random, a, angle);
      const double w = static_cast<double>(reached / angle);
      // The error of a and b themselves grows with w, and nothing else.
      const Real bound = 1e-15L * w + 1e-14L;
      ASSERT_NEAR(angle_between(a, slerp(a, b, w)), w * angle_between(a, b), bound) << angle << " to " << reached;
      ASSERT_NEAR(angle_between(b, slerp(a, b, -w)), (w + 1) * angle_between(a, b), bound)
          << angle << " to " << reached;
    }
  }
}

TEST(Slerp, ScaleOfTheInputsDoesNotMatter) {
  std::mt19937 random(8);
  const Quat a = random_rotation(random);
  const Quat b = turned(random, a, 1.0L);
  const Quat big{{a.c[0] * 8, a.c[1] * 8, a.c[2] * 8, a.c[3] * 8}};
  EXPECT_LT(angle_between(slerp(a, b, 0.4), slerp(big, b, 0.4)), 1e-15);
}

TEST(Slerp, NoRotationGivesNan) {
  const Quat one{{1, 0, 0, 0}};
  const Quat zero{{0, 0, 0, 0}};
  const Quat infinite{{1, std::numeric_limits<double>::infinity(), 0, 0}};
  for (const Quat& bad : {zero, infinite}) {
    EXPECT_TRUE(std::isnan(normalized(bad).c[0]));
    EXPECT_TRUE(std::isnan(slerp(bad, one, 0.5).c[0]));
    EXPECT_TRUE(std::isnan(slerp(one, bad, 0.5).c[3]));
  }
}

TEST(Slerp, ASquaredLengthThatHasLostDigitsGivesNan) {
  std::mt19937 random(10);
  const Quat q = random_rotation(random);
  const auto scaled = [&q](double by) { return Quat{{q.c[0] * by, q.c[1] * by, q.c[2] * by, q.c[3] * by}}; };
  for (const double by : {1e-153, 1e153}) {
    ASSERT_NEAR(norm(normalized(scaled(by))), 1, 1e-15);
    ASSERT_LT(angle_between(slerp(scaled(by), scaled(by), 0.5), q), 1e-15);
  }
  for (const double by : {1e-155, 1e-160, 1e155}) EXPECT_TRUE(std::isnan(normalized(scaled(by)).c[0])) << by;
  for (const float by : {1e-20F, 1e-22F, 1e20F}) {
    EXPECT_TRUE(std::isnan(normalized(Quaternion<float>{{by, 0, 0, 0}}).c[0])) << by;
  }
  EXPECT_NEAR(normalized(Quaternion<float>{{0, 2e-19F, 0, 0}}).c[1], 1, 1e-6);
}

}  // namespace
}  // namespace robocache
