#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace robocache {

/// Lengths, offsets or row numbers of i32 or i64 at any pitch; data == nullptr: not given.
struct IndexList {
  const void* data = nullptr;
  std::int64_t stride = 0;
  bool wide = false;  ///< i64, else i32

  [[nodiscard]] ROBOCACHE_HD std::int64_t operator[](std::int64_t i) const {
    return wide ? static_cast<const std::int64_t*>(data)[i * stride]
                : static_cast<std::int64_t>(static_cast<const std::int32_t*>(data)[i * stride]);
  }

  /// Of the first `size` numbers, which do not fall, the first that is more than n; `size`: none is.
  [[nodiscard]] ROBOCACHE_HD std::int64_t first_above(std::int64_t n, std::int64_t size) const {
    std::int64_t first = 0;
    std::int64_t last = size;
    while (first < last) {
      const std::int64_t middle = (first + last) / 2;
      if ((*this)[middle] <= n) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    return first;
  }
};

}  // namespace robocache
