#pragma once

#include <cstddef>
#include <utility>

namespace robocache {

/// Host memory that is filled from the front and grows. A large block is a mapping of its own, on huge pages: the system
/// then moves page tables, not bytes, so there never are two copies, and what was not written yet takes no memory.
/// realloc moves pages too, but keeps neither the alignment nor the huge pages. A small block is copied. Aligned to 64
/// bytes. Move-only.
class GrowingBlock {
 public:
  GrowingBlock() = default;
  GrowingBlock(GrowingBlock&& other) noexcept { swap(other); }
  GrowingBlock& operator=(GrowingBlock&& other) noexcept {
    GrowingBlock(std::move(other)).swap(*this);
    return *this;
  }
  ~GrowingBlock();

  void swap(GrowingBlock& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  /// Makes room for `bytes` more; half as much again as there was, at least. `op` names who asked in errors.
  /// Throws OutOfMemory; nothing has changed then.
  void reserve_more(const char* op, std::size_t bytes);

  /// Where the next `bytes` go, for which there must be room.
  std::byte* extend(std::size_t bytes) noexcept {
    std::byte* const end = data_ + size_;
    size_ += bytes;
    return end;
  }

  /// Gives back what is not used, as far as the system can.
  void trim() noexcept;

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Bytes that it takes.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  /// Whether there is one of `capacity` bytes now.
  bool resize(std::size_t capacity) noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace robocache
