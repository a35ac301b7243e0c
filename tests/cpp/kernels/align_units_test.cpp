// Column runs, plans and signs of quaternions in the CPU kernel: by what must be the same as something simpler.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/align_rows.hpp"

namespace robocache {
namespace {

using namespace align_rows;

class AlignUnits : public AlignRows {};

TEST_P(AlignUnits, RunsAreTheirColumnsAlone) {
  const std::int64_t widths[] = {1, 2, 9, 8, 7, 14, 20, 5};
  std::int64_t all = 0;
  for (const std::int64_t width : widths) all += width;
  for (unsigned seed = 0; seed < 12; ++seed) {
    Data data(seed, 3, 40, seed % 2 == 0 ? 150 : 20, all, seed % 3 != 0);
    AlignStream whole = data.stream(Interp::hold);
    whole.place.before = outside(seed);
    whole.place.after = outside(seed / 2);
    whole.place.max_age_ns = seed % 2 == 0 ? 12 : kNoLimit;
    if (seed == 7) data.values[10] = kNan;  // of a run that has no quaternions
    if (seed == 8) std::fill_n(data.values.begin() + 20 * all + 12, 4, 0.0F);
    std::vector<AlignStream> runs;
    std::vector<Result> alone;
    std::int64_t first = 0;
    for (std::size_t k = 0; k < 8; ++k) {
      AlignStream s = whole;
      s.values = data.values.data() + first;
      s.columns = widths[k];
      s.place.interp = kAll[k];
      runs.push_back(s);
      alone.push_back(run(data, {s}));
      first += widths[k];
    }
    const Result together = run(data, runs);
    first = 0;
    for (std::size_t k = 0; k < 8; ++k) {
      const std::vector<float> got = part(together.out, all, first, widths[k]);
      EXPECT_EQ(std::memcmp(got.data(), alone[k].out.data(), got.size() * sizeof(float)), 0) << seed << ", " << k;
      EXPECT_EQ(together.age_ns, alone[k].age_ns);
      first += widths[k];
    }
    for (std::size_t row = 0; row < together.valid.size(); ++row) {
      bool valid = true;
      for (const Result& r : alone) valid = valid && r.valid[row] == 1;
      EXPECT_EQ(together.valid[row], valid ? 1 : 0) << seed << " row " << row;
    }
  }
}

TEST_P(AlignUnits, PlansGiveWhatADirectCallGives) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    for (const Interp interp : kAll) {
      const Data data(seed, 2, 30, seed % 2 == 0 ? 130 : 10, 28, seed % 3 != 0);
      AlignStream s = data.stream(interp);
      s.place.before = outside(seed);
      s.place.after = outside(seed / 2);
      s.place.max_gap_ns = seed % 2 == 0 ? 10 : kNoLimit;
      const Result direct = run(data, {s});
      std::vector<PlanStep> steps(static_cast<std::size_t>(data.batch * data.targets));
      AlignStream clock = s;
      clock.columns = 0;
      clock.values = nullptr;
      clock.write_steps = steps.data();
      if (is_curve(interp)) clock.place.interp = Interp::linear;  // one plan for all curves
      const Result marks = run(data, {clock});
      EXPECT_EQ(marks.age_ns, direct.age_ns);
      EXPECT_EQ(marks.valid, direct.valid);
      AlignStream planned = s;
      planned.stamps = nullptr;
      planned.read_steps = steps.data();
      planned.steps_batch = data.targets;
      const Result applied = run(data, {planned});
      EXPECT_EQ(std::memcmp(applied.out.data(), direct.out.data(), direct.out.size() * sizeof(float)), 0)
          << "seed " << seed << " interp " << static_cast<int>(interp);
    }
  }
}

TEST_P(AlignUnits, SignsFollowTheTargetBeforeThroughAllTiles) {
  for (const Interp interp : {Interp::slerp, Interp::se3}) {
    const std::int64_t unit = interp == Interp::slerp ? 4 : 7;
    for (unsigned seed = 0; seed < 8; ++seed) {
      // As many threads as rows, and fewer: both ways of passing signs on.
      const std::int64_t batch = seed % 2 == 0 ? 1 : 3;
      Data data(seed, batch, 200, 500, 3 * unit, seed % 3 != 0);
      AlignStream s = data.stream(interp);
      s.place.before = outside(seed);
      s.place.after = outside(seed + 1);
      const Result all = run(data, {s});
      std::vector<float> want(all.out.size());
      for (std::int64_t b = 0; b < batch; ++b) {
        std::vector<float> before;
        std::vector<float> sign(3, 1.0F);
        for (std::int64_t t = 0; t < data.targets; ++t) {
          Data one = data;  // alone, a target keeps the sign of its earlier sample
          one.batch = one.targets = 1;
          one.at = {data.at[static_cast<std::size_t>(b * data.targets + t)]};
          AlignStream single = s;
          single.segments = 1;
          single.values = data.values.data() + b * s.value_batch;
          single.stamps = data.stamps.data() + b * s.stamp_batch;
          const std::vector<float> raw = run(one, {single}).out;
          const auto policy =
              one.at[0] < data.stamps[static_cast<std::size_t>(b * 200)] ? s.place.before : s.place.after;
          const bool filled =
              policy.policy == Outside::Policy::fill && std::all_of(raw.begin(), raw.end(), [&](float v) {
                return v == static_cast<float>(policy.value) || std::isnan(v);
              });
          for (std::int64_t u = 0; u < 3; ++u) {
            const std::int64_t q = (u + 1) * unit - 4;
            double product = 0;
            for (std::int64_t k = q; k < q + 4 && !before.empty() && !filled; ++k) {
              product += static_cast<double>(raw[static_cast<std::size_t>(k)]) * before[static_cast<std::size_t>(k)];
            }
            auto& turn = sign[static_cast<std::size_t>(u)];
            if (product < 0) turn = -turn;
            for (std::int64_t k = u * unit; k < (u + 1) * unit; ++k) {
              want[static_cast<std::size_t>((b * data.targets + t) * 3 * unit + k)] =
                  raw[static_cast<std::size_t>(k)] * (k >= q && !filled ? turn : 1.0F);
            }
          }
          before = filled ? std::vector<float>() : raw;
        }
      }
      EXPECT_EQ(std::memcmp(all.out.data(), want.data(), want.size() * sizeof(float)), 0)
          << "seed " << seed << " interp " << static_cast<int>(interp);
      EXPECT_EQ(run(data, {s}, 1), all);
    }
  }
}

TEST_P(AlignUnits, StridesChangeNothing) {
  for (const Interp interp : kAll) {
    const Data data(3, 2, 40, 90, 28);
    const Result dense = run(data, {data.stream(interp)});
    std::vector<float> spread(data.values.size() * 3, kNan);
    for (std::size_t i = 0; i < data.values.size(); ++i) spread[3 * i] = data.values[i];
    AlignStream s = data.stream(interp);
    s.values = spread.data();
    s.value_column = 3;
    s.value_row *= 3;
    s.value_batch *= 3;
    EXPECT_EQ(run(data, {s}), dense) << static_cast<int>(interp);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, AlignUnits, testing::Values(Isa::baseline, Isa::avx2, Isa::avx512),
                         [](const auto& level) { return std::string(name(level.param)); });

}  // namespace
}  // namespace robocache
