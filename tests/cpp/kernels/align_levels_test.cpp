// What a random call seldom reaches, at every ISA level that this processor has: results larger than the caches,
// faults, quaternions, NaN targets, f16 and bf16 rounding.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/isa.hpp"
#include "kernels/align.hpp"

namespace robocache {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// One stream of contiguous [B, S, D] values and [B, S] int64 stamps at [B, T] targets.
struct Call {
  AlignStream stream;
  AlignArgs args;

  Call(std::int64_t batch, std::int64_t samples, std::int64_t targets, std::int64_t columns, Interp interp) {
    stream.samples = samples;
    stream.segments = args.batch = batch;
    stream.columns = stream.value_row = stream.out_row = columns;
    stream.value_batch = samples * columns;
    stream.stamp_batch = samples;
    stream.out_batch = targets * columns;
    stream.place = {interp, {}, {}, kNoLimit, kNoLimit};
    args.targets = args.at_batch = targets;
  }

  template <class T>
  void data(const std::vector<T>& values, const std::vector<std::int64_t>& stamps, const std::vector<std::int64_t>& at,
            std::vector<T>& out, DType dtype) {
    stream.values = values.data();
    stream.stamps = stamps.data();
    stream.out = out.data();
    stream.dtype = stream.out_dtype = dtype;
    args.at = at.data();
  }

  Fault run(Isa level, int threads = 2) {
    AlignArgs call = args;
    call.streams = {&stream, 1};
    Context ctx;
    ctx.threads = threads;
    Fault fault;
    visit(level, BuiltIsas{}, [&]<Isa isa>() { fault = cpu::align<isa>(call, ctx); });
    return fault;
  }
};

class AlignLevels : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > active_isa()) GTEST_SKIP() << "not on this processor";
  }
};

std::vector<std::int64_t> spaced(std::int64_t count, std::int64_t step, std::int64_t first = 0) {
  std::vector<std::int64_t> stamps;
  for (std::int64_t i = 0; i < count; ++i) stamps.push_back(first + i * step);
  return stamps;
}

/// A call whose result is larger than any cache must give what the same rows give in small calls.
template <class T>
void expect_large_like_small(Isa level, DType dtype, Interp interp, std::int64_t pitch_extra) {
  constexpr std::int64_t samples = 40;
  constexpr std::int64_t columns = 1027;  // no multiple of anything
  const std::int64_t targets = (30 << 20) / (columns * static_cast<std::int64_t>(sizeof(T)));
  std::mt19937_64 random(9);
  std::vector<T> values(samples * columns);
  for (T& v : values) {
    const std::uint64_t bits =
        dtype == DType::f64 ? (random() >> 2) | 0x3000000000000000 : random() & 0x3fff3fff3fff3fff;
    std::memcpy(&v, &bits, sizeof v);
  }
  const std::vector<std::int64_t> stamps = spaced(samples, 1'000'000);
  std::vector<std::int64_t> at;
  for (std::int64_t t = 0; t < targets; ++t) at.push_back(static_cast<std::int64_t>(random() % 40'000'000));
  std::sort(at.begin(), at.end());

  Call large(1, samples, targets, columns, interp);
  large.stream.out_row += pitch_extra;
  std::vector<T> got(static_cast<std::size_t>(targets * large.stream.out_row));
  std::memset(got.data(), 0x5a, got.size() * sizeof(T));
  std::vector<T> want = got;
  large.data(values, stamps, at, got, dtype);
  large.run(level);
  for (std::int64_t t = 0; t < targets; t += 100) {
    Call small(1, samples, std::min<std::int64_t>(100, targets - t), columns, interp);
    small.data(values, stamps, at, want, dtype);
    small.stream.out_row = large.stream.out_row;
    small.stream.out = want.data() + t * large.stream.out_row;
    small.args.at = at.data() + t;
    small.run(level, 1);
  }
  EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(T)), 0)
      << name(dtype) << " interp " << static_cast<int>(interp) << " pitch + " << pitch_extra;
}

TEST_P(AlignLevels, ResultsLargerThanTheCaches) {
  for (const std::int64_t extra : {0, 1, 5}) {
    for (const Interp interp : {Interp::linear, Interp::hold}) {
      expect_large_like_small<float>(GetParam(), DType::f32, interp, extra);
      expect_large_like_small<std::uint16_t>(GetParam(), DType::bf16, interp, extra);
    }
  }
  expect_large_like_small<double>(GetParam(), DType::f64, Interp::linear, 1);
  expect_large_like_small<std::uint16_t>(GetParam(), DType::f16, Interp::linear, 1);
  expect_large_like_small<std::uint8_t>(GetParam(), DType::u8, Interp::nearest, 3);
}

