// Every mode, with column runs, masks and NaN, on the random layouts of align_random.hpp: against the oracle that the
// case tables use, at every ISA level that this processor has.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/isa.hpp"
#include "kernels/align.hpp"
#include "kernels/align_random.hpp"
#include "reference/align_oracle.hpp"

namespace robocache {
namespace {

using align_random::Bytes;
using align_random::Random;
using align_random::StreamCase;
using reference::OracleStream;

constexpr std::uint8_t kUntouched = 0xa5;

Interp pick_mode(Random& random, DType dtype, std::int64_t columns) {
  if (!is_float(dtype)) return random.pick({Interp::hold, Interp::nearest});
  if (columns % 7 == 0 && random.one_in(2)) return random.pick({Interp::se3, Interp::screw});
  if (columns % 4 == 0 && random.one_in(2)) return Interp::slerp;
  return random.pick({Interp::hold, Interp::nearest, Interp::linear, Interp::pchip, Interp::pchip, Interp::angle});
}

void put_nan(Bytes& values, DType dtype, std::int64_t element) {
  const auto put = [&](auto bits) {
    std::memcpy(values.data() + element * static_cast<std::int64_t>(sizeof bits), &bits, sizeof bits);
  };
  if (dtype == DType::f64) put(std::numeric_limits<double>::quiet_NaN());
  if (dtype == DType::f32) put(std::numeric_limits<float>::quiet_NaN());
  if (dtype == DType::f16 || dtype == DType::bf16) put(std::uint16_t{0x7fff});
}

/// A stream of a random case with modes, a mask and NaN of its own, and the same for the oracle.
struct ModeCase {
  StreamCase& s;
  std::vector<ColumnRun> runs;
  std::unique_ptr<bool[]> mask;
  OracleStream oracle;

  ModeCase(Random& random, StreamCase& stream, DType time) : s(stream) {
    AlignStream& a = s.args;
    for (std::int64_t left = a.columns; left > 0 || runs.empty();) {
      const std::int64_t width = random.one_in(2) ? left : std::min(left, random.pick<std::int64_t>({1, 4, 7, 14, 33}));
      runs.push_back({pick_mode(random, a.dtype, width), width});
      left -= width;
    }
    a.missing = random.pick({Missing::propagate, Missing::skip, Missing::hold});
    a.quaternion = random.pick({QuaternionOrder::xyzw, QuaternionOrder::wxyz});
    if (is_float(a.dtype) && random.one_in(2)) add_nan(random);
    fill_oracle(time);
    if (random.one_in(2)) add_mask(random);
  }

 private:
  void add_nan(Random& random) {
    const int rarity = random.pick({3, 30, 300});
    for (const std::vector<std::int64_t>& segment : s.first) {
      for (const std::int64_t first : segment) {
        for (std::int64_t d = 0; d < s.args.columns; ++d) {
          if (random.one_in(rarity)) put_nan(s.values, s.args.dtype, first + d * s.args.value_column);
        }
      }
    }
  }

  /// The segments one behind the other, each with the samples that it has.
  void fill_oracle(DType time) {
    const AlignStream& a = s.args;
    oracle.dtype = a.dtype;
    oracle.before = a.place.before;
    oracle.after = a.place.after;
    oracle.max_gap_ns = a.place.max_gap_ns;
    oracle.max_age_ns = a.place.max_age_ns;
    oracle.offset_ns = a.offset_ns;
    oracle.columns = a.columns;
    oracle.rows = s.rows;
    oracle.scale = s.scale;
    oracle.bias = s.bias;
    oracle.runs = runs;
    oracle.missing = a.missing;
    oracle.quaternion = a.quaternion;
    oracle.offsets.push_back(0);
    for (std::size_t g = 0; g < s.times.size(); ++g) {
      for (std::size_t i = 0; i < s.times[g].size(); ++i) {
        const reference::Real stamp = s.times[g][i];
        if (time == DType::i64) oracle.stamps.emplace_back(static_cast<std::int64_t>(stamp));
        if (time == DType::f64) oracle.stamps.emplace_back(static_cast<double>(stamp));
        if (time == DType::f32) oracle.stamps.emplace_back(static_cast<float>(stamp));
        for (std::int64_t d = 0; d < a.columns; ++d) {
          oracle.values.push_back(align_random::value_at(s.values, a.dtype, s.first[g][i] + d * a.value_column));
        }
      }
      oracle.offsets.push_back(static_cast<std::int64_t>(oracle.stamps.size()));
    }
  }

