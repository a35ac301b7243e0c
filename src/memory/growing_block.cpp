#include "memory/growing_block.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "memory/host_memory.hpp"

namespace robocache {

namespace {

constexpr std::size_t kAlignment = 64;
// From here on a block is a mapping: whole pages waste at most a thirtieth of it.
constexpr std::size_t kMapped = std::size_t{1} << 17;
constexpr std::size_t kMost = SIZE_MAX / 4;

std::size_t round_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

/// What a block of at least `bytes` takes.
std::size_t rounded(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return round_up(bytes, bytes < kMapped ? kAlignment : page);
}

/// nullptr when there is none.
std::byte* take(std::size_t capacity) noexcept {
  if (capacity < kMapped) return static_cast<std::byte*>(std::aligned_alloc(kAlignment, capacity));
  void* const memory = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
}

void give_back(std::byte* data, std::size_t capacity) noexcept {
  if (capacity < kMapped) {
    std::free(data);
  } else {
    munmap(data, capacity);
  }
}

}  // namespace

GrowingBlock::~GrowingBlock() {
  if (data_ != nullptr) give_back(data_, capacity_);
}

bool GrowingBlock::resize(std::size_t capacity) noexcept {
  if (capacity == capacity_) return true;
  if (std::min(capacity, capacity_) >= kMapped) {
    void* const moved = mremap(data_, capacity_, capacity, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) return false;
    data_ = static_cast<std::byte*>(moved);
  } else {
    std::byte* const other = capacity > 0 ? take(capacity) : nullptr;
    if (capacity > 0 && other == nullptr) return false;
    if (size_ > 0) std::memcpy(other, data_, size_);
    if (data_ != nullptr) give_back(data_, capacity_);
    data_ = other;
  }
  capacity_ = capacity;
  return true;
}

void GrowingBlock::reserve_more(const char* op, std::size_t bytes) {
  if (bytes <= capacity_ - size_) return;
  if (bytes > kMost - size_) out_of_host_memory(op, bytes);
  const std::size_t need = rounded(size_ + bytes);
  if (resize(rounded(std::max(size_ + bytes, capacity_ + capacity_ / 2))) || resize(need)) return;
  out_of_host_memory(op, need);
}

void GrowingBlock::trim() noexcept { resize(rounded(size_)); }

}  // namespace robocache
