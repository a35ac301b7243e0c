#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "numbers.hpp"
#include "robocache/align.hpp"

/// What align must answer, written from the contract and from nothing else: it scans every sample for every target, and
/// computes in extended precision. The C++ twin of align_oracle.py; it uses the public enums of RoboCache and no code.
namespace robocache::reference {

/// A stamp or target: int64 ns, or f64 | f32 seconds.
using Instant = std::variant<std::int64_t, double, float>;

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
};

/// The answer for one stream. `bound` is the allowed error before the rounding to the output's dtype; 0: exact.
struct Expected {
  std::vector<Real> values, bound;   ///< [B, T, D]; NaN: no value
  std::vector<bool> valid;           ///< [B, T]
  std::vector<std::int64_t> age_ns;  ///< [B, T]
  int bits = 24;                     ///< significand of the arithmetic
};

class AlignOracle {
 public:
  AlignOracle(const OracleStream& stream, const std::vector<Instant>& at, std::int64_t batch, std::int64_t targets)
      : stream_(stream), interp_(stream.interp) {
    if (interp_ == Interp::automatic) interp_ = is_float(stream.dtype) ? Interp::linear : Interp::hold;
    const auto rows = static_cast<std::size_t>(batch * targets);
    out_.values.assign(rows * columns(), std::numeric_limits<Real>::quiet_NaN());
    out_.bound.assign(rows * columns(), 0);
    out_.valid.assign(rows, false);
    out_.age_ns.assign(rows, std::numeric_limits<std::int64_t>::max());
    out_.bits = stream.dtype == DType::f64 || interp_ == Interp::slerp ? 53 : 24;
    for (std::int64_t b = 0; b < batch; ++b) {
      read_segment(b);
      for (std::int64_t t = 0; t < targets; ++t) {
        row_ = static_cast<std::size_t>(b * targets + t);
        place(at[row_]);
      }
    }
  }

  [[nodiscard]] const Expected& answer() const { return out_; }

 private:
  [[nodiscard]] std::size_t columns() const { return static_cast<std::size_t>(stream_.columns); }

  static bool is_nan(const Instant& t) {
    return std::visit([](auto x) { return x != x; }, t);
  }

  /// later - earlier, subtracted in the stamps' own type (int64: exactly).
  static Real difference(const Instant& later, const Instant& earlier) {
    return std::visit(
        [&]<class T>(T a) -> Real {
          const T b = std::get<T>(earlier);
          if constexpr (std::is_integral_v<T>) return static_cast<Real>(a) - static_cast<Real>(b);
          return static_cast<T>(a - b);
        },
        later);
  }

  static Real nanoseconds(const Instant& later, const Instant& earlier) {
    const Real d = difference(later, earlier);
    return std::holds_alternative<std::int64_t>(later) ? d : static_cast<double>(d) * 1e9;
  }

  static std::int64_t age(const Instant& t, const Instant& stamp) {
    const Real ns = std::nearbyint(nanoseconds(t, stamp));
    if (!(ns < 0x1p63L)) return std::numeric_limits<std::int64_t>::max();
    return ns <= -0x1p63L ? std::numeric_limits<std::int64_t>::min() : static_cast<std::int64_t>(ns);
  }

  static Instant shifted(const Instant& stamp, std::int64_t offset_ns) {
    return std::visit(
        [&]<class T>(T s) -> Instant {
          if constexpr (std::is_integral_v<T>) return s + offset_ns;
          return offset_ns == 0 ? s : static_cast<T>(s + static_cast<T>(static_cast<double>(offset_ns) / 1e9));
        },
        stamp);
  }

  void read_segment(std::int64_t b) {
    const std::int64_t g = stream_.rows.empty() ? b : stream_.rows[static_cast<std::size_t>(b)];
    const auto i = static_cast<std::size_t>(g);
    std::int64_t first = g * stream_.samples;
    std::int64_t first_stamp = stream_.shared ? 0 : first;
    count_ = static_cast<std::size_t>(stream_.lengths.empty() ? stream_.samples : stream_.lengths[i]);
    if (!stream_.offsets.empty()) {
      first = first_stamp = stream_.offsets[i];
      count_ = static_cast<std::size_t>(stream_.offsets[i + 1] - first);
    }
    first_value_ = static_cast<std::size_t>(first) * columns();
    stamps_.clear();
    for (std::size_t s = 0; s < count_; ++s) {
      stamps_.push_back(shifted(stream_.stamps[static_cast<std::size_t>(first_stamp) + s], stream_.offset_ns));
    }
  }

  [[nodiscard]] Real value(std::size_t sample, std::size_t d) const {
    return stream_.values[first_value_ + sample * columns() + d];
  }

  void place(const Instant& t) {
    if (count_ == 0 || is_nan(t)) return;
    std::int64_t i = -1;
    for (std::size_t s = 0; s < count_; ++s) {
      if (stamps_[s] <= t) i = static_cast<std::int64_t>(s);
    }
    out_.age_ns[row_] = age(t, stamps_[static_cast<std::size_t>(std::max<std::int64_t>(i, 0))]);
    if (i < 0) {
      outside(t, stream_.before, 0);
    } else if (t > stamps_.back() && interp_ != Interp::hold) {
      outside(t, stream_.after, count_ - 1);
    } else {
      inside(t, static_cast<std::size_t>(i));
    }
  }

