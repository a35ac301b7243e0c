#include <algorithm>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_parts.hpp"
#include "kernels/cuda/voxelize_runs.cuh"

// Dense reductions of features: points are sorted by voxel, and then blocks write tiles of voxels, each of them once
// but for the occupied ones, which are empty first. There are no atomics, and all that is written twice is in the L2.
namespace robocache::cuda {

namespace {

/// Each block waits for memory a few times, so that many small ones are better: 1.1x over 256 threads on H200 (bench
/// voxelize_cuda, 1Mx16->200^3).
constexpr unsigned kThreads = 128;
constexpr std::int64_t kTileBytes = 16 << 10;
constexpr std::int64_t kTileVoxels = 1024;  ///< at most
constexpr std::uint32_t kScanned = 4096;    ///< sorted points of a tile that are looked at one by one, at most

struct TileArgs {
  RunArgs runs;
  std::uint64_t voxels;       ///< of all clouds
  std::uint32_t tile_voxels;  ///< of a tile; the last one may have fewer
  std::uint32_t tiles;
  std::uint32_t* first_points;  ///< [tiles + 1]: of each tile, among the sorted points
  void* out = nullptr;
  double empty = 0;
};

/// A thread for each tile.
__global__ void __launch_bounds__(kThreads) find_tiles(const __grid_constant__ TileArgs args) {
  start_next();
  await_earlier();
  const std::uint32_t tile = blockIdx.x * kThreads + threadIdx.x;
  if (tile > args.tiles) return;
  const SortedKeys& keys = args.runs.sorted.keys;
  const std::uint64_t voxel = min(std::uint64_t{tile} * args.tile_voxels, args.voxels);
  args.first_points[tile] = keys.first_from(voxel, 0, keys.size);
}

/// All elements of an array become `value`, by all threads of a block.
template <class T>
__device__ void fill(T* to, std::uint32_t size, T value) {
  constexpr std::uint32_t kVector = sizeof(uint4) / sizeof(T);
  const auto unaligned = static_cast<std::uint32_t>(-reinterpret_cast<std::uintptr_t>(to) % sizeof(uint4) / sizeof(T));
  const std::uint32_t head = min(unaligned, size);
  const std::uint32_t vectors = (size - head) / kVector;
  Elements<T, kVector> pattern;
#pragma unroll
  for (T& element : pattern.at) element = value;
  auto* const aligned = reinterpret_cast<Elements<T, kVector>*>(to + head);
  for (std::uint32_t i = threadIdx.x; i < vectors; i += kThreads) aligned[i] = pattern;
  const std::uint32_t tail = head + vectors * kVector;
  if (threadIdx.x < head) to[threadIdx.x] = value;
  if (threadIdx.x < size - tail) to[tail + threadIdx.x] = value;
}

/// The occupied voxels of a tile, in any order.
struct Occupied {
  std::uint32_t begin[kTileVoxels];   ///< of each: its first sorted point
  std::uint32_t points[kTileVoxels];  ///< and how many there are
  std::uint16_t voxel[kTileVoxels];
  std::uint32_t count;

