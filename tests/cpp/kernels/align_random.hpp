#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "kernels/align.hpp"

// Random calls of the align kernel: types, options and every layout that AlignArgs can say. Nothing here uses src/math.
namespace robocache::align_random {

using Real = long double;
using Bytes = std::vector<std::uint8_t>;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  double real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine_); }
  bool one_in(int n) { return integer(1, n) == 1; }
  template <class T>
  T pick(std::initializer_list<T> list) {
    return list.begin()[integer(0, static_cast<std::int64_t>(list.size()) - 1)];
  }

 private:
  std::mt19937 engine_;
};

template <class T>
T read(const Bytes& from, std::int64_t element) {
  T v;
  std::memcpy(&v, from.data() + element * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return v;
}

inline Real half_value(std::uint16_t bits, int mantissa_bits) {
  const int most = (0x7fff >> mantissa_bits);
  const int bias = most / 2;
  const int exponent = (bits & 0x7fff) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  Real magnitude = std::ldexp(static_cast<Real>(mantissa + (1 << mantissa_bits)), exponent - bias - mantissa_bits);
  if (exponent == 0) magnitude = std::ldexp(static_cast<Real>(mantissa), 1 - bias - mantissa_bits);
  if (exponent == most) magnitude = mantissa == 0 ? std::numeric_limits<Real>::infinity() : std::nanl("");
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

inline Real value_at(const Bytes& bytes, DType dtype, std::int64_t element) {
  switch (dtype) {
    case DType::f64:
      return read<double>(bytes, element);
    case DType::f32:
      return read<float>(bytes, element);
    case DType::f16:
      return half_value(read<std::uint16_t>(bytes, element), 10);
    case DType::bf16:
      return half_value(read<std::uint16_t>(bytes, element), 7);
    case DType::i64:
      return static_cast<Real>(read<std::int64_t>(bytes, element));
    case DType::i32:
      return read<std::int32_t>(bytes, element);
    case DType::i16:
      return read<std::int16_t>(bytes, element);
    case DType::u8:
      return read<std::uint8_t>(bytes, element);
    case DType::boolean:
      return read<std::uint8_t>(bytes, element);
    default:
      break;
  }
  throw std::logic_error("value_at");
}

/// The memory and arguments of one stream; everything that random layouts can differ in.
struct StreamCase {
  AlignStream args;
  Bytes values;
  Bytes stamps;
  std::vector<std::int64_t> lengths, offsets, rows;
  std::vector<float> scale, bias;
  std::vector<std::vector<Real>> times;          // [segment][sample], before the offset
  std::vector<std::vector<std::int64_t>> first;  // [segment][sample] -> element of its first column
  std::int64_t out_begin = 0;                    // element of out where row (0, 0) starts
};

struct Case {
  AlignArgs args;
  std::vector<StreamCase> streams;
  std::vector<AlignStream> list;
  Bytes at, origin;
  std::vector<std::vector<Real>> targets;  // [b][t], with origin
  Real unit = 1;                           // ns in one unit of time
};

inline void write_time(Bytes& to, std::int64_t element, DType time, std::int64_t tick, std::int64_t base) {
  // Ticks of 1/1024 s are exact in f32; i64 stamps sit at an epoch.
  const auto put = [&](auto v) {
    std::memcpy(to.data() + element * static_cast<std::int64_t>(sizeof v), &v, sizeof v);
  };
  if (time == DType::i64) put(base + tick * 977);
  if (time == DType::f64) put(static_cast<double>(tick) / 1024.0);
  if (time == DType::f32) put(static_cast<float>(tick) / 1024.0f);
}

inline Real time_at(const Bytes& bytes, DType time, std::int64_t element) {
  if (time == DType::i64) return static_cast<Real>(read<std::int64_t>(bytes, element));
  return time == DType::f64 ? static_cast<Real>(read<double>(bytes, element))
                            : static_cast<Real>(read<float>(bytes, element));
}

inline constexpr std::int64_t kEpoch = 1'700'000'000'000'000'000;

inline std::vector<std::int64_t> sorted_ticks(Random& random, std::int64_t n) {
  std::vector<std::int64_t> ticks;
  std::int64_t tick = random.integer(-20, 20);
  const std::int64_t step = random.pick<std::int64_t>({1, 3, 40});
  for (std::int64_t i = 0; i < n; ++i) {
    ticks.push_back(tick);
    tick += random.integer(0, step);  // zero: a duplicate
  }
  return ticks;
}

inline void fill_values(Random& random, DType dtype, Bytes& values) {
  const std::size_t size = size_of(dtype);
  for (std::size_t i = 0; i * size < values.size(); ++i) {
    const double real = random.real(-100, 100);
    std::uint64_t bits = static_cast<std::uint64_t>(random.integer(0, 255));
    if (dtype == DType::boolean) bits &= 1;
    if (dtype == DType::f64) std::memcpy(&bits, &real, 8);
    const float narrow = static_cast<float>(real);
    if (dtype == DType::f32) std::memcpy(&bits, &narrow, 4);
    // Any sign, a moderate exponent, any mantissa.
    if (dtype == DType::f16)
      bits = static_cast<std::uint64_t>(random.integer(0, 0x3ff) | random.integer(0, 20) << 10 |
                                        random.integer(0, 1) << 15);
    if (dtype == DType::bf16)
      bits = static_cast<std::uint64_t>(random.integer(0, 0x7f) | random.integer(120, 133) << 7 |
                                        random.integer(0, 1) << 15);
    std::memcpy(values.data() + i * size, &bits, size);
  }
}

/// How samples, stamps and segments lie in memory.
inline void lay_out_samples(Random& random, const AlignArgs& call, StreamCase& s) {
  AlignStream& a = s.args;
  const bool packed = random.one_in(4);
  const bool by_rows = random.one_in(4);
  a.segments = by_rows ? random.integer(1, 4) : call.batch;
  a.samples = random.pick<std::int64_t>({0, 1, 2, 3, 9, 40, 150});
  if (packed) {
    for (std::int64_t g = 0; g <= a.segments; ++g) s.offsets.push_back(random.integer(0, a.samples));
    std::sort(s.offsets.begin(), s.offsets.end());
    a.offsets = {s.offsets.data(), 1, true};
  } else if (random.one_in(3)) {
    for (std::int64_t g = 0; g < a.segments; ++g) s.lengths.push_back(random.integer(0, a.samples));
    a.lengths = {s.lengths.data(), 1, true};
  }
  if (by_rows) {
    for (std::int64_t b = 0; b < call.batch; ++b) s.rows.push_back(random.integer(0, a.segments - 1));
    a.rows = {s.rows.data(), 1, true};
  }
  const bool shared = !packed && random.one_in(3);
  a.value_column = random.one_in(4) ? random.pick<std::int64_t>({2, 3}) : 1;
  a.value_row = a.columns * a.value_column + random.integer(0, 2);
  a.value_batch = packed ? 0 : a.samples * a.value_row + random.integer(0, 3);
  a.stamp_row = random.one_in(4) ? 2 : 1;
  a.stamp_batch = packed || shared ? 0 : a.samples * a.stamp_row + random.integer(0, 2);

  const std::int64_t lead = random.integer(0, 3);
  const auto elements =
      static_cast<std::size_t>(lead + (a.segments + 1) * (a.value_batch + 1) + (a.samples + 1) * (a.value_row + 1));
  s.values.resize(elements * size_of(a.dtype));
  fill_values(random, a.dtype, s.values);
  a.values = s.values.data() + lead * static_cast<std::int64_t>(size_of(a.dtype));
  s.stamps.resize(static_cast<std::size_t>(a.segments * a.stamp_batch + (a.samples + 1) * a.stamp_row + 1) *
                  size_of(call.time));
  a.stamps = s.stamps.data();

  const std::vector<std::int64_t> shared_ticks = sorted_ticks(random, a.samples);
  for (std::int64_t g = 0; g < a.segments; ++g) {
    const std::int64_t begin = packed ? s.offsets[g] : 0;
    const std::int64_t count = packed ? s.offsets[g + 1] - begin : s.lengths.empty() ? a.samples : s.lengths[g];
    const std::vector<std::int64_t> ticks = shared ? shared_ticks : sorted_ticks(random, count);
    s.times.emplace_back();
    s.first.emplace_back();
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t element = g * a.stamp_batch + (begin + i) * a.stamp_row;
      write_time(s.stamps, element, call.time, ticks[i], kEpoch);
      s.times[g].push_back(time_at(s.stamps, call.time, element));
      s.first[g].push_back(lead + g * a.value_batch + (begin + i) * a.value_row);
    }
  }
}

inline Outside outside(Random& random) {
  using P = Outside::Policy;
  return {random.pick({P::hold, P::fill, P::extrapolate, P::error}), random.pick({std::nan(""), 0.0, -7.25, 3.0})};
}

inline StreamCase make_stream(Random& random, const AlignArgs& call) {
  StreamCase s;
  AlignStream& a = s.args;
  a.dtype = random.pick({DType::f32, DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32,
                         DType::i16, DType::u8, DType::boolean});
  const DType float_out = random.pick({DType::f64, DType::f32, DType::f16, DType::bf16});
  a.out_dtype = random.one_in(3) ? float_out : a.dtype;
  a.columns = random.pick<std::int64_t>({0, 1, 3, 4, 7, 8, 17, 33, 64, 130, 300});
  if (random.one_in(4) && is_float(a.out_dtype)) {
    for (std::int64_t d = 0; d < a.columns; ++d) s.scale.push_back(static_cast<float>(random.real(0.5, 2)));
    a.scale = s.scale.data();
    if (random.one_in(2)) {
      for (std::int64_t d = 0; d < a.columns; ++d) s.bias.push_back(static_cast<float>(random.real(-2, 2)));
      a.bias = s.bias.data();
    }
  }
  a.place.interp = is_float(a.dtype) ? random.pick({Interp::hold, Interp::nearest, Interp::linear, Interp::linear})
                                     : random.pick({Interp::hold, Interp::nearest});
  a.place.before = outside(random);
  a.place.after = outside(random);
  const std::int64_t tick = call.time == DType::i64 ? 977 : 976'563;
  a.place.max_gap_ns = random.one_in(2) ? kNoLimit : random.integer(0, 40) * tick;
  a.place.max_age_ns = random.one_in(2) ? kNoLimit : random.integer(0, 40) * tick;
  // 1/64 s: exact in every type of time.
  a.offset_ns = random.one_in(3) ? (call.time == DType::i64 ? random.integer(-20'000, 20'000) : 15'625'000) : 0;
  lay_out_samples(random, call, s);
  return s;
}

inline Case make_case(unsigned seed) {
  Random random(seed);
  Case c;
  AlignArgs& a = c.args;
  a.time = random.pick({DType::i64, DType::i64, DType::f64, DType::f32});
  c.unit = a.time == DType::i64 ? 1 : 1e9L;
  a.batch = random.integer(1, 4);
  a.targets = random.pick<std::int64_t>({1, 2, 30, 64, 65, 200});
  const std::int64_t span = random.pick<std::int64_t>({30, 300, 3000});
  const bool shared = random.one_in(3);
  const bool relative = random.one_in(3);
  a.at_row = random.one_in(4) ? 2 : 1;
  a.at_batch = shared ? 0 : a.targets * a.at_row;
  c.at.resize(static_cast<std::size_t>((a.batch + 1) * a.targets * a.at_row) * size_of(a.time));
  a.at = c.at.data();
  if (relative) {
    c.origin.resize(static_cast<std::size_t>(a.batch) * size_of(a.time));
    for (std::int64_t b = 0; b < a.batch; ++b) write_time(c.origin, b, a.time, random.integer(0, 50), kEpoch);
    a.origin = c.origin.data();
    a.origin_row = 1;
  }
  const bool sorted = !random.one_in(3);
  for (std::int64_t b = 0; b < (shared ? 1 : a.batch); ++b) {
    std::vector<std::int64_t> ticks;
    for (std::int64_t t = 0; t < a.targets; ++t) ticks.push_back(random.integer(-40, span));
    if (sorted) std::sort(ticks.begin(), ticks.end());
    for (std::int64_t t = 0; t < a.targets; ++t) {
      write_time(c.at, b * a.at_batch + t * a.at_row, a.time, ticks[t], relative ? 0 : kEpoch);
    }
  }
  for (std::int64_t b = 0; b < a.batch; ++b) {
    c.targets.emplace_back();
    for (std::int64_t t = 0; t < a.targets; ++t) {
      const Real target = time_at(c.at, a.time, b * a.at_batch + t * a.at_row);
      c.targets[b].push_back(relative ? time_at(c.origin, a.time, b) + target : target);
    }
  }
  const std::int64_t count = random.integer(1, 3);
  for (std::int64_t s = 0; s < count; ++s) c.streams.push_back(make_stream(random, a));
  return c;
}

}  // namespace robocache::align_random
