#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/launch.hpp"
#include "kernels/voxelize.hpp"
#include "memory/buffer.hpp"

// Points sorted by voxel, in their own order within a voxel.
namespace robocache::cuda {

/// Arrays in one block of scratch memory. All are added before the block is taken: one allocation a call is what a
/// captured graph replays.
class ScratchPlan {
 public:
  /// Where an array of so many bytes will be.
  std::size_t add(std::size_t bytes) {
    constexpr std::size_t kAlignment = 256;
    const std::size_t at = bytes_;
    bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  void take(const Context& ctx);

  template <class T>
  [[nodiscard]] T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(block_.data()) + offset);
  }

 private:
  std::size_t bytes_ = 0;
  Buffer block_;
};

/// Keys in rising order. `none` is that of points in no voxel; all others are less.
struct SortedKeys {
  const void* data = nullptr;
  bool wide = false;  ///< u64, else u32
  std::uint32_t size = 0;
  std::uint64_t none = 0;

  [[nodiscard]] ROBOCACHE_HD std::uint64_t operator[](std::uint32_t i) const {
    return wide ? static_cast<const std::uint64_t*>(data)[i] : static_cast<const std::uint32_t*>(data)[i];
  }
  [[nodiscard]] ROBOCACHE_HD bool has(std::uint32_t i, std::uint64_t key) const {
    return i < size && (*this)[i] == key;
  }
  /// Whether sorted point i is the first of a voxel.
  [[nodiscard]] ROBOCACHE_HD bool begins(std::uint32_t i) const {
    const std::uint64_t key = (*this)[i];
    return key != none && (i == 0 || (*this)[i - 1] != key);
  }
  /// The points of the voxel whose first is sorted point i; most have few.
  [[nodiscard]] ROBOCACHE_HD std::uint32_t run_length(std::uint32_t i) const {
    const std::uint64_t key = (*this)[i];
    std::uint32_t step = 1;
    while (has(i + step, key)) step *= 2;
    return first_from(key + 1, i + step / 2 + 1, i + step < size ? i + step : size) - i;
  }
  /// The first i in [first, last) with a key of at least `key`, or last.
  [[nodiscard]] ROBOCACHE_HD std::uint32_t first_from(std::uint64_t key, std::uint32_t first,
                                                      std::uint32_t last) const {
    constexpr std::uint32_t kWays = 8;  // Of a long range that many parts are told apart by loads side by side.
    while (last - first >= 4 * kWays) {
      const std::uint32_t part = (last - first) / kWays;
      std::uint32_t less = 0;
      ROBOCACHE_UNROLL
      for (std::uint32_t way = 1; way < kWays; ++way) less += (*this)[first + way * part] < key ? 1 : 0;
      last = less + 1 < kWays ? first + (less + 1) * part : last;
      first += less * part;
    }
    while (first < last) {
      const std::uint32_t middle = first + (last - first) / 2;
      if ((*this)[middle] < key) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    return first;
  }
};

struct SortedPoints {
  SortedKeys keys;                       ///< cloud * voxels of its grid + voxel
  const std::uint32_t* order = nullptr;  ///< the place of each in [B, N]
};

/// Sorts at most 2^31 - 1 points; never waits for the device.
class PointOrder {
 public:
  /// `op` names the operator in errors; `low` is that of VoxelizeSparseArgs.
  PointOrder(const char* op, const VoxelizeArgs& args, const double (&low)[3], ScratchPlan& scratch);
  [[nodiscard]] std::uint32_t size() const { return size_; }
  /// Adds to `dropped`, unless it is null, how many points of each cloud are in no voxel. Start::early: behind kernels of
  /// the same call that write neither points nor scratch nor `dropped`, the first of which began in order.
  [[nodiscard]] SortedPoints sort(const ScratchPlan& scratch, std::int64_t* dropped, void* stream,
                                  Start start = Start::in_order) const;

 private:
  const char* op_;
  const VoxelizeArgs& args_;
  const double (&low_)[3];
  std::uint32_t size_ = 0;
  std::uint64_t none_ = 0;
  int key_bits_ = 1;
  std::size_t keys_[2], order_[2], work_ = 0, work_bytes_ = 0;
};

}  // namespace robocache::cuda
