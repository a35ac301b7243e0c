#include <algorithm>
#include <cub/agent/single_pass_scan_operators.cuh>
#include <cuda/std/functional>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/point_operators_clouds.cuh"
#include "kernels/cuda/voxelize_order.hpp"
#include "kernels/point_operators.hpp"
#include "math/box.hpp"

// One pass over the points: a block learns how many were kept before its own by looking back at the blocks before it.
namespace robocache::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;

using Counts = cub::ScanTileState<std::int64_t>;  ///< points kept in each block, and in all up to it
using LookBack = cub::TilePrefixCallbackOp<std::int64_t, ::cuda::std::plus<>, Counts>;

template <class T>
using Tile = WarpTile<T, sizeof(T) == sizeof(f16) ? 1 : 2>;

/// Features as rows of units: as many bytes as can be moved at once.
struct FeatureRows {
  const void* from = nullptr;
  void* to = nullptr;
  RowPlaces places;
  std::int64_t units = 0;  ///< of a row
  std::size_t unit_bytes = 0;

  explicit FeatureRows(const CropArgs& args)
      : from(args.clouds.features.data),
        to(args.features),
        places(args.clouds.features, args.clouds),
        units(args.clouds.columns),
        unit_bytes(size_of(args.clouds.features.dtype)) {
    while (unit_bytes < sizeof(uint4) && can_double()) {
      unit_bytes *= 2;
      for (std::int64_t* n : {&units, &places.row, &places.batch}) *n /= 2;
    }
  }

 private:
  [[nodiscard]] bool can_double() const {
    const auto fits = [this](const void* data) {
      return reinterpret_cast<std::uintptr_t>(data) % (2 * unit_bytes) == 0;
    };
    return places.column == 1 && units % 2 == 0 && places.row % 2 == 0 &&
           (places.samples == 0 || places.batch % 2 == 0) && fits(from) && fits(to);
  }
};

struct CropCall {
  CloudRows clouds;
  Transforms transforms;
  BoxBounds<float> box;
  BoxBounds<double> wide_box;
  RowPlaces places;
  const void* from;
  FeatureRows features;
  std::int64_t room;
  void* points;
  std::int64_t* index;
  std::int64_t* offsets;
  int blocks;
  Counts counts;

  explicit CropCall(const CropArgs& args)
      : clouds(args.clouds),
        transforms(args.clouds.transforms),
        box(args.box.low, args.box.high),
        wide_box(args.box.low, args.box.high),
        places(args.clouds.points, args.clouds),
        from(args.clouds.points.data),
        features(args),
        room(args.room),
        points(args.points),
        index(args.index),
        offsets(args.offsets) {}

  [[nodiscard]] __device__ bool holds(const Point<float>& p) const { return box.holds(p); }
  [[nodiscard]] __device__ bool holds(const Point<double>& p) const { return wide_box.holds(p); }
};

/// No block has counted. Offsets that make no sense leave some of the results unwritten: those are 0.
__global__ void __launch_bounds__(kThreads) begin_crop(const __grid_constant__ CropCall call) {
  start_next();
  await_earlier();
  Counts counts = call.counts;
  counts.InitializeStatus(call.blocks);
  const std::int64_t cloud = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (cloud <= call.clouds.clouds) call.offsets[cloud] = 0;
}

/// What a block keeps of its rows.
template <class T>
struct Kept {
  static constexpr int kWords = Tile<T>::kRows / 32;  ///< of a warp
  static constexpr int kRows = kWarps * Tile<T>::kRows;

  std::uint32_t bits[kWarps * kWords];        ///< one for each row
  std::uint16_t before[kWarps * kWords];      ///< kept by the warp, of the words before
  std::uint16_t row[kWarps][Tile<T>::kRows];  ///< of the tile: where each kept point was
  int of_warp[kWarps], before_warp[kWarps];
  int all;
  std::int64_t before_block;
  typename LookBack::TempStorage look_back;

