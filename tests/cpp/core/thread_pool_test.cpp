#include "core/thread_pool.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace robocache {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

/// How often each item was visited by one parallel_for.
std::vector<int> visits(std::int64_t n, std::int64_t grain, int threads) {
  std::vector<std::atomic<int>> counts(static_cast<std::size_t>(n));
  parallel_for(n, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) counts[static_cast<std::size_t>(i)].fetch_add(1);
  });
  return {counts.begin(), counts.end()};
}

TEST(ThreadPool, VisitsEveryItemOnce) {
  for (const std::int64_t n : {1, 2, 3, 7, 64, 1000}) {
    for (const std::int64_t grain : {1, 2, 7, 1000, 5000}) {
      for (const int threads : {0, 1, 2, 3, 64}) {
        ASSERT_EQ(visits(n, grain, threads), std::vector<int>(static_cast<std::size_t>(n), 1))
            << n << " items by " << grain << " on " << threads;
      }
    }
  }
}

TEST(ThreadPool, NothingToDoCallsNothing) {
  parallel_for(0, 1, 0, [](std::int64_t, std::int64_t) { FAIL(); });
  parallel_for(-5, 1, 0, [](std::int64_t, std::int64_t) { FAIL(); });
}

TEST(ThreadPool, RangesAreWholeGrainsButTheLast) {
  std::mutex mutex;
  std::set<std::pair<std::int64_t, std::int64_t>> ranges;
  parallel_for(10, 4, 2, [&](std::int64_t begin, std::int64_t end) {
    const std::lock_guard lock(mutex);
    ranges.emplace(begin, end);
  });
  if (processor_count() == 1) GTEST_SKIP() << "one processor: one range";
  EXPECT_EQ(ranges, (std::set<std::pair<std::int64_t, std::int64_t>>{{0, 4}, {4, 8}, {8, 10}}));
}

TEST(ThreadPool, CountsBeyond32Bits) {
  constexpr std::int64_t n = std::int64_t{1} << 40;
  std::atomic<std::int64_t> sum{0};
  parallel_for(n, std::int64_t{1} << 34, 0, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
  EXPECT_EQ(sum, n);
}

TEST(ThreadPool, OneThreadIsTheCallers) {
  parallel_for(100, 1, 1, [caller = std::this_thread::get_id()](std::int64_t, std::int64_t) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
  });
}

TEST(ThreadPool, UsesAtMostTheThreadsAskedFor) {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  parallel_for(64, 1, 2, [&](std::int64_t, std::int64_t) {
    const int now = inside.fetch_add(1) + 1;
    int seen = most.load();
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    inside.fetch_sub(1);
  });
  EXPECT_LE(most, 2);
}

TEST(ThreadPool, ASecondThreadHelps) {
  if (processor_count() == 1) GTEST_SKIP() << "one processor";
  // Two ranges that wait for each other: only two threads can end this.
  std::atomic<int> inside{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  parallel_for(2, 1, 2, [&](std::int64_t, std::int64_t) {
    ++inside;
    while (inside < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  EXPECT_LT(std::chrono::steady_clock::now(), deadline);
}

TEST(ThreadPool, WakesAfterSleeping) {
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than the threads look for work
    ASSERT_EQ(visits(100, 1, 0), std::vector<int>(100, 1));
  }
}

TEST(ThreadPool, FirstExceptionReachesTheCaller) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran{0};
    try {
      parallel_for(1'000'000, 1, 0, [&](std::int64_t begin, std::int64_t) {
        ++ran;
        if (begin >= 10) throw std::runtime_error("item " + std::to_string(begin));
      });
      FAIL() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(std::string(error.what()).substr(0, 5), "item ");
    }
    EXPECT_LT(ran, 1'000'000) << "ranges after the exception were not skipped";
  }
  EXPECT_EQ(visits(100, 1, 0), std::vector<int>(100, 1)) << "the pool does not survive an exception";
}

TEST(ThreadPool, NestedCallsEnd) {
  std::atomic<int> count{0};
  parallel_for(8, 1, 0, [&](std::int64_t, std::int64_t) {
    parallel_for(8, 1, 0, [&](std::int64_t begin, std::int64_t end) {
      parallel_for(end - begin + 3, 1, 0, [&](std::int64_t b, std::int64_t e) { count += static_cast<int>(e - b); });
    });
  });
  EXPECT_GE(count, 8 * 4);
}

TEST(ThreadPool, ConcurrentCallsShareThePool) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 200; ++i) {
        const std::int64_t n = 1 + (i * 7 + caller * 13) % 50;
        if (visits(n, 1 + i % 3, i % 4) != std::vector<int>(static_cast<std::size_t>(n), 1)) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, ConcurrentExceptionsStayWithTheirCallers) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 100; ++i) {
        try {
          parallel_for(20, 1, 0, [&](std::int64_t begin, std::int64_t) {
            if (caller % 2 == 0 && begin == 7) throw caller;
          });
          wrong += caller % 2 == 0;
        } catch (int thrower) {
          wrong += thrower != caller;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, ALongCallDoesNotKeepTheThreads) {
  if (processor_count() == 1) GTEST_SKIP() << "one processor";
  std::atomic<bool> stop{false};
  std::thread other([&] {
    const auto endless = [&](std::int64_t, std::int64_t) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      if (stop) throw 0;
    };
    EXPECT_THROW(parallel_for(std::int64_t{1} << 60, 1, 0, endless), int);
  });
  // Needs a second thread, which the endless call has had since long.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::atomic<int> inside{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  parallel_for(2, 1, 2, [&](std::int64_t, std::int64_t) {
    ++inside;
    while (inside < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  EXPECT_LT(std::chrono::steady_clock::now(), deadline);
  stop = true;
  other.join();
}

// Not under tsan, which cannot start threads in a forked child.
TEST(Fork, ParallelForWorksInTheChild) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer starts no threads after a fork";
  visits(100, 1, 0);
  const pid_t child = fork();
  if (child == 0) _exit(visits(100, 1, 0) == std::vector<int>(100, 1) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(visits(100, 1, 0), std::vector<int>(100, 1));
}

TEST(ProcessorCount, IsPositive) { EXPECT_GE(processor_count(), 1); }

}  // namespace
}  // namespace robocache
