#include "math/se3.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace robocache {
namespace {

/// A screw about the axis through (2, -1, 0) along z, from the point (3, 1, 5): `angle` rad and `lift` up for each unit
/// of w.
struct Spiral {
  double angle, lift;

  [[nodiscard]] Vector3<double> position(double w) const {
    const double c = std::cos(w * angle);
    const double s = std::sin(w * angle);
    return {{2 + c - 2 * s, -1 + s + 2 * c, 5 + w * lift}};
  }
  [[nodiscard]] Quaternion<double> orientation(double w) const {
    return {{0, 0, std::sin(w * angle / 2), std::cos(w * angle / 2)}};
  }
};

TEST(Screw, FollowsASpiralAlsoFarOutside) {
  for (const double angle : {1e-6, 1e-4, 1e-2, 0.05, 0.15, 0.19, 0.21, 1.0, 3.0}) {
    for (const double reached : {0.05, 0.1, 0.3, 1.0, 4.0, 20.0}) {
      const Spiral spiral{angle, 0.5 * angle};
      const Arc<double> arc = arc_between(spiral.orientation(0), spiral.orientation(1));
      for (const double w : {reached / angle, -reached / angle}) {
        const Vector3<double> got =
            screw_position(spiral.position(0), spiral.position(1), arc, weights_at(w, arc), w, QuaternionOrder::xyzw);
        const Vector3<double> want = spiral.position(w);
        // The errors of the two positions grow with w, and nothing else.
        const double bound = 2e-14 + 4e-15 * std::fabs(w);
        for (int k = 0; k < 3; ++k) ASSERT_NEAR(got.c[k], want.c[k], bound) << angle << " rad, w " << w;
      }
    }
  }
}

}  // namespace
}  // namespace robocache
