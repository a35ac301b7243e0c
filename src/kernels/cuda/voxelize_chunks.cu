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
/// On a processor: the compiler makes room for more otherwise, and has too few registers to load ahead. On H200 the
/// mean is 1.03x as fast, and the gradient of max 1.3x (bench voxelize_cuda, 1Mx16->200^3 one voxel).
constexpr unsigned kChunkBlocks = 8;
constexpr unsigned kJoinThreads = 512;
constexpr unsigned kJoinedWindows = 128;  ///< of a block

std::uint64_t windows_of(std::uint32_t points) { return (std::uint64_t{points} + kVoxelSumChunk - 1) / kVoxelSumChunk; }

struct LongRun {
  std::uint32_t begin = 0;
  std::uint64_t key = 0;
  bool found = false;
};

/// Whether no run goes on across an end of the window of sorted point `first`, as most do not: four loads side by side.
__device__ bool is_apart(const SortedKeys& keys, std::uint32_t first) {
  const std::uint32_t next = min(first + kVoxelSumChunk, keys.size - 1);
  const std::uint64_t before = keys[max(first, 1U) - 1];
  const std::uint64_t here = keys[first];
  const std::uint64_t last = keys[max(next, 1U) - 1];
  const std::uint64_t after = keys[next];
  return (first == 0 || before != here) && last != after;
}

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
__global__ void __launch_bounds__(kThreads, kChunkBlocks) reduce_chunks(const __grid_constant__ RunArgs args) {
  start_next();
  await_earlier();
  const SortedKeys& keys = args.sorted.keys;
  const std::uint64_t thread = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const auto window = static_cast<std::uint32_t>(thread / args.columns);
  const auto column = static_cast<std::uint32_t>(thread % args.columns);
  const std::uint32_t first = window * kVoxelSumChunk;
  if (first >= keys.size || is_apart(keys, first)) return;
  const auto reduce = [&](std::uint32_t begin, std::uint32_t points, bool begins) {
    Accumulator<C, 1, kGather> chunk(args.reduce, begin);
    chunk.template add_points<T, 64 / sizeof(C)>(args, begin, points, column);
    chunk_at<Kept<C, kGather>>(args, window, begins)[column] = chunk.kept(0);
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

/// What lane `from` of the warp holds.
template <class C>
__device__ C of_lane(const C& mine, std::uint32_t from) {
  return __shfl_sync(~0U, mine, static_cast<int>(from));
}
template <class C>
__device__ Placed<C> of_lane(const Placed<C>& mine, std::uint32_t from) {
  return {of_lane(mine.value, from), of_lane(mine.place, from)};
}

/// A warp finds the extreme of one column of a long run, in the place of the first chunk. Of that the order is free, so
/// long as what comes first stays first: a lane takes chunks that follow one another, then pairs of lanes do.
template <class C, Gather kGather>
__device__ void join_extremes(const RunArgs& args, std::uint32_t window, std::uint32_t chunks, std::uint32_t column) {
  using K = Kept<C, kGather>;
  constexpr std::uint32_t kWarp = 32;
  const std::uint32_t lane = threadIdx.x % kWarp;
  const std::uint32_t each = (chunks + kWarp - 1) / kWarp;
  const auto read = [&](std::uint32_t chunk) { return chunk_at<K>(args, window + chunk, chunk == 0)[column]; };
  Accumulator<C, 1, kGather> result(args.reduce, 0);
  const std::uint32_t end = min((lane + 1) * each, chunks);
  if (lane * each < end) result.set(0, read(lane * each));
#pragma unroll 8
  for (std::uint32_t chunk = lane * each + 1; chunk < end; ++chunk) result.add(0, read(chunk));
  for (std::uint32_t lanes = 1; lanes < kWarp; lanes *= 2) {
    const K behind = of_lane(result.kept(0), lane + lanes);
    if (lane + lanes < kWarp && (lane + lanes) * each < chunks) result.add(0, behind);
  }
  if (lane == 0) chunk_at<K>(args, window, true)[column] = result.kept(0);
}

/// A warp sums up one column of a long run: its chunks in their order, in the place of the first one. Lanes read chunks
/// side by side and far ahead of the sum, which is serial.
template <class C>
__device__ void join_sums(const RunArgs& args, std::uint32_t window, std::uint32_t chunks, std::uint32_t column) {
  constexpr std::uint32_t kWarp = 32;
  constexpr std::uint32_t kAhead = 8;
  const std::uint32_t lane = threadIdx.x % kWarp;
  const auto read = [&](std::uint32_t chunk) {
    return chunk < chunks ? chunk_at<C>(args, window + chunk, false)[column] : C{0};
  };
  C* const whole = chunk_at<C>(args, window, true) + column;
  Accumulator<C, 1, Gather::sum> result(args.reduce, 0);
  result.at[0] = *whole;
  C ahead[kAhead];
#pragma unroll
  for (std::uint32_t k = 0; k < kAhead; ++k) ahead[k] = read(1 + k * kWarp + lane);
  for (std::uint32_t first = 1; first < chunks; first += kAhead * kWarp) {
#pragma unroll
    for (std::uint32_t k = 0; k < kAhead; ++k) {
      const C mine = ahead[k];
      ahead[k] = read(first + (kAhead + k) * kWarp + lane);
      const std::uint32_t left = chunks - min(first + k * kWarp, chunks);
      const auto add = [&](std::uint32_t from) { result.add(0, of_lane(mine, from)); };
      if (left >= kWarp) {
#pragma unroll
        for (std::uint32_t from = 0; from < kWarp; ++from) add(from);
      } else {
        for (std::uint32_t from = 0; from < left; ++from) add(from);
      }
    }
  }
  __syncwarp();
  if (lane == 0) *whole = result.at[0];
}

struct Found {
  std::uint32_t window;
  std::uint32_t chunks;
};

/// A block looks for the long runs that begin in kJoinedWindows windows; its warps then share their columns.
template <class C, Gather kGather>
__global__ void __launch_bounds__(kJoinThreads) join_chunks(const __grid_constant__ RunArgs args) {
  __shared__ Found found[kJoinedWindows];
  __shared__ std::uint32_t count;
  start_next();
  if (threadIdx.x == 0) count = 0;
  await_earlier();
  __syncthreads();
  const SortedKeys& keys = args.sorted.keys;
  const std::uint32_t window = blockIdx.x * kJoinedWindows + threadIdx.x;
  const std::uint32_t first = window * kVoxelSumChunk;
  if (threadIdx.x < kJoinedWindows && first < keys.size && !is_apart(keys, first)) {
    if (const LongRun run = run_that_begins(keys, first); run.found) {
      const std::uint32_t end = keys.first_from(run.key + 1, run.begin, keys.size);
      const std::uint32_t points = min(end - run.begin, args.most);
      found[atomicAdd(&count, 1)] = {window, (points + kVoxelSumChunk - 1) / kVoxelSumChunk};
    }
  }
  __syncthreads();
  for (std::uint32_t i = threadIdx.x / 32; i < count * args.columns; i += kJoinThreads / 32) {
    const Found& run = found[i / args.columns];
    if constexpr (kGather == Gather::sum) {
      join_sums<C>(args, run.window, run.chunks, i % args.columns);
    } else {
      join_extremes<C, kGather>(args, run.window, run.chunks, i % args.columns);
    }
  }
}

template <class T, class C, Gather kGather>
void launch_both(const RunArgs& args, void* stream) {
  const std::uint64_t windows = windows_of(args.sorted.keys.size);
  const std::uint64_t threads = windows * args.columns;
  const dim3 grid(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
  launch("voxelize", reduce_chunks<T, C, kGather>, grid, kThreads, stream, args, Start::early);
  const dim3 blocks(static_cast<unsigned>((windows + kJoinedWindows - 1) / kJoinedWindows));
  launch("voxelize", join_chunks<C, kGather>, blocks, kJoinThreads, stream, args, Start::early);
}

}  // namespace

std::size_t chunk_bytes(std::uint32_t points, std::int64_t columns, DType dtype, bool placed) {
  static_assert(sizeof(Placed<float>) == 2 * sizeof(float) && sizeof(Placed<double>) == 2 * sizeof(double));
  constexpr std::size_t kNobodyHas = std::size_t{1} << 62;
  const std::size_t size = (placed ? 2 : 1) * (dtype == DType::f64 ? sizeof(double) : sizeof(float));
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(2 * windows_of(points) * size, static_cast<std::size_t>(columns), &bytes)) {
    return kNobodyHas;
  }
  return std::min(bytes, kNobodyHas);
}

void reduce_long_runs(const RunArgs& args, void* stream) {
  if (std::min(args.sorted.keys.size, args.most) <= kVoxelSumChunk) return;
  visit_element_type(args.rows.dtype, [&]<class T, class C>() {
    const Gather gather = gather_of(args.reduce);
    if (gather == Gather::sum) launch_both<T, C, Gather::sum>(args, stream);
    if (gather == Gather::extreme) launch_both<T, C, Gather::extreme>(args, stream);
  });
}

void place_long_runs(const RunArgs& args, void* stream) {
  if (args.sorted.keys.size <= kVoxelSumChunk) return;
  visit_element_type(args.rows.dtype, [&]<class T, class C>() { launch_both<T, C, Gather::place>(args, stream); });
}

}  // namespace robocache::cuda
