#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "align_missing.hpp"

/// One target's answer for the columns that are placed in time together; part of the oracle.
namespace robocache::reference {

struct OracleStream {
  std::vector<Real> values;     ///< [G, S, D], or packed [N, D]
  std::vector<Instant> stamps;  ///< [G, S], [S] if shared, or packed [N]
  DType dtype = DType::f32;
  Interp interp = Interp::automatic;
  Outside before{};
  Outside after{};
  std::int64_t max_gap_ns = kNoLimit, max_age_ns = kNoLimit, offset_ns = 0;
  std::int64_t segments = 0, samples = 0, columns = 0;
  bool shared = false;
  std::vector<std::int64_t> lengths, offsets, rows;  ///< empty: not given
  std::vector<float> scale, bias;                    ///< empty: not given
  std::vector<ColumnRun> runs;                       ///< empty: all columns are `interp`
  std::vector<bool> mask;                            ///< as stamps; empty: not given
  Missing missing = Missing::propagate;
  QuaternionOrder quaternion = QuaternionOrder::xyzw;
};

/// Whether rotations and angles are: where the values have more than 16 bits.
inline bool in_float64(const OracleStream& stream) { return stream.dtype == DType::f64 || stream.dtype == DType::f32; }

/// The error of a unit quaternion's components by dtype, of the values or of the output, whichever is coarser.
inline Real turn_of(DType dtype) { return dtype == DType::f64 ? 2e-13L : dtype == DType::f32 ? 2e-9L : 6e-6L; }

/// later - earlier, subtracted in the stamps' own type (int64: exactly).
inline Real difference(const Instant& later, const Instant& earlier) {
  return std::visit(
      [&]<class T>(T a) -> Real {
        const T b = std::get<T>(earlier);
        if constexpr (std::is_integral_v<T>) return static_cast<Real>(a) - static_cast<Real>(b);
        return static_cast<T>(a - b);
      },
      later);
}

/// In whole ns, ties to even.
inline Real nanoseconds(const Instant& later, const Instant& earlier) {
  const Real d = difference(later, earlier);
  return std::holds_alternative<std::int64_t>(later) ? d : std::nearbyint(static_cast<double>(d) * 1e9);
}

inline Real distance(const Instant& t, const Instant& stamp) {
  return stamp <= t ? nanoseconds(t, stamp) : nanoseconds(stamp, t);
}

/// The last stamp at or before t, or -1.
inline std::int64_t last_at(const std::vector<Instant>& stamps, const Instant& t) {
  std::int64_t last = -1;
  for (std::size_t s = 0; s < stamps.size(); ++s) {
    if (stamps[s] <= t) last = static_cast<std::int64_t>(s);
  }
  return last;
}

inline bool is_nan(const Instant& t) {
  return std::visit([](auto x) { return x != x; }, t);
}

inline std::size_t unit_of(Interp mode) {
  return mode == Interp::slerp ? 4 : mode == Interp::se3 || mode == Interp::screw ? 7 : 1;
}

/// A number and the error that it may have before it is rounded to the output's dtype; 0: none.
struct Bounded {
  Real value = kNan, bound = 0;
};

struct Row {
  std::vector<Bounded> values;
  bool valid = false;
  bool filled = false;
};

/// Columns that are placed together: one unit, or a whole run where no sample is missing of its own.
class Part {
 public:
  Interp mode;
  std::size_t first, columns;

  Part(const OracleStream& stream, Interp interp, std::size_t first_column, std::size_t count)
      : mode(interp), first(first_column), columns(count), stream_(stream) {}

  /// The last columns of each unit of a mode that rotates.
  [[nodiscard]] std::vector<std::size_t> quaternions() const {
    std::vector<std::size_t> starts;
    for (std::size_t end = unit(); unit() > 1 && end <= columns; end += unit()) starts.push_back(end - 4);
    return starts;
  }

  [[nodiscard]] Row row(const Samples& s, const Instant& t) const {
    if (s.stamps.empty() || is_nan(t)) return {std::vector<Bounded>(columns)};
    const std::int64_t i = last_at(s.stamps, t);
    if (i < 0) return outside(s, t, stream_.before, true);
    if (t > s.stamps.back() && mode != Interp::hold) return outside(s, t, stream_.after, false);
    return inside(s, t, static_cast<std::size_t>(i));
  }