TEST_P(AlignLevels, EveryWidthAndAlignment) {
  // Half way between 2 and 4; the value behind the row must stay.
  for (std::int64_t columns = 1; columns <= 70; ++columns) {
    for (std::int64_t shift = 0; shift < 4; ++shift) {
      std::vector<float> values(static_cast<std::size_t>(2 * columns), 2.0F);
      std::fill(values.begin() + columns, values.end(), 4.0F);
      std::vector<float> out(static_cast<std::size_t>(columns + 8), -1.0F);
      const std::vector<std::int64_t> stamps = {0, 10};
      const std::vector<std::int64_t> at = {5};
      Call call(1, 2, 1, columns, Interp::linear);
      call.data(values, stamps, at, out, DType::f32);
      call.stream.out = out.data() + shift;
      call.run(GetParam());
      for (std::int64_t d = 0; d < columns + 8; ++d) {
        const bool inside = d >= shift && d < shift + columns;
        ASSERT_EQ(out[static_cast<std::size_t>(d)], inside ? 3.0F : -1.0F) << columns << " columns at " << shift;
      }
    }
  }
}

TEST_P(AlignLevels, FindsTheFirstFaultWhereverItIs) {
  constexpr std::int64_t batch = 3;
  constexpr std::int64_t samples = 2000;
  constexpr std::int64_t targets = 150;
  std::vector<float> values(batch * samples, 1.0F);
  std::vector<float> out(batch * targets);
  std::vector<std::int64_t> at;
  for (std::int64_t b = 0; b < batch; ++b) {
    for (const std::int64_t t : spaced(targets, 100)) at.push_back(t);
  }
  std::mt19937 random(10);
  for (int i = 0; i < 300; ++i) {
    const bool shared = i % 2 == 0;
    std::vector<std::int64_t> stamps;
    for (std::int64_t b = 0; b < batch; ++b) {
      for (const std::int64_t s : spaced(samples, 10)) stamps.push_back(s);
    }
    const std::int64_t row = shared ? 0 : static_cast<std::int64_t>(random() % batch);
    const std::int64_t item = 1 + static_cast<std::int64_t>(random() % (samples - 1));
    stamps[static_cast<std::size_t>(row * samples + item)] -= 11;
    stamps.back() = shared ? stamps.back() : 0;  // a later fault
    Call call(batch, samples, targets, 1, Interp::linear);
    call.data(values, stamps, at, out, DType::f32);
    if (shared) call.stream.stamp_batch = 0;
    const Fault fault = call.run(GetParam());
    ASSERT_EQ(fault.code, Fault::Code::stamps);
    ASSERT_EQ(fault.row, static_cast<std::uint64_t>(row));
    ASSERT_EQ(fault.item, static_cast<std::uint64_t>(item));
    call.args.check_data = false;
    ASSERT_EQ(call.run(GetParam()).code, Fault::Code::none);
  }
}

TEST_P(AlignLevels, PaddingIsNotChecked) {
  std::vector<float> values(8, 1.0F);
  std::vector<float> out(2);
  const std::vector<std::int64_t> stamps = {0, 10, 20, -5, 0, 10, 20, -5};
  const std::vector<std::int64_t> at = {5, 15};
  const std::vector<std::int32_t> lengths = {3, 2};
  for (const std::int64_t stride : {0, 4}) {
    Call call(2, 4, 1, 1, Interp::linear);
    call.data(values, stamps, at, out, DType::f32);
    call.stream.stamp_batch = stride;
    call.stream.lengths = {lengths.data(), 1, false};
    EXPECT_EQ(call.run(GetParam()).code, Fault::Code::none);
    call.stream.lengths = {};
    EXPECT_EQ(call.run(GetParam()).item, 3u);
  }
}

