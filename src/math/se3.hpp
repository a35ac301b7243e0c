#pragma once

#include "math/quaternion.hpp"
#include "robocache/align.hpp"

// Poses: a position and a quaternion that map a body's coordinates into the world's.
namespace robocache {

template <class C>
struct Vector3 {
  C c[3];
};

template <class C>
ROBOCACHE_HD C dot(const Vector3<C>& a, const Vector3<C>& b) {
  return a.c[0] * b.c[0] + a.c[1] * b.c[1] + a.c[2] * b.c[2];
}

template <class C>
ROBOCACHE_HD Vector3<C> cross(const Vector3<C>& a, const Vector3<C>& b) {
  return {{a.c[1] * b.c[2] - a.c[2] * b.c[1], a.c[2] * b.c[0] - a.c[0] * b.c[2], a.c[0] * b.c[1] - a.c[1] * b.c[0]}};
}

/// A quaternion with its scalar told apart.
template <class C>
struct Rotation {
  C scalar;
  Vector3<C> vector;

  ROBOCACHE_HD Rotation(const Quaternion<C>& q, QuaternionOrder order)
      : scalar(q.c[order == QuaternionOrder::xyzw ? 3 : 0]) {
    const int first = order == QuaternionOrder::xyzw ? 0 : 1;
    vector = {{q.c[first], q.c[first + 1], q.c[first + 2]}};
  }
  ROBOCACHE_HD Rotation(const C& s, const Vector3<C>& v) : scalar(s), vector(v) {}

  ROBOCACHE_HD Rotation inverse() const { return {scalar, {{-vector.c[0], -vector.c[1], -vector.c[2]}}}; }

  ROBOCACHE_HD Vector3<C> rotate(const Vector3<C>& p) const {
    const Vector3<C> t = cross(vector, p);
    const Vector3<C> u = cross(vector, t);
    Vector3<C> rotated;
    for (int i = 0; i < 3; ++i) rotated.c[i] = p.c[i] + C(2) * (scalar * t.c[i] + u.c[i]);
    return rotated;
  }
};

template <class C>
ROBOCACHE_HD Rotation<C> operator*(const Rotation<C>& a, const Rotation<C>& b) {
  const Vector3<C> v = cross(a.vector, b.vector);
  Vector3<C> vector;
  for (int i = 0; i < 3; ++i) vector.c[i] = a.scalar * b.vector.c[i] + b.scalar * a.vector.c[i] + v.c[i];
  return {a.scalar * b.scalar - dot(a.vector, b.vector), vector};
}

/// The position at w on the screw motion from (pa, arc.a) to (pb, arc.b), which turns about one axis and moves along
/// it, both in proportion to w. The orientation is along(arc, weights).
///
/// With d the displacement in a's frame, v the vector of the relative quaternion and theta half the angle: the part of
/// d along the axis grows with w; the chord of the part across it at w is sin(w theta) / sin(theta) times the whole
/// one, turned back by (1 - w) theta.
template <class C>
ROBOCACHE_HD Vector3<C> screw_position(const Vector3<C>& pa, const Vector3<C>& pb, const Arc<C>& arc,
                                       const SlerpWeights<C>& weights, double w, QuaternionOrder order) {
  const Rotation<C> a(arc.a, order);
  const Rotation<C> relative = a.inverse() * Rotation<C>(arc.b, order);
  const Vector3<C>& v = relative.vector;
  const Vector3<C> d = a.inverse().rotate({{pb.c[0] - pa.c[0], pb.c[1] - pa.c[1], pb.c[2] - pa.c[2]}});
  const C back = weights.to + arc.cosine * weights.from;  // cos((1 - w) theta)
  const C chord = weights.to * back;
  const C sine2 = dot(v, v);
  // (w - chord) / sin^2(theta), by its series where both are small all the way to w.
  const double t = 2 * w - 1;
  C along_axis;
  if (sine2 * (t * t > 1 ? t * t : 1) > 1e-2) {
    along_axis = (C(w) - chord) / sine2;
  } else {
    const C x = arc.cosine - C(1);
    C sum = C(1);
    ROBOCACHE_UNROLL
    for (int j = 8; j > 1; --j) sum = C(1) + sum * x * ((t * t - j * j) / (j * (2 * j + 1)));
    along_axis = sum * ((t * t - 1) / 3) * (t / 2) / (C(2) + x);
  }
  const Vector3<C> turn = cross(v, d);
  const C axial = along_axis * dot(v, d);
  Vector3<C> moved;
  for (int i = 0; i < 3; ++i) {
    moved.c[i] = chord * d.c[i] + axial * v.c[i] - weights.to * weights.from * turn.c[i];
  }
  moved = a.rotate(moved);
  for (int i = 0; i < 3; ++i) moved.c[i] = pa.c[i] + moved.c[i];
  return moved;
}

}  // namespace robocache
