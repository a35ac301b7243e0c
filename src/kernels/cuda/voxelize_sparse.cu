#include "kernels/voxelize_sparse.hpp"

#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <algorithm>
#include <cub/device/device_scan.cuh>
#include <limits>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_rows.cuh"

// Occupied voxels: runs of the sorted points, numbered by a sum over what is the first point of one. How many there are
// stays on the device.
namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 256;

/// What all kernels of a call see.
struct SparseArgs {
  PlacedPoints source;
  SortedPoints sorted;
  std::uint32_t most_points = 0;  ///< of a voxel
  std::int64_t most_voxels = 0;   ///< of a cloud
  /// Null where all voxels are kept. Of each point and those before it in [B, N], how many are the first of a voxel.
  std::uint32_t* firsts = nullptr;
  std::uint32_t* rows = nullptr;        ///< of each sorted point and those before it, how many begin a kept voxel
  std::uint32_t* begin = nullptr;       ///< of each row: its first sorted point
  std::uint32_t* points = nullptr;      ///< of each row: those kept
  const std::uint32_t* kept = nullptr;  ///< null where all points are; of each row and those before it: points
  std::int64_t totals = 0;              ///< threads of find_rows that write totals
  std::int64_t shape[3] = {0, 0, 0};
  std::int64_t capacity = 0;
  std::int32_t* coords = nullptr;
  std::int32_t* counts = nullptr;
  std::int64_t* inverse = nullptr;
  std::int64_t* offsets = nullptr;
  std::int64_t* dropped = nullptr;

  [[nodiscard]] __device__ std::uint64_t voxels() const { return static_cast<std::uint64_t>(source.rows * source.z); }
  [[nodiscard]] __device__ std::uint32_t row_count() const {
    return sorted.keys.size > 0 ? rows[sorted.keys.size - 1] : 0;
  }
};

/// What of `firsts` is not of the cloud that a key is of.
__device__ std::uint32_t firsts_before(const SparseArgs& args, std::int64_t cloud) {
  const CloudRange range = args.source.range(cloud);
  const std::int64_t place = args.source.offsets.data != nullptr ? range.begin : cloud * args.source.samples;
  return place > 0 ? args.firsts[place - 1] : 0;
}

/// Marks, of all points in their own order, those that are the first of a voxel.
__global__ void __launch_bounds__(kThreads) mark_firsts(const __grid_constant__ SparseArgs args) {
  start_next();
  await_earlier();
  const std::uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i < args.sorted.keys.size) args.firsts[args.sorted.order[i]] = args.sorted.keys.begins(i) ? 1 : 0;
}

/// Of sorted point i whether it begins a kept voxel: of a cloud, those whose first points come first.
struct BeginsRow {
  SparseArgs args;

  __device__ std::uint32_t operator()(std::uint32_t i) const {
    bool begins = args.sorted.keys.begins(i);
    if (begins && args.firsts != nullptr) {
      const auto cloud = static_cast<std::int64_t>(args.sorted.keys[i] / args.voxels());
      begins = args.firsts[args.sorted.order[i]] - firsts_before(args, cloud) <= args.most_voxels;
    }
    return begins ? 1 : 0;
  }
};

/// The cloud and the voxel that a key stands for; divisions of 64 bits take ten times as long.
template <class Key>
__device__ int4 coords_of(const SparseArgs& args, Key key) {
  const auto part = [&](int axis) {
    const Key all = key;
    const auto size = static_cast<Key>(args.shape[axis]);
    key = all / size;
    return static_cast<int>(all - key * size);
  };
  const int z = part(2);
  const int y = part(1);
  const int x = part(0);
  return {static_cast<int>(key), x, y, z};
}

/// A thread for each sorted point.
__global__ void __launch_bounds__(kThreads) write_inverse(const __grid_constant__ SparseArgs args) {
  start_next();
  await_earlier();
  const std::uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= args.sorted.keys.size) return;
  const std::uint32_t row = args.rows[i] - 1;  // The row is another voxel's where that of the point is not kept.
  const bool kept = args.rows[i] > 0 && i - args.begin[row] < args.points[row];
  args.inverse[args.sorted.order[i]] = kept ? std::int64_t{row} : -1;
}