TEST_P(AlignLevels, ASharedClockIsCheckedAsFarAsAnyRowReads) {
  std::vector<float> values(4 * 100, 1.0F);
  std::vector<float> out(4);
  std::vector<std::int64_t> stamps = spaced(100, 10);
  const std::vector<std::int64_t> at(4, 5);
  const std::vector<std::int64_t> lengths = {1, 40, 100, 2};
  for (std::int64_t item = 1; item < 100; ++item) {
    stamps[static_cast<std::size_t>(item)] -= 11;
    Call call(4, 100, 1, 1, Interp::linear);
    call.data(values, stamps, at, out, DType::f32);
    call.stream.stamp_batch = 0;
    call.stream.lengths = {lengths.data(), 1, true};
    call.args.at_batch = 0;
    const Fault fault = call.run(GetParam());
    ASSERT_EQ(fault.code, Fault::Code::stamps) << item;
    ASSERT_EQ(fault.row, item < 40 ? 1u : 2u) << item;
    ASSERT_EQ(fault.item, static_cast<std::uint64_t>(item));
    stamps[static_cast<std::size_t>(item)] += 11;
  }
}

template <class T>
void expect_nan_faults(Isa level, DType time) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<float> values(3, 1.0F);
  const T at[] = {T{1}};
  struct Want {
    std::vector<T> stamps;
    std::uint64_t item;
  };
  for (const Want& want : {Want{{nan}, 0}, Want{{nan, 1, 2}, 1}, Want{{0, nan, 2}, 1}, Want{{0, 1, nan}, 2}}) {
    std::vector<float> out(1);
    Call call(1, static_cast<std::int64_t>(want.stamps.size()), 1, 1, Interp::hold);
    call.data(values, {}, {}, out, DType::f32);
    call.stream.stamps = want.stamps.data();
    call.args.at = at;
    call.args.time = time;
    const Fault fault = call.run(level);
    ASSERT_EQ(fault.code, Fault::Code::stamps);
    ASSERT_EQ(fault.item, want.item);
  }
}

TEST_P(AlignLevels, NanStampsAreFaults) {
  expect_nan_faults<double>(GetParam(), DType::f64);
  expect_nan_faults<float>(GetParam(), DType::f32);
}

TEST_P(AlignLevels, NanTargetsHaveNoValue) {
  const std::vector<float> values = {1, 2, 4};
  const std::vector<double> stamps = {0, 1, 2};
  // Sorted and unsorted neighbours: a NaN must not upset them.
  const std::vector<double> at = {0.5, kNan, 1.5, kNan, 0.25};
  std::vector<float> out(5);
  bool valid[5] = {};
  std::int64_t age[5] = {};
  Call call(1, 3, 5, 1, Interp::linear);
  call.data(values, {}, {}, out, DType::f32);
  call.stream.stamps = stamps.data();
  call.args.at = at.data();
  call.args.time = DType::f64;
  call.args.valid = valid;
  call.args.valid_row = 1;
  call.args.age_ns = age;
  call.args.age_row = 1;
  EXPECT_EQ(call.run(GetParam()).code, Fault::Code::none);
  EXPECT_EQ(out[0], 1.5F);
  EXPECT_EQ(out[2], 3.0F);
  EXPECT_EQ(out[4], 1.25F);
  for (const int t : {1, 3}) {
    EXPECT_TRUE(std::isnan(out[static_cast<std::size_t>(t)]));
    EXPECT_FALSE(valid[t]);
    EXPECT_EQ(age[t], std::numeric_limits<std::int64_t>::max());
  }
}

TEST_P(AlignLevels, QuaternionsTurnEvenlyAndStayUnit) {
  // About z from 0 to 90 degrees, not normalised, beside a group that turns the other way; the column order is kept.
  const double s = std::sqrt(0.5);
  std::vector<double> values = {0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 3 * s, 3 * s, s, 0, 0, -s};
  const std::vector<std::int64_t> stamps = {0, 90};
  const std::vector<std::int64_t> at = {-5, 0, 30, 60, 90, 95};
  std::vector<double> out(6 * 8);
  Call call(1, 2, 6, 8, Interp::slerp);
  call.data(values, stamps, at, out, DType::f64);
  call.stream.place.after = {Outside::Policy::fill, kNan};
  call.run(GetParam());
  const double degrees[] = {0, 0, 30, 60, 90};
  for (int t = 0; t < 5; ++t) {
    const double half = degrees[t] * std::acos(-1.0) / 360;
    const double want[] = {0, 0, std::sin(half), std::cos(half), std::cos(half), 0, 0, -std::sin(half)};
    for (int d = 0; d < 8; ++d) EXPECT_NEAR(out[static_cast<std::size_t>(t * 8 + d)], want[d], 1e-15) << t << ", " << d;
  }
  for (int d = 0; d < 8; ++d) EXPECT_TRUE(std::isnan(out[static_cast<std::size_t>(5 * 8 + d)]));
}

