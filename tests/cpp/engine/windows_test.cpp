#include "robocache/windows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/store_data.hpp"
#include "math/half.hpp"
#include "robocache/batch.hpp"
#include "robocache/error.hpp"

namespace robocache {
namespace {

using store_testing::at_rate;
using store_testing::jittered;
using store_testing::Made;
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

template <class Error, class F>
void expect_error(const std::string& text, F&& call) {
  try {
    call();
    FAIL() << "expected: " << text;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
  }
}

/// Three episodes of two streams with one rate; the second has no sample.
Made one_rate(double rate_hz) {
  const std::vector<Stamps> clock = {at_rate(7, rate_hz), {}, at_rate(5, rate_hz, 1'700'000'000'000'000'000)};
  return {.names = {"state", "action"}, .clocks = {clock, clock}, .rate_hz = rate_hz};
}

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
            for (const double offset : fast.offsets_s) {
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

TEST(Windows, SaysWhatIsWrong) {
  const auto store = one_rate(30).store();
  const auto make = [&](Window window, std::string_view anchor = {}) { Windows(store, {std::move(window)}, anchor); };
  expect_error<InvalidArgument>("windows['none'].stream is 'none', expected a stream of the store: state, action",
                                [&] { make({.stream = "none"}); });
  expect_error<InvalidArgument>("anchor is 'none'", [&] { make({.stream = "state"}, "none"); });
  expect_error<InvalidArgument>("windows is empty", [&] { Windows(store, {}); });
  expect_error<InvalidArgument>("store is null", [&] { Windows(nullptr, {{.stream = "state"}}); });
  expect_error<InvalidArgument>("offsets_s is 0.05, expected a multiple of 1 / 30 s",
                                [&] { make({.stream = "state", .offsets_s = {0.05}, .on_samples = true}); });
  expect_error<InvalidArgument>(
      "offsets_s is nan", [&] { make({.stream = "state", .offsets_s = {std::numeric_limits<double>::quiet_NaN()}}); });
  expect_error<InvalidArgument>("last is -1", [&] { make({.stream = "state", .last = -1}); });
  expect_error<InvalidArgument>("given beside offsets_s",
                                [&] { make({.stream = "state", .offsets_s = {0}, .last = 1}); });
  expect_error<InvalidArgument>("scale is [3]", [&] { make({.stream = "state", .scale = {1, 2, 3}}); });
  expect_error<Unsupported>("windows['state'].dtype is int32, expected a float dtype",
                            [&] { make({.stream = "state", .offsets_s = {0}, .dtype = DType::i32}); });
  expect_error<InvalidArgument>("expected a multiple of 4 columns for slerp",
                                [&] { make({.stream = "state", .interp = Interp::slerp}); });

  Window strict{.stream = "state", .offsets_s = {0.5}};
  strict.after.policy = Outside::Policy::error;
  const Windows windows(store, {strict});
  const std::vector<std::int64_t> end = {6};
  expect_error<InvalidArgument>("windows['state'].offsets_s is outside of the samples of episode 100",
                                [&] { static_cast<void>(read_batch(windows, end)); });
  for (const std::int64_t sample : {std::int64_t{-1}, windows.samples()}) {
    expect_error<InvalidArgument>("samples is " + std::to_string(sample) + ", expected 0 to 11",
                                  [&] { static_cast<void>(read_batch(windows, {&sample, 1})); });
  }
  std::vector<float> memory(2);
  const Windows::Result wrong{.values = {memory.data(), DType::f32, {1, 2, 1}}};
  const std::vector<std::int64_t> first = {0};
  expect_error<InvalidArgument>("is [1, 2, 1], expected", [&] {
    Windows(store, {{.stream = "state", .offsets_s = {0, 1}}}).read(first, {&wrong, 1}, {});
  });
  expect_error<InvalidArgument>("results is 0 of them", [&] { windows.read(first, {}, {}); });
}

}  // namespace
}  // namespace robocache
