#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/host_device.hpp"
#include "math/angle.hpp"
#include "math/pchip.hpp"
#include "math/place.hpp"
#include "math/quaternion.hpp"
#include "math/se3.hpp"

// A unit is what one placement and one computation make: a column, the four of a quaternion, the seven of a pose. Here
// is the whole semantics of a unit, with missing samples; what both backends do for the usual cases in wide vectors
// must give the same.
namespace robocache {

ROBOCACHE_HD constexpr int unit_columns(Interp interp) {
  return interp == Interp::slerp ? 4 : interp == Interp::se3 || interp == Interp::screw ? 7 : 1;
}
ROBOCACHE_HD constexpr bool has_quaternion(Interp interp) { return unit_columns(interp) > 1; }

/// Where the samples of a unit are. A sample of -1 is NaN.
struct UnitPlace {
  Placement p;
  Shoulders around;  ///< of pchip where it blends
};

namespace detail {

template <class T, class Samples>
ROBOCACHE_HD UnitPlace with_shoulders(const Samples& samples, const Placement& p, Interp interp) {
  UnitPlace u{p, {}};
  if (interp == Interp::pchip && p.store == Placement::Store::blend) {
    u.around = shoulders<T>(samples, p.index, p.next);
  }
  return u;
}

ROBOCACHE_HD void leave_out(Placement& p) {
  p.store = Placement::Store::fill;
  p.weight = std::numeric_limits<double>::quiet_NaN();
  p.valid = false;
}

template <class T>
ROBOCACHE_HD bool farther(T a, T b, std::int64_t limit_ns) {
  return a >= b ? exceeds(a, b, limit_ns) : exceeds(b, a, limit_ns);
}

/// Every sample that is missing takes the value of the last one present before it.
template <class T, class Stamp, class Has>
ROBOCACHE_HD UnitPlace hold_missing(const Stamp& stamp, const PresentSamples<T, Stamp, Has>& present, std::int64_t i,
                                    T t, const PlaceOptions& o) {
  const AllSamples<T, Stamp> all{stamp, present.n};
  UnitPlace u = with_shoulders<T>(all, place<T>(all, i, t, o), o.interp);
  Placement& p = u.p;
  const std::int64_t last = present.at_or_before(i);
  const std::int64_t nearest = last >= 0 ? last : present.first();
  p.age_ns = nearest >= 0 ? Clock<T>::age_ns(t, stamp(nearest)) : std::numeric_limits<std::int64_t>::max();
  if (p.store == Placement::Store::fill) return u;
  const bool blends = p.store == Placement::Store::blend;
  const std::int64_t earliest = u.around.before >= 0 ? u.around.before : p.index;
  if (present.at_or_before(earliest) < 0) {  // the first samples are missing: they have no value
    leave_out(p);
    return u;
  }
  p.index = present.at_or_before(p.index);
  if (blends) p.next = present.at_or_before(p.next);
  u.around.before = present.at_or_before(u.around.before);
  u.around.after = present.at_or_before(u.around.after);
  p.valid =
      p.valid && !(farther(t, stamp(p.index), o.max_age_ns) && (!blends || farther(t, stamp(p.next), o.max_age_ns)));
  return u;
}

}  // namespace detail

/// Places a unit whose sample s is there where has(s). `i` is the last of all n samples at or before t, or -1.
template <class T, class Stamp, class Has>
ROBOCACHE_HD UnitPlace place_unit(const Stamp& stamp, std::int64_t n, const Has& has, Missing missing, std::int64_t i,
                                  T t, const PlaceOptions& o) {
  const PresentSamples<T, Stamp, Has> present{stamp, n, has};
  if (missing == Missing::hold) return detail::hold_missing(stamp, present, i, t, o);
  if (missing == Missing::skip) {
    return detail::with_shoulders<T>(present, place<T>(present, present.at_or_before(i), t, o), o.interp);
  }
  const AllSamples<T, Stamp> all{stamp, n};
  UnitPlace u = detail::with_shoulders<T>(all, place<T>(all, i, t, o), o.interp);
  if (u.p.store == Placement::Store::fill) return u;
  const bool blends = u.p.store == Placement::Store::blend;
  const bool used = has(u.p.index) && (!blends || has(u.p.next)) && (u.around.before < 0 || has(u.around.before)) &&
                    (u.around.after < 0 || has(u.around.after));
  if (!used) detail::leave_out(u.p);
  return u;
}

/// A unit's quaternion: raw (unit length; in the hemisphere of its earlier sample), from sample(index, column), the
/// first of whose columns is `first`.
template <class C, class Sample>
ROBOCACHE_HD Quaternion<C> load_quaternion(const Sample& sample, std::int64_t index, int first) {
  Quaternion<C> q;
  for (int k = 0; k < 4; ++k) q.c[k] = sample(index, first + k);
  return q;
}

/// The value of a quaternion or pose, as unit_value says it.
template <class C, class Sample>
ROBOCACHE_HD void pose_value(Interp interp, QuaternionOrder order, const Placement& p, const Sample& sample, C* out) {
  const int first = unit_columns(interp) - 4;
  Quaternion<C> q = load_quaternion<C>(sample, p.index, first);
  Vector3<C> position{};
  for (int k = 0; k < first; ++k) position.c[k] = sample(p.index, k);
  if (p.store != Placement::Store::blend) {
    q = normalized(q);
  } else {
    const Arc<C> arc = arc_between(q, load_quaternion<C>(sample, p.next, first));
    const SlerpWeights<C> weights = weights_at(p.weight, arc);
    q = along(arc, weights);
    Vector3<C> to{};
    for (int k = 0; k < first; ++k) to.c[k] = sample(p.next, k);
    if (interp == Interp::screw) {
      position = screw_position(position, to, arc, weights, p.weight, order);
    } else {
      for (int k = 0; k < first; ++k) position.c[k] = position.c[k] + (to.c[k] - position.c[k]) * p.weight;
    }
  }
  for (int k = 0; k < first; ++k) out[k] = position.c[k];
  for (int k = 0; k < 4; ++k) out[first + k] = q.c[k];
}

/// Whether compute type C can hold what quaternions and angles need.
template <class C>
inline constexpr bool has_f64 = true;
template <>
inline constexpr bool has_f64<float> = false;

/// The value of a unit that is not a fill, in compute type C; sample(s, k) is column k of sample s. Quaternions and
/// angles need f64: without it there are none. A quaternion that has no direction becomes NaN.
template <class C, class Sample>
ROBOCACHE_HD void unit_value(Interp interp, QuaternionOrder order, const UnitPlace& u, const Sample& sample, C* out) {
  const Placement& p = u.p;
  const bool blends = p.store == Placement::Store::blend;
  if constexpr (has_f64<C>) {
    if (has_quaternion(interp)) return pose_value<C>(interp, order, p, sample, out);
    if (interp == Interp::angle) {
      const C a = sample(p.index, 0);
      out[0] = blends ? blended_angle<C>(a, sample(p.next, 0), p.weight) : wrapped_angle<C>(a);
      return;
    }
  }
  const C a = sample(p.index, 0);
  if (!blends) {
    out[0] = a;
  } else if (interp == Interp::pchip) {
    const Shoulders& s = u.around;
    const C none = C(std::numeric_limits<float>::quiet_NaN());
    out[0] = pchip<C>(s.before < 0 ? none : sample(s.before, 0), a, sample(p.next, 0),
                      s.after < 0 ? none : sample(s.after, 0), C(s.before_width), C(s.after_width), C(p.weight));
  } else {
    out[0] = a + C(p.weight) * (sample(p.next, 0) - a);
  }
}

}  // namespace robocache
