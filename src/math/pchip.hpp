#pragma once

#include <cstdint>

#include "core/host_device.hpp"
#include "math/clock.hpp"
#include "math/select.hpp"

// Monotone piecewise cubic interpolation as scipy.interpolate.PchipInterpolator defines it: Fritsch and Butland 1984,
// with the one-sided three-point ends of Moler, Numerical Computing with MATLAB 2004.
namespace robocache {

/// The samples on either side of an interval, and the widths of the intervals to them in units of its own width.
struct Shoulders {
  std::int64_t before = -1;  ///< -1: the curve begins with the interval
  std::int64_t after = -1;   ///< -1: the curve ends with it
  double before_width = 0;
  double after_width = 0;
};

/// Of the interval from sample `index` to `next`. Duplicate stamps end a curve.
template <class T, class Samples>
ROBOCACHE_HD Shoulders shoulders(const Samples& samples, std::int64_t index, std::int64_t next) {
  const T s0 = samples.stamp(index);
  const T s1 = samples.stamp(next);
  const double width = Clock<T>::elapsed(s1, s0);
  Shoulders found;
  const std::int64_t before = samples.previous(index);
  if (before >= 0 && samples.stamp(before) < s0) {
    found.before = before;
    found.before_width = Clock<T>::elapsed(s0, samples.stamp(before)) / width;
  }
  const std::int64_t after = samples.next(next);
  if (after >= 0 && s1 < samples.stamp(after)) {
    found.after = after;
    found.after_width = Clock<T>::elapsed(samples.stamp(after), s1) / width;
  }
  return found;
}

// Below, C is the type of values, or a vector of them; R that of times.

/// Two numbers of which one is positive and the other negative, or one is zero. NaN: no.
template <class C>
ROBOCACHE_HD auto not_alike(const C& a, const C& b) {
  return ((a >= C(0)) & (b <= C(0))) | ((a <= C(0)) & (b >= C(0)));
}

/// The slope at a sample between two intervals of widths h0 and h1 with slopes m0 and m1: their weighted harmonic mean.
template <class C, class R>
ROBOCACHE_HD C inner_slope(R h0, R h1, const C& m0, const C& m1) {
  const R w0 = h0 + 2 * h1;
  const R w1 = 2 * h0 + h1;
  // One division, and in an order in which no product of two slopes can leave the range.
  return select(not_alike(m0, m1), C(0), (w0 + w1) * m0 * (m1 / (w1 * m0 + w0 * m1)));
}

/// The slope at an end of the curve whose first interval has width h0 and slope m0, and the one behind it h1 and m1.
template <class C, class R>
ROBOCACHE_HD C end_slope(R h0, R h1, const C& m0, const C& m1) {
  const C slope = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1);
  const C most = R(3) * m0;
  const auto beyond = ((most > C(0)) & (slope > most)) | ((most <= C(0)) & (slope < most));
  return select(not_alike(slope, m0), C(0), select(not_alike(m0, m1) & beyond, most, slope));
}

/// The curve between y0 and y1 at weight w. y_before and y_after are read where there are shoulders.
template <class C, class R>
ROBOCACHE_HD C pchip(const C& y_before, const C& y0, const C& y1, const C& y_after, R before_width, R after_width,
                     R w) {
  const C m = y1 - y0;
  C d0 = m;
  C d1 = m;
  const bool has_before = before_width > 0;
  const bool has_after = after_width > 0;
  const C m_before = has_before ? (y0 - y_before) / before_width : m;
  const C m_after = has_after ? (y_after - y1) / after_width : m;
  if (has_before) {
    d0 = inner_slope(before_width, R(1), m_before, m);
    if (!has_after) d1 = end_slope(R(1), before_width, m, m_before);
  }
  if (has_after) {
    d1 = inner_slope(R(1), after_width, m, m_after);
    if (!has_before) d0 = end_slope(R(1), after_width, m, m_after);
  }
  return y0 + w * (d0 + w * ((R(3) * m - R(2) * d0 - d1) + w * (d0 + d1 - R(2) * m)));
}

}  // namespace robocache