/// The first row from sorted point i on.
__device__ std::uint32_t row_from(const SparseArgs& args, std::uint32_t i) { return i > 0 ? args.rows[i - 1] : 0; }

/// What begins a row says all of it.
__device__ void find_row(const SparseArgs& args, std::uint32_t i) {
  if (i >= args.row_count()) args.points[i] = 0;
  const std::uint32_t row = args.rows[i] - 1;
  if (args.rows[i] == (i > 0 ? args.rows[i - 1] : 0)) return;
  const std::uint32_t points = min(args.sorted.keys.run_length(i), args.most_points);
  args.begin[row] = i;
  args.points[row] = points;
  if (row >= args.capacity) return;
  if (args.counts != nullptr) args.counts[row] = static_cast<std::int32_t>(points);
  if (args.coords == nullptr) return;
  const std::uint64_t key = args.sorted.keys[i];
  const int4 coords = args.sorted.keys.wide ? coords_of(args, key) : coords_of(args, static_cast<std::uint32_t>(key));
  std::int32_t* const to = args.coords + std::int64_t{4} * row;
  if (reinterpret_cast<std::uintptr_t>(args.coords) % sizeof(int4) == 0) {
    *reinterpret_cast<int4*>(to) = coords;
  } else {
    to[0] = coords.x, to[1] = coords.y, to[2] = coords.z, to[3] = coords.w;
  }
}

/// For each cloud, and one more.
__device__ void write_total(const SparseArgs& args, std::int64_t cloud) {
  const SortedKeys& keys = args.sorted.keys;
  const std::uint64_t key = static_cast<std::uint64_t>(cloud) * args.voxels();
  const std::uint32_t begin = keys.first_from(key, 0, keys.size);
  const std::uint32_t first = row_from(args, begin);
  if (args.offsets != nullptr) args.offsets[cloud] = first;
  if (args.dropped == nullptr || cloud == args.source.clouds) return;
  const std::uint32_t end = keys.first_from(key + args.voxels(), begin, keys.size);
  std::int64_t kept = end - begin;
  if (args.kept != nullptr) {
    const std::uint32_t last = row_from(args, end);
    kept = last > first ? args.kept[last - 1] - (first > 0 ? args.kept[first - 1] : 0) : 0;
  }
  const CloudRange range = args.source.range(cloud);
  args.dropped[cloud] = max(range.end - range.begin, std::int64_t{0}) - kept;
}

__device__ std::int64_t this_thread() { return std::int64_t{blockIdx.x} * kThreads + threadIdx.x; }

/// A thread for each cloud, and one more: totals, which are a chain of searches, begin first where they can. Then one for
/// each sorted point.
__global__ void __launch_bounds__(kThreads) find_rows(const __grid_constant__ SparseArgs args) {
  start_next();
  await_earlier();
  const std::int64_t i = this_thread() - args.totals;
  if (i >= 0) {
    if (i < args.sorted.keys.size) find_row(args, static_cast<std::uint32_t>(i));
  } else if (this_thread() <= args.source.clouds) {
    write_total(args, this_thread());
  }
}

__global__ void __launch_bounds__(kThreads) write_totals(const __grid_constant__ SparseArgs args) {
  start_next();
  await_earlier();
  if (this_thread() <= args.source.clouds) write_total(args, this_thread());
}

/// What BeginsRow says of all sorted points.
using Begins = thrust::transform_iterator<BeginsRow, thrust::counting_iterator<std::uint32_t>>;

struct ListArgs {
  RunArgs runs;
  const std::uint32_t* begin;   ///< as in SparseArgs
  const std::uint32_t* points;  ///< as in SparseArgs
  const std::uint32_t* rows;    ///< as in SparseArgs
  std::int64_t capacity;
  std::uint64_t slots;  ///< of a row
  void* out = nullptr;
};

