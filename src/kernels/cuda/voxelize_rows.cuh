#pragma once

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_runs.cuh"

// A row of results for each run of the sorted points. A warp looks at 32 points, and then its lanes share the columns
// of the runs that begin there: what has to be known of a point is read once, and many features are on their way at a
// time.
namespace robocache::cuda {

struct RowArgs {
  RunArgs runs;
  /// Of each sorted point and those before it, how many begin a row; null: the row of a run is its key.
  const std::uint32_t* rows = nullptr;
  std::uint64_t capacity = 0;  ///< rows of `out`
  void* out = nullptr;
};

inline constexpr unsigned kRowThreads = 256;
inline constexpr unsigned kWarpPoints = 32;

/// The runs that begin among the points of a warp and have a row.
struct WarpRuns {
  std::uint64_t row[kWarpPoints];
  std::uint32_t begin[kWarpPoints];  ///< sorted point
  std::uint32_t points[kWarpPoints];
  std::uint32_t first[kWarpPoints];   ///< place of its first point
  std::uint32_t second[kWarpPoints];  ///< and of its second one, if there is any
};

/// What the lane below has of `mine`; lane 0: `edge`.
template <class T>
__device__ T of_lane_before(T mine, T edge) {
  const T before = __shfl_up_sync(~0U, mine, 1);
  return threadIdx.x % kWarpPoints == 0 ? edge : before;
}

/// Fills `to` from the sorted points of a warp, of which this lane has i; how many runs there are.
__device__ inline std::uint32_t find_runs(const RowArgs& args, std::uint32_t i, WarpRuns& to) {
  const SortedKeys& keys = args.runs.sorted.keys;
  const std::uint32_t* const order = args.runs.sorted.order;
  const unsigned lane = threadIdx.x % kWarpPoints;
  const bool inside = i < keys.size;
  const bool first = lane == 0 && inside && i > 0;
  const bool last = lane == kWarpPoints - 1 && i + 1 < keys.size;
  const std::uint64_t key = inside ? keys[i] : keys.none;
  const std::uint32_t place = inside ? order[i] : 0;
  const std::uint64_t edge = first ? keys[i - 1] : last ? keys[i + 1] : keys.none;
  const std::uint32_t edge_place = last ? order[i + 1] : 0;
  std::uint32_t count = 0;
  std::uint32_t edge_count = 0;
  if (args.rows != nullptr) {
    count = inside ? args.rows[i] : 0;
    edge_count = first ? args.rows[i - 1] : 0;
  }
  const bool differs = key != of_lane_before(key, edge);
  const unsigned ends = __ballot_sync(~0U, differs || key == keys.none);
  const std::uint64_t next = __shfl_sync(~0U, edge, kWarpPoints - 1);
  const std::uint32_t next_place = __shfl_down_sync(~0U, place, 1);
  const bool counts = args.rows == nullptr || count != of_lane_before(count, edge_count);
  const std::uint64_t row = args.rows == nullptr ? key : std::uint64_t{count} - 1;
  const bool begins = inside && key != keys.none && differs && counts && row < args.capacity;
  const unsigned mask = __ballot_sync(~0U, begins);
  if (begins) {
    const unsigned behind = lane + 1 < kWarpPoints ? ends >> (lane + 1) : 0;
    std::uint32_t points = behind != 0 ? __ffs(static_cast<int>(behind)) : kWarpPoints - lane;
    if (behind == 0 && next == key) points = keys.run_length(i);
    const unsigned rank = __popc(mask & ((1U << lane) - 1));
    to.row[rank] = row;
    to.begin[rank] = i;
    to.points[rank] = min(points, args.runs.most);
    to.first[rank] = place;
    to.second[rank] = lane + 1 < kWarpPoints ? next_place : edge_place;
  }
  __syncwarp();
  return __popc(mask);
}

/// kWidth columns of a run of a warp, from `column` on.
template <class T, int kWidth>
struct RunUnit {
  std::uint32_t run;
  std::uint32_t column;
  Elements<T, kWidth> first, second;
};

/// Asks for what most runs are made of.
template <Gather kGather, class T, int kWidth>
__device__ __forceinline__ void load_unit(const RunArgs& args, const WarpRuns& runs, RunUnit<T, kWidth>& unit) {
  const auto read = [&](std::uint32_t place) { return elements_at<T, kWidth>(args, place, unit.column); };
  const std::uint32_t points = runs.points[unit.run];
  if constexpr (kGather == Gather::copy) {
    const std::uint32_t last = runs.begin[unit.run] + points - 1;
    const bool is_first = args.reduce == Reduce::first || points == 1;
    unit.first = read(is_first ? runs.first[unit.run] : args.sorted.order[last]);
  } else {
    unit.first = read(runs.first[unit.run]);
    if (points > 1) unit.second = read(runs.second[unit.run]);
  }
}

template <class C, Gather kGather, class T, int kWidth>
__device__ __forceinline__ Elements<T, kWidth> reduce_unit(const RunArgs& args, const WarpRuns& runs,
                                                           const RunUnit<T, kWidth>& unit) {
  if constexpr (kGather == Gather::copy) {
    return unit.first;
  } else {
    const std::uint32_t begin = runs.begin[unit.run];
    const std::uint32_t points = runs.points[unit.run];
    Accumulator<C, kWidth, kGather> result(args.reduce, begin);
    if (points <= kVoxelSumChunk) {
      result.add_row(unit.first, begin);
      if (points > 1) result.add_row(unit.second, begin + 1);
      if (points > 2) result.template add_points<T, 4>(args, begin + 2, points - 2, unit.column);
    } else {
      const C* const whole = chunk_at<C>(args, begin / kVoxelSumChunk, true) + unit.column;
#pragma unroll
      for (int d = 0; d < kWidth; ++d) result.at[d] = whole[d];
    }
    return result.template result<T>(args.reduce, points);
  }
}

/// A thread for each sorted point.
template <class T, class C, int kWidth, Gather kGather>
__global__ void __launch_bounds__(kRowThreads, 4) reduce_rows(const __grid_constant__ RowArgs args) {
  constexpr int kAhead = 2;
  __shared__ WarpRuns all[kRowThreads / kWarpPoints];
  start_next();
  await_earlier();
  WarpRuns& runs = all[threadIdx.x / kWarpPoints];
  const std::uint32_t count = find_runs(args, blockIdx.x * kRowThreads + threadIdx.x, runs);
  const std::uint32_t accesses = args.runs.columns / kWidth;
  const unsigned lane = threadIdx.x % kWarpPoints;
  std::uint32_t run = lane / accesses;
  std::uint32_t access = lane % accesses;
  while (run < count) {
    RunUnit<T, kWidth> units[kAhead];
#pragma unroll
    for (RunUnit<T, kWidth>& unit : units) {
      unit.run = run;
      unit.column = access * kWidth;
      if (run < count) load_unit<kGather>(args.runs, runs, unit);
      run += kWarpPoints / accesses;
      access += kWarpPoints % accesses;
      if (access >= accesses) access -= accesses, ++run;
    }
#pragma unroll
    for (const RunUnit<T, kWidth>& unit : units) {
      if (unit.run >= count) break;
      T* const out = static_cast<T*>(args.out) + runs.row[unit.run] * args.runs.columns + unit.column;
      *reinterpret_cast<Elements<T, kWidth>*>(out) = reduce_unit<C, kGather>(args.runs, runs, unit);
    }
  }
}

inline void launch_rows(const char* op, const RowArgs& args, void* stream, Start start = Start::early) {
  with_run_types(args.runs, args.out, [&]<class T, class C, int kWidth, Gather kGather>() {
    const dim3 blocks((args.runs.sorted.keys.size + kRowThreads - 1) / kRowThreads);
    launch(op, reduce_rows<T, C, kWidth, kGather>, blocks, kRowThreads, stream, args, start);
  });
}

}  // namespace robocache::cuda
