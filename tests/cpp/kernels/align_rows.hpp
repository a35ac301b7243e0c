#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/isa.hpp"
#include "kernels/align.hpp"

// Calls of the CPU kernel with random data, at every ISA level that this processor has.
namespace robocache::align_rows {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// B rows of S samples of D f32 columns with int64 stamps, at T targets: random, with duplicates, some targets outside
/// and on samples.
struct Data {
  std::int64_t batch, samples, targets, columns;
  std::vector<float> values;
  std::vector<std::int64_t> stamps, at;

  Data(unsigned seed, std::int64_t b, std::int64_t s, std::int64_t t, std::int64_t d, bool sorted = true)
      : batch(b), samples(s), targets(t), columns(d) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<float> real(-2, 2);
    for (std::int64_t i = 0; i < b * s * d; ++i) values.push_back(real(random));
    for (std::int64_t i = 0; i < b; ++i) {
      std::int64_t stamp = 0;
      for (std::int64_t k = 0; k < s; ++k) stamps.push_back(stamp += static_cast<std::int64_t>(random() % 4) * 5);
      std::vector<std::int64_t> row;
      for (std::int64_t k = 0; k < t; ++k) row.push_back(static_cast<std::int64_t>(random() % (s * 8 + 20)) - 10);
      if (sorted) std::sort(row.begin(), row.end());
      at.insert(at.end(), row.begin(), row.end());
    }
  }

  [[nodiscard]] AlignStream stream(Interp interp) const {
    AlignStream s;
    s.values = values.data();
    s.stamps = stamps.data();
    s.samples = samples;
    s.segments = batch;
    s.columns = s.value_row = s.out_row = columns;
    s.value_batch = samples * columns;
    s.stamp_batch = samples;
    s.out_batch = targets * columns;
    s.place = {interp, {}, {}, kNoLimit, kNoLimit};
    return s;
  }
};

struct Result {
  std::vector<float> out;
  std::vector<std::uint8_t> valid;
  std::vector<std::int64_t> age_ns;

  bool operator==(const Result& o) const {
    return valid == o.valid && age_ns == o.age_ns && out.size() == o.out.size() &&
           std::memcmp(out.data(), o.out.data(), out.size() * sizeof(float)) == 0;
  }
};

class AlignRows : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > active_isa()) GTEST_SKIP() << "not on this processor";
  }

  /// Entries of one stream, whose columns lie side by side in out.
  Result run(const Data& data, std::vector<AlignStream> runs, int threads = 2) const {
    Result r;
    std::int64_t columns = 0;
    for (const AlignStream& s : runs) columns += s.columns;
    const std::int64_t rows = data.batch * data.targets;
    r.out.assign(static_cast<std::size_t>(rows * columns), -77.0F);
    r.valid.assign(static_cast<std::size_t>(rows), 9);
    r.age_ns.assign(static_cast<std::size_t>(rows), -1);
    std::int64_t first = 0;
    for (AlignStream& s : runs) {
      s.out = r.out.data() + first;
      s.out_row = columns;
      s.out_batch = data.targets * columns;
      s.continues = first > 0;
      first += s.columns;
    }
    AlignArgs args;
    args.streams = runs;
    args.at = runs[0].read_steps == nullptr ? data.at.data() : nullptr;
    args.at_batch = args.targets = data.targets;
    args.batch = data.batch;
    if (args.at != nullptr) {
      args.valid = reinterpret_cast<bool*>(r.valid.data());
      args.age_ns = r.age_ns.data();
      args.valid_row = args.age_row = 1;
      args.valid_batch = args.age_batch = data.targets;
    }
    align(args, threads);
    return r;
  }

  Fault align(const AlignArgs& args, int threads) const {
    Context ctx;
    ctx.threads = threads;
    Fault fault;
    visit(GetParam(), BuiltIsas{}, [&]<Isa isa>() { fault = cpu::align<isa>(args, ctx); });
    return fault;
  }
};

inline constexpr Interp kAll[] = {Interp::hold, Interp::nearest, Interp::linear, Interp::slerp,
                                  Interp::se3,  Interp::screw,   Interp::pchip,  Interp::angle};

inline Outside outside(unsigned i) {
  using P = Outside::Policy;
  const Outside all[] = {{P::hold, 0}, {P::fill, -3.5}, {P::extrapolate, 0}, {P::fill, kNan}};
  return all[i % 4];
}

/// Columns [first, first + n) of a result with `columns`.
inline std::vector<float> part(const std::vector<float>& all, std::int64_t columns, std::int64_t first,
                               std::int64_t n) {
  std::vector<float> some;
  for (std::size_t row = 0; row < all.size(); row += static_cast<std::size_t>(columns)) {
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(row) + first;
    some.insert(some.end(), from, from + n);
  }
  return some;
}

}  // namespace robocache::align_rows
