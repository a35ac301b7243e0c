#include "robocache/sampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <ranges>
#include <string>
#include <vector>

#include "robocache/error.hpp"

namespace robocache {
namespace {

std::vector<std::int64_t> order_of(const Sampler& sampler, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(sampler.samples()));
  sampler.read(epoch, 0, order);
  return order;
}

std::vector<std::int64_t> part_of(const Sampler& sampler, const Sampler::Part& part) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(part.count));
  sampler.read(part.epoch, part.first, samples);
  return samples;
}

/// What all ranks get until the epoch ends, batch after batch, side by side.
std::vector<std::int64_t> rest_of_epoch(SamplerOptions options, SamplerState from, std::int64_t world_size) {
  std::vector<Sampler> ranks;
  options.world_size = world_size;
  for (options.rank = 0; options.rank < world_size; ++options.rank) ranks.emplace_back(options).seek(from);
  std::vector<std::int64_t> all;
  for (bool more = true; more;) {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    std::int64_t most = 0;
    for (Sampler& sampler : ranks) {
      const auto part = sampler.next();
      more = part.has_value();
      if (!more) continue;
      const auto samples = part_of(sampler, *part);
      all.insert(all.end(), samples.begin(), samples.end());
      least = std::min(least, part->count);
      most = std::max(most, part->count);
    }
    if (more) {
      EXPECT_LE(most - least, 1);
    }
  }
  return all;
}

void expect_refused(const SamplerOptions& options, const std::string& text) {
  try {
    const Sampler sampler(options);
    FAIL() << "expected: " << text;
  } catch (const InvalidArgument& e) {
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
  }
}

