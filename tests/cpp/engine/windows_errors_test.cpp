#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/store_data.hpp"
#include "robocache/batch.hpp"
#include "robocache/error.hpp"

namespace robocache {
namespace {

using store_testing::expect_error;
using store_testing::one_rate;

TEST(WindowsErrors, SayWhatIsWrong) {
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
