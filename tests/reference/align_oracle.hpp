#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "align_part.hpp"

/// What align must answer, written from the contract and from nothing else: it scans every sample for every target, and
/// computes in extended precision. The C++ twin of align_oracle.py; it uses the public enums of RoboCache and no code.
namespace robocache::reference {

/// The answer for one stream. `bound` is the allowed error before the rounding to the output's dtype; 0: exact.
struct Expected {
  std::vector<Real> values, bound;   ///< [B, T, D]; NaN: no value
  std::vector<bool> valid;           ///< [B, T]
  std::vector<std::int64_t> age_ns;  ///< [B, T]
  std::vector<int> bits;             ///< [D] significand of the arithmetic
  std::vector<bool> circular;        ///< [D] values are equal modulo 2 pi
  std::vector<Real> turn;            ///< [D] turn_of the values where `bound` is made of it, else 0
};

class AlignOracle {
 public:
  AlignOracle(const OracleStream& stream, const std::vector<Instant>& at, std::int64_t batch, std::int64_t targets)
      : stream_(stream), targets_(static_cast<std::size_t>(targets)) {
    const auto rows = static_cast<std::size_t>(batch) * targets_;
    out_.values.assign(rows * columns(), kNan);
    out_.bound.assign(rows * columns(), 0);
    out_.valid.assign(rows, false);
    out_.age_ns.assign(rows, std::numeric_limits<std::int64_t>::max());
    make_parts();
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::vector<Samples> logs = read_segment(b);
      std::vector<std::vector<bool>> filled(parts_.size());
      for (std::size_t t = 0; t < targets_; ++t) {
        place(logs, at, static_cast<std::size_t>(b) * targets_ + t, filled);
      }
      for (std::size_t p = 0; p < parts_.size(); ++p) {
        for (std::size_t q : parts_[p].quaternions()) keep_signs(b, parts_[p].first + q, filled[p]);
        if (!stream_.scale.empty() || !stream_.bias.empty()) scale(b, parts_[p], filled[p]);
      }
    }
  }

  [[nodiscard]] const Expected& answer() const { return out_; }

 private:
  [[nodiscard]] std::size_t columns() const { return static_cast<std::size_t>(stream_.columns); }

  static std::int64_t age(const Instant& t, const Instant& stamp) {
    const Real ns = nanoseconds(t, stamp);
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

  void make_parts() {
    std::vector<ColumnRun> runs = stream_.runs;
    if (runs.empty()) runs.push_back({stream_.interp, stream_.columns});
    std::size_t first = 0;
    for (const ColumnRun& run : runs) {
      Interp mode = run.interp;
      if (mode == Interp::automatic) mode = is_float(stream_.dtype) ? Interp::linear : Interp::hold;
      const auto width = static_cast<std::size_t>(run.columns);
      const bool whole = stream_.missing == Missing::propagate || width == 0;
      const std::size_t step = whole ? width : unit_of(mode);
      for (std::size_t d = 0; d < std::max<std::size_t>(width, 1); d += std::max<std::size_t>(step, 1)) {
        parts_.emplace_back(stream_, mode, first + d, step);
      }
      for (std::size_t d = 0; d < width; ++d) {
        const bool turned = unit_of(mode) > 1 && d % unit_of(mode) + 4 >= unit_of(mode);
        const bool rotates = turned || mode == Interp::screw;
        const bool wide = in_float64(stream_) && (rotates || mode == Interp::angle);
        out_.turn.push_back(rotates ? turn_of(stream_.dtype) : 0);
        out_.bits.push_back(stream_.dtype == DType::f64 || wide ? 53 : 24);
        out_.circular.push_back(mode == Interp::angle);
      }
      first += width;
    }
  }

  /// What each part reads for batch row b.
  [[nodiscard]] std::vector<Samples> read_segment(std::int64_t b) const {
    const std::int64_t g = stream_.rows.empty() ? b : stream_.rows[static_cast<std::size_t>(b)];
    const auto i = static_cast<std::size_t>(g);
    std::int64_t first = g * stream_.samples;
    std::int64_t first_stamp = stream_.shared ? 0 : first;
    auto count = static_cast<std::size_t>(stream_.lengths.empty() ? stream_.samples : stream_.lengths[i]);
    if (!stream_.offsets.empty()) {
      first = first_stamp = stream_.offsets[i];
      count = static_cast<std::size_t>(stream_.offsets[i + 1] - first);
    }
    std::vector<Samples> logs;
    for (const Part& part : parts_) {
      std::vector<Instant> stamps;
      std::vector<std::vector<Real>> values;
      std::vector<bool> there;
      for (std::size_t s = 0; s < count; ++s) {
        const std::size_t at = static_cast<std::size_t>(first_stamp) + s;
        stamps.push_back(shifted(stream_.stamps[at], stream_.offset_ns));
        const auto value = stream_.values.begin() +
                           static_cast<std::ptrdiff_t>((static_cast<std::size_t>(first) + s) * columns() + part.first);
        values.emplace_back(value, value + static_cast<std::ptrdiff_t>(part.columns));
        const bool nan = stream_.missing != Missing::propagate && is_float(stream_.dtype) &&
                         std::any_of(values.back().begin(), values.back().end(), [](Real x) { return std::isnan(x); });
        there.push_back((stream_.mask.empty() || stream_.mask[at]) && !nan);
      }
      logs.push_back(with_policy(stream_.missing, stamps, values, there));
    }
    return logs;
  }

  void place(const std::vector<Samples>& logs, const std::vector<Instant>& at, std::size_t row,
             std::vector<std::vector<bool>>& filled) {
    const Instant& t = at[row];
    out_.valid[row] = true;
    out_.age_ns[row] = std::numeric_limits<std::int64_t>::min();
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const Row answer = parts_[p].row(logs[p], t);
      for (std::size_t d = 0; d < parts_[p].columns; ++d) {
        out_.values[row * columns() + parts_[p].first + d] = answer.values[d].value;
        out_.bound[row * columns() + parts_[p].first + d] = answer.values[d].bound;
      }
      filled[p].push_back(answer.filled);
      if (!answer.valid) out_.valid[row] = false;
      const std::vector<Instant>& aged = logs[p].aged;
      const bool none = aged.empty() || is_nan(t);
      out_.age_ns[row] = std::max(
          out_.age_ns[row], none ? std::numeric_limits<std::int64_t>::max()
                                 : age(t, aged[static_cast<std::size_t>(std::max<std::int64_t>(last_at(aged, t), 0))]));
    }
  }

