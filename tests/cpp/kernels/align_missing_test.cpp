// Missing samples in the CPU kernel: by what must be the same as something simpler.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/align_rows.hpp"

namespace robocache {
namespace {

using namespace align_rows;

class AlignMissing : public AlignRows {};

/// The same stream with the samples that `keep` names, packed.
Data only(const Data& data, const std::vector<std::uint8_t>& keep, std::vector<std::int64_t>& offsets) {
  Data kept = data;
  kept.values.clear();
  kept.stamps.clear();
  offsets = {0};
  for (std::int64_t b = 0; b < data.batch; ++b) {
    for (std::int64_t i = b * data.samples; i < (b + 1) * data.samples; ++i) {
      if (keep[static_cast<std::size_t>(i)] == 0) continue;
      const auto from = data.values.begin() + i * data.columns;
      kept.values.insert(kept.values.end(), from, from + data.columns);
      kept.stamps.push_back(data.stamps[static_cast<std::size_t>(i)]);
    }
    offsets.push_back(static_cast<std::int64_t>(kept.stamps.size()));
  }
  return kept;
}

TEST_P(AlignMissing, SkippedSamplesMightAsWellNotExist) {
  for (unsigned seed = 0; seed < 24; ++seed) {
    for (const Interp interp : kAll) {
      Data data(seed, 3, 50, seed % 2 == 0 ? 140 : 33, 28, seed % 3 != 0);
      std::mt19937 random(seed);
      std::vector<std::uint8_t> keep;
      for (std::size_t i = 0; i < data.stamps.size(); ++i) keep.push_back(random() % (2 + seed % 5) != 0 ? 1 : 0);
      if (seed == 5) std::fill_n(keep.begin() + 50, 50, 0);  // none at all in a row
      std::vector<std::int64_t> offsets;
      const Data kept = only(data, keep, offsets);
      AlignStream s = data.stream(interp);
      s.place.before = outside(seed);
      s.place.after = outside(seed / 2);
      s.place.max_gap_ns = seed % 2 == 0 ? 15 : kNoLimit;
      s.place.max_age_ns = seed % 5 == 0 ? 12 : kNoLimit;
      AlignStream packed = s;
      packed.values = kept.values.data();
      packed.stamps = kept.stamps.data();
      packed.offsets = {offsets.data(), 1, true};
      packed.samples = static_cast<std::int64_t>(kept.stamps.size());
      packed.value_batch = packed.stamp_batch = 0;
      const Result want = run(kept, {packed});
      s.missing = Missing::skip;
      s.mask = reinterpret_cast<const bool*>(keep.data());
      s.mask_batch = data.samples;
      // What the mask leaves out must not be looked at: NaN or not.
      for (const bool poison : {false, true}) {
        for (std::size_t i = 0; poison && i < keep.size(); ++i) {
          if (keep[i] == 0) std::fill_n(data.values.begin() + static_cast<std::ptrdiff_t>(i) * 28, 28, kNan);
        }
        const Result got = run(data, {s});
        EXPECT_EQ(got.valid, want.valid) << "seed " << seed << " interp " << static_cast<int>(interp);
        EXPECT_EQ(got.age_ns, want.age_ns) << "seed " << seed << " interp " << static_cast<int>(interp);
        for (std::size_t i = 0; i < got.out.size(); ++i) {
          if (std::isnan(want.out[i]) && std::isnan(got.out[i])) continue;
          // The paths differ in the order of sums, by less than the result can hold.
          ASSERT_NEAR(got.out[i], want.out[i], 1e-6 * std::max(1.0F, std::fabs(want.out[i])))
              << "seed " << seed << " interp " << static_cast<int>(interp) << " element " << i;
        }
      }
      // NaN in place of the mask means the same.
      s.mask = nullptr;
      const Result nan = run(data, {s});
      EXPECT_EQ(nan.valid, want.valid) << "seed " << seed << " interp " << static_cast<int>(interp);
      EXPECT_EQ(nan.age_ns, want.age_ns);
    }
  }
}

TEST_P(AlignMissing, ColumnsMissDifferentSamples) {
  // A column by itself says what it must be among others.
  for (unsigned seed = 0; seed < 12; ++seed) {
    for (const Interp interp : {Interp::hold, Interp::nearest, Interp::linear, Interp::pchip, Interp::angle}) {
      for (const Missing missing : {Missing::skip, Missing::hold}) {
        Data data(seed, 2, 40, 70, 6, seed % 3 != 0);
        std::mt19937 random(seed);
        for (float& v : data.values) v = random() % 5 == 0 ? kNan : v;
        AlignStream s = data.stream(interp);
        s.missing = missing;
        s.place.before = outside(seed);
        s.place.max_age_ns = 15;
        const Result all = run(data, {s});
        std::vector<std::uint8_t> valid(all.valid.size(), 1);
        std::vector<std::int64_t> age(all.valid.size(), std::numeric_limits<std::int64_t>::min());
        for (std::int64_t d = 0; d < 6; ++d) {
          AlignStream one = s;
          one.values = data.values.data() + d;
          one.columns = 1;
          const Result alone = run(data, {one});
          for (std::size_t i = 0; i < valid.size(); ++i) {
            valid[i] = valid[i] != 0 && alone.valid[i] != 0 ? 1 : 0;
            age[i] = std::max(age[i], alone.age_ns[i]);
          }
          const std::vector<float> column = part(all.out, 6, d, 1);
          EXPECT_EQ(std::memcmp(column.data(), alone.out.data(), column.size() * sizeof(float)), 0)
              << "seed " << seed << " interp " << static_cast<int>(interp) << " column " << d;
        }
        EXPECT_EQ(all.valid, valid);
        EXPECT_EQ(all.age_ns, age);
      }
    }
  }
}

TEST_P(AlignMissing, HeldSamplesAreTheLastOnePresent) {
  // Stamps 0, 10, 20, 30, 40; 20 and 30 are missing. Curves are drawn through the values held.
  Data data(0, 1, 5, 6, 1);
  data.values = {1, 2, kNan, kNan, 4};
  data.stamps = {0, 10, 20, 30, 40};
  data.at = {5, 15, 20, 25, 35, 45};
  AlignStream s = data.stream(Interp::linear);
  s.missing = Missing::hold;
  s.place.max_age_ns = 14;
  const Result linear = run(data, {s});
  EXPECT_EQ(linear.out, (std::vector<float>{1.5, 2, 2, 2, 3, 4}));
  EXPECT_EQ(linear.age_ns, (std::vector<std::int64_t>{5, 5, 10, 15, 25, 5}));
  EXPECT_EQ(linear.valid, (std::vector<std::uint8_t>{1, 1, 1, 0, 1, 0}));
  s.place.interp = Interp::hold;
  s.place.max_age_ns = kNoLimit;
  EXPECT_EQ(run(data, {s}).out, (std::vector<float>{1, 2, 2, 2, 2, 4}));
  data.values = {kNan, 2, 3, 4, 5};
  const Result none = run(data, {s});
  EXPECT_TRUE(std::isnan(none.out[0]));
  EXPECT_EQ(none.valid[0], 0);
  EXPECT_EQ(none.age_ns[0], -5);
}

TEST_P(AlignMissing, PropagatedMaskIsNan) {
  for (const Interp interp : kAll) {
    Data data(4, 2, 30, 90, 28);
    std::vector<std::uint8_t> keep(data.stamps.size(), 1);
    for (std::size_t i = 0; i < keep.size(); i += 3) keep[i] = 0;
    AlignStream s = data.stream(interp);
    const Result whole = run(data, {s});
    s.mask = reinterpret_cast<const bool*>(keep.data());
    s.mask_batch = data.samples;
    const Result masked = run(data, {s});
    EXPECT_EQ(masked.age_ns, whole.age_ns);
    int lost = 0;
    for (std::size_t row = 0; row < masked.valid.size(); ++row) {
      const bool nan = std::isnan(masked.out[row * 28]);
      lost += nan ? 1 : 0;
      EXPECT_EQ(masked.valid[row], nan ? 0 : whole.valid[row]);
      for (std::size_t d = 0; d < 28; ++d) {
        EXPECT_EQ(std::isnan(masked.out[row * 28 + d]), nan);
        // Quaternions may follow another sign.
        if (!nan) {
          EXPECT_EQ(std::fabs(masked.out[row * 28 + d]), std::fabs(whole.out[row * 28 + d]));
        }
      }
    }
    EXPECT_GT(lost, 10);
    EXPECT_LT(lost, 180);
  }
}

TEST_P(AlignMissing, IntegersAreMaskedToo) {
  const std::int16_t values[] = {10, 20, 30, 40};
  const std::int64_t stamps[] = {0, 10, 20, 30};
  const std::int64_t at[] = {5, 15, 25, 30};
  const std::uint8_t mask[] = {1, 0, 255, 1};
  std::int16_t out[4] = {};
  bool valid[4] = {};
  Data data(0, 1, 4, 4, 1);
  AlignStream s = data.stream(Interp::hold);
  s.values = values;
  s.stamps = stamps;
  s.dtype = s.out_dtype = DType::i16;
  s.out = out;
  s.mask = reinterpret_cast<const bool*>(mask);
  AlignArgs args;
  args.at = at;
  args.batch = 1;
  args.targets = 4;
  args.valid = valid;
  args.valid_row = 1;
  const auto expect = [&](Missing missing, std::vector<std::int16_t> want, std::vector<bool> ok) {
    s.missing = missing;
    args.streams = {&s, 1};
    align(args, 1);
    EXPECT_EQ(std::vector<std::int16_t>(out, out + 4), want);
    EXPECT_EQ(std::vector<bool>(valid, valid + 4), ok);
  };
  expect(Missing::propagate, {10, 0, 30, 40}, {true, false, true, true});
  expect(Missing::skip, {10, 10, 30, 40}, {true, true, true, true});
  expect(Missing::hold, {10, 10, 30, 40}, {true, true, true, true});
}

INSTANTIATE_TEST_SUITE_P(Isa, AlignMissing, testing::Values(Isa::baseline, Isa::avx2, Isa::avx512),
                         [](const auto& level) { return std::string(name(level.param)); });

}  // namespace
}  // namespace robocache
