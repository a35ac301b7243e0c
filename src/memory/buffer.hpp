#pragma once

#include <cstddef>
#include <utility>

#include "robocache/memory.hpp"

namespace robocache {

/// Owns one block of a MemoryResource. Given back on the stream that it was taken for. Move-only.
class Buffer {
 public:
  Buffer() = default;

  /// `bytes` of `resource`, usable by work on `stream`; no memory for 0 bytes. Throws OutOfMemory.
  Buffer(MemoryResource& resource, std::size_t bytes, void* stream = nullptr)
      : resource_(&resource),
        data_(bytes > 0 ? resource.allocate(bytes, stream) : nullptr),
        bytes_(bytes),
        stream_(stream) {}

  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) resource_->deallocate(data_, bytes_, stream_);
  }

  void swap(Buffer& other) noexcept {
    std::swap(resource_, other.resource_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(stream_, other.stream_);
  }

  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] Device device() const noexcept { return resource_ != nullptr ? resource_->device() : Device{}; }
  [[nodiscard]] void* stream() const noexcept { return stream_; }

 private:
  MemoryResource* resource_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  void* stream_ = nullptr;
};

}  // namespace robocache