  /// Of the rows before this one.
  [[nodiscard]] __device__ int before_row(std::int64_t n) const {
    if (n >= kRows) return all;
    const auto word = static_cast<int>(n / 32);
    return before_warp[word / kWords] + before[word] + __popc(bits[word] & ((1U << (n % 32)) - 1));
  }
};

/// Of a warp's tile, in which the points are moved; how many there are.
template <class T, class C, bool kMoves>
__device__ int find_kept(const CropCall& call, Tile<T>& tile, Kept<T>& kept, std::int64_t first, int rows) {
  constexpr int kWords = Kept<T>::kWords;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  CloudCursor cursor(call.clouds, first);
  CloudTransform<C> transform;
  int count = 0;
#pragma unroll 1
  for (int word = 0; word < kWords; ++word) {
    const int row = 32 * word + lane;
    const std::int64_t cloud = row < rows ? cursor.cloud_at(row) : -1;
    bool inside = false;
    if (cloud >= 0) {
      Point<C> p = tile.template at<C>(row);
      if constexpr (kMoves) tile.set(row, p = transform.of(call.transforms, cloud)(p));
      inside = call.holds(p);
    }
    const unsigned bits = __ballot_sync(~0U, inside);
    if (inside) kept.row[warp][count + __popc(bits & ((1U << lane) - 1))] = static_cast<std::uint16_t>(row);
    if (lane == 0) {
      kept.bits[warp * kWords + word] = bits;
      kept.before[warp * kWords + word] = static_cast<std::uint16_t>(count);
    }
    count += __popc(bits);
  }
  return count;
}

/// By the first warp: sums up what the warps have kept, and what the blocks before this one have.
template <class T>
__device__ void sum_up(const CropCall& call, Kept<T>& kept) {
  const int lane = static_cast<int>(threadIdx.x);
  const int own = lane < kWarps ? kept.of_warp[lane] : 0;
  int sum = own;
  for (int step = 1; step < kWarps; step *= 2) {
    const int before = __shfl_up_sync(~0U, sum, step);
    if (lane >= step) sum += before;
  }
  if (lane < kWarps) kept.before_warp[lane] = sum - own;
  const int all = __shfl_sync(~0U, sum, kWarps - 1);
  Counts counts = call.counts;
  std::int64_t before = 0;
  if (blockIdx.x > 0) {
    before = LookBack(counts, kept.look_back, {}, static_cast<int>(blockIdx.x))(all);
  } else if (lane == 0) {
    counts.SetInclusive(0, all);
  }
  if (lane == 0) {
    kept.all = all;
    kept.before_block = before;
  }
}

/// `rows[k]` is the row of features from `first` on that becomes row `to + k`.
template <class U>
__device__ void copy_rows(const FeatureRows& features, const std::uint16_t* rows, std::int64_t first, std::int64_t to,
                          int count) {
  const auto* const from = static_cast<const U*>(features.from);
  U* const out = static_cast<U*>(features.to) + to * features.units;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int width = static_cast<int>(min(std::int64_t{32}, features.units));  // lanes for a row
  const int each = 32 / width;                                                // rows at once
  if (lane / width >= each) return;
  for (int k = lane / width; k < count; k += each) {
    const U* const row = from + features.places.at(first + rows[k]);
    for (std::int64_t u = lane % width; u < features.units; u += width) {
      out[k * features.units + u] = row[u * features.places.column];
    }
  }
}

/// Not inlined: the blocks of a call without features would have to have its registers, too.
__device__ __noinline__ void copy_features(const FeatureRows& features, const std::uint16_t* rows, std::int64_t first,
                                           std::int64_t to, int count) {
  switch (features.unit_bytes) {
    case sizeof(std::uint16_t):
      return copy_rows<std::uint16_t>(features, rows, first, to, count);
    case sizeof(std::uint32_t):
      return copy_rows<std::uint32_t>(features, rows, first, to, count);
    case sizeof(std::uint64_t):
      return copy_rows<std::uint64_t>(features, rows, first, to, count);
    default:
      return copy_rows<uint4>(features, rows, first, to, count);
  }
}