/// A warp for one row after the other, a lane for kWidth columns of some of its slots.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) list_points(const __grid_constant__ ListArgs args) {
  constexpr std::uint32_t kWarp = 32;
  start_next();
  await_earlier();
  const std::uint32_t accesses = args.runs.columns / kWidth;
  const std::uint32_t slots_at_once = max(kWarp / accesses, 1U);
  const std::uint32_t lane = threadIdx.x % kWarp;
  if (lane / accesses >= slots_at_once) return;
  const std::uint32_t rows = args.rows[args.runs.sorted.keys.size - 1];
  const auto count = static_cast<std::uint32_t>(min(std::int64_t{rows}, args.capacity));
  const std::uint32_t warps = gridDim.x * (kThreads / kWarp);
  for (std::uint64_t row = blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp; row < count; row += warps) {
    const std::uint32_t begin = args.begin[row];
    const std::uint32_t points = args.points[row];
    T* const out = static_cast<T*>(args.out) + row * args.slots * args.runs.columns;
    for (std::uint64_t slot = lane / accesses; slot < args.slots; slot += slots_at_once) {
      for (std::uint32_t access = lane % accesses; access < accesses; access += kWarp) {
        Elements<T, kWidth> from{};
        if (slot < points) {
          const auto i = begin + static_cast<std::uint32_t>(slot);
          from = args.runs.samples == 0 ? features_at<T, kWidth, true>(args.runs, i, access * kWidth)
                                        : features_at<T, kWidth, false>(args.runs, i, access * kWidth);
        }
        *reinterpret_cast<Elements<T, kWidth>*>(out + slot * args.runs.columns + access * kWidth) = from;
      }
    }
  }
}

dim3 blocks_for(std::uint64_t threads) { return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads)); }

/// One call: its arrays in scratch memory, and its launches.
class SparseCall {
 public:
  SparseCall(const VoxelizeSparseArgs& args, const Context& ctx)
      : args_(args), stream_(ctx.stream), order_(args.op, args.input, args.low, scratch_) {
    const std::size_t bytes = order_.size() * sizeof(std::uint32_t);
    rows_ = scratch_.add(bytes);
    begin_ = scratch_.add(bytes);
    points_ = scratch_.add(bytes);
    if (limits_voxels()) firsts_ = scratch_.add(bytes);
    if (is_limited()) kept_ = scratch_.add(bytes);
    work_bytes_ = std::max(sum_up(Begins({}, {SparseArgs{.source = PlacedPoints(args.input), .sorted = {}}}), nullptr),
                           sum_up(static_cast<std::uint32_t*>(nullptr), nullptr));
    work_ = scratch_.add(work_bytes_);
    std::size_t chunks = 0;
    for (const SparseFeatures& set : args.features) {
      chunks = std::max(chunks, chunk_bytes(order_.size(), set.columns, set.rows.dtype, false));
    }
    chunks_ = scratch_.add(chunks);
    scratch_.take(ctx);
  }

  void run() {
    const SparseArgs call = find();
    if (call.inverse != nullptr && order_.size() > 0) start(write_inverse, order_.size(), call);
    if (is_limited()) start(write_totals, static_cast<std::uint64_t>(args_.input.clouds) + 1, call);
    for (const SparseFeatures& set : args_.features) reduce(set, call);
    if (args_.points != nullptr) list(call);
  }

 private:
  [[nodiscard]] bool limits_voxels() const { return args_.limits.max_voxels < order_.size(); }
  [[nodiscard]] bool is_limited() const { return limits_voxels() || args_.limits.max_points < order_.size(); }

  void start(void (*kernel)(SparseArgs), std::uint64_t threads, const SparseArgs& call) const {
    launch(args_.op, kernel, blocks_for(threads), kThreads, stream_, call, Start::early);
  }

  /// to[i] = from[0] + ... + from[i]; without arrays only finds how many bytes of `work` that takes.
  template <class From>
  std::size_t sum_up(From from, std::uint32_t* to) const {
    void* const work = to != nullptr ? scratch_.at<void>(work_) : nullptr;
    std::size_t bytes = work_bytes_;
    check(args_.op, cub::DeviceScan::InclusiveSum(work, bytes, from, to, static_cast<int>(order_.size()),
                                                  static_cast<cudaStream_t>(stream_)));
    return bytes;
  }