  void add_mask(Random& random) {
    AlignStream& a = s.args;
    const int rarity = random.pick({2, 5, 50});
    a.mask_row = random.integer(1, 2);
    // A clock that the segments share has a mask that they share.
    a.mask_batch = a.stamp_batch == 0 ? 0 : a.samples * a.mask_row + random.integer(0, 2);
    const auto elements = static_cast<std::size_t>(a.segments * a.mask_batch + (a.samples + 1) * a.mask_row);
    mask = std::make_unique<bool[]>(elements);
    std::generate_n(mask.get(), elements, [&] { return !random.one_in(rarity); });
    a.mask = mask.get();
    for (std::size_t g = 0; g < s.times.size(); ++g) {
      const std::int64_t begin = s.offsets.empty() ? 0 : s.offsets[g];
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(s.times[g].size()); ++i) {
        const std::int64_t at = static_cast<std::int64_t>(g) * a.mask_batch + (begin + i) * a.mask_row;
        oracle.mask.push_back(mask[static_cast<std::size_t>(at)]);
      }
    }
  }
};

/// What one run writes: an output for each stream, marks [N, B, T].
struct Outputs {
  std::vector<Bytes> values, valid;
  std::vector<std::vector<std::int64_t>> age_ns;
};

/// Equal bits, but for which NaN it is: that is the processor's choice.
void expect_equal(const Outputs& got, const Outputs& want, const std::vector<ModeCase>& modes) {
  EXPECT_EQ(got.valid, want.valid);
  EXPECT_EQ(got.age_ns, want.age_ns);
  for (std::size_t n = 0; n < modes.size(); ++n) {
    const DType dtype = modes[n].s.args.out_dtype;
    for (std::size_t k = 0; k * size_of(dtype) < want.values[n].size(); ++k) {
      const reference::Real a = align_random::value_at(got.values[n], dtype, static_cast<std::int64_t>(k));
      const reference::Real b = align_random::value_at(want.values[n], dtype, static_cast<std::int64_t>(k));
      ASSERT_TRUE((a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b)))
          << "stream " << n << ", element " << k << ": " << a << ", baseline " << b;
    }
  }
}

Outputs run(const align_random::Case& c, const std::vector<ModeCase>& modes, Isa level, int threads) {
  Outputs out;
  AlignArgs args = c.args;
  const auto rows = static_cast<std::size_t>(args.batch * args.targets);
  Bytes valid(modes.size() * rows, kUntouched);
  std::vector<std::int64_t> age(modes.size() * rows, -1);
  std::vector<AlignStream> list;
  for (std::size_t n = 0; n < modes.size(); ++n) {
    AlignStream a = modes[n].s.args;
    a.number = static_cast<std::uint32_t>(n);
    a.out_row = a.columns + 3;
    a.out_batch = args.targets * a.out_row + 1;
    const std::size_t size = size_of(a.out_dtype);
    out.values.emplace_back(static_cast<std::size_t>(args.batch * a.out_batch + 1) * size, kUntouched);
    std::int64_t first = 0;
    for (const ColumnRun& columns : modes[n].runs) {
      AlignStream r = a;
      r.columns = columns.columns;
      r.place.interp = columns.interp;
      r.continues = first > 0;
      r.values = static_cast<const std::uint8_t*>(a.values) +
                 first * a.value_column * static_cast<std::int64_t>(size_of(a.dtype));
      r.out = out.values.back().data() + (1 + static_cast<std::size_t>(first)) * size;
      if (a.scale != nullptr) r.scale = a.scale + first;
      if (a.bias != nullptr) r.bias = a.bias + first;
      list.push_back(r);
      first += columns.columns;
    }
  }
  args.streams = list;
  args.valid = reinterpret_cast<bool*>(valid.data());
  args.age_ns = age.data();
  args.valid_stream = args.age_stream = static_cast<std::int64_t>(rows);
  args.valid_batch = args.age_batch = args.targets;
  args.valid_row = args.age_row = 1;
  Context ctx;
  ctx.threads = threads;
  visit(level, BuiltIsas{}, [&]<Isa isa>() { cpu::align<isa>(args, ctx); });
  for (std::size_t n = 0; n < modes.size(); ++n) {
    const auto begin = static_cast<std::ptrdiff_t>(n * rows), end = begin + static_cast<std::ptrdiff_t>(rows);
    out.valid.emplace_back(valid.begin() + begin, valid.begin() + end);
    out.age_ns.emplace_back(age.begin() + begin, age.begin() + end);
  }
  return out;
}

