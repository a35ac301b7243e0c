#pragma once

#include <cmath>
#include <limits>

#include "core/host_device.hpp"

namespace robocache {

/// Four components in any fixed order: nothing here depends on which one is the scalar.
struct Quaternion {
  double c[4];
};

ROBOCACHE_HD double dot(const Quaternion& a, const Quaternion& b) {
  return (a.c[0] * b.c[0] + a.c[1] * b.c[1]) + (a.c[2] * b.c[2] + a.c[3] * b.c[3]);
}

/// q / |q|; a zero or non-finite quaternion gives NaN.
ROBOCACHE_HD Quaternion normalized(const Quaternion& q) {
  const double norm2 = dot(q, q);
  const double scale = norm2 > 0 && norm2 < std::numeric_limits<double>::infinity()
                           ? 1.0 / std::sqrt(norm2)
                           : std::numeric_limits<double>::quiet_NaN();
  return {{q.c[0] * scale, q.c[1] * scale, q.c[2] * scale, q.c[3] * scale}};
}

/// Spherical interpolation along the shortest arc, in f64: f32 arithmetic alone would cost more than the 2e-7 rad that
/// an f32 result can hold. w outside [0, 1] continues the arc. The result is normalised and in a's hemisphere at w = 0.
/// Source: Shoemake 1985; the angle from atan2 stays exact for small and near-antipodal arcs.
ROBOCACHE_HD Quaternion slerp(const Quaternion& from, const Quaternion& to, double w) {
  const Quaternion a = normalized(from);
  Quaternion b = normalized(to);
  if (dot(a, b) < 0) b = {{-b.c[0], -b.c[1], -b.c[2], -b.c[3]}};
  Quaternion difference;
  Quaternion sum;
  for (int i = 0; i < 4; ++i) {
    difference.c[i] = b.c[i] - a.c[i];
    sum.c[i] = b.c[i] + a.c[i];
  }
  const double theta = 2 * std::atan2(std::sqrt(dot(difference, difference)), std::sqrt(dot(sum, sum)));
  double wa = 1 - w;
  double wb = w;
  if (theta > 1e-4) {  // below: the chord differs from the arc by less than theta^3 / 10
    const double scale = 1 / std::sin(theta);
    wa = std::sin(wa * theta) * scale;
    wb = std::sin(wb * theta) * scale;
  }
  Quaternion q;
  for (int i = 0; i < 4; ++i) q.c[i] = wa * a.c[i] + wb * b.c[i];
  return normalized(q);
}

}  // namespace robocache
