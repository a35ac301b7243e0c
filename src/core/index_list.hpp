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
};

}  // namespace robocache
