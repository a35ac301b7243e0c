#include <algorithm>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_runs.cuh"

// Chunks of the runs that are longer than one, made by many threads: a million points in one voxel are no serial chain.
// Sorted points are cut into windows of kVoxelSumChunk. In one begin at most two chunks of long runs: one of the run
// that began before the window, and the first one of a run that begins in it.
namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 128;

std::uint64_t windows_of(std::uint32_t points) { return (std::uint64_t{points} + kVoxelSumChunk - 1) / kVoxelSumChunk; }

struct LongRun {
  std::uint32_t begin = 0;
  std::uint64_t key = 0;
  bool found = false;
};

/// The long run that has points before sorted point `first` and that one, too.
__device__ LongRun run_from_before(const SortedKeys& keys, std::uint32_t first) {
  const std::uint64_t key = keys[first];
  if (first == 0 || key == keys.none || keys[first - 1] != key) return {};
  const std::uint32_t near = first > kVoxelSumChunk ? first - kVoxelSumChunk : 0;
  const bool is_near = keys[near] != key;
  const std::uint32_t begin = keys.first_from(key, is_near ? near + 1 : 0, is_near ? first : near);
  return {begin, key, keys.has(begin + kVoxelSumChunk, key)};
}

/// The long run that begins in the window of sorted point `first`: it goes on beyond.
__device__ LongRun run_that_begins(const SortedKeys& keys, std::uint32_t first) {
  const std::uint32_t last = min(first + kVoxelSumChunk, keys.size) - 1;
  const std::uint64_t key = keys[last];
  if (key == keys.none || !keys.has(last + 1, key)) return {};
  const std::uint32_t begin = keys.first_from(key, first, last);
  const bool began_before = begin == first && first > 0 && keys[first - 1] == key;
  return {begin, key, !began_before && keys.has(begin + kVoxelSumChunk, key)};
}

/// A thread for each column of each window.
template <class T, class C, Gather kGather>
__global__ void __launch_bounds__(kThreads) reduce_chunks(const __grid_constant__ RunArgs args) {
  start_next();
  await_earlier();
  const SortedKeys& keys = args.sorted.keys;
  const std::uint64_t thread = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const auto window = static_cast<std::uint32_t>(thread / args.columns);
  const auto column = static_cast<std::uint32_t>(thread % args.columns);
  const std::uint32_t first = window * kVoxelSumChunk;
  if (first >= keys.size) return;
  const auto reduce = [&](std::uint32_t begin, std::uint32_t points, bool begins) {
    Accumulator<C, 1, kGather> chunk(args.reduce);
    chunk.template add_points<T, 16>(args, begin, points, column);
    chunk_at<C>(args, window, begins)[column] = chunk.at[0];
  };
  if (const LongRun run = run_from_before(keys, first); run.found) {
    const std::uint32_t rank = (first - run.begin + kVoxelSumChunk - 1) / kVoxelSumChunk * kVoxelSumChunk;
    const std::uint32_t begin = run.begin + rank;
    if (keys.has(begin, run.key) && rank < args.most) {
      const std::uint32_t last = min(begin + kVoxelSumChunk, keys.size);
      const std::uint32_t end = keys[last - 1] == run.key ? last : keys.first_from(run.key + 1, begin, last);
      reduce(begin, min(end - begin, args.most - rank), false);
    }
  }
  if (const LongRun run = run_that_begins(keys, first); run.found) reduce(run.begin, kVoxelSumChunk, true);
}

/// Puts the chunks of each long run together, in their order, in the place of its first one.
template <class C, Gather kGather>
__global__ void __launch_bounds__(kThreads) join_chunks(const __grid_constant__ RunArgs args) {
  start_next();
  await_earlier();
  const SortedKeys& keys = args.sorted.keys;
  const std::uint64_t thread = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const auto window = static_cast<std::uint32_t>(thread / args.columns);
  const auto column = static_cast<std::uint32_t>(thread % args.columns);
  if (window * kVoxelSumChunk >= keys.size) return;
  const LongRun run = run_that_begins(keys, window * kVoxelSumChunk);
  if (!run.found) return;
  const std::uint32_t points = min(keys.first_from(run.key + 1, run.begin, keys.size) - run.begin, args.most);
  const std::uint32_t chunks = (points + kVoxelSumChunk - 1) / kVoxelSumChunk;
  C* const whole = chunk_at<C>(args, window, true) + column;
  Accumulator<C, 1, kGather> result(args.reduce);
  result.at[0] = *whole;
  constexpr std::uint32_t kAhead = 32;
  for (std::uint32_t first = 1; first < chunks; first += kAhead) {
    Elements<C, 1> chunk[kAhead];
#pragma unroll
    for (std::uint32_t k = 0; k < kAhead; ++k) {
      if (first + k < chunks) chunk[k].at[0] = chunk_at<C>(args, window + first + k, false)[column];
    }
#pragma unroll
    for (std::uint32_t k = 0; k < kAhead; ++k) {
      if (first + k < chunks) result.add(chunk[k]);
    }
  }
  *whole = result.at[0];
}

template <class T, class C, Gather kGather>
void launch_both(const RunArgs& args, void* stream) {
  const std::uint64_t windows = windows_of(args.sorted.keys.size);
  const std::uint64_t threads = windows * args.columns;
  const dim3 grid(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
  launch("voxelize", reduce_chunks<T, C, kGather>, grid, kThreads, stream, args, Start::early);
  launch("voxelize", join_chunks<C, kGather>, grid, kThreads, stream, args, Start::early);
}

}  // namespace

std::size_t chunk_bytes(std::uint32_t points, std::int64_t columns, DType dtype) {
  const std::size_t size = dtype == DType::f64 ? sizeof(double) : sizeof(float);
  return 2 * windows_of(points) * static_cast<std::size_t>(columns) * size;
}

void reduce_long_runs(const RunArgs& args, void* stream) {
  if (std::min(args.sorted.keys.size, args.most) <= kVoxelSumChunk) return;
  with_point_type(args.rows.dtype, [&]<class T, class C>() {
    const Gather gather = gather_of(args.reduce);
    if (gather == Gather::sum) launch_both<T, C, Gather::sum>(args, stream);
    if (gather == Gather::extreme) launch_both<T, C, Gather::extreme>(args, stream);
  });
}

}  // namespace robocache::cuda
