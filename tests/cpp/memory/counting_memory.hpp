#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "robocache/error.hpp"
#include "robocache/memory.hpp"

namespace robocache::memory_testing {

/// Memory that counts what is taken, and has so much and no more.
class Counting final : public MemoryResource {
 public:
  explicit Counting(MemoryResource& from = host_memory()) : from_(from) {}

  void* allocate(std::size_t bytes, void* stream) override {
    const std::int64_t now = taken += static_cast<std::int64_t>(bytes);
    if (now > limit) {
      taken -= static_cast<std::int64_t>(bytes);
      throw OutOfMemory("counting: limit is " + std::to_string(limit) + ", expected " + std::to_string(now));
    }
    for (std::int64_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    return from_.allocate(bytes, stream);
  }
  void deallocate(void* memory, std::size_t bytes, void* stream) noexcept override {
    taken -= static_cast<std::int64_t>(bytes);
    from_.deallocate(memory, bytes, stream);
  }
  [[nodiscard]] Device device() const noexcept override { return from_.device(); }

  std::atomic<std::int64_t> taken{0}, most{0};
  std::int64_t limit = INT64_MAX;

 private:
  MemoryResource& from_;
};

}  // namespace robocache::memory_testing
