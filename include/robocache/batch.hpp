#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <robocache/windows.hpp>

namespace robocache {

/// A tensor with its memory, which goes back to where it came from with the last copy.
struct OwnedTensor {
  Tensor view{};
  std::shared_ptr<void> memory{};
};

/// Which marks a batch has beside is_pad.
struct BatchMarks {
  bool valid = false;
  bool age = false;
};

/// The windows of B samples.
struct Batch {
  struct Result {
    OwnedTensor values;         ///< [B, K, D]
    OwnedTensor is_pad;         ///< [B, K] bool
    OwnedTensor valid, age_ns;  ///< [B, K] bool, i64; not given where not asked for
  };
  std::vector<Result> windows;
  OwnedTensor index;          ///< [B] i64: the number of each sample, as Windows counts them
  OwnedTensor episode_index;  ///< [B] i64: the dataset's own number of its episode
  OwnedTensor stamps_ns;      ///< [B] i64
};

/// Windows::read into new memory. Throws what that does, and OutOfMemory.
[[nodiscard]] Batch read_batch(const Windows& windows, std::span<const std::int64_t> samples, BatchMarks marks = {},
                               const Context& ctx = {});

}  // namespace robocache