std::vector<reference::Instant> targets_of(const align_random::Case& c) {
  std::vector<reference::Instant> at;
  for (const auto& row : c.targets) {
    for (const reference::Real t : row) {
      if (c.args.time == DType::i64) at.emplace_back(static_cast<std::int64_t>(t));
      if (c.args.time == DType::f64) at.emplace_back(static_cast<double>(t));
      if (c.args.time == DType::f32) at.emplace_back(static_cast<float>(t));
    }
  }
  return at;
}

void check(const align_random::Case& c, const ModeCase& mode, const Bytes& values, const Bytes& valid,
           const std::vector<std::int64_t>& age_ns) {
  const AlignArgs& args = c.args;
  const AlignStream& a = mode.s.args;
  const reference::Expected want =
      reference::AlignOracle(mode.oracle, targets_of(c), args.batch, args.targets).answer();
  EXPECT_EQ(age_ns, want.age_ns);
  for (std::int64_t row = 0; row < args.batch * args.targets; ++row) {
    ASSERT_EQ(valid[static_cast<std::size_t>(row)] == 1, want.valid[static_cast<std::size_t>(row)]) << "row " << row;
    const std::int64_t begin =
        1 + row / args.targets * (args.targets * (a.columns + 3) + 1) + row % args.targets * (a.columns + 3);
    for (std::int64_t d = 0; d < a.columns; ++d) {
      const auto k = static_cast<std::size_t>(row * a.columns + d);
      const reference::Real got = align_random::value_at(values, a.out_dtype, begin + d);
      ASSERT_TRUE(reference::agrees(want, k, got, a.out_dtype))
          << "row " << row << ", column " << d << ": " << got << ", expected " << want.values[k] << " +- "
          << want.bound[k];
    }
    for (std::int64_t byte = (begin + a.columns) * static_cast<std::int64_t>(size_of(a.out_dtype)), gap = 0;
         gap < 3 * static_cast<std::int64_t>(size_of(a.out_dtype)); ++gap) {
      const auto at = static_cast<std::size_t>(byte + gap);
      ASSERT_TRUE(at >= values.size() || values[at] == kUntouched) << "wrote past row " << row;
    }
  }
}

TEST(AlignModes, AgreeWithTheOracleAtEveryIsaLevel) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    align_random::Case c = align_random::make_case(seed);
    Random random(seed + 1'000'000);
    std::vector<ModeCase> modes;
    modes.reserve(c.streams.size());
    for (StreamCase& s : c.streams) modes.emplace_back(random, s, c.args.time);
    const Outputs base = run(c, modes, Isa::baseline, 1);
    for (std::size_t n = 0; n < modes.size(); ++n) {
      SCOPED_TRACE("stream " + std::to_string(n));
      ASSERT_NO_FATAL_FAILURE(check(c, modes[n], base.values[n], base.valid[n], base.age_ns[n]));
    }
    for (const Isa isa : {Isa::avx2, Isa::avx512}) {
      if (!contains(BuiltIsas{}, isa) || isa > active_isa()) continue;
      SCOPED_TRACE(name(isa));
      ASSERT_NO_FATAL_FAILURE(expect_equal(run(c, modes, isa, 2), base, modes));
    }
  }
}

}  // namespace
}  // namespace robocache
