#pragma once

#include <cmath>
#include <limits>

#include "core/host_device.hpp"
#include "math/select.hpp"

// Rotations as unit quaternions. C is the type they are computed in. f32 data take f64: f32 arithmetic alone would cost
// more than the 2e-7 rad that an f32 result can hold.
namespace robocache {

/// Four components in any fixed order: nothing here depends on which one is the scalar.
template <class C>
struct Quaternion {
  C c[4];
};

template <class C>
ROBOCACHE_HD C dot(const Quaternion<C>& a, const Quaternion<C>& b) {
  return (a.c[0] * b.c[0] + a.c[1] * b.c[1]) + (a.c[2] * b.c[2] + a.c[3] * b.c[3]);
}

template <class C>
ROBOCACHE_HD Quaternion<C> operator-(const Quaternion<C>& q) {
  return {{-q.c[0], -q.c[1], -q.c[2], -q.c[3]}};
}

/// The type of the numbers that C computes with: of one that stands for several, C::Number.
template <class C>
struct NumberOf {
  using Type = typename C::Number;
};
template <>
struct NumberOf<float> {
  using Type = float;
};
template <>
struct NumberOf<double> {
  using Type = double;
};

/// 1 / |q|; NaN for a quaternion that has no direction: its squared length is zero, not finite, or so small that it has
/// lost digits.
template <class C>
ROBOCACHE_HD C inverse_length(const Quaternion<C>& q) {
  using std::sqrt;
  using Limits = std::numeric_limits<typename NumberOf<C>::Type>;
  const C norm2 = dot(q, q);
  const auto usable = (norm2 >= C(Limits::min())) & (norm2 <= C(Limits::max()));
  return select(usable, C(1) / sqrt(norm2), C(std::numeric_limits<float>::quiet_NaN()));
}

/// q / |q|; a quaternion that has no direction gives NaN.
template <class C>
ROBOCACHE_HD Quaternion<C> normalized(const Quaternion<C>& q) {
  const C scale = inverse_length(q);
  return {{q.c[0] * scale, q.c[1] * scale, q.c[2] * scale, q.c[3] * scale}};
}

/// What slerp multiplies its two ends with: sin((1 - w) theta) / sin(theta) and sin(w theta) / sin(theta).
template <class C>
struct SlerpWeights {
  C from, to;
};

/// sin(t phi) / sin(phi) for x = cos(phi) - 1, by the series of Eberly (A Fast and Accurate Algorithm for Computing
/// SLERP, 2011) in kTerms terms. It has no case of its own for small angles: there it tends to t, the weight of nlerp.
template <int kTerms, class C, class R>
ROBOCACHE_HD C sine_ratio(R t, C x) {
  C sum = C(1);
  ROBOCACHE_UNROLL
  for (int j = kTerms; j > 0; --j) {
    const R square = static_cast<R>(j) * static_cast<R>(j);
    // In an order in which only one product waits for the sum.
    sum = C(1) + sum * (x * ((t * t - square) * (R(1) / static_cast<R>(j * (2 * j + 1)))));
  }
  return sum * t;
}

/// For 0 <= w <= 1 and theta in [0, pi / 2]. The series runs on a quarter of the angle, where each term is 1/25 of the
/// one before or less. The largest error of a weight: 3e-6 with 3 terms (16-bit results), 1e-9 with 5 (f32), 6e-16 with
/// 10 (f64).
template <int kTerms, class C, class R>
ROBOCACHE_HD SlerpWeights<C> slerp_weights(R w, C cosine) {
  using std::sqrt;
  const C half = sqrt((C(1) + cosine) * R(0.5));
  const C quarter = sqrt((C(1) + half) * R(0.5));
  const C scale = C(1) / (quarter * half * R(4));  // sin(theta) = 4 sin(theta/4) cos(theta/4) cos(theta/2)
  const C x = quarter - R(1);
  return {sine_ratio<kTerms>(R(4) * (R(1) - w), x) * scale, sine_ratio<kTerms>(R(4) * w, x) * scale};
}

/// Two unit quaternions made comparable: b in the hemisphere of a, and the cosine of the angle between them.
template <class C>
struct Arc {
  Quaternion<C> a, b;
  C cosine;
};

template <class C>
ROBOCACHE_HD Arc<C> arc_between(const Quaternion<C>& from, const Quaternion<C>& to) {
  const Quaternion<C> a = normalized(from);
  const Quaternion<C> b = normalized(to);
  const C cosine = dot(a, b);
  const auto away = cosine < C(0);
  Arc<C> arc{a, b, select(away, -cosine, cosine)};
  for (int i = 0; i < 4; ++i) arc.b.c[i] = select(away, -b.c[i], b.c[i]);
  return arc;
}

template <class C>
ROBOCACHE_HD Quaternion<C> along(const Arc<C>& arc, const SlerpWeights<C>& weights) {
  Quaternion<C> q;
  for (int i = 0; i < 4; ++i) q.c[i] = weights.from * arc.a.c[i] + weights.to * arc.b.c[i];
  return normalized(q);
}

/// For any w, which continues the arc; slower. From the chord between the two, because w multiplies the error of the
/// angle: a cosine near 1 has lost most of a small one.
template <class C>
ROBOCACHE_HD SlerpWeights<C> slerp_weights_beyond(double w, const Arc<C>& arc) {
  using std::asin;
  using std::sin;
  using std::sqrt;
  Quaternion<C> half;
  for (int i = 0; i < 4; ++i) half.c[i] = (arc.b.c[i] - arc.a.c[i]) * 0.5;
  const C square = dot(half, half);  // sin^2(theta / 2)
  // Arcs that are small all the way to w: the root has no derivative at 0.
  if (square * (w * w + 1) < 1e-3) {
    const C x = square * -2.0;
    return {sine_ratio<4>(1 - w, x), sine_ratio<4>(w, x)};
  }
  const C theta = asin(sqrt(square)) * 2.0;
  const C scale = C(1) / sin(theta);
  return {sin(theta * (1 - w)) * scale, sin(theta * w) * scale};
}

/// The weights at w, which may lie outside [0, 1], in full f64.
template <class C>
ROBOCACHE_HD SlerpWeights<C> weights_at(double w, const Arc<C>& arc) {
  return w >= 0 && w <= 1 ? slerp_weights<10>(w, arc.cosine) : slerp_weights_beyond(w, arc);
}

/// Spherical interpolation along the shortest arc, normalised, in a's hemisphere at w = 0 (Shoemake 1985).
template <class C>
ROBOCACHE_HD Quaternion<C> slerp(const Quaternion<C>& from, const Quaternion<C>& to, double w) {
  const Arc<C> arc = arc_between(from, to);
  return along(arc, weights_at(w, arc));
}

}  // namespace robocache
