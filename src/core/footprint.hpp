#pragma once

#include <cstdint>

#include "robocache/tensor.hpp"

namespace robocache {

/// The memory between the first and the last byte of an array. Of one with gaps it tells nothing: another array may lie
/// in them.
struct Footprint {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool has_gaps = false;

  explicit Footprint(const ConstTensor& tensor);
  /// Whether the arrays are known to share memory.
  [[nodiscard]] bool meets(const Footprint& other) const {
    return !has_gaps && !other.has_gaps && begin < other.end && other.begin < end;
  }
};

}  // namespace robocache
