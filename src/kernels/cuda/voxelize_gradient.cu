#include "kernels/voxelize_gradient.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_runs.cuh"
#include "robocache/error.hpp"

// Each point gathers from the gradients of its voxel: where there are only sums, in the order of the points; else in
// their sorted order, where the points of a voxel are known. All elements are written once, and there are no atomics.
namespace robocache::cuda {

namespace {

constexpr const char* kOp = "voxelize_gradient";
constexpr unsigned kThreads = 256;
constexpr std::size_t kMostGradients = 32;  ///< that a kernel's parameter has room for
constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

/// Gradients, and what is gathered from them.
struct Gathered {
  VoxelGradientInput from[kMostGradients];
  int count = 0;
  std::uint32_t columns = 0;
  void* out = nullptr;             ///< [points][columns]
  std::uint32_t block_points = 1;  ///< of a block: as many as have a thread for each access, or one

  explicit Gathered(const VoxelizeGradientArgs& args)
      : columns(static_cast<std::uint32_t>(args.input.columns)), out(args.grad_features) {
    for (const VoxelGradientInput& gradient : args.gradients) from[count++] = gradient;
  }

  /// kWidth columns of voxel `voxel` of gradient `g`.
  template <class T, int kWidth>
  [[nodiscard]] __device__ Elements<T, kWidth> at(int g, std::uint64_t voxel, std::uint32_t column) const {
    const T* const row = static_cast<const T*>(from[g].grad_out) + voxel * columns;
    return *reinterpret_cast<const Elements<T, kWidth>*>(row + column);
  }

  template <class T, class C, int kWidth>
  __device__ void write(std::uint64_t point, std::uint32_t column, const C (&sum)[kWidth]) const {
    Elements<T, kWidth> rounded;
#pragma unroll
    for (int d = 0; d < kWidth; ++d) rounded.at[d] = narrowed<T>(sum[d]);
    *reinterpret_cast<Elements<T, kWidth>*>(static_cast<T*>(out) + point * columns + column) = rounded;
  }
};

struct SumArgs {
  Gathered gathered;
  PlacedPoints source;
  std::uint64_t size;  ///< places of [B, N]
};

/// The voxel of place `i` of [B, N] among those of all clouds, or kNowhere.
__device__ std::uint64_t voxel_at(const PlacedPoints& source, std::uint64_t i) {
  const std::int64_t cloud = source.cloud_at(i);
  if (cloud < 0) return kNowhere;
  const std::int64_t base = source.offsets.data != nullptr ? 0 : cloud;
  return with_element_type(source.points.dtype, [&]<class T>() -> std::uint64_t {
    if constexpr (is_half<T> || std::is_floating_point_v<T>) {
      using C = std::conditional_t<std::is_same_v<T, double>, double, float>;
      Point<C> p = point_at<T, C>(source.points, base, static_cast<std::int64_t>(i) - base * source.samples);
      if (source.transforms.data != nullptr) p = source.transforms.template at<C>(cloud)(p);
      const auto voxel = source.template voxel<C, std::uint64_t>(p);
      return voxel == kNowhere ? voxel : static_cast<std::uint64_t>(cloud * source.voxels()) + voxel;
    } else {
      return kNowhere;  // Points are floats.
    }
  });
}

/// A thread for kWidth columns of each point.
template <class T, class C, int kWidth>
__global__ void __launch_bounds__(kThreads) gather_sums(const __grid_constant__ SumArgs args) {
  const Gathered& gathered = args.gathered;
  const std::uint32_t accesses = gathered.columns / kWidth;
  const std::uint64_t i = std::uint64_t{blockIdx.x} * gathered.block_points + threadIdx.x / accesses;
  if (threadIdx.x / accesses >= gathered.block_points || i >= args.size) return;
  const std::uint64_t voxel = voxel_at(args.source, i);
  for (std::uint32_t access = threadIdx.x % accesses; access < accesses; access += kThreads) {
    C sum[kWidth] = {};
    for (int g = 0; voxel != kNowhere && g < gathered.count; ++g) {
      const auto from = gathered.at<T, kWidth>(g, voxel, access * kWidth);
#pragma unroll
      for (int d = 0; d < kWidth; ++d) sum[d] = sum[d] + widened<C>(from.at[d]);
    }
    gathered.write<T>(i, access * kWidth, sum);
  }
}

struct GatherArgs {
  Gathered gathered;
  RunArgs least, greatest;  ///< of the features, for min and for max, with chunks of Placed
  bool has_least = false, has_greatest = false;
};

/// The sorted points of one voxel.
struct Run {
  std::uint32_t begin, end;
};

/// What the threads of a block tell each other of its sorted points.
template <int kWidth>
struct BlockRuns {
  static constexpr std::uint32_t kWords = kThreads / 32;
  std::uint32_t heads[kWords];  ///< a bit for each point that is the block's first, or the first with its key
  std::uint32_t least[kThreads][kWidth], greatest[kThreads][kWidth];  ///< by the threads of heads: who has the extremes

