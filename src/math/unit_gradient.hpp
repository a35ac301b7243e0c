#pragma once

#include <cstdint>

#include "core/host_device.hpp"
#include "math/dual.hpp"
#include "math/unit.hpp"

// Derivatives of a unit's value by the samples that it is made of.
namespace robocache {

template <>
inline constexpr bool has_f64<Dual<float>> = false;

/// Whether the derivative depends on time alone: then it is one weight for all columns.
ROBOCACHE_HD constexpr bool has_weights(Interp interp) { return unit_columns(interp) == 1 && interp != Interp::pchip; }

/// Whether derivatives are computed in f64 whatever the data is, as the values are.
ROBOCACHE_HD constexpr bool needs_f64(Interp interp) { return has_quaternion(interp) || interp == Interp::angle; }

/// The derivative of hold, nearest, linear and angle by sample s.
template <class C>
ROBOCACHE_HD C sample_weight(const Placement& p, std::int64_t s) {
  if (p.store == Placement::Store::fill) return C(0);
  if (p.store == Placement::Store::copy) return p.index == s ? C(1) : C(0);
  const C w = static_cast<C>(p.weight);
  return (p.index == s ? C(1) - w : C(0)) + (p.next == s ? w : C(0));
}

/// The sum over the outputs j of a unit of upstream(j) times the derivative of output j by column `column` of sample s.
/// An output that is NaN has no part in it: one bad row must not spoil the rest. `written(j)` has the sign that output
/// j was stored with; only asked for quaternions.
template <class C, class Sample, class Upstream, class Written>
ROBOCACHE_HD C unit_gradient(Interp interp, QuaternionOrder order, const UnitPlace& u, std::int64_t s, int column,
                             const Sample& sample, const Upstream& upstream, const Written& written) {
  const auto seeded = [&](std::int64_t i, int k) { return Dual<C>(sample(i, k), i == s && k == column ? C(1) : C(0)); };
  const int columns = unit_columns(interp);
  const int quaternion = has_quaternion(interp) ? columns - 4 : columns;
  Dual<C> out[7];
  unit_value<Dual<C>>(interp, order, u, seeded, out);
  C product = C(0);
  for (int j = quaternion; j < columns; ++j) product = product + written(j) * out[j].v;
  C sum = C(0);
  for (int j = 0; j < columns; ++j) {
    if (out[j].v != out[j].v) continue;
    const C part = upstream(j) * out[j].d;
    sum = sum + (j >= quaternion && product < C(0) ? -part : part);
  }
  return sum;
}

}  // namespace robocache