  /// Each quaternion of a row in the hemisphere of the one before it, in the order of the targets.
  void keep_signs(std::int64_t b, std::size_t column, const std::vector<bool>& filled) {
    Quat before{kNan, kNan, kNan, kNan};
    bool turned = false;
    for (std::size_t t = 0; t < targets_; ++t) {
      Real* const q = &out_.values[(static_cast<std::size_t>(b) * targets_ + t) * columns() + column];
      Quat raw{kNan, kNan, kNan, kNan};
      if (!filled[t]) std::copy_n(q, 4, raw.begin());
      turned ^= dot(raw, before) < 0;
      for (std::size_t c = 0; turned && !filled[t] && c < 4; ++c) q[c] = -q[c];
      before = raw;
    }
  }

  void scale(std::int64_t b, const Part& part, const std::vector<bool>& filled) {
    const Real unit = stream_.dtype == DType::f64 ? 0x1p-53L : 0x1p-24L;
    for (std::size_t t = 0; t < targets_; ++t) {
      for (std::size_t d = part.first; !filled[t] && d < part.first + part.columns; ++d) {
        const std::size_t k = (static_cast<std::size_t>(b) * targets_ + t) * columns() + d;
        const Real factor = stream_.scale.empty() ? 1 : stream_.scale[d];
        const Real bias = stream_.bias.empty() ? 0 : stream_.bias[d];
        const Real scaled = out_.values[k] * factor;
        out_.bound[k] = out_.bound[k] * std::abs(factor) + 3 * unit * (std::abs(scaled) + std::abs(bias));
        out_.values[k] = scaled + bias;
      }
    }
  }

  const OracleStream& stream_;
  std::size_t targets_;
  std::vector<Part> parts_;
  Expected out_;
};

/// Whether `got`, read from an output of `dtype`, is element i of the answer: exact where the bound is 0; else within
/// the bound, plus half an ulp where the output is narrower than the arithmetic.
inline bool agrees(const Expected& expected, std::size_t i, Real got, DType dtype) {
  const Real want = rounded(expected.values[i], dtype);
  if (got == want || (std::isnan(got) && std::isnan(want))) return true;
  const std::size_t column = i % expected.bits.size();
  Real bound = expected.bound[i];
  if (!is_float(dtype) || !(bound > 0) || !std::isfinite(bound)) return false;
  if (expected.turn[column] > 0) bound *= std::max(Real{1}, turn_of(dtype) / expected.turn[column]);
  const bool narrower = format_of(dtype).bits < expected.bits[column];
  const Real half = narrower ? ulp(std::abs(expected.values[i]) + bound, dtype) / 2 : Real{0};
  constexpr Real kTurn = 2 * 3.14159265358979323846L;
  const Real error = std::abs(got - expected.values[i]);
  return (expected.circular[column] ? std::abs(error - std::nearbyint(error / kTurn) * kTurn) : error) <= bound + half;
}

}  // namespace robocache::reference