  /// The last head up to `point`.
  [[nodiscard]] __device__ std::uint32_t head_of(std::uint32_t point) const {
    std::uint32_t word = point / 32;
    std::uint32_t bits = heads[word] & (~0U >> (31 - point % 32));
    while (bits == 0) bits = heads[--word];  // The first point is one.
    return word * 32 + 31 - __clz(static_cast<int>(bits));
  }

  /// The first head behind `point`, or `none`.
  [[nodiscard]] __device__ std::uint32_t head_behind(std::uint32_t point, std::uint32_t none) const {
    std::uint32_t word = point / 32;
    std::uint32_t bits = heads[word] & ~(~0U >> (31 - point % 32));
    while (bits == 0 && ++word < kWords) bits = heads[word];
    return bits == 0 ? none : word * 32 + __ffs(static_cast<int>(bits)) - 1;
  }
};

/// Where the run of sorted point `first` begins, there or before; all threads of a block ask.
__device__ std::uint32_t begin_before(const SortedKeys& keys, std::uint32_t first) {
  const std::uint64_t key = keys[first];
  const bool same = first > threadIdx.x && keys[first - 1 - threadIdx.x] == key;
  const auto count = static_cast<std::uint32_t>(__syncthreads_count(same));
  return count < kThreads || key == keys.none ? first - count : keys.first_from(key, 0, first);
}

/// Where the run of sorted point `last` ends; all threads of a block ask.
__device__ std::uint32_t end_behind(const SortedKeys& keys, std::uint32_t last) {
  const std::uint64_t key = keys[last];
  const auto count = static_cast<std::uint32_t>(__syncthreads_count(keys.has(last + 1 + threadIdx.x, key)));
  return count < kThreads || key == keys.none ? last + 1 + count : keys.first_from(key + 1, last + 1, keys.size);
}

/// The sorted points of a run that have the extremes of kWidth columns.
template <class T, class C, int kWidth>
__device__ void find_places(const RunArgs& args, const Run& run, std::uint32_t column, std::uint32_t (&place)[kWidth]) {
  const std::uint32_t points = run.end - run.begin;
  if (points > kVoxelSumChunk) {
    const Placed<C>* const whole = chunk_at<Placed<C>>(args, run.begin / kVoxelSumChunk, true) + column;
#pragma unroll
    for (int d = 0; d < kWidth; ++d) place[d] = whole[d].place;
    return;
  }
  Accumulator<C, kWidth, Gather::place> best(args.reduce, run.begin);
  // One point has all extremes, whatever its features are.
  if (points > 1) best.template add_points<T, 4>(args, run.begin, points, column);
#pragma unroll
  for (int d = 0; d < kWidth; ++d) place[d] = best.place[d];
}

/// Adds up kWidth columns for sorted point i; `slot` is the thread of the run's head.
template <class T, class C, int kWidth>
__device__ void gather_point(const Gathered& gathered, const BlockRuns<kWidth>& block, std::uint32_t slot,
                             const Run& run, std::uint64_t voxel, std::uint32_t i, std::uint32_t column,
                             C (&sum)[kWidth]) {
  const auto count = static_cast<C>(run.end - run.begin);
  for (int g = 0; g < gathered.count; ++g) {
    const Reduce reduce = gathered.from[g].reduce;
    const auto from = gathered.at<T, kWidth>(g, voxel, column);
    const bool is_end = i == (reduce == Reduce::first ? run.begin : run.end - 1);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      const C v = widened<C>(from.at[d]);
      if (reduce == Reduce::sum) {
        sum[d] = sum[d] + v;
      } else if (reduce == Reduce::mean) {
        sum[d] = sum[d] + v / count;
      } else {
        const bool has_it = reduce == Reduce::min   ? block.least[slot][d] == i
                            : reduce == Reduce::max ? block.greatest[slot][d] == i
                                                    : is_end;
        sum[d] = sum[d] + (has_it ? v : C{0});
      }
    }
  }
}

/// A thread for kWidth columns of each sorted point; those of the first point of a run look for its extremes.
template <class T, class C, int kWidth>
__global__ void __launch_bounds__(kThreads, kBlocks<T>) gather_runs(const __grid_constant__ GatherArgs args) {
  __shared__ BlockRuns<kWidth> block;
  start_next();
  if (threadIdx.x < block.kWords) block.heads[threadIdx.x] = 0;
  await_earlier();
  const Gathered& gathered = args.gathered;
  const SortedPoints& sorted = args.least.sorted;
  const SortedKeys& keys = sorted.keys;
  const std::uint32_t accesses = gathered.columns / kWidth;
  const std::uint32_t point = threadIdx.x / accesses;
  const std::uint32_t first = blockIdx.x * gathered.block_points;
  const std::uint32_t last = min(first + gathered.block_points, keys.size) - 1;
  const std::uint32_t i = first + point;
  const std::uint32_t begin = begin_before(keys, first);
  const bool there = i <= last;
  const std::uint64_t voxel = there ? keys[i] : keys.none;
  const bool is_head = there && (point == 0 || keys[i - 1] != voxel);
  if (is_head && threadIdx.x % accesses == 0) atomicOr(&block.heads[point / 32], 1U << (point % 32));
  const std::uint32_t end = end_behind(keys, last);
  const bool somewhere = voxel != keys.none;
  const std::uint32_t head = somewhere ? block.head_of(point) : 0;
  const Run run{head == 0 ? begin : first + head, somewhere ? first + block.head_behind(point, end - first) : end};
  // In a second round the block has one point, and slots are their threads' own.
  for (std::uint32_t done = 0; done < accesses; done += kThreads) {
    const std::uint32_t access = done + threadIdx.x % accesses;
    const std::uint32_t column = access * kWidth;
    const bool mine = there && access < accesses;
    if (is_head && mine && somewhere) {
      if (args.has_least) find_places<T, C>(args.least, run, column, block.least[threadIdx.x]);
      if (args.has_greatest) find_places<T, C>(args.greatest, run, column, block.greatest[threadIdx.x]);
    }
    __syncthreads();
    if (mine) {
      C sum[kWidth] = {};
      const std::uint32_t slot = head * accesses + threadIdx.x % accesses;
      if (somewhere) gather_point<T>(gathered, block, slot, run, voxel, i, column, sum);
      gathered.write<T>(sorted.order[i], column, sum);
    }
  }
}

/// Places of [B, N].
std::uint64_t places_of(const VoxelizeArgs& input) {
  return static_cast<std::uint64_t>(input.offsets.data != nullptr ? input.samples : input.clouds * input.samples);
}

/// run.operator()<T, C, kWidth>(): 16 bytes at a time where `runs` and all gradients allow it.
template <class F>
void with_types(const VoxelizeGradientArgs& args, const RunArgs& runs, const F& run) {
  const bool vectors = has_vectors(runs, args.grad_features) &&
                       std::ranges::all_of(args.gradients, [](const VoxelGradientInput& gradient) {
                         return reinterpret_cast<std::uintptr_t>(gradient.grad_out) % sizeof(uint4) == 0;
                       });
  visit_element_type(args.input.features.dtype, [&]<class T, class C>() {
    if (vectors) return run.template operator()<T, C, sizeof(uint4) / sizeof(T)>();
    run.template operator()<T, C, 1>();
  });
}

/// Launches `kernel` with a thread for each access of `size` points, or some more.
template <class Args>
void launch_gather(void (*kernel)(Args), Args& args, int width, std::uint64_t size, Start start, void* stream) {
  std::uint32_t& block_points = args.gathered.block_points;
  block_points = std::max<std::uint32_t>(1, kThreads / (args.gathered.columns / static_cast<std::uint32_t>(width)));
  const dim3 blocks(static_cast<unsigned>((size + block_points - 1) / block_points));
  launch(kOp, kernel, blocks, kThreads, stream, args, start);
}

void gather_all_sums(const VoxelizeGradientArgs& args, void* stream) {
  SumArgs to{.gathered = Gathered(args), .source = PlacedPoints(args.input), .size = places_of(args.input)};
  const PointRows out{args.grad_features, args.input.features.dtype, 0, args.input.columns};  // Features are not read.
  const RunArgs rows{.sorted = {}, .rows = out, .columns = to.gathered.columns};
  with_types(args, rows, [&]<class T, class C, int kWidth>() {
    launch_gather(gather_sums<T, C, kWidth>, to, kWidth, to.size, Start::in_order, stream);
  });
}

void gather_sorted(const VoxelizeGradientArgs& args, const Context& ctx) {
  constexpr double kLow[3] = {0, 0, 0};
  const VoxelizeArgs& input = args.input;
  const auto has = [&](Reduce reduce) {
    return std::ranges::find(args.gradients, reduce, &VoxelGradientInput::reduce) != args.gradients.end();
  };
  GatherArgs to{.gathered = Gathered(args), .least = {}, .greatest = {}};
  to.has_least = has(Reduce::min);
  to.has_greatest = has(Reduce::max);
  ScratchPlan scratch;
  const PointOrder order(kOp, input, kLow, scratch);
  const std::size_t bytes = chunk_bytes(order.size(), input.columns, input.features.dtype, true);
  const std::size_t least = scratch.add(to.has_least ? bytes : 0);
  const std::size_t greatest = scratch.add(to.has_greatest ? bytes : 0);
  scratch.take(ctx);
  to.least = run_args(order.sort(scratch, nullptr, ctx.stream), input, input.features, input.columns);
  to.greatest = to.least;
  to.least.reduce = Reduce::min;
  to.greatest.reduce = Reduce::max;
  to.least.chunks = scratch.at<void>(least);
  to.greatest.chunks = scratch.at<void>(greatest);
  if (to.has_least) place_long_runs(to.least, ctx.stream);
  if (to.has_greatest) place_long_runs(to.greatest, ctx.stream);
  with_types(args, to.least, [&]<class T, class C, int kWidth>() {
    launch_gather(gather_runs<T, C, kWidth>, to, kWidth, order.size(), Start::early, ctx.stream);
  });
}

}  // namespace

void voxelize_gradient(const VoxelizeGradientArgs& args, const Context& ctx) {
  if (args.gradients.size() > kMostGradients) {
    throw Unsupported(std::string(kOp) + ": gradients is " + std::to_string(args.gradients.size()) +
                      " arrays, expected at most " + std::to_string(kMostGradients) + " on CUDA");
  }
  if (places_of(args.input) == 0 || args.input.columns == 0) return;
  const auto is_sum = [](const VoxelGradientInput& gradient) { return gradient.reduce == Reduce::sum; };
  if (std::ranges::all_of(args.gradients, is_sum)) {
    gather_all_sums(args, ctx.stream);
  } else {
    gather_sorted(args, ctx);
  }
}

}  // namespace robocache::cuda
