#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "robocache/store.hpp"

// What tests of the engine share: stores of made episodes, errors.
namespace robocache::store_testing {

using Stamps = std::vector<std::int64_t>;

/// Stamps of samples at a rate, as readers make them.
inline Stamps at_rate(std::int64_t count, double rate_hz, std::int64_t first_ns = 0) {
  Stamps stamps;
  for (std::int64_t i = 0; i < count; ++i) {
    stamps.push_back(first_ns + std::llround(static_cast<double>(i) * 1e9 / rate_hz));
  }
  return stamps;
}

/// Stamps of a real clock: jitter, and now and then a gap or a stamp that comes twice.
inline Stamps jittered(std::mt19937_64& random, std::int64_t count, double rate_hz, std::int64_t first_ns = 0) {
  Stamps stamps;
  auto step = static_cast<std::int64_t>(1e9 / rate_hz);
  for (std::int64_t i = 0, t = first_ns; i < count; ++i) {
    stamps.push_back(t);
    const std::uint64_t kind = random() % 20;
    t += kind == 0   ? 0
         : kind == 1 ? 5 * step
                     : step / 2 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(step));
  }
  return stamps;
}

/// One stream of f32 of `width` columns for each of `clocks`, each [episode] its stamps; values say stream, place and column.
struct Made {
  std::vector<std::string> names;
  std::vector<std::vector<Stamps>> clocks;  ///< [stream][episode]
  std::int64_t width = 2;
  double rate_hz = 0;

  static float value(std::size_t stream, std::int64_t sample, std::int64_t column) {
    return static_cast<float>(1000 * static_cast<std::int64_t>(stream) + 10 * sample * (sample % 3 + 1) + column);
  }
  /// Of all columns of a stream in an episode, whose first sample has this number in the stream.
  [[nodiscard]] std::vector<float> values(std::size_t stream, std::size_t episode) const {
    std::int64_t first = 0;
    for (std::size_t e = 0; e < episode; ++e) first += static_cast<std::int64_t>(clocks[stream][e].size());
    std::vector<float> made;
    for (std::int64_t s = 0; s < static_cast<std::int64_t>(clocks[stream][episode].size()); ++s) {
      for (std::int64_t d = 0; d < width; ++d) made.push_back(value(stream, first + s, d));
    }
    return made;
  }
  /// Episode e has the number 100 + e.
  [[nodiscard]] std::shared_ptr<const Store> store() const {
    std::vector<StoreStream> streams;
    for (const std::string& name : names) {
      streams.push_back({.name = name, .dtype = DType::f32, .shape = {width}, .rate_hz = rate_hz});
    }
    StoreBuilder builder(std::move(streams));
    for (std::size_t e = 0; e < clocks.front().size(); ++e) {
      std::vector<std::vector<float>> kept;
      std::vector<EpisodeStream> episode;
      for (std::size_t s = 0; s < names.size(); ++s) {
        kept.push_back(values(s, e));
        const auto n = static_cast<std::int64_t>(clocks[s][e].size());
        episode.push_back({{kept.back().data(), DType::f32, {n, width}}, {clocks[s][e].data(), DType::i64, {n}}});
      }
      builder.append(100 + static_cast<std::int64_t>(e), episode);
    }
    return builder.finish();
  }
};

/// Three episodes of two streams with one rate; the second has no sample.
inline Made one_rate(double rate_hz) {
  const std::vector<Stamps> clock = {at_rate(7, rate_hz), {}, at_rate(5, rate_hz, 1'700'000'000'000'000'000)};
  return {.names = {"state", "action"}, .clocks = {clock, clock}, .rate_hz = rate_hz};
}

/// A call throws an Error whose text has this in it.
template <class Error, class F>
void expect_error(const std::string& text, F&& call) {
  try {
    call();
    FAIL() << "expected: " << text;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
  }
}

}  // namespace robocache::store_testing
