#include "kernels/cuda/voxelize_order.hpp"

#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <limits>
#include <string>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_points.cuh"
#include "robocache/error.hpp"

namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kPointsPerThread = 4;
constexpr std::int64_t kMostPoints = std::numeric_limits<std::int32_t>::max();

struct KeyArgs {
  PlacedPoints source;
  void* keys;
  std::uint32_t size;
  std::uint32_t* order;
  unsigned long long* dropped;
  std::uint64_t voxels;  ///< of a cloud
  std::uint64_t none;
};

/// Adds to dropped[cloud] where `lost`, once for all lanes of a cloud.
__device__ void count_dropped(unsigned long long* dropped, std::int64_t cloud, bool lost) {
  if (dropped == nullptr || !__any_sync(~0u, lost)) return;
  const unsigned alike = __match_any_sync(~0u, lost ? cloud : -1);
  if (lost && __ffs(alike) - 1 == static_cast<int>(threadIdx.x % 32)) {
    atomicAdd(&dropped[cloud], static_cast<unsigned long long>(__popc(alike)));
  }
}

/// All points of a thread are read before the first is placed. Waits last: PointOrder::sort() says behind what it may
/// begin early.
template <class T, class C, class Key>
__global__ void __launch_bounds__(kThreads) make_keys(const __grid_constant__ KeyArgs args) {
  const bool packed = args.source.offsets.data != nullptr;
  const std::uint32_t first = blockIdx.x * kThreads * kPointsPerThread + threadIdx.x;
  Point<C> p[kPointsPerThread];
  std::int64_t cloud[kPointsPerThread];
#pragma unroll
  for (std::uint32_t k = 0; k < kPointsPerThread; ++k) {
    const std::uint32_t i = first + k * kThreads;
    cloud[k] = i < args.size ? args.source.cloud_at(i) : -1;
    const std::int64_t base = packed ? 0 : cloud[k];
    p[k] = cloud[k] >= 0 ? point_at<T, C>(args.source.points, base, i - base * args.source.samples) : Point<C>{};
  }
#pragma unroll
  for (std::uint32_t k = 0; k < kPointsPerThread; ++k) {
    const Key none = static_cast<Key>(args.none);
    Key key = none;
    if (cloud[k] >= 0) {
      if (args.source.transforms.data != nullptr) p[k] = args.source.transforms.template at<C>(cloud[k])(p[k]);
      if (const Key voxel = args.source.template voxel<C, Key>(p[k]); voxel != ~Key{0}) {
        key = static_cast<Key>(cloud[k]) * static_cast<Key>(args.voxels) + voxel;
      }
    }
    count_dropped(args.dropped, cloud[k], cloud[k] >= 0 && key == none);
    const std::uint32_t i = first + k * kThreads;
    if (i >= args.size) continue;
    args.order[i] = i;
    static_cast<Key*>(args.keys)[i] = key;
  }
  await_earlier();
}

/// Sorts pairs, and returns where they are then; with work == nullptr only tells how many bytes of that it takes.
template <class Key>
SortedPoints sort_pairs(void* work, std::size_t& bytes, void* const (&keys)[2], std::uint32_t* const (&order)[2],
                        std::uint32_t size, int bits, void* stream) {
  cub::DoubleBuffer<Key> key_buffers(static_cast<Key*>(keys[0]), static_cast<Key*>(keys[1]));
  cub::DoubleBuffer<std::uint32_t> order_buffers(order[0], order[1]);
  check("voxelize", cub::DeviceRadixSort::SortPairs(work, bytes, key_buffers, order_buffers, static_cast<int>(size), 0,
                                                    bits, static_cast<cudaStream_t>(stream)));
  return {.keys = {.data = key_buffers.Current(), .wide = sizeof(Key) > 4}, .order = order_buffers.Current()};
}

}  // namespace

void ScratchPlan::take(const Context& ctx) {
  int device = 0;
  check("voxelize", cudaGetDevice(&device));
  block_ = Buffer(ctx.scratch != nullptr ? *ctx.scratch : device_memory(device), bytes_, ctx.stream);
}

PointOrder::PointOrder(const char* op, const VoxelizeArgs& args, const double (&low)[3], ScratchPlan& scratch)
    : op_(op), args_(args), low_(low) {
  std::int64_t points = args.samples;
  const bool packed = args.offsets.data != nullptr;
  if ((!packed && __builtin_mul_overflow(points, args.clouds, &points)) || points > kMostPoints) {
    throw Unsupported(std::string(op) + ": points is " + std::to_string(args.samples) + " points" +
                      (packed ? "" : " in each of " + std::to_string(args.clouds) + " clouds") +
                      ", expected at most 2^31 - 1 of them on CUDA");
  }
  size_ = static_cast<std::uint32_t>(points);
  none_ = static_cast<std::uint64_t>(args.clouds * args.rows() * args.grid.shape[2]);
  key_bits_ = std::max(1, static_cast<int>(std::bit_width(none_)));
  const std::size_t key_bytes = key_bits_ > 32 ? sizeof(std::uint64_t) : sizeof(std::uint32_t);
  for (std::size_t& keys : keys_) keys = scratch.add(size_ * key_bytes);
  for (std::size_t& order : order_) order = scratch.add(size_ * sizeof(std::uint32_t));
  if (size_ == 0) return;
  if (key_bits_ > 32) {
    sort_pairs<std::uint64_t>(nullptr, work_bytes_, {}, {}, size_, key_bits_, nullptr);
  } else {
    sort_pairs<std::uint32_t>(nullptr, work_bytes_, {}, {}, size_, key_bits_, nullptr);
  }
  work_ = scratch.add(work_bytes_);
}

SortedPoints PointOrder::sort(const ScratchPlan& scratch, std::int64_t* dropped, void* stream, Start start) const {
  SortedPoints sorted{.keys = {.none = none_}};
  if (size_ == 0) return sorted;
  void* const keys[] = {scratch.at<void>(keys_[0]), scratch.at<void>(keys_[1])};
  std::uint32_t* const order[] = {scratch.at<std::uint32_t>(order_[0]), scratch.at<std::uint32_t>(order_[1])};
  const bool wide = key_bits_ > 32;
  KeyArgs to{.source = PlacedPoints(args_),
             .keys = keys[0],
             .size = size_,
             .order = order[0],
             .dropped = reinterpret_cast<unsigned long long*>(dropped),
             .voxels = static_cast<std::uint64_t>(args_.rows() * args_.grid.shape[2]),
             .none = none_};
  std::ranges::copy(low_, to.source.low);
  constexpr unsigned kEach = kThreads * kPointsPerThread;
  visit_element_type(args_.points.dtype, [&]<class T, class C>() {
    const auto kernel = wide ? make_keys<T, C, std::uint64_t> : make_keys<T, C, std::uint32_t>;
    launch(op_, kernel, dim3((size_ + kEach - 1) / kEach), kThreads, stream, to, start);
  });
  std::size_t bytes = work_bytes_;
  void* const work = scratch.at<void>(work_);
  sorted = wide ? sort_pairs<std::uint64_t>(work, bytes, keys, order, size_, key_bits_, stream)
                : sort_pairs<std::uint32_t>(work, bytes, keys, order, size_, key_bits_, stream);
  sorted.keys.size = size_;
  sorted.keys.none = none_;
  return sorted;
}

}  // namespace robocache::cuda
