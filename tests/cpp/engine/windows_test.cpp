#include "robocache/windows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "engine/store_data.hpp"
#include "math/half.hpp"
#include "robocache/batch.hpp"

namespace robocache {
namespace {

using store_testing::at_rate;
using store_testing::jittered;
using store_testing::Made;
using store_testing::one_rate;
using store_testing::Stamps;

template <class T>
std::vector<T> elements(const OwnedTensor& tensor) {
  const T* data = static_cast<const T*>(tensor.view.data);
  return {data, data + tensor.view.numel()};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

std::vector<std::int64_t> all_samples(const Windows& windows) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(windows.samples()));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  return samples;
}

/// Bools are bytes: vector<bool> has no memory to compare.
using Bools = std::vector<std::uint8_t>;

TEST(Windows, OffsetsOfOneRateAreSamples) {
  for (const double rate : {30.0, 29.97, 50.0, 1000.0 / 3}) {
    const Made made = one_rate(rate);
    const std::vector<std::int64_t> steps = {-2, 0, 3, 1};
    Window window{.stream = "action", .on_samples = true};
    for (const std::int64_t step : steps) window.offsets_s.push_back(static_cast<double>(step) / rate + 5e-5);
    const Windows windows(made.store(), {window});
    EXPECT_TRUE(windows.takes_samples(0));
    ASSERT_EQ(windows.samples(), 12);
    const Batch batch = read_batch(windows, all_samples(windows), {.valid = true, .age = true});
    std::vector<float> values;
    Bools pads;
    for (std::int64_t n = 0; n < 12; ++n) {
      const std::int64_t first = n < 7 ? 0 : 7;
      const std::int64_t last = n < 7 ? 6 : 11;
      for (const std::int64_t step : steps) {
        const std::int64_t at = std::clamp(n + step, first, last);
        for (std::int64_t d = 0; d < 2; ++d) values.push_back(Made::value(1, at, d));
        pads.push_back(at != n + step ? 1 : 0);
      }
    }
    EXPECT_EQ(elements<float>(batch.windows[0].values), values) << rate;
    EXPECT_EQ(elements<std::uint8_t>(batch.windows[0].is_pad), pads) << rate;
    Bools valid = elements<std::uint8_t>(batch.windows[0].valid);
    for (std::uint8_t& v : valid) v = 1 - v;
    EXPECT_EQ(valid, pads) << rate;
    const auto ages = elements<std::int64_t>(batch.windows[0].age_ns);
    for (std::size_t i = 0; i < ages.size(); ++i) EXPECT_EQ(ages[i] == 0, pads[i] == 0) << ages[i];
    EXPECT_EQ(elements<std::int64_t>(batch.index), all_samples(windows));
    EXPECT_EQ(elements<std::int64_t>(batch.episode_index)[6], 100);
    EXPECT_EQ(elements<std::int64_t>(batch.episode_index)[7], 102);
    EXPECT_EQ(elements<std::int64_t>(batch.stamps_ns)[7], 1'700'000'000'000'000'000);
  }
}

TEST(Windows, BlocksOfSamplesAreTheirRows) {
  const auto store = one_rate(30).store();
  for (std::int64_t first = -9; first < 9; ++first) {
    for (const std::int64_t rows : {1, 2, 4, 13}) {
      Window window{.stream = "state"};
      for (std::int64_t k = first; k < first + rows; ++k) window.offsets_s.push_back(static_cast<double>(k) / 30);
      const Windows windows(store, {window});
      const Batch block = read_batch(windows, all_samples(windows));
      const Batch found = read_batch(windows, all_samples(windows), {.valid = true});  // row by row
      EXPECT_EQ(elements<float>(block.windows[0].values), elements<float>(found.windows[0].values)) << first << rows;
      EXPECT_EQ(elements<std::uint8_t>(block.windows[0].is_pad), elements<std::uint8_t>(found.windows[0].is_pad));
    }
  }
}

/// What align says of one window of one anchor, on the stamps and values of its episode alone.
struct Aligned {
  std::vector<float> values;
  Bools valid;
  std::vector<std::int64_t> age_ns;

