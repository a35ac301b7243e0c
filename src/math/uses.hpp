#pragma once

#include <cstdint>

#include "core/host_device.hpp"
#include "math/unit.hpp"

// Alignment the other way around: which targets look at a sample.
namespace robocache {

/// The last sample with an earlier stamp than sample i, or -1.
template <class Samples>
ROBOCACHE_HD std::int64_t earlier_than(const Samples& samples, std::int64_t i) {
  const std::int64_t previous = samples.previous(i);
  return previous < 0 || samples.stamp(previous) < samples.stamp(i) ? previous : samples.last_earlier(i);
}

/// The first sample with a later stamp than sample i, or -1.
template <class Samples>
ROBOCACHE_HD std::int64_t later_than(const Samples& samples, std::int64_t i) {
  const std::int64_t next = samples.next(i);
  return next < 0 || samples.stamp(i) < samples.stamp(next) ? next : samples.next(samples.last_alike(i));
}

/// Targets that can look at a sample: at or after sample `first`, and before sample `last`. -1: without a limit.
struct Reach {
  std::int64_t first, last;
};

/// The reach of samples low .. high together. It may hold targets that look at none of them, and the more the fewer
/// distinct stamps there are; never does it lack one.
template <class Samples>
ROBOCACHE_HD Reach reach_of(const Samples& samples, std::int64_t low, std::int64_t high, Interp interp) {
  const int after = interp == Interp::pchip ? 2 : 1;
  const int before = interp == Interp::hold ? 0 : after;
  for (int hop = 0; hop < before && low >= 0; ++hop) low = earlier_than(samples, low);
  for (int hop = 0; hop < after && high >= 0; ++hop) high = later_than(samples, high);
  // What is outside looks at the end sample, or at those about the outermost interval.
  if (low >= 0 && earlier_than(samples, low) < 0) low = -1;
  if (high >= 0 && later_than(samples, high) < 0) high = -1;
  return {low, high};
}

/// Where missing samples take the value of the last one present before them, a sample reaches as far as they do.
template <class T, class Stamp, class Has>
ROBOCACHE_HD Reach reach_of_unit(const Stamp& stamp, std::int64_t n, const Has& has, Missing missing, std::int64_t s,
                                 Interp interp) {
  const PresentSamples<T, Stamp, Has> present{stamp, n, has};
  if (missing == Missing::skip) return reach_of(present, s, s, interp);
  const AllSamples<T, Stamp> all{stamp, n};
  if (missing == Missing::propagate) return reach_of(all, s, s, interp);
  const std::int64_t next = present.next(s);
  return reach_of(all, s, (next < 0 ? n : next) - 1, interp);
}

/// The targets of one batch row: target(t) for t in [0, count).
template <class Target>
struct TargetRow {
  const Target& target;
  std::int64_t count;
  bool sorted;  ///< non-decreasing, and no NaN among several
};

/// The targets [begin, end) that can look at sample s.
struct TargetRange {
  std::int64_t begin, end;
};

template <class T, class Stamp, class Target>
ROBOCACHE_HD TargetRange targets_within(const Stamp& stamp, const Reach& reach, const TargetRow<Target>& row) {
  if (!row.sorted) return {0, row.count};
  TargetRange range{0, row.count};
  if (reach.first >= 0) range.begin = first_at_or_after<T>(row.target, 0, row.count, stamp(reach.first));
  if (reach.last >= 0) range.end = first_at_or_after<T>(row.target, range.begin, row.count, stamp(reach.last));
  return range;
}

/// The last sample at or before t, or -1: from the one for an earlier target on where targets are sorted.
template <class T, class Stamp>
ROBOCACHE_HD std::int64_t sample_before(const Stamp& stamp, std::int64_t n, bool sorted, std::int64_t earlier, T t) {
  if (!sorted) return last_at_or_before<T>(stamp, 0, n, t);
  while (earlier + 1 < n && stamp(earlier + 1) <= t) ++earlier;
  return earlier;
}

/// Whether the value of a unit depends on sample s.
ROBOCACHE_HD bool looks_at(const UnitPlace& u, std::int64_t s) {
  if (u.p.store == Placement::Store::fill) return false;
  if (u.p.index == s) return true;
  return u.p.store == Placement::Store::blend && (u.p.next == s || u.around.before == s || u.around.after == s);
}

/// Calls use(t, place) for each target whose unit looks at sample s, ascending. Sample i of the unit is there where
/// has(i).
template <class T, class Stamp, class Has, class Target, class Use>
ROBOCACHE_HD void for_each_use(const Stamp& stamp, std::int64_t n, const Has& has, Missing missing, std::int64_t s,
                               const TargetRow<Target>& row, const PlaceOptions& o, const Use& use) {
  if (!has(s)) return;
  const Reach reach = reach_of_unit<T>(stamp, n, has, missing, s, o.interp);
  const TargetRange range = targets_within<T>(stamp, reach, row);
  std::int64_t i = reach.first;
  for (std::int64_t t = range.begin; t < range.end; ++t) {
    const T when = row.target(t);
    i = sample_before<T>(stamp, n, row.sorted, i, when);
    const UnitPlace place = place_unit<T>(stamp, n, has, missing, i, when, o);
    if (looks_at(place, s)) use(t, place);
  }
}

}  // namespace robocache
