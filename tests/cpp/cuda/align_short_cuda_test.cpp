// The CUDA kernel for one plain stream with a short clock against the CPU's, bit for bit, on both sides of each of its
// limits: beyond them, as of two streams, another kernel has to say the same.
#include <limits>

#include "align_random_cuda.hpp"
#include "core/visit.hpp"
#include "robocache/align.hpp"
#include "robocache/error.hpp"

namespace robocache {
namespace {

using namespace cuda_testing;
using align_random::Case;
using align_random::Random;
using align_random::StreamCase;

class CudaAlignShort : public CudaTest {};

/// Sorted stamps for each segment, at any distance from a multiple of 16 bytes. What lies around them would be found if
/// it were looked at: before a clock the latest possible stamp, behind it the earliest.
void lay_out_clock(Random& random, const AlignArgs& call, StreamCase& s) {
  AlignStream& a = s.args;
  const auto size = static_cast<std::int64_t>(size_of(call.time));
  const std::int64_t lead = random.integer(0, 16 / size);
  a.stamp_row = random.one_in(10) ? 2 : 1;
  a.stamp_batch = random.one_in(4) ? 0 : a.samples * a.stamp_row + random.integer(0, 16 / size);
  const std::int64_t elements = lead + (call.batch - 1) * a.stamp_batch + a.samples * a.stamp_row + 2;
  s.stamps.resize(static_cast<std::size_t>(elements * size));
  for (std::int64_t i = 0; i < elements; ++i) {
    align_random::write_time(s.stamps, i, call.time, i < lead ? 1 << 20 : -(1 << 20), align_random::kEpoch);
  }
  for (std::int64_t b = 0; b < (a.stamp_batch == 0 ? 1 : call.batch); ++b) {
    const std::vector<std::int64_t> ticks = align_random::sorted_ticks(random, a.samples);
    for (std::int64_t i = 0; i < a.samples; ++i) {
      const std::int64_t element = lead + b * a.stamp_batch + i * a.stamp_row;
      align_random::write_time(s.stamps, element, call.time, ticks[static_cast<std::size_t>(i)], align_random::kEpoch);
    }
  }
  a.stamps = s.stamps.data() + lead * size;
}

/// Rows of whole units of 8 or 16 bytes, in and out; backwards now and then.
void lay_out_rows(Random& random, const AlignArgs& call, StreamCase& s) {
  AlignStream& a = s.args;
  const auto size = static_cast<std::int64_t>(size_of(a.dtype));
  const std::int64_t unit = (random.one_in(2) ? 16 : 8) / size;
  const std::int64_t units = random.pick<std::int64_t>({0, 1, 2, 3, 5, 8, 16, 17, 32, 33, 70, 130});
  a.columns = units * unit;
  a.value_row = a.columns + random.integer(0, 2) * unit;
  a.value_batch = random.one_in(4) ? 0 : a.samples * a.value_row + random.integer(0, 2) * unit;
  a.out_row = a.columns + random.integer(1, 2) * unit;
  a.out_batch = call.targets * a.out_row + random.integer(0, 2) * unit;
  const std::int64_t lead = random.integer(0, 2) * unit;
  s.values.resize(static_cast<std::size_t>((lead + call.batch * a.value_batch + a.samples * a.value_row + 1) * size));
  align_random::fill_values(random, a.dtype, s.values);
  const bool backwards = random.one_in(10);
  a.values = s.values.data() + (lead + (backwards ? (a.samples - 1) * a.value_row : 0)) * size;
  if (backwards) a.value_row = -a.value_row;
}

StreamCase make_stream(Random& random, const AlignArgs& call, DType words, std::int64_t most) {
  StreamCase s;
  AlignStream& a = s.args;
  a.dtype = random.one_in(4) ? random.pick({DType::i64, DType::i32, DType::i16, DType::u8, DType::boolean}) : words;
  if (random.one_in(20)) a.dtype = random.pick({DType::f64, DType::f32, DType::bf16});
  a.out_dtype = a.dtype;
  a.segments = call.batch;
  do {
    a.samples = random.pick<std::int64_t>(
        {1, 2, 3, 4, 5, 7, 30, 62, 63, 64, 65, 100, 254, 255, 256, 257, 600, 1022, 1023, 1024, 1025});
  } while (a.samples > most);
  a.place.interp = is_float(a.dtype) ? random.pick({Interp::hold, Interp::nearest, Interp::linear, Interp::linear})
                                     : random.pick({Interp::hold, Interp::nearest});
  if (random.one_in(3)) {
    a.place.before = align_random::outside(random);
    a.place.after = align_random::outside(random);
  }
  a.place.max_gap_ns = random.one_in(2) ? kNoLimit : random.integer(0, 40'000);
  a.place.max_age_ns = random.one_in(2) ? kNoLimit : random.integer(0, 40'000);
  if (random.one_in(3)) a.offset_ns = call.time == DType::i64 ? random.integer(-20'000, 20'000) : 15'625'000;
  lay_out_clock(random, call, s);
  lay_out_rows(random, call, s);
  return s;
}

/// Targets over all clocks and beyond, some of them NaN; forwards, backwards, with gaps, or all the same.
void lay_out_targets(Random& random, Case& c) {
  AlignArgs& a = c.args;
  const auto size = static_cast<std::int64_t>(size_of(a.time));
  const bool relative = random.one_in(3);
  const std::int64_t row = random.pick<std::int64_t>({1, 1, 1, 1, 2, 0, -1});
  const std::int64_t length = row == 0 ? 1 : a.targets * std::abs(row);
  a.at_row = row;
  a.at_batch = random.one_in(4) ? 0 : length + random.integer(0, 1);
  const std::int64_t elements = a.batch * length + a.batch;
  const std::int64_t span = random.pick<std::int64_t>({30, 1000, 24'000});
  c.at.resize(static_cast<std::size_t>(elements * size));
  for (std::int64_t i = 0; i < elements; ++i) {
    align_random::write_time(c.at, i, a.time, random.integer(-40, span), relative ? 0 : align_random::kEpoch);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    if (a.time == DType::f32 && random.one_in(50)) std::memcpy(c.at.data() + i * size, &nan, sizeof nan);
  }
  a.at = c.at.data() + (row < 0 ? (length - 1) * size : 0);
  if (!relative) return;
  c.origin.resize(static_cast<std::size_t>(a.batch * size));
  for (std::int64_t b = 0; b < a.batch; ++b) {
    align_random::write_time(c.origin, b, a.time, random.integer(0, 50), align_random::kEpoch);
  }
  a.origin = c.origin.data();
  a.origin_row = 1;
}

Case make_case(unsigned seed) {
  Random random(seed);
  Case c;
  c.args.time = random.pick({DType::i64, DType::i64, DType::f64, DType::f32});
  c.args.batch = random.integer(1, 4);
  c.args.targets = random.pick<std::int64_t>({1, 2, 17, 50, 63, 64, 85, 86, 128, 255, 256, 257, 500});
  lay_out_targets(random, c);
  const DType words = random.pick({DType::f32, DType::f16, DType::bf16, DType::bf16});
  const std::int64_t most = random.one_in(5) ? 1025 : 1023;
  const std::int64_t count = random.pick<std::int64_t>({1, 1, 2, 3, 4, 5});
  for (std::int64_t i = 0; i < count; ++i) c.streams.push_back(make_stream(random, c.args, words, most));
  return c;
}

TEST_F(CudaAlignShort, RandomLayoutsAreBitEqualToTheCpu) {
  Arena arena(std::size_t{128} << 20);
  for (unsigned seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_equal_to_cpu(make_case(seed), arena);
    if (HasFatalFailure()) return;
  }
}

/// Three streams of one column, of which `faulty` has stamps out of order at `sample` of row 1.
struct Faulty {
  static constexpr std::int64_t kBatch = 2;
  std::vector<std::int64_t> at{-10, 5, 4000};
  std::vector<std::int64_t> stamps[3];
  std::vector<std::int64_t> values;
  std::int64_t samples;

  Faulty(std::int64_t count, int faulty, std::int64_t sample)
      : values(static_cast<std::size_t>(count)), samples(count) {
    for (auto& clock : stamps) {
      for (std::int64_t i = 0; i < kBatch * samples; ++i) clock.push_back(10 * (i % samples));
    }
    stamps[faulty][static_cast<std::size_t>(samples + sample)] = -1;
  }

  /// What the call says of it.
  std::string refusal(Device device, Arena* arena) {
    const auto there = [&](auto& host) { return arena == nullptr ? host.data() : arena->copy(host); };
    std::vector<Stream> streams(3);
    const auto targets = static_cast<std::int64_t>(at.size());
    for (int i = 0; i < 3; ++i) {
      streams[i].values = {there(values), DType::i64, {1, samples, 1}, device};
      streams[i].stamps = {there(stamps[i]), DType::i64, {kBatch, samples}, device};
    }
    std::vector<std::int64_t> results(static_cast<std::size_t>(kBatch * targets * 3));
    const Tensor to(there(results), DType::i64, {kBatch, targets, 3}, device);
    try {
      align(streams, ConstTensor(there(at), DType::i64, {1, targets}, device), {&to, 1}, {}, {}, DataCheck::now);
    } catch (const InvalidArgument& e) {
      return e.what();
    }
    return "nothing";
  }
};

TEST_F(CudaAlignShort, SaysWhichStampIsOutOfOrder) {
  for (const std::int64_t samples : {2, 3, 64, 1023, 1024}) {
    for (int stream = 0; stream < 3; ++stream) {
      for (const std::int64_t sample : {std::int64_t{1}, samples / 2, samples - 1}) {
        Arena arena(1 << 20);
        Faulty call(samples, stream, sample);
        EXPECT_EQ(call.refusal(kGpu, &arena), call.refusal({}, nullptr)) << samples << " " << stream << " " << sample;
      }
    }
  }
}

/// More batch rows than a grid has in one dimension.
TEST_F(CudaAlignShort, EveryBatchRowIsServed) {
  constexpr std::int64_t kBatch = 70'001;
  constexpr std::int64_t kColumns = 4;
  std::vector<float> values, stamps, at;
  for (std::int64_t b = 0; b < kBatch; ++b) {
    stamps.insert(stamps.end(), {0.0F, 1.0F, 2.0F});
    for (std::int64_t i = 0; i < 3 * kColumns; ++i) values.push_back(static_cast<float>(b % 1000 + i));
    at.insert(at.end(), {0.25F, 1.5F});
  }
  const auto out_of = [&](Device device, auto copy, float* out) {
    Stream stream;
    stream.values = {copy(values), DType::f32, {kBatch, 3, kColumns}, device};
    stream.stamps = {copy(stamps), DType::f32, {kBatch, 3}, device};
    resample(stream, ConstTensor(copy(at), DType::f32, {kBatch, 2}, device),
             Tensor(out, DType::f32, {kBatch, 2, kColumns}, device));
  };
  std::vector<float> want(static_cast<std::size_t>(kBatch * 2 * kColumns), -1);
  out_of({}, [](const auto& v) { return v.data(); }, want.data());
  Arena arena(std::size_t{16} << 20);
  float* const out = arena.copy(std::vector<float>(want.size(), -1));
  out_of(kGpu, [&](const auto& v) { return arena.copy(v); }, out);
  EXPECT_EQ(to_host(out, want.size()), want);
}

}  // namespace
}  // namespace robocache