  SparseArgs find() {
    SparseArgs call{.source = PlacedPoints(args_.input), .sorted = order_.sort(scratch_, nullptr, stream_)};
    call.most_points = static_cast<std::uint32_t>(
        std::min<std::int64_t>(args_.limits.max_points, std::numeric_limits<std::uint32_t>::max()));
    call.most_voxels = args_.limits.max_voxels;
    call.rows = scratch_.at<std::uint32_t>(rows_);
    call.begin = scratch_.at<std::uint32_t>(begin_);
    call.points = scratch_.at<std::uint32_t>(points_);
    std::ranges::copy(args_.input.grid.shape, call.shape);
    call.capacity = args_.capacity;
    call.coords = args_.coords;
    call.counts = args_.counts;
    call.inverse = args_.inverse;
    call.offsets = args_.offsets;
    call.dropped = args_.input.dropped;
    const std::int64_t clouds = args_.input.clouds + 1;
    if (!is_limited()) call.totals = (clouds + kThreads - 1) / kThreads * kThreads;
    const std::uint64_t threads = static_cast<std::uint64_t>(call.totals) + order_.size();
    if (order_.size() == 0) {
      start(find_rows, threads, call);
      return call;
    }
    if (limits_voxels()) {
      auto* const firsts = scratch_.at<std::uint32_t>(firsts_);
      call.firsts = firsts;
      start(mark_firsts, order_.size(), call);
      sum_up(firsts, firsts);
    }
    sum_up(Begins({}, {call}), call.rows);
    start(find_rows, threads, call);
    if (is_limited()) {
      auto* const kept = scratch_.at<std::uint32_t>(kept_);
      sum_up(call.points, kept);
      call.kept = kept;
    }
    return call;
  }

  void reduce(const SparseFeatures& set, const SparseArgs& call) const {
    if (order_.size() == 0 || set.columns == 0) return;
    RowArgs to{.runs = run_args(call.sorted, args_.input, set.rows, set.columns),
               .rows = call.rows,
               .capacity = static_cast<std::uint64_t>(args_.capacity)};
    to.runs.most = call.most_points;
    to.runs.chunks = scratch_.at<void>(chunks_);
    for (const VoxelOutput& output : set.outputs) {
      to.runs.reduce = output.reduce;
      to.out = output.data;
      reduce_long_runs(to.runs, stream_);
      launch_rows(args_.op, to, stream_);
    }
  }

  void list(const SparseArgs& call) const {
    if (order_.size() == 0 || args_.input.columns == 0) return;
    const ListArgs to{.runs = run_args(call.sorted, args_.input, args_.input.features, args_.input.columns),
                      .begin = call.begin,
                      .points = call.points,
                      .rows = call.rows,
                      .capacity = args_.capacity,
                      .slots = static_cast<std::uint64_t>(args_.limits.max_points),
                      .out = args_.points};
    constexpr std::int64_t kRows = kThreads / 32;  // of a block at a time
    constexpr std::int64_t kMostBlocks = 1 << 14;  // How many rows there are is known on the device alone.
    const std::int64_t rows = std::min<std::int64_t>(args_.capacity, order_.size());
    const dim3 blocks(static_cast<unsigned>(std::clamp<std::int64_t>((rows + kRows - 1) / kRows, 1, kMostBlocks)));
    visit_element_type(to.runs.rows.dtype, [&]<class T, class C>() {
      const bool vectors = has_vectors(to.runs, to.out);
      const auto kernel = vectors ? list_points<T, sizeof(uint4) / sizeof(T)> : list_points<T, 1>;
      launch(args_.op, kernel, blocks, kThreads, stream_, to, Start::early);
    });
  }

  const VoxelizeSparseArgs& args_;
  void* stream_;
  ScratchPlan scratch_;
  PointOrder order_;
  std::size_t rows_ = 0, begin_ = 0, points_ = 0, firsts_ = 0, kept_ = 0, chunks_ = 0, work_ = 0, work_bytes_ = 0;
};

}  // namespace

void voxelize_sparse(const VoxelizeSparseArgs& args, const Context& ctx) { SparseCall(args, ctx).run(); }

}  // namespace robocache::cuda