TEST_P(AlignLevels, QuaternionsInF16RoundOnce) {
  // 0.7071067811865476 is 0x39a8 in f16.
  const std::vector<std::uint16_t> values = {0x3c00, 0, 0, 0, 0, 0x3c00, 0, 0};
  const std::vector<std::int64_t> stamps = {0, 10};
  const std::vector<std::int64_t> at = {5};
  std::vector<std::uint16_t> out(4);
  Call call(1, 2, 1, 4, Interp::slerp);
  call.data(values, stamps, at, out, DType::f16);
  call.run(GetParam());
  EXPECT_EQ(out, (std::vector<std::uint16_t>{0x39a8, 0x39a8, 0, 0}));
}

TEST_P(AlignLevels, HalvesRoundToNearestEven) {
  // 1 + w * (next - 1) with w = 1/2 is a tie between 1 (even) and next (odd); with w = 3/4 it is next.
  for (const auto& [dtype, one] : {std::pair{DType::f16, 0x3c00}, std::pair{DType::bf16, 0x3f80}}) {
    for (const std::int64_t columns : {1, 4, 8, 16, 19, 40}) {
      std::vector<std::uint16_t> values(static_cast<std::size_t>(2 * columns), static_cast<std::uint16_t>(one));
      std::fill(values.begin() + columns, values.end(), static_cast<std::uint16_t>(one + 1));
      const std::vector<std::int64_t> stamps = {0, 4};
      const std::vector<std::int64_t> at = {1, 2, 3};
      std::vector<std::uint16_t> out(static_cast<std::size_t>(3 * columns));
      Call call(1, 2, 3, columns, Interp::linear);
      call.data(values, stamps, at, out, dtype);
      call.run(GetParam());
      for (std::int64_t d = 0; d < columns; ++d) {
        ASSERT_EQ(out[static_cast<std::size_t>(d)], one);
        ASSERT_EQ(out[static_cast<std::size_t>(columns + d)], one);
        ASSERT_EQ(out[static_cast<std::size_t>(2 * columns + d)], one + 1);
      }
    }
  }
}

TEST_P(AlignLevels, NanStaysNan) {
  constexpr std::int64_t columns = 33;
  for (const auto& [dtype, infinity] : {std::pair{DType::f16, 0x7c00}, std::pair{DType::bf16, 0x7f80}}) {
    for (int nan = infinity + 1; nan <= 0x7fff; ++nan) {
      const auto bits = static_cast<std::uint16_t>(nan % 2 == 0 ? nan : nan | 0x8000);
      std::vector<std::uint16_t> values(2 * columns, 0);
      std::fill(values.begin(), values.begin() + columns, bits);
      const std::vector<std::int64_t> stamps = {0, 4};
      const std::vector<std::int64_t> at = {1};
      std::vector<std::uint16_t> out(columns);
      Call call(1, 2, 1, columns, Interp::linear);
      call.data(values, stamps, at, out, dtype);
      call.run(GetParam());
      for (const std::uint16_t got : out) ASSERT_GT(got & 0x7fff, infinity) << nan;
    }
  }
}

TEST_P(AlignLevels, IntegersBecomeDoublesWithoutLoss) {
  const std::vector<std::int64_t> values = {(std::int64_t{1} << 53) - 1, -(std::int64_t{1} << 53) + 1, 16777217};
  const std::vector<std::int64_t> stamps = {0};
  const std::vector<std::int64_t> at = {0};
  std::vector<std::int64_t> unused(3);
  double out[3] = {};
  Call call(1, 1, 1, 3, Interp::hold);
  call.data(values, stamps, at, unused, DType::i64);
  call.stream.out = out;
  call.stream.out_dtype = DType::f64;
  call.run(GetParam());
  for (std::size_t d = 0; d < 3; ++d) EXPECT_EQ(out[d], static_cast<double>(values[d]));
}

INSTANTIATE_TEST_SUITE_P(Isa, AlignLevels, testing::Values(Isa::baseline, Isa::avx2, Isa::avx512),
                         [](const auto& level) { return std::string(name(level.param)); });

}  // namespace
}  // namespace robocache
