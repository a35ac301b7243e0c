#pragma once

#include <cstdint>
#include <limits>

#include "core/host_device.hpp"
#include "math/clock.hpp"
#include "robocache/align.hpp"

namespace robocache {

/// What one row of one stream becomes: the whole alignment contract except for finding the interval and moving bytes.
struct Placement {
  enum class Store : std::uint8_t {
    copy,   ///< sample `index`
    blend,  ///< samples `index` and `next` with `weight`
    fill    ///< the constant `weight` (NaN: no value; integers 0)
  };
  std::int64_t index = 0;
  std::int64_t next = 0;
  double weight = 0;
  std::int64_t age_ns = std::numeric_limits<std::int64_t>::max();
  Store store = Store::fill;
  bool valid = false;
  bool refused = false;  ///< outside the range of a stream whose policy is `error`
};

struct PlaceOptions {
  Interp interp;
  Outside before;
  Outside after;
  std::int64_t max_gap_ns;
  std::int64_t max_age_ns;
};

/// The last i in [first, last) with stamp(i) <= t, or first - 1. `stamp` maps an index to a (shifted) stamp.
template <class T, class Stamp>
ROBOCACHE_HD std::int64_t last_at_or_before(const Stamp& stamp, std::int64_t first, std::int64_t last, T t) {
  while (first < last) {
    const std::int64_t middle = first + (last - first) / 2;
    if (stamp(middle) <= t) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first - 1;
}

/// The first i in [first, last) with stamp(i) >= t, or last.
template <class T, class Stamp>
ROBOCACHE_HD std::int64_t first_at_or_after(const Stamp& stamp, std::int64_t first, std::int64_t last, T t) {
  while (first < last) {
    const std::int64_t middle = first + (last - first) / 2;
    if (stamp(middle) < t) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

/// The last of the samples that share the stamp of sample i.
template <class T, class Stamp>
ROBOCACHE_HD std::int64_t last_duplicate(const Stamp& stamp, std::int64_t n, std::int64_t i) {
  const T t = stamp(i);
  if (i + 1 >= n || stamp(i + 1) != t) return i;
  const std::int64_t last = last_at_or_before<T>(stamp, i + 1, n, t);
  return last > i ? last : i;
}

/// A curve runs through two samples; hold and nearest take one.
ROBOCACHE_HD constexpr bool is_curve(Interp interp) { return interp > Interp::nearest; }

/// The samples of a segment, as `place` walks over them; -1 says that there is none. `stamp` maps an index to a
/// (shifted) stamp.
template <class T, class Stamp>
struct AllSamples {
  const Stamp& stamp;
  std::int64_t n;

  ROBOCACHE_HD std::int64_t first() const { return n > 0 ? 0 : -1; }
  ROBOCACHE_HD std::int64_t next(std::int64_t i) const { return i + 1 < n ? i + 1 : -1; }
  ROBOCACHE_HD std::int64_t previous(std::int64_t i) const { return i - 1; }
  /// The last of the samples that share the stamp of sample i.
  ROBOCACHE_HD std::int64_t last_alike(std::int64_t i) const { return last_duplicate<T>(stamp, n, i); }
  /// The last sample with an earlier stamp than sample i.
  ROBOCACHE_HD std::int64_t last_earlier(std::int64_t i) const {
    return first_at_or_after<T>(stamp, 0, n, stamp(i)) - 1;
  }
};

/// Only the samples that `has(i)` says are there. Its walks are as long as the holes.
template <class T, class Stamp, class Has>
struct PresentSamples {
  const Stamp& stamp;
  std::int64_t n;
  const Has& has;

  ROBOCACHE_HD std::int64_t at_or_before(std::int64_t i) const {
    while (i >= 0 && !has(i)) --i;
    return i;
  }
  ROBOCACHE_HD std::int64_t at_or_after(std::int64_t i) const {
    while (i < n && !has(i)) ++i;
    return i < n ? i : -1;
  }
  ROBOCACHE_HD std::int64_t first() const { return at_or_after(0); }
  ROBOCACHE_HD std::int64_t next(std::int64_t i) const { return at_or_after(i + 1); }
  ROBOCACHE_HD std::int64_t previous(std::int64_t i) const { return at_or_before(i - 1); }
  ROBOCACHE_HD std::int64_t last_alike(std::int64_t i) const {
    for (std::int64_t k = next(i); k >= 0 && stamp(k) == stamp(i); k = next(k)) i = k;
    return i;
  }
  ROBOCACHE_HD std::int64_t last_earlier(std::int64_t i) const {
    const T t = stamp(i);
    do i = previous(i);
    while (i >= 0 && !(stamp(i) < t));
    return i;
  }
};

/// Whether later - earlier is more than a limit that was given: kNoLimit holds differences beyond 292 years, too.
template <class T>
ROBOCACHE_HD bool exceeds(T later, T earlier, std::int64_t limit_ns) {
  return limit_ns != kNoLimit && Clock<T>::longer_than(later, earlier, limit_ns);
}

/// Outside the range: `end` is the end sample there, `interval` the start of the outermost interval of non-zero length
/// (or -1 where there is none).
template <class T, class Samples>
ROBOCACHE_HD void place_outside(const Samples& samples, std::int64_t end, std::int64_t interval, T t,
                                const Outside& outside, Interp interp, Placement& p) {
  p.store = Placement::Store::copy;
  p.index = end;
  if (outside.policy == Outside::Policy::fill) {
    p.store = Placement::Store::fill;
    p.weight = outside.value;
  } else if (outside.policy == Outside::Policy::error) {
    p.refused = true;
  } else if (outside.policy == Outside::Policy::extrapolate && is_curve(interp) && interval >= 0) {
    p.store = Placement::Store::blend;
    p.index = interval;
    p.next = samples.next(interval);
    p.weight = interval_weight(t, samples.stamp(interval), samples.stamp(p.next));
  }
}

/// A target between samples i and `next`, off both: s0 < t < s1. `nearest` leaves `next` in the index where that one is
/// nearer; of its duplicates the last counts.
template <class T>
ROBOCACHE_HD Placement place_between(std::int64_t i, std::int64_t next, T s0, T s1, T t, const PlaceOptions& o) {
  using C = Clock<T>;
  Placement p;
  p.store = Placement::Store::copy;
  p.index = i;
  p.next = next;
  p.age_ns = C::age_ns(t, s0);
  bool too_old = exceeds(t, s0, o.max_age_ns);
  if (o.interp == Interp::nearest) {
    if (!C::not_longer(t, s0, s1, t)) {
      p.index = next;
      too_old = exceeds(s1, t, o.max_age_ns);
    }
  } else if (is_curve(o.interp)) {
    p.store = Placement::Store::blend;
    p.weight = C::elapsed(t, s0) / C::elapsed(s1, s0);
    too_old = too_old && exceeds(s1, t, o.max_age_ns);
  }
  p.valid = !too_old && !exceeds(s1, s0, o.max_gap_ns);
  return p;
}

/// Without a sample to take a value from: NaN, and 0 for integers.
ROBOCACHE_HD Placement place_nowhere() {
  Placement p;
  p.weight = std::numeric_limits<double>::quiet_NaN();
  return p;
}

/// `i` is the last of the samples at or before t, or -1. Looks at samples i and the next one only, and at more of them
/// solely among duplicates and when extrapolating.
template <class T, class Samples>
ROBOCACHE_HD Placement place(const Samples& samples, std::int64_t i, T t, const PlaceOptions& o) {
  using C = Clock<T>;
  if (C::is_nan(t)) return place_nowhere();
  Placement p;
  if (i < 0) {
    const std::int64_t first = samples.first();
    if (first < 0) return place_nowhere();
    p.age_ns = C::age_ns(t, samples.stamp(first));
    std::int64_t interval = -1;
    if (o.before.policy == Outside::Policy::extrapolate) {
      interval = samples.last_alike(first);
      if (samples.next(interval) < 0) interval = -1;
    }
    place_outside(samples, first, interval, t, o.before, o.interp, p);
    return p;
  }
  const T s0 = samples.stamp(i);
  const bool exact = t == s0;
  const std::int64_t next = exact ? -1 : samples.next(i);
  if (next >= 0) {
    p = place_between(i, next, s0, samples.stamp(next), t, o);
    if (p.index != i) p.index = samples.last_alike(next);
    return p;
  }
  p.age_ns = C::age_ns(t, s0);
  if (!exact && o.interp != Interp::hold) {
    const std::int64_t interval = o.after.policy == Outside::Policy::extrapolate ? samples.last_earlier(i) : -1;
    place_outside(samples, i, interval, t, o.after, o.interp, p);
    return p;
  }
  p.store = Placement::Store::copy;
  p.index = i;
  p.valid = exact || !exceeds(t, s0, o.max_age_ns);
  return p;
}

/// The same among all n samples of a segment.
template <class T, class Stamp>
ROBOCACHE_HD Placement place(const Stamp& stamp, std::int64_t n, std::int64_t i, T t, const PlaceOptions& o) {
  return place<T>(AllSamples<T, Stamp>{stamp, n}, i, t, o);
}

}  // namespace robocache
