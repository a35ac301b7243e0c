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
  return static_cast<std::byte*>(map_huge_pages(capacity));
}

/// A mapping of another size with the same content, at its place or moved; nullptr when there is none.
std::byte* remap(std::byte* data, std::size_t capacity, std::size_t wanted) noexcept {
  if (mremap(data, capacity, wanted, 0) != MAP_FAILED) return data;
  // To a place on huge pages as well: else the system would have to break up those that it moves.
  if (void* const place = map_huge_pages(wanted)) {
    void* const moved = mremap(data, capacity, wanted, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    if (moved != MAP_FAILED) return static_cast<std::byte*>(moved);
    // Whether the place is still ours is not known: it is left, never touched, as another thread may have it by now.
  }
  void* const moved = mremap(data, capacity, wanted, MREMAP_MAYMOVE);
  return moved == MAP_FAILED ? nullptr : static_cast<std::byte*>(moved);
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
    std::byte* const moved = remap(data_, capacity_, capacity);
    if (moved == nullptr) return false;
    data_ = moved;
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