 private:
  [[nodiscard]] std::size_t unit() const { return unit_of(mode); }
  [[nodiscard]] bool curve() const { return mode != Interp::hold && mode != Interp::nearest; }
  /// Rounding unit of the arithmetic.
  [[nodiscard]] Real epsilon() const { return stream_.dtype == DType::f64 ? 0x1p-53L : 0x1p-24L; }
  /// The error of a unit quaternion's components.
  [[nodiscard]] Real turn() const { return turn_of(stream_.dtype); }

  [[nodiscard]] Row outside(const Samples& s, const Instant& t, const Outside& policy, bool before) const {
    if (policy.policy == Outside::Policy::fill) {
      return {std::vector<Bounded>(columns, {static_cast<Real>(policy.value), 0}), false, true};
    }
    Row row = copy(s, before ? 0 : s.stamps.size() - 1);
    if (policy.policy == Outside::Policy::extrapolate && curve()) {
      std::vector<std::size_t> intervals;
      for (std::size_t k = 0; k + 1 < s.stamps.size(); ++k) {
        if (s.stamps[k] < s.stamps[k + 1]) intervals.push_back(k);
      }
      if (!intervals.empty()) row = blend(s, t, before ? intervals.front() : intervals.back());
    }
    row.valid = false;
    return row;
  }

  /// `i` is the last sample at or before t.
  [[nodiscard]] Row inside(const Samples& s, const Instant& t, std::size_t i) const {
    Row row;
    Real far = distance(t, s.taken_at[i]);
    bool kept = true;
    if (t == s.stamps[i] || i + 1 == s.stamps.size()) {
      row = copy(s, i);
    } else {
      kept = stream_.max_gap_ns == kNoLimit ||
             nanoseconds(s.stamps[i + 1], s.stamps[i]) <= static_cast<Real>(stream_.max_gap_ns);
      if (curve()) {
        row = blend(s, t, i);
        far = std::min(far, distance(t, s.taken_at[i + 1]));
      } else {
        std::size_t used = i;
        if (mode == Interp::nearest && difference(t, s.stamps[i]) > difference(s.stamps[i + 1], t)) {
          for (++used; used + 1 < s.stamps.size() && s.stamps[used + 1] == s.stamps[i + 1];) ++used;
        }
        row = copy(s, used);
        far = distance(t, s.taken_at[used]);
      }
    }
    row.valid = row.valid && kept && (stream_.max_age_ns == kNoLimit || far <= static_cast<Real>(stream_.max_age_ns));
    return row;
  }

  /// A row that uses a lost sample, or a quaternion that is no rotation, is not valid.
  [[nodiscard]] Row used(const Samples& s, const std::vector<std::size_t>& samples, std::vector<Bounded> values) const {
    Row row{std::move(values), true};
    for (std::size_t k : samples) row.valid = row.valid && !s.lost[k];
    for (std::size_t q : quaternions()) row.valid = row.valid && !std::isnan(row.values[q].value);
    return row;
  }

  [[nodiscard]] Row copy(const Samples& s, std::size_t i) const {
    std::vector<Bounded> out;
    for (Real x : s.values[i]) {
      if (mode == Interp::angle) {
        out.push_back({wrap(static_cast<double>(x)),
                       (in_float64(stream_) ? 0x1p-50L : 0x1p-21L) * std::max(std::abs(x), Real{4})});
      } else {
        out.push_back({x, 0});
      }
    }
    for (std::size_t q : quaternions()) put(out, q, unit_quaternion(quaternion(s, i, q)), turn());
    return used(s, {i}, std::move(out));
  }

  static void put(std::vector<Bounded>& out, std::size_t at, const Quat& q, Real bound) {
    for (std::size_t c = 0; c < 4; ++c) out[at + c] = {q[c], bound};
  }

  [[nodiscard]] static Quat quaternion(const Samples& s, std::size_t i, std::size_t at) {
    const std::vector<Real>& v = s.values[i];
    return {v[at], v[at + 1], v[at + 2], v[at + 3]};
  }