  void outside(const Instant& t, const Outside& policy, std::size_t end) {
    if (policy.policy == Outside::Policy::fill) {
      for (std::size_t d = 0; d < columns(); ++d) out_.values[row_ * columns() + d] = policy.value;
      return;
    }
    if (policy.policy == Outside::Policy::extrapolate && interp_ >= Interp::linear) {
      std::vector<std::size_t> intervals;
      for (std::size_t s = 0; s + 1 < count_; ++s) {
        if (stamps_[s] < stamps_[s + 1]) intervals.push_back(s);
      }
      if (!intervals.empty()) return blend(t, end == 0 ? intervals.front() : intervals.back());
    }
    copy(end);
  }

  void inside(const Instant& t, std::size_t i) {
    bool kept = true;
    Real distance = nanoseconds(t, stamps_[i]);
    if (t == stamps_[i] || i + 1 == count_) {
      copy(i);
    } else {
      const Real behind = nanoseconds(stamps_[i + 1], t);
      kept = stream_.max_gap_ns == kNoLimit ||
             nanoseconds(stamps_[i + 1], stamps_[i]) <= static_cast<Real>(stream_.max_gap_ns);
      if (interp_ == Interp::hold) {
        copy(i);
      } else if (interp_ == Interp::nearest) {
        if (difference(t, stamps_[i]) > difference(stamps_[i + 1], t)) {
          std::size_t last = i + 1;
          while (last + 1 < count_ && stamps_[last + 1] == stamps_[i + 1]) ++last;
          copy(last);
          distance = behind;
        } else {
          copy(i);
        }
      } else {
        blend(t, i);
        distance = std::min(distance, behind);
      }
    }
    kept = kept && (stream_.max_age_ns == kNoLimit || distance <= static_cast<Real>(stream_.max_age_ns));
    out_.valid[row_] = kept;
  }

  [[nodiscard]] Real unit() const { return stream_.dtype == DType::f64 ? 0x1p-53L : 0x1p-24L; }

  void write(std::size_t d, Real x, Real bound) {
    if (!stream_.scale.empty() || !stream_.bias.empty()) {
      const Real scale = stream_.scale.empty() ? 1 : stream_.scale[d];
      const Real bias = stream_.bias.empty() ? 0 : stream_.bias[d];
      bound = bound * std::abs(scale) + 3 * unit() * (std::abs(x * scale) + std::abs(bias));
      x = x * scale + bias;
    }
    out_.values[row_ * columns() + d] = x;
    out_.bound[row_ * columns() + d] = bound;
  }

  void copy(std::size_t i) {
    if (interp_ == Interp::slerp) return rotate(i, i, 0);  // stored as a unit quaternion
    for (std::size_t d = 0; d < columns(); ++d) write(d, value(i, d), 0);
  }

  void blend(const Instant& t, std::size_t i) {
    const Real w = difference(t, stamps_[i]) / difference(stamps_[i + 1], stamps_[i]);
    if (interp_ == Interp::slerp) return rotate(i, i + 1, w);
    const bool extrapolated = w < 0 || w > 1;  // the error of w * (b - a) grows with w
    for (std::size_t d = 0; d < columns(); ++d) {
      const Real a = value(i, d);
      const Real b = value(i + 1, d);
      const Real size = std::max(std::abs(a), std::abs(b));
      write(d, a + w * (b - a), unit() * size * (extrapolated ? 8 * std::abs(w) + 1 : 8));
    }
  }

  /// Point w of the shortest arc, through the component of b that is orthogonal to a.
  void rotate(std::size_t from, std::size_t to, Real w) {
    for (std::size_t first = 0; first < columns(); first += 4) {
      Real a[4], b[4], norm_a = 0, norm_b = 0, cosine = 0, sine = 0;
      for (std::size_t c = 0; c < 4; ++c) {
        norm_a += value(from, first + c) * value(from, first + c);
        norm_b += value(to, first + c) * value(to, first + c);
      }
      for (std::size_t c = 0; c < 4; ++c) {
        a[c] = value(from, first + c) / std::sqrt(norm_a);
        b[c] = value(to, first + c) / std::sqrt(norm_b);
        cosine += a[c] * b[c];
      }
      for (Real& c : b) c = cosine < 0 ? -c : c;
      cosine = std::abs(cosine);
      for (std::size_t c = 0; c < 4; ++c) sine += (b[c] - cosine * a[c]) * (b[c] - cosine * a[c]);
      sine = std::sqrt(sine);
      const Real angle = std::atan2(sine, cosine);
      for (std::size_t c = 0; c < 4; ++c) {
        const Real across = sine == 0 ? 0 : (b[c] - cosine * a[c]) / sine;
        write(first + c, std::cos(w * angle) * a[c] + std::sin(w * angle) * across, 2e-13L * (1 + std::abs(w)));
      }
    }
  }

  const OracleStream& stream_;
  Interp interp_;
  Expected out_;
  std::vector<Instant> stamps_;  ///< of the segment at hand, shifted
  std::size_t count_ = 0;
  std::size_t first_value_ = 0;
  std::size_t row_ = 0;
};

/// Whether `got`, read from an output of `dtype`, is element i of the answer: exact where the bound is 0; else within
/// the bound, plus half an ulp where the output is narrower than the arithmetic.
inline bool agrees(const Expected& expected, std::size_t i, Real got, DType dtype) {
  const Real want = rounded(expected.values[i], dtype);
  if (got == want || (std::isnan(got) && std::isnan(want))) return true;
  const Real bound = expected.bound[i];
  if (!is_float(dtype) || !(bound > 0) || !std::isfinite(bound)) return false;
  const bool narrower = format_of(dtype).bits < expected.bits;
  const Real half = narrower ? ulp(std::abs(expected.values[i]) + bound, dtype) / 2 : Real{0};
  return std::abs(got - expected.values[i]) <= bound + half;
}

}  // namespace robocache::reference
