#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include <robocache/device.hpp>
#include <robocache/dtype.hpp>

namespace robocache {

inline constexpr int kMaxRank = 8;

/// A strided view of memory that somebody else owns. Strides count elements and may be 0 (broadcast) or negative.
/// A view with data == nullptr and rank 0 means "not given".
template <class Data>
struct BasicTensor {
  Data* data = nullptr;
  DType dtype = DType::f32;
  Device device{};
  std::int32_t rank = 0;
  std::int64_t shape[kMaxRank] = {};
  std::int64_t strides[kMaxRank] = {};

  constexpr BasicTensor() = default;

  /// A contiguous (row-major) view.
  constexpr BasicTensor(Data* memory, DType type, std::initializer_list<std::int64_t> sizes, Device where = {}) noexcept
      : data(memory), dtype(type), device(where), rank(static_cast<std::int32_t>(sizes.size())) {
    int i = 0;
    for (std::int64_t size : sizes) shape[i++] = size;
    std::int64_t stride = 1;
    for (i = rank - 1; i >= 0; --i) {
      strides[i] = stride;
      stride *= shape[i];
    }
  }

  [[nodiscard]] constexpr bool given() const noexcept { return data != nullptr || rank > 0; }

  [[nodiscard]] constexpr std::int64_t numel() const noexcept {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }

  [[nodiscard]] constexpr std::span<const std::int64_t> sizes() const noexcept {
    return {shape, static_cast<std::size_t>(rank)};
  }
};

/// A view that an operator writes.
struct Tensor : BasicTensor<void> {
  using BasicTensor::BasicTensor;
};

/// A view that an operator only reads.
struct ConstTensor : BasicTensor<const void> {
  using BasicTensor::BasicTensor;

  constexpr ConstTensor(const Tensor& t) noexcept {  // NOLINT(google-explicit-constructor): a view of a view
    data = t.data;
    dtype = t.dtype;
    device = t.device;
    rank = t.rank;
    for (int i = 0; i < kMaxRank; ++i) {
      shape[i] = t.shape[i];
      strides[i] = t.strides[i];
    }
  }
};

}  // namespace robocache