  __device__ void add(std::uint64_t of_tile, std::uint32_t first, std::uint32_t size) {
    const std::uint32_t i = atomicAdd(&count, 1);
    voxel[i] = static_cast<std::uint16_t>(of_tile);
    begin[i] = first;
    points[i] = size;
  }
};

/// Fills `tile` from sorted points [first, last), by all threads of a block.
__device__ void find_occupied(const RunArgs& args, std::uint64_t first_voxel, std::uint32_t voxels, std::uint32_t first,
                              std::uint32_t last, Occupied& tile) {
  const SortedKeys& keys = args.sorted.keys;
  if (last - first <= kScanned) {
    for (std::uint32_t i = first + threadIdx.x; i < last; i += kThreads) {
      if (keys.begins(i)) tile.add(keys[i] - first_voxel, i, keys.run_length(i));
    }
    return;
  }
  for (std::uint32_t v = threadIdx.x; v < voxels; v += kThreads) {
    const std::uint32_t begin = keys.first_from(first_voxel + v, first, last);
    if (keys.has(begin, first_voxel + v)) tile.add(v, begin, keys.first_from(first_voxel + v + 1, begin, last) - begin);
  }
}

/// A block for each tile: what it knows of its points is on the way while it fills the tile.
template <class T, class C, int kWidth, Gather kGather>
__global__ void __launch_bounds__(kThreads, 2 * kBlocks<T>) reduce_tiles(const __grid_constant__ TileArgs args) {
  __shared__ Occupied tile;
  start_next();
  const std::uint32_t columns = args.runs.columns;
  const std::uint64_t first_voxel = std::uint64_t{blockIdx.x} * args.tile_voxels;
  const auto voxels = static_cast<std::uint32_t>(min(std::uint64_t{args.tile_voxels}, args.voxels - first_voxel));
  T* const out = static_cast<T*>(args.out) + first_voxel * columns;
  if (threadIdx.x == 0) tile.count = 0;
  await_earlier();
  const std::uint32_t first = args.first_points[blockIdx.x];
  const std::uint32_t last = args.first_points[blockIdx.x + 1];
  __syncthreads();
  if (first < last) find_occupied(args.runs, first_voxel, voxels, first, last, tile);
  fill(out, voxels * columns, filled<T>(args.empty));
  __syncthreads();
  const std::uint32_t accesses = columns / kWidth;  // of a voxel
  const std::uint32_t all = tile.count * accesses;
  for (std::uint32_t i = threadIdx.x; i < all; i += kThreads) {
    const std::uint32_t at = i / accesses;
    const std::uint32_t column = i % accesses * kWidth;
    *reinterpret_cast<Elements<T, kWidth>*>(out + std::uint64_t{tile.voxel[at]} * columns + column) =
        reduce_run<T, C, kWidth, kGather>(args.runs, tile.begin[at], tile.points[at], column);
  }
}

void launch_tiles(const TileArgs& args, void* stream) {
  with_run_types(args.runs, args.out, [&]<class T, class C, int kWidth, Gather kGather>() {
    launch("voxelize", reduce_tiles<T, C, kWidth, kGather>, dim3(args.tiles), kThreads, stream, args, Start::early);
  });
}

constexpr double kLow[3] = {0, 0, 0};

/// One call: its arrays in scratch memory, and its launches.
class FeaturesCall {
 public:
  explicit FeaturesCall(const VoxelizeArgs& args)
      : args_(args), order_("voxelize", args, kLow, scratch_), voxels_(args.clouds * args.rows() * args.grid.shape[2]) {
    const std::int64_t bytes = args.columns * static_cast<std::int64_t>(size_of(args.features.dtype));
    tile_voxels_ = std::clamp<std::int64_t>(kTileBytes / bytes, 1, kTileVoxels);
    tiles_ = (voxels_ + tile_voxels_ - 1) / tile_voxels_;
    first_points_ = scratch_.add(static_cast<std::size_t>(tiles_ + 1) * sizeof(std::uint32_t));
    chunks_ = scratch_.add(chunk_bytes(order_.size(), args.columns, args.features.dtype, false));
  }

  [[nodiscard]] std::size_t scratch_bytes() const { return scratch_.bytes(); }

  void run(const Context& ctx) {
    scratch_.take(ctx);
    TileArgs tile{
        .runs = run_args(order_.sort(scratch_, args_.dropped, ctx.stream), args_, args_.features, args_.columns),
        .voxels = static_cast<std::uint64_t>(voxels_),
        .tile_voxels = static_cast<std::uint32_t>(tile_voxels_),
        .tiles = static_cast<std::uint32_t>(tiles_),
        .first_points = scratch_.at<std::uint32_t>(first_points_)};
    tile.runs.chunks = scratch_.at<void>(chunks_);
    const dim3 grid(static_cast<unsigned>(tiles_ / kThreads + 1));
    const Start start = order_.size() > 0 ? Start::early : Start::in_order;  // Behind a kernel of this call, or not.
    launch("voxelize", find_tiles, grid, kThreads, ctx.stream, tile, start);
    for (const VoxelOutput& output : args_.outputs) {
      tile.runs.reduce = output.reduce;
      tile.out = output.data;
      tile.empty = output.empty;
      reduce_long_runs(tile.runs, ctx.stream);
      launch_tiles(tile, ctx.stream);
    }
  }

 private:
  const VoxelizeArgs& args_;
  ScratchPlan scratch_;
  PointOrder order_;
  std::int64_t voxels_;  ///< of all clouds
  std::int64_t tile_voxels_ = 1, tiles_ = 0;
  std::size_t first_points_ = 0, chunks_ = 0;
};

}  // namespace

void voxelize_features(const VoxelizeArgs& args, const Context& ctx) { FeaturesCall(args).run(ctx); }

std::size_t features_scratch(const VoxelizeArgs& args) { return FeaturesCall(args).scratch_bytes(); }

}  // namespace robocache::cuda
