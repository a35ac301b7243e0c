#include "robocache/loader.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/store_data.hpp"
#include "robocache/error.hpp"

namespace robocache {
namespace {

using store_testing::at_rate;
using store_testing::Made;

Windows made_windows(std::int64_t samples, Window window = {.stream = "state", .offsets_s = {-0.1, 0, 0.1}}) {
  const Made made{
      .names = {"state"}, .clocks = {{at_rate(samples / 3, 10), at_rate(samples - samples / 3, 10)}}, .rate_hz = 10};
  return Windows(made.store(), {std::move(window)});
}

std::vector<std::int64_t> index_of(const Batch& batch) {
  const auto* data = static_cast<const std::int64_t*>(batch.index.view.data);
  return {data, data + batch.index.view.numel()};
}

/// What a sampler says of a batch, and what is in it.
void expect_part(const Sampler& sampler, const Batch& batch) {
  const Sampler::Part part = sampler.part();
  std::vector<std::int64_t> want(static_cast<std::size_t>(part.count));
  sampler.read(part.epoch, part.first, want);
  ASSERT_EQ(index_of(batch), want);
  const auto* values = static_cast<const float*>(batch.windows[0].values.view.data);
  for (std::size_t b = 0; b < want.size(); ++b) ASSERT_EQ(values[6 * b + 2], Made::value(0, want[b], 0));
}

TEST(LoaderThreads, BatchesComeInTheSamplersOrder) {
  const Windows windows = made_windows(103);
  for (const int prefetch : {0, 1, 2, 5}) {
    for (const std::int64_t world : {1, 3}) {
      for (std::int64_t rank = 0; rank < world; ++rank) {
        const SamplerOptions order{.batch_size = 8, .seed = 7, .rank = rank, .world_size = world};
        Loader loader(windows, {.sampler = order, .prefetch = prefetch});
        SamplerOptions whole = order;
        whole.counts = {103};
        Sampler sampler(whole);
        for (int i = 0; i < 40; ++i) {
          EXPECT_EQ(loader.state(), sampler.state());
          EXPECT_EQ(loader.batches_left(), sampler.batches_left());
          expect_part(sampler, loader.next());
          sampler.advance();
        }
      }
    }
  }
}

TEST(LoaderThreads, GoesOnWhereItIsTold) {
  const Windows windows = made_windows(1000);
  const SamplerOptions order{.counts = {1000}, .batch_size = 10, .seed = 3};
  Loader loader(windows, {.sampler = order, .prefetch = 3});
  Sampler sampler(order);
  for (const SamplerState state : {SamplerState{0, 500}, {4, 0}, {0, 10}, {2, 990}}) {
    loader.seek(state);
    sampler.seek(state);
    for (int i = 0; i < 5; ++i) {
      expect_part(sampler, loader.next());
      sampler.advance();
    }
  }
  EXPECT_THROW(loader.seek({0, 5000}), InvalidArgument);
  expect_part(sampler, loader.next());
}

TEST(LoaderThreads, AnErrorComesInItsTurn) {
  Window strict{.stream = "state", .offsets_s = {-0.1, 0, 0.1}};
  strict.after.policy = Outside::Policy::error;
  for (const int prefetch : {0, 3}) {
    Loader loader(made_windows(30, strict), {.sampler = {.batch_size = 1, .shuffle = false}, .prefetch = prefetch});
    for (std::int64_t i = 0; i < 40; ++i) {
      const bool is_last = i % 30 == 9 || i % 30 == 29;  // of an episode
      if (is_last) {
        EXPECT_THROW(static_cast<void>(loader.next()), InvalidArgument);
      } else {
        EXPECT_EQ(index_of(loader.next()), std::vector<std::int64_t>{i % 30});
      }
    }
  }
}

TEST(LoaderThreads, OpensAndClosesAtAnyTime) {
  const Windows windows = made_windows(500);
  for (int i = 0; i < 1000; ++i) {
    Loader loader(windows, {.sampler = {.batch_size = 50}, .prefetch = i % 4});
    for (int k = 0; k < i % 13; ++k) static_cast<void>(loader.next());
    if (i % 3 == 0) loader.close();
    if (i % 5 == 0) loader.close();
    if (i % 3 == 0) {
      EXPECT_THROW(static_cast<void>(loader.next()), InvalidArgument);
    }
  }
}

TEST(LoaderThreads, BatchesAreTheCallers) {
  std::vector<Batch> kept;
  {
    Loader loader(made_windows(100), {.sampler = {.batch_size = 10, .shuffle = false}, .prefetch = 2});
    for (int i = 0; i < 10; ++i) kept.push_back(loader.next());
    Loader other(made_windows(100), {});
    other = std::move(loader);
  }
  for (std::int64_t i = 0; i < 10; ++i) {
    const auto* values = static_cast<const float*>(kept[static_cast<std::size_t>(i)].windows[0].values.view.data);
    for (std::int64_t b = 0; b < 10; ++b) EXPECT_EQ(values[6 * b + 2], Made::value(0, 10 * i + b, 0));
  }
}

TEST(LoaderThreads, CallsOfSeveralThreadsComeOneAfterTheOther) {
  for (int round = 0; round < 50; ++round) {
    Loader loader(made_windows(400), {.sampler = {.batch_size = 1}, .prefetch = 2});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&loader, t, round] {
        try {
          for (int i = 0; i < 25; ++i) static_cast<void>(loader.next());
          if (t == 0 && round % 2 == 1) loader.close();
        } catch (const InvalidArgument&) {
          EXPECT_EQ(round % 2, 1);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (round % 2 == 0) {
      EXPECT_EQ(loader.state().position, 100);
    }
  }
}

TEST(Loader, WaitsNoLongerThanItIsTold) {
  Loader loader(made_windows(100), {.sampler = {.batch_size = 10}, .prefetch = 1});
  while (!loader.next(std::chrono::milliseconds(0))) std::this_thread::yield();
  EXPECT_EQ(loader.state().position, 10);
}

TEST(Loader, SomeRanksHaveNoSampleOfASmallBatch) {
  Loader loader(made_windows(9), {.sampler = {.batch_size = 8, .rank = 0, .world_size = 4}, .prefetch = 1});
  EXPECT_EQ(index_of(loader.next()).size(), 2U);
  EXPECT_EQ(index_of(loader.next()).size(), 0U);
}

TEST(Loader, SaysThatItIsInAFork) {
  Loader loader(made_windows(100), {.sampler = {.batch_size = 10}, .prefetch = 2});
  static_cast<void>(loader.next());
  const pid_t child = fork();
  if (child == 0) {
    int status = 1;
    try {
      static_cast<void>(loader.next());
    } catch (const Unsupported& e) {
      status = std::string(e.what()).find("fork") != std::string::npos ? 0 : 2;
    }
    try {
      loader.seek({0, 0});
      status = 3;
    } catch (const Unsupported&) {
    }
    {
      const Loader gone = std::move(loader);
    }
    _exit(status);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(index_of(loader.next()).size(), 10U);
}

TEST(Loader, SaysWhatIsWrong) {
  EXPECT_THROW(Loader(made_windows(10), {.prefetch = -1}), InvalidArgument);
  EXPECT_THROW(Loader(made_windows(10), {.sampler = {.batch_size = 0}}), InvalidArgument);
  EXPECT_THROW(Loader(made_windows(10), {.sampler = {.rank = 2, .world_size = 2}}), InvalidArgument);
}

}  // namespace
}  // namespace robocache
