#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "align_curves.hpp"
#include "robocache/align.hpp"

/// What the policies for missing samples make of a log, for the oracle; the C++ twin of align_missing.py.
namespace robocache::reference {

/// A stamp or target: int64 ns, or f64 | f32 seconds.
using Instant = std::variant<std::int64_t, double, float>;

/// The samples that one unit (or one run of columns) interpolates between.
struct Samples {
  std::vector<Instant> stamps;
  std::vector<std::vector<Real>> values;  ///< [n][columns]
  std::vector<Instant> taken_at;          ///< the stamp that each value really has
  std::vector<bool> lost;                 ///< a row that uses such a sample is not valid
  std::vector<Instant> aged;              ///< the stamps that age counts from

  void add(const Instant& stamp, const std::vector<Real>& value, const Instant& taken, bool is_lost) {
    stamps.push_back(stamp);
    values.push_back(is_lost ? std::vector<Real>(value.size(), kNan) : value);
    taken_at.push_back(taken);
    lost.push_back(is_lost);
  }
};

inline Samples with_policy(Missing policy, const std::vector<Instant>& stamps,
                           const std::vector<std::vector<Real>>& values, const std::vector<bool>& there) {
  Samples s;
  std::ptrdiff_t last = -1;
  for (std::size_t i = 0; i < stamps.size(); ++i) {
    if (there[i]) last = static_cast<std::ptrdiff_t>(i);
    if (policy == Missing::propagate) s.add(stamps[i], values[i], stamps[i], !there[i]);
    if (policy == Missing::skip && there[i]) s.add(stamps[i], values[i], stamps[i], false);
    if (policy == Missing::hold) {
      const std::size_t from = last < 0 ? i : static_cast<std::size_t>(last);
      s.add(stamps[i], values[from], stamps[from], last < 0);
    }
    if (policy == Missing::propagate || there[i]) s.aged.push_back(stamps[i]);
  }
  return s;
}

}  // namespace robocache::reference