TEST(Sampler, EverySampleComesOnceAnEpoch) {
  for (const std::int64_t count : {1, 2, 3, 255, 256, 257, 1000, 4096, 100'003}) {
    const Sampler sampler({.counts = {count}, .seed = 3});
    for (const std::int64_t epoch : {0, 1, 1'000'000}) {
      std::vector<std::int64_t> order = order_of(sampler, epoch);
      std::ranges::sort(order);
      for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
    }
  }
}

TEST(Sampler, SeedsEpochsAndDatasetsHaveTheirOwnOrders) {
  const Sampler a({.counts = {1000}, .seed = 0});
  const Sampler b({.counts = {1000}, .seed = 1});
  EXPECT_EQ(order_of(a, 0), order_of(Sampler({.counts = {400, 600}}), 0));
  EXPECT_NE(order_of(a, 0), order_of(b, 0));
  EXPECT_NE(order_of(a, 0), order_of(a, 1));
  EXPECT_NE(order_of(a, 1), order_of(b, 0));
}

TEST(Sampler, TheOrderIsThatOfTheFirstRelease) {  // or no checkpoint could go on
  const Sampler sampler({.counts = {1'000'000'000'000}, .seed = 42});
  std::vector<std::int64_t> order(4);
  sampler.read(7, 999'999'999'996, order);
  EXPECT_EQ(order, (std::vector<std::int64_t>{816293850249, 343402393348, 214139021215, 653727206706}));
  const Sampler mixture({.counts = {1000, 70}, .weights = {0.25, 0.75}, .seed = 42});
  mixture.read(7, 100, order);
  EXPECT_EQ(order, (std::vector<std::int64_t>{1002, 1054, 121, 366}));
}

TEST(Sampler, RanksShareTheSameOrder) {
  for (const bool drop_last : {false, true}) {
    const SamplerOptions options{.counts = {1003}, .batch_size = 50, .drop_last = drop_last, .seed = 5};
    const std::vector<std::int64_t> order = order_of(Sampler(options), 2);
    const std::vector<std::int64_t> whole(order.begin(), order.begin() + (drop_last ? 1000 : 1003));
    for (const std::int64_t world_size : {1, 2, 3, 8, 64}) EXPECT_EQ(rest_of_epoch(options, {2, 0}, world_size), whole);
  }
}

TEST(Sampler, GoesOnAnywhereWithOtherRanksAndBatches) {
  std::mt19937_64 random(1);
  SamplerOptions options{.counts = {77, 400}, .batch_size = 32, .seed = 9};
  for (const bool weighted : {false, true}) {
    if (weighted) options.weights = {1, 2};
    const std::vector<std::int64_t> order = order_of(Sampler(options), 3);
    for (int i = 0; i < 30; ++i) {
      const auto position = static_cast<std::int64_t>(random() % 477);
      options.batch_size = 1 + static_cast<std::int64_t>(random() % 100);
      const std::vector<std::int64_t> rest(order.begin() + position, order.end());
      EXPECT_EQ(rest_of_epoch(options, {3, position}, 1 + static_cast<std::int64_t>(random() % 9)), rest);
    }
  }
}

TEST(Sampler, EpochsFollowEachOther) {
  Sampler sampler({.counts = {10}, .batch_size = 4});
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    EXPECT_EQ(sampler.state(), (SamplerState{epoch, 0}));
    EXPECT_EQ(sampler.batches_left(), 3);
    for (const std::int64_t first : {0, 4, 8}) {
      const auto part = sampler.next();
      ASSERT_TRUE(part);
      EXPECT_EQ(part->epoch, epoch);
      EXPECT_EQ(part->first, first);
      EXPECT_EQ(part->count, first == 8 ? 2 : 4);
    }
    EXPECT_FALSE(sampler.next());
  }
  Sampler at_the_end({.counts = {10}, .batch_size = 4});
  at_the_end.seek({5, 10});
  EXPECT_EQ(at_the_end.state(), (SamplerState{6, 0}));
  EXPECT_TRUE(at_the_end.next());  // an epoch that is begun with is not told to be over first
}

TEST(Sampler, DatasetsHaveTheirShares) {
  constexpr std::int64_t kRound = 1 << 20;
  const Sampler sampler(
      {.counts = {50'000, 300, 0, 2'000'000}, .weights = {0.5, 0.2, 0, 0.3}, .samples_per_epoch = 3 * kRound});
  const std::vector<std::int64_t> order = order_of(sampler, 0);
  std::map<std::int64_t, int> times;
  std::vector<double> drawn(4);
  for (const std::int64_t s : order) {
    ++times[s];
    ++drawn[s < 50'000 ? 0 : s < 50'300 ? 1 : 3];
  }
  EXPECT_NEAR(drawn[0], 0.5 * 3 * kRound, 6);
  EXPECT_NEAR(drawn[1], 0.2 * 3 * kRound, 6);
  EXPECT_NEAR(drawn[3], 0.3 * 3 * kRound, 6);
  // Of a dataset, no sample comes a second time before all have come.
  const auto spread = [&](std::int64_t first, std::int64_t end) {
    const auto [low, high] = std::ranges::minmax(
        std::views::iota(first, end) | std::views::transform([&](auto s) { return times.contains(s) ? times[s] : 0; }));
    return high - low;
  };
  EXPECT_LE(spread(0, 50'000), 1);
  EXPECT_LE(spread(50'000, 50'300), 1);
  EXPECT_LE(spread(50'300, 2'050'300), 1);
  // Turns are shuffled: what comes first in a round has no more of the first dataset than its share.
  double early = 0;
  for (int i = 0; i < 10'000; ++i) early += order[static_cast<std::size_t>(i)] < 50'000 ? 1 : 0;
  EXPECT_NEAR(early, 5'000, 5 * 50);
}

TEST(Sampler, ATinyWeightIsNotLost) {
  const Sampler sampler({.counts = {10, 10}, .weights = {1, 1e-12}, .samples_per_epoch = 1 << 20});
  EXPECT_EQ(std::ranges::count_if(order_of(sampler, 0), [](std::int64_t s) { return s >= 10; }), 1);
}

TEST(Sampler, WithoutShuffleSamplesComeInOrder) {
  const Sampler sampler({.counts = {3, 4}, .shuffle = false});
  EXPECT_EQ(order_of(sampler, 9), (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(Sampler, FewerSamplesThanRanksLeaveSomeEmpty) {
  std::int64_t given = 0;
  for (std::int64_t rank = 0; rank < 8; ++rank) {
    const auto part = Sampler({.counts = {3}, .batch_size = 100, .rank = rank, .world_size = 8}).next();
    ASSERT_TRUE(part);
    EXPECT_LE(part->count, 1);
    given += part->count;
  }
  EXPECT_EQ(given, 3);
}

TEST(Sampler, ThePoolReadsWhatOneThreadDoes) {
  const Sampler sampler({.counts = {1'000'000'000}, .seed = 4});
  std::vector<std::int64_t> all(200'000);
  sampler.read(1, 12'345, all);
  for (std::size_t i = 0; i < all.size(); i += 997) {
    std::int64_t one = 0;
    sampler.read(1, 12'345 + static_cast<std::int64_t>(i), {&one, 1});
    ASSERT_EQ(all[i], one);
  }
}

TEST(Sampler, RefusesWhatMakesNoSense) {
  expect_refused({.counts = {}}, "Sampler: counts is [], expected at least one sample");
  expect_refused({.counts = {0, 0}}, "Sampler: counts is [0, 0], expected at least one sample");
  expect_refused({.counts = {5, -1}}, "Sampler: counts[1] is -1, expected at least 0");
  expect_refused({.counts = {std::int64_t{1} << 60, 1}}, "expected a sum of at most 2^60");
  expect_refused({.counts = {5}, .batch_size = 0}, "Sampler: batch_size is 0, expected at least 1");
  expect_refused({.counts = {5}, .batch_size = 6, .drop_last = true}, "batch_size is 6, expected at most 5 samples");
  expect_refused({.counts = {5}, .world_size = 0}, "Sampler: world_size is 0");
  expect_refused({.counts = {5}, .rank = 2, .world_size = 2}, "Sampler: rank is 2, expected 0 to world_size - 1 = 1");
  expect_refused({.counts = {5}, .weights = {1, 2}}, "Sampler: weights is 2 numbers, expected one for each of the 1");
  expect_refused({.counts = {5, 5}, .weights = {1, -2}}, "Sampler: weights[1] is -2");
  expect_refused({.counts = {5, 5}, .weights = {0, 0}}, "expected a finite sum above 0");
  expect_refused({.counts = {5, 0}, .weights = {1, 1}}, "Sampler: counts[1] is 0, expected at least 1");
  expect_refused({.counts = {5}, .weights = {1}, .shuffle = false}, "Sampler: shuffle is false");
  expect_refused({.counts = {5}, .samples_per_epoch = 10}, "Sampler: samples_per_epoch is 10");
  Sampler sampler({.counts = {5}});
  EXPECT_THROW(sampler.seek({-1, 0}), InvalidArgument);
  EXPECT_THROW(sampler.seek({0, 6}), InvalidArgument);
  std::vector<std::int64_t> out(3);
  EXPECT_THROW(sampler.read(0, 3, out), InvalidArgument);
  EXPECT_THROW(sampler.read(-1, 0, out), InvalidArgument);
}

}  // namespace
}  // namespace robocache
