// The CPU kernel against a naive oracle, and every ISA level against every other, on random layouts. The oracle shares
// nothing with src/math: it scans all stamps and computes in long double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/isa.hpp"
#include "kernels/align.hpp"
#include "kernels/align_random.hpp"

namespace robocache {
namespace {

using namespace align_random;

/// Half a unit in the last place of a result of this size, and the error that f32 (f64) arithmetic may add.
Real tolerance(DType data, DType out, Real expected, Real largest) {
  const Real arithmetic = largest * (data == DType::f64 ? std::ldexp(1.0L, -50) : std::ldexp(8.0L, -24));
  const Real size = std::fabs(expected);
  switch (out) {
    case DType::f16:
      return arithmetic + std::max(size * std::ldexp(1.001L, -11), std::ldexp(1.0L, -25));
    case DType::bf16:
      return arithmetic + size * std::ldexp(1.001L, -8);
    case DType::f32:
      return arithmetic + size * std::ldexp(1.0L, -23);
    default:
      return arithmetic;
  }
}

/// What one run writes.
struct Outputs {
  std::vector<Bytes> values;
  Bytes valid;
  std::vector<std::int64_t> age_ns;
  Fault fault;
};

constexpr std::uint8_t kUntouched = 0xa5;

Outputs run(Case& c, Isa level, int threads) {
  Outputs out;
  const auto n = static_cast<std::int64_t>(c.streams.size());
  const std::int64_t rows = c.args.batch * c.args.targets;
  c.list.clear();
  for (StreamCase& s : c.streams) {
    AlignStream& a = s.args;
    a.out_row = a.columns + 3;
    a.out_batch = c.args.targets * a.out_row + 1;
    s.out_begin = 1;
    out.values.emplace_back(static_cast<std::size_t>(c.args.batch * a.out_batch + 1) * size_of(a.out_dtype),
                            kUntouched);
    a.out = out.values.back().data() + size_of(a.out_dtype);
    a.number = static_cast<std::uint32_t>(c.list.size());
    c.list.push_back(a);
  }
  out.valid.assign(static_cast<std::size_t>(2 * rows * n), kUntouched);
  out.age_ns.assign(static_cast<std::size_t>(rows * n), -1);
  AlignArgs args = c.args;
  args.streams = c.list;
  args.valid = reinterpret_cast<bool*>(out.valid.data());
  args.valid_stream = 2 * rows;  // every other element of [N, B, 2 T]
  args.valid_batch = 2 * c.args.targets;
  args.valid_row = 2;
  args.age_ns = out.age_ns.data();
  args.age_stream = 1;
  args.age_row = n;
  args.age_batch = n * c.args.targets;
  Context ctx;
  ctx.threads = threads;
  visit(level, BuiltIsas{}, [&]<Isa isa>() { out.fault = cpu::align<isa>(args, ctx); });
  return out;
}

/// The answer for one row of one stream.
struct Expected {
  bool valid = false;
  bool refused = false;
  Real age_ns = static_cast<Real>(std::numeric_limits<std::int64_t>::max());
  std::int64_t sample = -1;  // -1: `constant`
  Real weight = 0;           // of sample + 1, when it is not 0
  double constant = std::nan("");
};

void expect_outside(const AlignStream& a, const std::vector<Real>& times, Real t, const Outside& policy, bool before,
                    Expected& e) {
  const auto n = static_cast<std::int64_t>(times.size());
  e.sample = before ? 0 : n - 1;
  e.refused = policy.policy == Outside::Policy::error;
  if (policy.policy == Outside::Policy::fill) {
    e.sample = -1;
    e.constant = policy.value;
  }
  if (policy.policy != Outside::Policy::extrapolate || a.place.interp != Interp::linear) return;
  for (std::int64_t k = 0; k + 1 < n; ++k) {
    const std::int64_t i = before ? k : n - 2 - k;
    if (times[i] == times[i + 1]) continue;
    e.sample = i;
    e.weight = (t - times[i]) / (times[i + 1] - times[i]);
    return;
  }
}

Expected expect(const Case& c, const StreamCase& s, std::int64_t b, std::int64_t target) {
  const AlignStream& a = s.args;
  std::vector<Real> times = s.times[s.rows.empty() ? b : s.rows[b]];
  for (Real& time : times) time += static_cast<Real>(a.offset_ns) / c.unit;
  const auto n = static_cast<std::int64_t>(times.size());
  const Real t = c.targets[b][target];
  Expected e;
  if (n == 0) return e;
  std::int64_t i = -1;
  for (std::int64_t k = 0; k < n; ++k) {
    if (times[k] <= t) i = k;
  }
  e.age_ns = std::nearbyint((t - times[std::max<std::int64_t>(i, 0)]) * c.unit);
  if (i < 0) {
    expect_outside(a, times, t, a.place.before, true, e);
    return e;
  }
  const bool exact = times[i] == t;
  if (i == n - 1 && !exact && a.place.interp != Interp::hold) {
    expect_outside(a, times, t, a.place.after, false, e);
    return e;
  }
  e.sample = i;
  e.valid = true;
  if (exact) return e;
  Real age = t - times[i];
  if (i + 1 < n) {
    const Real ahead = times[i + 1] - t;
    if (a.place.interp == Interp::nearest && ahead < age) {
      e.sample = i + 1;
      while (e.sample + 1 < n && times[e.sample + 1] == times[i + 1]) ++e.sample;
      age = ahead;
    }
    if (a.place.interp == Interp::linear) {
      e.weight = age / (times[i + 1] - times[i]);
      age = std::min(age, ahead);
    }
    if ((times[i + 1] - times[i]) * c.unit > static_cast<Real>(a.place.max_gap_ns)) e.valid = false;
  }
  if (age * c.unit > static_cast<Real>(a.place.max_age_ns)) e.valid = false;
  return e;
}

Real expected_fill(DType dtype, double value) {
  if (is_float(dtype)) return static_cast<Real>(value);
  if (std::isnan(value)) return 0;
  if (dtype == DType::boolean) return value != 0 ? 1 : 0;
  if (dtype == DType::u8) return value < 0 ? 0 : std::trunc(static_cast<Real>(value));
  return std::trunc(static_cast<Real>(value));
}

void check_row(const StreamCase& s, const Outputs& out, std::size_t stream, std::int64_t b, std::int64_t t,
               const Expected& e) {
  const AlignStream& a = s.args;
  const std::int64_t to = s.out_begin + b * a.out_batch + t * a.out_row;
  const bool unchanged = a.dtype == a.out_dtype && s.scale.empty() && e.weight == 0;
  const std::int64_t segment = s.rows.empty() ? b : s.rows[b];
  for (std::int64_t d = 0; d < a.columns; ++d) {
    const Real got = value_at(out.values[stream], a.out_dtype, to + d);
    if (e.sample < 0) {
      const Real want = expected_fill(a.out_dtype, e.constant);
      ASSERT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << "fill " << got << " instead of " << want;
      continue;
    }
    const std::int64_t from = s.first[segment][e.sample] + d * a.value_column;
    Real want = value_at(s.values, a.dtype, from);
    Real largest = std::fabs(want);
    if (e.weight != 0) {
      const Real next = value_at(s.values, a.dtype, s.first[segment][e.sample + 1] + d * a.value_column);
      largest = std::max(largest, std::fabs(next)) * std::max<Real>(1, 2 * std::fabs(e.weight));
      want += e.weight * (next - want);
    }
    if (!s.scale.empty()) want = want * s.scale[d];
    if (!s.bias.empty()) want = want + s.bias[d];
    largest = std::max(2 * largest, std::fabs(want) + 2);
    if (a.out_dtype == DType::f16 && std::fabs(want) > 65'500) {  // about where f16 ends
      ASSERT_TRUE(std::fabs(got) > 65'000) << got << " instead of " << want;
      continue;
    }
    ASSERT_LE(std::fabs(got - want), unchanged ? 0 : tolerance(a.dtype, a.out_dtype, want, largest))
        << "column " << d << ": " << got << " instead of " << want;
  }
  for (std::size_t gap = 0; gap < 3 * size_of(a.out_dtype); ++gap) {
    const std::size_t byte = static_cast<std::size_t>(to + a.columns) * size_of(a.out_dtype) + gap;
    if (byte < out.values[stream].size()) {
      ASSERT_EQ(out.values[stream][byte], kUntouched) << "wrote past the row";
    }
  }
}

void check_case(Case& c, const Outputs& out) {
  const auto n = static_cast<std::int64_t>(c.streams.size());
  Fault first;
  for (std::int64_t s = n - 1; s >= 0; --s) {
    for (std::int64_t b = c.args.batch - 1; b >= 0; --b) {
      for (std::int64_t t = c.args.targets - 1; t >= 0; --t) {
        SCOPED_TRACE("stream " + std::to_string(s) + " row " + std::to_string(b) + " target " + std::to_string(t));
        const Expected e = expect(c, c.streams[s], b, t);
        const std::int64_t mark = 2 * ((s * c.args.batch + b) * c.args.targets + t);
        ASSERT_EQ(out.valid[mark], e.valid ? 1 : 0);
        ASSERT_EQ(out.valid[mark + 1], kUntouched);
        ASSERT_EQ(out.age_ns[(b * c.args.targets + t) * n + s], static_cast<std::int64_t>(e.age_ns));
        ASSERT_NO_FATAL_FAILURE(check_row(c.streams[s], out, s, b, t, e));
        if (e.refused)
          first = {Fault::Code::outside, static_cast<std::uint32_t>(s), static_cast<std::uint64_t>(b),
                   static_cast<std::uint64_t>(t)};
      }
    }
  }
  EXPECT_EQ(out.fault.encode(), first.encode());
}

std::vector<Isa> levels() {
  std::vector<Isa> list;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (contains(BuiltIsas{}, isa) && isa <= active_isa()) list.push_back(isa);
  }
  return list;
}

TEST(AlignCpu, AgreesWithNaiveOracleAtEveryIsaLevel) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Case c = make_case(seed);
    const Outputs base = run(c, Isa::baseline, 1);
    ASSERT_NO_FATAL_FAILURE(check_case(c, base));
    for (const Isa isa : levels()) {
      SCOPED_TRACE(name(isa));
      const Outputs other = run(c, isa, 2);
      ASSERT_EQ(other.values, base.values);
      ASSERT_EQ(other.valid, base.valid);
      ASSERT_EQ(other.age_ns, base.age_ns);
      ASSERT_EQ(other.fault.encode(), base.fault.encode());
    }
  }
}

}  // namespace
}  // namespace robocache