/// Of one warp, as far as there is room.
template <class T>
__device__ void write_kept(const CropCall& call, const Tile<T>& tile, const Kept<T>& kept, std::int64_t first) {
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t to = kept.before_block + kept.before_warp[warp];
  const auto count = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{kept.of_warp[warp]}, call.room - to)));
  if (call.points != nullptr) {
    T* const out = static_cast<T*>(call.points) + 3 * to;
#pragma unroll 4
    for (int i = lane; i < 3 * count; i += 32) out[i] = tile.numbers()[3 * kept.row[warp][i / 3] + i % 3];
  }
  if (call.index != nullptr) {
    for (int k = lane; k < count; k += 32) call.index[to + k] = first + kept.row[warp][k];
  }
  if (call.features.to != nullptr) copy_features(call.features, kept.row[warp], first, to, count);
}

/// Of the clouds that begin in this block; those that end behind the last row begin in the last block, too.
template <class T>
__device__ void write_offsets(const CropCall& call, const Kept<T>& kept, std::int64_t first) {
  const CloudRows& clouds = call.clouds;
  const std::int64_t end = first + Kept<T>::kRows;
  const bool last = end >= clouds.rows;
  std::int64_t cloud = 0;
  if (first > 0) {
    cloud = clouds.offsets.data != nullptr ? clouds.first_offset_after(first - 1)
                                           : quotient(first + clouds.samples - 1, clouds.samples);
  }
  for (cloud += threadIdx.x; cloud <= clouds.clouds; cloud += kThreads) {
    const std::int64_t begin = clouds.begin(cloud);
    if (begin >= end && !last) break;
    call.offsets[cloud] = kept.before_block + kept.before_row(max(begin - first, std::int64_t{0}));
  }
}

/// Without transforms there are registers for more blocks.
template <class T, class C, bool kMoves>
__global__ void __launch_bounds__(kThreads, sizeof(C) == sizeof(float) && !kMoves ? 6 : 4)
    crop_points(const __grid_constant__ CropCall call) {
  start_next();
  await_earlier();
  __shared__ Tile<T> tiles[kWarps];
  __shared__ Kept<T> kept;
  const unsigned warp = threadIdx.x / 32;
  const std::int64_t first_of_block = std::int64_t{blockIdx.x} * Kept<T>::kRows;
  const std::int64_t first = first_of_block + std::int64_t{warp} * Tile<T>::kRows;
  const auto rows = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{Tile<T>::kRows}, call.clouds.rows - first)));
  tiles[warp].load(static_cast<const T*>(call.from), call.places, first, rows);
  const int count = find_kept<T, C, kMoves>(call, tiles[warp], kept, first, rows);
  if (threadIdx.x % 32 == 0) kept.of_warp[warp] = count;
  __syncthreads();
  if (warp == 0) sum_up(call, kept);
  __syncthreads();
  if (call.room > 0) write_kept(call, tiles[warp], kept, first);
  write_offsets(call, kept, first_of_block);
}

}  // namespace

void crop(const CropArgs& args, const Context& ctx) {
  const char* const op = "crop";
  CropCall call(args);
  visit_element_type(args.clouds.points.dtype, [&]<class T, class C>() {
    call.blocks = static_cast<int>((call.clouds.rows + Kept<T>::kRows - 1) / Kept<T>::kRows);
    ScratchPlan scratch;
    std::size_t bytes = 0;
    check(op, Counts::AllocationSize(call.blocks, bytes));
    const std::size_t counts = scratch.add(bytes);
    scratch.take(ctx);
    check(op, call.counts.Init(call.blocks, scratch.at<void>(counts), bytes));
    const std::int64_t threads = std::max<std::int64_t>(call.blocks, args.clouds.clouds + 1);
    const dim3 beginning(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
    launch(op, begin_crop, beginning, kThreads, ctx.stream, call, Start::early);
    if (call.blocks == 0) return;
    const auto kernel = call.transforms.data != nullptr ? crop_points<T, C, true> : crop_points<T, C, false>;
    launch(op, kernel, dim3(static_cast<unsigned>(call.blocks)), kThreads, ctx.stream, call, Start::early);
  });
}

}  // namespace robocache::cuda