  [[nodiscard]] Row blend(const Samples& s, const Instant& t, std::size_t i) const {
    const Real w = difference(t, s.stamps[i]) / difference(s.stamps[i + 1], s.stamps[i]);
    std::vector<Bounded> out;
    for (std::size_t d = 0; d < columns; ++d) out.push_back(between(s.values[i][d], s.values[i + 1][d], w));
    if (mode == Interp::pchip) {
      const std::vector<std::size_t> near = pchip_support(s.stamps, i);
      for (std::size_t d = 0; d < columns; ++d) out[d] = cubic(s, near, i, d, w);
      return used(s, near, std::move(out));
    }
    for (std::size_t q : quaternions()) {
      put(out, q, slerp(quaternion(s, i, q), quaternion(s, i + 1, q), w), turn() * (1 + std::abs(w)));
      if (mode == Interp::screw) screw(s, i, q - 3, w, out);
    }
    return used(s, {i, i + 1}, std::move(out));
  }

  /// linear, the position of se3, and angle.
  [[nodiscard]] Bounded between(Real a, Real b, Real w) const {
    if (mode == Interp::angle) {
      const double turn = wrap(static_cast<double>(b) - static_cast<double>(a));
      const Real size = std::max({std::abs(a), std::abs(b), Real{3.2L}});
      return {wrap(static_cast<double>(a) + static_cast<double>(w) * turn),
              epsilon() * size * (8 * std::max(std::abs(w), Real{1}) + 1)};
    }
    const bool extrapolated = w < 0 || w > 1;  // the error of w * (b - a) grows with w
    return {a + w * (b - a), epsilon() * std::max(std::abs(a), std::abs(b)) * (extrapolated ? 8 * std::abs(w) + 1 : 8)};
  }

  void screw(const Samples& s, std::size_t i, std::size_t at, Real w, std::vector<Bounded>& out) const {
    const auto position = [&](std::size_t k) {
      return Vec3{s.values[k][at], s.values[k][at + 1], s.values[k][at + 2]};
    };
    const auto scalar_last = [&](std::size_t k) {
      const Quat q = quaternion(s, k, at + 3);
      return stream_.quaternion == QuaternionOrder::xyzw ? q : Quat{q[1], q[2], q[3], q[0]};
    };
    const Vec3 a = position(i), b = position(i + 1);
    const Vec3 p = screw_position(a, scalar_last(i), b, scalar_last(i + 1), w);
    Real size = 0;
    for (std::size_t c = 0; c < 3; ++c) size = std::max({size, std::abs(a[c]), std::abs(b[c])});
    for (std::size_t c = 0; c < 3; ++c) out[at + c] = {p[c], 4 * turn() * (1 + std::abs(w)) * size};
  }

  /// What the cubic between i and i + 1 depends on: a neighbour on either side, unless a duplicate parts them.
  [[nodiscard]] static std::vector<std::size_t> pchip_support(const std::vector<Instant>& stamps, std::size_t i) {
    std::vector<std::size_t> near{i, i + 1};
    if (i > 0 && stamps[i - 1] < stamps[i]) near.insert(near.begin(), i - 1);
    if (i + 2 < stamps.size() && stamps[i + 1] < stamps[i + 2]) near.push_back(i + 2);
    return near;
  }

  [[nodiscard]] Bounded cubic(const Samples& s, const std::vector<std::size_t>& near, std::size_t i, std::size_t d,
                              Real w) const {
    std::vector<Real> x, y;
    Real size = 0;
    for (std::size_t k : near) {
      x.push_back(k == near[0] ? 0 : x.back() + difference(s.stamps[k], s.stamps[k - 1]));
      y.push_back(s.values[k][d]);
      size = std::max(size, std::abs(y.back()));
    }
    const Real reach = 1 + std::abs(w) + w * w + std::abs(w * w * w);
    const int roundings = w >= 0 && w <= 1 ? 8 : 64;  // the coefficients of the cubic cancel inside the interval only
    return {pchip(x, y, i - near[0], w), roundings * epsilon() * reach * size};
  }

  const OracleStream& stream_;
};

}  // namespace robocache::reference
