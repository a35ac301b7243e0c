#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "memory/buffer.hpp"
#include "robocache/error.hpp"
#include "robocache/memory.hpp"

namespace robocache {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST(HostMemory, IsOnTheCpu) { EXPECT_EQ(host_memory().device(), (Device{DeviceKind::cpu, 0})); }

TEST(HostMemory, BlocksAreAlignedAndWhole) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{255}, std::size_t{256}, std::size_t{4097}, kMiB - 1, kMiB,
                                  kMiB + 1, 2 * kMiB, 2 * kMiB + 1, 67 * kMiB + 12345}) {
    Buffer buffer(host_memory(), bytes);
    ASSERT_NE(buffer.data(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0u) << bytes;
    auto* const memory = static_cast<unsigned char*>(buffer.data());
    memory[0] = 1;
    memory[bytes - 1] = 2;
  }
}

TEST(HostMemory, LargeBlocksAreRecycledBySize) {
  void* const first = host_memory().allocate(20 * kMiB, nullptr);
  host_memory().deallocate(first, 20 * kMiB, nullptr);
  // About the same size: the same block. Another size: another one.
  void* const other = host_memory().allocate(40 * kMiB, nullptr);
  void* const again = host_memory().allocate(20 * kMiB - 100, nullptr);
  EXPECT_EQ(again, first);
  EXPECT_NE(other, first);
  host_memory().deallocate(again, 20 * kMiB - 100, nullptr);
  host_memory().deallocate(other, 40 * kMiB, nullptr);
}

/// Address space of this process in bytes; 0: not known.
std::size_t mapped_bytes() {
  std::size_t pages = 0;
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%zu", &pages) != 1) pages = 0;
  std::fclose(file);
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST(HostMemory, ThePoolIsBounded) {
  const std::size_t before = mapped_bytes();
  if (before == 0) GTEST_SKIP() << "no /proc/self/statm";
  constexpr std::size_t block = 256 * kMiB;
  std::vector<void*> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(host_memory().allocate(block, nullptr));
  EXPECT_GE(mapped_bytes(), before + 5 * block);
  for (void* memory : blocks) host_memory().deallocate(memory, block, nullptr);
  const auto physical =
      static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  EXPECT_LE(mapped_bytes(), before + std::min(4 * block, physical / 8) + 64 * kMiB);
}

TEST(HostMemory, ImpossibleSizesAreOutOfMemory) {
  for (const std::size_t bytes :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 2, std::size_t{1} << 50}) {
    EXPECT_THROW(static_cast<void>(host_memory().allocate(bytes, nullptr)), OutOfMemory) << bytes;
  }
}

TEST(HostMemory, ConcurrentUse) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      std::mt19937 random(t);
      std::vector<std::pair<Buffer, unsigned char>> held;
      for (int i = 0; i < 200; ++i) {
        const std::size_t bytes = random() % (3 * kMiB) + 1;
        const auto mark = static_cast<unsigned char>(random());
        held.emplace_back(Buffer(host_memory(), bytes), mark);
        auto* const memory = static_cast<unsigned char*>(held.back().first.data());
        memory[0] = memory[bytes - 1] = mark;
        if (held.size() < 5) continue;
        const std::size_t k = random() % held.size();
        const auto* const old = static_cast<const unsigned char*>(held[k].first.data());
        EXPECT_EQ(old[0], held[k].second);
        EXPECT_EQ(old[held[k].first.bytes() - 1], held[k].second);
        std::swap(held[k], held.back());
        held.pop_back();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Another thread is inside the pool at the moment of most forks.
TEST(Fork, HostMemoryWorksInTheChild) {
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) Buffer(host_memory(), 2 * kMiB);
  });
  Buffer kept(host_memory(), 4 * kMiB);
  std::memset(kept.data(), 7, kept.bytes());
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      const Buffer mine(host_memory(), 2 * kMiB);
      std::memset(mine.data(), 1, mine.bytes());
      _exit(static_cast<const unsigned char*>(kept.data())[kept.bytes() - 1] == 7 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }
  stop = true;
  busy.join();
}

}  // namespace
}  // namespace robocache
