#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "reference/align_cases.hpp"
#include "robocache/memory.hpp"
#include "robocache/tensor.hpp"

#if ROBOCACHE_CUDA
#include <cuda_runtime_api.h>
#endif

/// Memory of a device with test data in it, laid out as a case asks.
namespace robocache::reference {

inline void copy_bytes(void* to, const void* from, std::size_t bytes, Device device) {
  if (bytes == 0) return;  // an empty vector's data() may be null, which memcpy does not take
  if (device.kind == DeviceKind::cpu) {
    std::memcpy(to, from, bytes);
    return;
  }
#if ROBOCACHE_CUDA
  ASSERT_EQ(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), cudaSuccess);
#else
  FAIL() << "CUDA memory in a build without CUDA";
#endif
}

/// A block of bytes on `device`, filled with a pattern that no test writes.
class Block {
 public:
  static constexpr std::byte kUntouched{0xA5};

  Block(Device device, std::size_t bytes) : device_(device), bytes_(bytes) {
    memory_ = resource().allocate(capacity(), nullptr);
    put(std::vector<std::byte>(bytes, kUntouched));
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { resource().deallocate(memory_, capacity(), nullptr); }

  [[nodiscard]] void* at(std::int64_t offset = 0) const { return static_cast<std::byte*>(memory_) + offset; }
  void put(const std::vector<std::byte>& content) { copy_bytes(memory_, content.data(), content.size(), device_); }
  [[nodiscard]] std::vector<std::byte> get() const {
    std::vector<std::byte> content(bytes_);
    copy_bytes(content.data(), memory_, bytes_, device_);
    return content;
  }

 private:
  [[nodiscard]] MemoryResource& resource() const {
    return device_.kind == DeviceKind::cpu ? host_memory() : device_memory(device_.index);
  }
  [[nodiscard]] std::size_t capacity() const { return bytes_ + 16; }

  Device device_;
  std::size_t bytes_;
  void* memory_ = nullptr;
};

/// A strided array in a Block: sizes, strides and the element that index 0 is at.
struct Layout {
  std::vector<std::int64_t> sizes, strides;
  std::int64_t first = 0;
  std::int64_t elements = 0;  ///< of the whole block

  [[nodiscard]] std::int64_t offset(std::int64_t flat) const {
    std::int64_t at = first;
    for (std::size_t i = sizes.size(); i-- > 0; flat /= sizes[i]) at += flat % sizes[i] * strides[i];
    return at;
  }
  [[nodiscard]] std::int64_t count() const {
    std::int64_t n = 1;
    for (std::int64_t size : sizes) n *= size;
    return n;
  }
};

/// Rows of D elements in [.., S, D] as a case's `layout` says; `groups` is G (or 1 for packed samples).
inline Layout rows_layout(const std::string& kind, bool packed, std::int64_t groups, std::int64_t S, std::int64_t D) {
  Layout l;
  std::int64_t row = D, column = 1, group = S * D;
  l.elements = groups * S * D;
  if (kind == "pitched") {
    row = D + 3;
    group = S * row;
    l.first = 1;
    l.elements = groups * group + 1;
  } else if (kind == "columns") {
    row = 1;
    column = S;
  } else if (kind == "repeated") {
    group = 0;
  } else if (kind == "reversed") {
    row = -D;
    l.first = (S - 1) * D;
  }
  l.sizes = {S, D};
  l.strides = {row, column};
  if (!packed) {
    l.sizes.insert(l.sizes.begin(), groups);
    l.strides.insert(l.strides.begin(), group);
  }
  return l;
}

/// Owns the blocks of one call.
class Arrays {
 public:
  explicit Arrays(Device device) : device_(device) {}

  /// An array of numbers that `element(flat index)` gives.
  template <class Element>
  Tensor make(const Layout& layout, DType dtype, Element&& element) {
    const auto size = static_cast<std::int64_t>(size_of(dtype));
    std::vector<std::byte> content(static_cast<std::size_t>(layout.elements * size), Block::kUntouched);
    for (std::int64_t i = 0; i < layout.count(); ++i) {
      store(element(static_cast<std::size_t>(i)), dtype, content.data() + layout.offset(i) * size);
    }
    blocks_.push_back(std::make_unique<Block>(device_, content.size()));
    blocks_.back()->put(content);
    return view(layout, dtype, *blocks_.back());
  }

  template <class T>
  Tensor list(const std::vector<T>& numbers, DType dtype) {
    const auto n = static_cast<std::int64_t>(numbers.size());
    return make({{n}, {1}, 0, n}, dtype, [&](std::size_t i) { return static_cast<Real>(numbers[i]); });
  }

  Tensor times(const Layout& layout, DType time, const std::vector<Instant>& stamps) {
    return make(layout, time,
                [&](std::size_t i) { return std::visit([](auto s) { return static_cast<Real>(s); }, stamps[i]); });
  }

  /// An array that nothing has written yet.
  Tensor blank(const Layout& layout, DType dtype) {
    blocks_.push_back(std::make_unique<Block>(device_, static_cast<std::size_t>(layout.elements) * size_of(dtype)));
    return view(layout, dtype, *blocks_.back());
  }

  [[nodiscard]] const Block& last() const { return *blocks_.back(); }
  [[nodiscard]] Device device() const { return device_; }

 private:
  [[nodiscard]] Tensor view(const Layout& layout, DType dtype, const Block& block) const {
    Tensor t;
    t.data = block.at(layout.first * static_cast<std::int64_t>(size_of(dtype)));
    t.dtype = dtype;
    t.device = device_;
    t.rank = static_cast<std::int32_t>(layout.sizes.size());
    for (std::size_t i = 0; i < layout.sizes.size(); ++i) {
      t.shape[i] = layout.sizes[i];
      t.strides[i] = layout.strides[i];
    }
    return t;
  }

  Device device_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

/// The devices that tests run on: the CPU, and CUDA where there is one.
inline std::vector<Device> test_devices() {
  std::vector<Device> devices{{DeviceKind::cpu, 0}};
  if (cuda_device_count() > 0) devices.push_back({DeviceKind::cuda, 0});
  return devices;
}

}  // namespace robocache::reference