  Aligned(const Window& window, const std::vector<float>& samples, const Stamps& stamps, std::int64_t anchor_ns) {
    std::vector<std::int64_t> at;
    for (const double offset : window.offsets_s) at.push_back(anchor_ns + std::llrint(offset * 1e9));
    const auto k = static_cast<std::int64_t>(at.size());
    const auto s = static_cast<std::int64_t>(stamps.size());
    values.resize(at.size() * 2);
    valid.resize(at.size());
    age_ns.resize(at.size());
    const Stream stream{.values = {samples.data(), DType::f32, {1, s, 2}},
                        .stamps = {stamps.data(), DType::i64, {1, s}},
                        .interp = window.interp,
                        .before = window.before,
                        .after = window.after,
                        .max_gap_ns = window.max_gap_ns,
                        .max_age_ns = window.max_age_ns};
    const Tensor out(values.data(), DType::f32, {1, k, 2});
    align({&stream, 1}, ConstTensor(at.data(), DType::i64, {1, k}), {&out, 1},
          Tensor(valid.data(), DType::boolean, {1, k, 1}), Tensor(age_ns.data(), DType::i64, {1, k, 1}));
  }
};

TEST(Windows, RowsOnOtherClocksAreAlignedOnes) {
  std::mt19937_64 random(1);
  Made made{.names = {"slow", "fast"}, .clocks = {{}, {}}};
  for (const std::int64_t count : {40, 0, 1, 25}) {
    made.clocks[0].push_back(jittered(random, count, 10, 5'000'000'000));
    made.clocks[1].push_back(jittered(random, count * 13, 170, 5'010'000'000));
  }
  using Policy = Outside::Policy;
  for (const Interp interp : {Interp::automatic, Interp::hold, Interp::nearest, Interp::pchip, Interp::angle}) {
    for (const Policy policy : {Policy::hold, Policy::fill, Policy::extrapolate}) {
      Window fast{.stream = "fast", .offsets_s = {0.3, -0.21, 0, 0.0137, 12, -12, -0.01, -0.009}, .interp = interp};
      fast.before = {policy, -7.5};
      fast.after = {policy, 8};
      fast.max_gap_ns = 20'000'000;
      fast.max_age_ns = 4'000'000;
      Window slow = fast;
      slow.stream = "slow";
      slow.offsets_s[2] = 0.1;  // 0 is the anchor itself, though stamps come twice
      const Windows windows(made.store(), {fast, slow}, "slow");
      ASSERT_EQ(windows.samples(), 66);
      EXPECT_FALSE(windows.takes_samples(0));
      const Batch batch = read_batch(windows, all_samples(windows), {.valid = true, .age = true});
      for (std::size_t w = 0; w < 2; ++w) {
        std::vector<float> values;
        Bools valid, pads;
        std::vector<std::int64_t> ages;
        const std::size_t stream = 1 - w;
        for (std::size_t e = 0; e < 4; ++e) {
          const Stamps& stamps = made.clocks[stream][e];
          for (const std::int64_t anchor : made.clocks[0][e]) {
            const Aligned want(windows.window(w), made.values(stream, e), stamps, anchor);
            values.insert(values.end(), want.values.begin(), want.values.end());
            valid.insert(valid.end(), want.valid.begin(), want.valid.end());
            ages.insert(ages.end(), want.age_ns.begin(), want.age_ns.end());
            for (const double offset : windows.window(w).offsets_s) {
              const std::int64_t t = anchor + std::llrint(offset * 1e9);
              pads.push_back(t < stamps.front() || t > stamps.back() ? 1 : 0);
            }
          }
        }
        EXPECT_TRUE(same_bits(elements<float>(batch.windows[w].values), values)) << w;
        EXPECT_EQ(elements<std::uint8_t>(batch.windows[w].valid), valid) << w;
        EXPECT_EQ(elements<std::int64_t>(batch.windows[w].age_ns), ages) << w;
        EXPECT_EQ(elements<std::uint8_t>(batch.windows[w].is_pad), pads) << w;
      }
    }
  }
}

TEST(Windows, RowsBetweenSamplesOfOneRateAreAlignedOnes) {
  const Made made = one_rate(30);
  Window window{.stream = "state"};
  for (int k = -9; k < 10; ++k) window.offsets_s.push_back(k / 50.0);
  const Windows windows(made.store(), {window});
  EXPECT_FALSE(windows.takes_samples(0));
  const auto values = elements<float>(read_batch(windows, all_samples(windows)).windows[0].values);
  std::size_t row = 0;
  for (const std::size_t e : {0U, 2U}) {
    for (const std::int64_t anchor : made.clocks[0][e]) {
      const Aligned want(window, made.values(0, e), made.clocks[0][e], anchor);
      for (std::size_t k = 0; k < window.offsets_s.size(); ++k, ++row) {
        // On a sample it is the sample itself, which stamps that are rounded to a nanosecond do not always say.
        for (std::size_t d = 0; d < 2; ++d) EXPECT_NEAR(values[2 * row + d], want.values[2 * k + d], 1e-4);
      }
    }
  }
}

TEST(Windows, NoRoundedNanosecondDecidesWhichSampleIsHeld) {
  // 1/30 s is 33333333.3 ns: three steps of 1/90 s fall before a stamp, on it or behind it.
  const Made made = one_rate(30);
  Window window{.stream = "state", .interp = Interp::hold};
  for (int k = 0; k < 10; ++k) window.offsets_s.push_back(k / 90.0);
  const Windows windows(made.store(), {window});
  EXPECT_FALSE(windows.takes_samples(0));
  const std::vector<std::int64_t> samples = {0, 1, 2, 3};
  const Batch batch = read_batch(windows, samples);
  const auto values = elements<float>(batch.windows[0].values);
  const auto pads = elements<std::uint8_t>(batch.windows[0].is_pad);
  for (std::int64_t n = 0; n < 4; ++n) {
    for (std::int64_t k = 0; k < 10; ++k) {
      const auto row = static_cast<std::size_t>(10 * n + k);
      EXPECT_EQ(values[2 * row], Made::value(0, n + k / 3, 0)) << n << " " << k;
      EXPECT_EQ(pads[row], 0) << n << " " << k;
    }
  }
}

TEST(Windows, AnOffsetOfZeroIsTheAnchor) {
  const Made made{.names = {"state"}, .clocks = {{{0, 5, 5, 5, 9}, {}, {7}}}};
  const Windows windows(made.store(), {{.stream = "state", .offsets_s = {0}}});
  EXPECT_TRUE(windows.takes_samples(0));
  const auto values = elements<float>(read_batch(windows, all_samples(windows)).windows[0].values);
  for (std::int64_t n = 0; n < 6; ++n) EXPECT_EQ(values[static_cast<std::size_t>(2 * n)], Made::value(0, n, 0));
}

/// Rows at -1, 0 and 2 samples of the second stream around those of the first, each in one clock of 30 Hz; `shift[e]` is how
/// many samples later the second one begins in episode e, which then has `counts[e]`.
void expect_counted(const std::vector<std::int64_t>& shift, const std::vector<std::int64_t>& counts) {
  Made made{.names = {"state", "action"}, .clocks = {{}, {}}, .rate_hz = 30};
  for (std::size_t e = 0; e < shift.size(); ++e) {
    const std::int64_t first = 1'700'000'000'123'456'789 + static_cast<std::int64_t>(e) * 7'000'000'001;
    made.clocks[0].push_back(at_rate(40, 30, first));
    made.clocks[1].push_back(at_rate(counts[e], 30, first + std::llround(static_cast<double>(shift[e]) * 1e9 / 30)));
  }
  const Windows windows(
      made.store(),
      {{.stream = "action", .offsets_s = {-1.0 / 30, 0, 2.0 / 30}, .on_samples = true, .interp = Interp::hold}},
      "state");
  const Batch batch = read_batch(windows, all_samples(windows));
  const auto values = elements<float>(batch.windows[0].values);
  const auto pads = elements<std::uint8_t>(batch.windows[0].is_pad);
  std::int64_t begin = 0;
  std::size_t row = 0;
  for (std::size_t e = 0; e < shift.size(); begin += counts[e++]) {
    for (std::int64_t f = 0; f < 40; ++f) {
      for (const std::int64_t step : {-1, 0, 2}) {
        const std::int64_t at = f + step - shift[e];
        const std::int64_t kept = std::clamp<std::int64_t>(at, 0, counts[e] - 1);
        EXPECT_EQ(values[2 * row], Made::value(1, begin + kept, 0)) << e << " " << f << " " << step;
        EXPECT_EQ(pads[row], at != kept ? 1 : 0) << e << " " << f << " " << step;
        ++row;
      }
    }
  }
}

TEST(Windows, ClocksOfOneRateAreCounted) {
  expect_counted({0, 0, 0}, {39, 40, 41});
  expect_counted({1, -2, 7}, {39, 40, 12});
}

TEST(Windows, AStreamThatIsMissingInAnEpisodeIsCountedInTheOthers) {
  Made made{.names = {"state", "action"},
            .clocks = {{at_rate(20, 30), at_rate(20, 30)}, {at_rate(20, 30), {}}},
            .rate_hz = 30};
  const Windows windows(made.store(), {{.stream = "action", .offsets_s = {1.0 / 30}, .interp = Interp::hold}}, "state");
  const Batch batch = read_batch(windows, all_samples(windows));
  const auto values = elements<float>(batch.windows[0].values);
  for (std::int64_t n = 0; n < 20; ++n) {
    EXPECT_EQ(values[static_cast<std::size_t>(2 * n)], Made::value(1, std::min<std::int64_t>(n + 1, 19), 0));
    EXPECT_TRUE(std::isnan(values[static_cast<std::size_t>(2 * n + 40)]));
  }
}

TEST(Windows, ARoundedStampOfAnotherRateIsReached) {
  // Every third sample at 90 Hz is one at 30 Hz, to a nanosecond.
  const Made made{.names = {"slow", "fast"}, .clocks = {{at_rate(30, 30, 1)}, {at_rate(90, 90, 1)}}};
  const auto with_rates = [&] {
    StoreBuilder builder({{.name = "slow", .dtype = DType::f32, .shape = {2}, .rate_hz = 30},
                          {.name = "fast", .dtype = DType::f32, .shape = {2}, .rate_hz = 90}});
    const std::vector<float> slow = made.values(0, 0);
    const std::vector<float> fast = made.values(1, 0);
    const EpisodeStream episode[] = {
        {{slow.data(), DType::f32, {30, 2}}, {made.clocks[0][0].data(), DType::i64, {30}}},
        {{fast.data(), DType::f32, {90, 2}}, {made.clocks[1][0].data(), DType::i64, {90}}}};
    builder.append(0, episode);
    return builder.finish();
  };
  Window window{.stream = "fast", .interp = Interp::hold};
  for (int k = -3; k <= 3; ++k) window.offsets_s.push_back(k / 90.0);
  const Windows windows(with_rates(), {window}, "slow");
  const auto values = elements<float>(read_batch(windows, all_samples(windows)).windows[0].values);
  std::size_t row = 0;
  for (std::int64_t n = 0; n < 30; ++n) {
    for (std::int64_t k = -3; k <= 3; ++k, ++row) {
      EXPECT_EQ(values[2 * row], Made::value(1, std::clamp<std::int64_t>(3 * n + k, 0, 89), 0)) << n << " " << k;
    }
  }
}

TEST(Windows, RowsAreNotMovedToSamplesNearby) {
  const Made made = one_rate(1000);
  Window window{.stream = "state", .offsets_s = {1 / 1050.0}};
  const Windows windows(made.store(), {window});
  EXPECT_FALSE(windows.takes_samples(0));
  const std::vector<std::int64_t> samples = {2};
  const auto values = elements<float>(read_batch(windows, samples).windows[0].values);
  const double weight = 1000 / 1050.0;
  EXPECT_NEAR(values[0], Made::value(0, 2, 0) * (1 - weight) + Made::value(0, 3, 0) * weight, 1e-4);
}

TEST(Windows, LastSamplesAtTheirOwnRate) {
  const Made made{.names = {"slow", "fast"},
                  .clocks = {{{100, 200, 300}, {5}, {1, 2}}, {{90, 120, 130, 200, 310}, {}, {3, 4}}}};
  const Windows windows(made.store(), {{.stream = "fast", .last = 3}}, "slow");
  const Batch batch = read_batch(windows, all_samples(windows), {.valid = true, .age = true});
  const auto values = elements<float>(batch.windows[0].values);
  const std::vector<std::int64_t> want = {0, 0, 0, 1, 2, 3, 1, 2, 3};
  for (std::size_t row = 0; row < want.size(); ++row) EXPECT_EQ(values[2 * row], Made::value(1, want[row], 0)) << row;
  for (std::size_t row = 9; row < 12; ++row) EXPECT_TRUE(std::isnan(values[2 * row]));
  for (std::size_t row = 12; row < 18; ++row) EXPECT_EQ(values[2 * row], Made::value(1, 5, 0));
  const Bools pads = {1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_EQ(elements<std::uint8_t>(batch.windows[0].is_pad), pads);
  Bools valid = elements<std::uint8_t>(batch.windows[0].valid);
  for (std::uint8_t& v : valid) v = 1 - v;
  EXPECT_EQ(valid, pads);
  const auto ages = elements<std::int64_t>(batch.windows[0].age_ns);
  EXPECT_EQ((std::vector<std::int64_t>(ages.begin(), ages.begin() + 9)),
            (std::vector<std::int64_t>{10, 10, 10, 80, 70, 0, 180, 170, 100}));
}

TEST(Windows, ScaleBiasAndDtype) {
  const Made made = one_rate(10);
  const Windows windows(
      made.store(),
      {{.stream = "state", .offsets_s = {0, 0.1}, .scale = {0.5F, 2}, .bias = {-1, 0.25F}, .dtype = DType::bf16}});
  EXPECT_EQ(windows.dtype(0), DType::bf16);
  const std::vector<std::int64_t> samples = {5, 0};
  const Batch batch = read_batch(windows, samples);
  const auto values = elements<bf16>(batch.windows[0].values);
  std::size_t i = 0;
  for (const std::int64_t at : {5, 6, 0, 1}) {
    EXPECT_EQ(values[i++].bits, to_bf16(Made::value(0, at, 0) * 0.5F - 1).bits);
    EXPECT_EQ(values[i++].bits, to_bf16(Made::value(0, at, 1) * 2 + 0.25F).bits);
  }
}

}  // namespace
}  // namespace robocache
