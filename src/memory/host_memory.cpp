#include "memory/host_memory.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "robocache/error.hpp"
#include "robocache/memory.hpp"

namespace robocache {

namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// From here on page faults cost more than rounding up to huge pages wastes.
constexpr std::size_t kLarge = std::size_t{1} << 20;

/// What a block of `bytes` really takes: whole huge pages, in steps of at most an eighth, so that results of about the
/// same size share blocks.
std::size_t capacity(std::size_t bytes) {
  const std::size_t step = std::max(kHugePage, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

/// Large blocks that came back, newest last.
class Pool {
 public:
  Pool() : most_(std::min(std::size_t{1} << 30, physical_memory() / 8)) {}

  void* take(std::size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(), [&](const Block& b) { return b.bytes == bytes; });
    if (found == blocks_.rend()) return nullptr;
    void* const memory = found->memory;
    bytes_ -= bytes;
    blocks_.erase(std::next(found).base());
    return memory;
  }

  /// Keeps the block and gives the oldest ones back to the system where they are too many.
  void put(void* memory, std::size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    if (bytes > most_ || !reserve()) {
      munmap(memory, bytes);
      return;
    }
    blocks_.push_back({memory, bytes});
    bytes_ += bytes;
    while (bytes_ > most_) release_oldest();
  }

  void clear() noexcept {
    const std::lock_guard lock(mutex_);
    while (!blocks_.empty()) release_oldest();
  }

  /// A fork while another thread is inside must not leave the child with a lock that nobody opens.
  void lock() noexcept { mutex_.lock(); }
  void unlock() noexcept { mutex_.unlock(); }

 private:
  struct Block {
    void* memory;
    std::size_t bytes;
  };

  static std::size_t physical_memory() noexcept {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page) : 0;
  }

  bool reserve() noexcept {
    try {
      blocks_.reserve(blocks_.size() + 1);
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  void release_oldest() noexcept {
    munmap(blocks_.front().memory, blocks_.front().bytes);
    bytes_ -= blocks_.front().bytes;
    blocks_.erase(blocks_.begin());
  }

  const std::size_t most_;
  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::size_t bytes_ = 0;
};

// This and the resource are never destroyed: results may outlive static objects.
Pool& pool() {
  static Pool* const made = [] {
    static Pool* const p = new Pool;
    pthread_atfork([] { p->lock(); }, [] { p->unlock(); }, [] { p->unlock(); });
    return p;
  }();
  return *made;
}

class HostMemory final : public MemoryResource {
 public:
  void* allocate(std::size_t bytes, void*) override {
    if (bytes < kLarge) {
      const std::size_t rounded = (std::max(bytes, std::size_t{1}) + kAlignment - 1) / kAlignment * kAlignment;
      void* const memory = std::aligned_alloc(kAlignment, rounded);
      if (memory == nullptr) out_of_host_memory("host_memory", bytes);
      return memory;
    }
    if (bytes > SIZE_MAX / 2) out_of_host_memory("host_memory", bytes);
    const std::size_t taken = capacity(bytes);
    if (void* const memory = pool().take(taken)) return memory;
    void* memory = map_huge_pages(taken);
    if (memory == nullptr) {
      pool().clear();
      memory = map_huge_pages(taken);
    }
    if (memory == nullptr) out_of_host_memory("host_memory", bytes);
    return memory;
  }

  void deallocate(void* memory, std::size_t bytes, void*) noexcept override {
    if (memory == nullptr) return;
    if (bytes < kLarge) {
      std::free(memory);
    } else {
      pool().put(memory, capacity(bytes));
    }
  }

  [[nodiscard]] Device device() const noexcept override { return {}; }
};

}  // namespace

void out_of_host_memory(std::string_view op, std::size_t bytes) {
  const long pages = sysconf(_SC_AVPHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  const std::string free = pages >= 0 && page > 0 ? std::to_string(pages * page) + " bytes" : "unknown";
  throw OutOfMemory(std::string(op) + ": free memory is " + free + ", expected " + std::to_string(bytes) + " bytes");
}

void* map_huge_pages(std::size_t bytes) noexcept {
  void* const base = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<std::uintptr_t>(base);
  const std::uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  if (first > begin) munmap(base, first - begin);
  if (first < begin + kHugePage) munmap(reinterpret_cast<void*>(first + bytes), begin + kHugePage - first);
  void* const memory = reinterpret_cast<void*>(first);
  madvise(memory, bytes, MADV_HUGEPAGE);  // Where this fails, pages are small: slower, not wrong.
  return memory;
}

MemoryResource& host_memory() {
  static HostMemory* const memory = new HostMemory;
  return *memory;
}

}  // namespace robocache
