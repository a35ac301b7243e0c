#pragma once

#include <cstdint>

#include "kernels/cuda/point_operators_tile.cuh"

// Which clouds rows are of, as RowPlaces numbers them.
namespace robocache::cuda {

struct CloudRows {
  IndexList lengths, offsets;
  std::int64_t samples;
  std::int64_t clouds;
  std::int64_t rows;  ///< all of them, with those of no cloud

  explicit CloudRows(const CloudArgs& args)
      : lengths(args.lengths),
        offsets(args.offsets),
        samples(args.samples),
        clouds(args.clouds),
        rows(offsets.data != nullptr ? samples : clouds * samples) {}

  /// Whether rows can be of no cloud.
  [[nodiscard]] __device__ bool leaves_out() const { return lengths.data != nullptr || offsets.data != nullptr; }

  /// The first of the offsets that is more than `row`, or their number.
  [[nodiscard]] __device__ std::int64_t first_offset_after(std::int64_t row) const {
    return offsets.first_above(row, clouds + 1);
  }

  /// Where a cloud begins, or the last one ends; what offsets say beyond the memory that there is, is not followed.
  [[nodiscard]] __device__ std::int64_t begin(std::int64_t cloud) const {
    return offsets.data == nullptr ? cloud * samples : max(std::int64_t{0}, min(offsets[cloud], samples));
  }
};

/// Finds the clouds of a lane's rows of a tile. Mostly the next row is of the same cloud as the last one.
class CloudCursor {
 public:
  /// Rows are counted from `first` on.
  __device__ CloudCursor(const CloudRows& clouds, std::int64_t first) : clouds_(clouds), first_(first) {}

  /// -1: of none.
  __device__ std::int64_t cloud_at(int row) {
    if (static_cast<unsigned>(row - begin_) >= size_) {
      if (clouds_.offsets.data != nullptr) {
        find_packed(first_ + row);
      } else {
        find_padded(first_ + row);
      }
    }
    return cloud_;
  }

 private:
  __device__ void find_padded(std::int64_t row) {
    cloud_ = clouds_.clouds == 1 ? 0 : quotient(row, clouds_.samples);
    const std::int64_t begin = cloud_ * clouds_.samples;
    const std::int64_t end = begin + clouds_.samples;
    if (clouds_.lengths.data == nullptr) return hold(begin, end);
    const std::int64_t padding = begin + max(std::int64_t{0}, min(clouds_.lengths[cloud_], clouds_.samples));
    if (row < padding) return hold(begin, padding);
    cloud_ = -1;
    hold(padding, end);
  }

  __device__ void find_packed(std::int64_t row) {
    const std::int64_t after = clouds_.first_offset_after(row);
    cloud_ = after <= clouds_.clouds ? after - 1 : -1;
    hold(after > 0 ? clouds_.offsets[after - 1] : 0, after <= clouds_.clouds ? clouds_.offsets[after] : clouds_.rows);
  }

  /// As far as a tile can reach.
  __device__ void hold(std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t kFar = 1 << 20;
    begin_ = static_cast<int>(max(begin - first_, std::int64_t{0}));
    size_ = static_cast<unsigned>(min(end - first_, kFar)) - static_cast<unsigned>(begin_);
  }

  const CloudRows& clouds_;
  std::int64_t first_;
  std::int64_t cloud_ = -1;
  int begin_ = 0;
  unsigned size_ = 0;
};

/// The transform of a cloud; of it each lane of a warp reads a number.
template <class C>
__device__ Affine<C> transform_of_warp(const Transforms& transforms, std::int64_t cloud) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const C own = lane < 12 ? transforms.at<C>(cloud, lane / 4, lane % 4) : C{0};
  Affine<C> affine;
  for (int i = 0; i < 12; ++i) affine.m[i / 4][i % 4] = __shfl_sync(~0U, own, i);
  return affine;
}

/// The transform of the cloud that a lane asked for last.
template <class C>
class CloudTransform {
 public:
  __device__ const Affine<C>& of(const Transforms& transforms, std::int64_t cloud) {
    const std::int64_t which = transforms.batch == 0 ? 0 : cloud;
    if (which != which_) affine_ = transforms.at<C>(which);
    which_ = which;
    return affine_;
  }

 private:
  Affine<C> affine_;
  std::int64_t which_ = -1;
};

}  // namespace robocache::cuda
