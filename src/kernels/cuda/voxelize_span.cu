#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/point_operators_clouds.cuh"
#include "kernels/cuda/voxelize_order.hpp"
#include "kernels/voxelize_sparse.hpp"
#include "robocache/error.hpp"

namespace robocache::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kEnds = 6;  ///< of x, y and z: the least numbers, and the least when all are negated
constexpr unsigned long long kNone = ~0ULL;

struct SpanCall {
  CloudRows clouds;
  RowPlaces places;
  const void* from;
  unsigned long long* ends = nullptr;  ///< [kEnds], as order_of() says
};

/// Rises as the number does. kNone is no finite number's.
ROBOCACHE_HD unsigned long long order_of(double v) {
  const auto bits = __builtin_bit_cast(unsigned long long, v);
  return (bits >> 63) != 0 ? ~bits : bits | 1ULL << 63;
}

double number_of(unsigned long long order) {
  return std::bit_cast<double>((order >> 63) != 0 ? order & ~(1ULL << 63) : ~order);
}

template <class C>
__device__ void add(const Point<C>& p, C (&ends)[kEnds]) {
  if ((p.x - p.x) + (p.y - p.y) + (p.z - p.z) != C{0}) return;  // NaN, too
  const C numbers[kEnds] = {p.x, p.y, p.z, -p.x, -p.y, -p.z};
#pragma unroll
  for (int i = 0; i < kEnds; ++i) ends[i] = min(ends[i], numbers[i]);
}

template <class T, class C>
__global__ void __launch_bounds__(32 * kWarps) find_ends(const __grid_constant__ SpanCall call) {
  start_next();
  await_earlier();
  using Tile = WarpTile<T>;
  __shared__ Tile tiles[kWarps];
  __shared__ unsigned long long of_block[kEnds];
  if (threadIdx.x < kEnds) of_block[threadIdx.x] = kNone;
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x % 32);
  Tile& tile = tiles[threadIdx.x / 32];
  C ends[kEnds];
  for (C& end : ends) end = std::numeric_limits<C>::infinity();
  const std::int64_t step = std::int64_t{gridDim.x} * kWarps * Tile::kRows;
  for (std::int64_t first = (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32) * Tile::kRows;
       first < call.clouds.rows; first += step) {
    const auto rows = static_cast<int>(min(std::int64_t{Tile::kRows}, call.clouds.rows - first));
    __syncwarp();
    tile.load(static_cast<const T*>(call.from), call.places, first, rows);
    CloudCursor cursor(call.clouds, first);
    for (int row = lane; row < rows; row += 32) {
      if (!call.clouds.leaves_out() || cursor.cloud_at(row) >= 0) add(tile.template at<C>(row), ends);
    }
  }
#pragma unroll
  for (int i = 0; i < kEnds; ++i) {
    for (int step_lanes = 16; step_lanes > 0; step_lanes /= 2) {
      ends[i] = min(ends[i], __shfl_xor_sync(~0U, ends[i], step_lanes));
    }
    if (lane == 0 && ends[i] < std::numeric_limits<C>::infinity()) {
      atomicMin(&of_block[i], order_of(static_cast<double>(ends[i])));
    }
  }
  __syncthreads();
  if (threadIdx.x < kEnds && of_block[threadIdx.x] != kNone) atomicMin(&call.ends[threadIdx.x], of_block[threadIdx.x]);
}

/// A wait would break what is being captured, and nobody would know why.
void refuse_capture(const char* op, cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(op, cudaStreamIsCapturing(stream, &status));
  if (status == cudaStreamCaptureStatusNone) return;
  throw Unsupported(std::string(op) +
                    ": stream is being captured in a graph, expected one that can be waited for: the box of the points "
                    "is read from the device; in C++ voxelize_sparse, whose grid is given, does not wait");
}

unsigned blocks_for(const char* op, std::int64_t rows, std::int64_t each) {
  constexpr std::int64_t kBlocksOfProcessor = 8;
  int device = 0;
  int processors = 0;
  check(op, cudaGetDevice(&device));
  check(op, cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  return static_cast<unsigned>(std::min((rows + each - 1) / each, kBlocksOfProcessor * processors));
}

template <class C>
VoxelSpan span_of(const VoxelAxes<C>& axes, const unsigned long long (&ends)[kEnds]) {
  VoxelSpan span{};
  const VoxelAxis<C>* const axis[] = {&axes.x, &axes.y, &axes.z};
  for (int i = 0; i < 3; ++i) {
    // Which voxel never falls where a coordinate grows.
    span.low[i] = axis[i]->at(static_cast<C>(number_of(ends[i])));
    span.high[i] = axis[i]->at(static_cast<C>(-number_of(ends[i + 3])));
  }
  return span;
}

}  // namespace

VoxelSpan voxel_span(const VoxelizeArgs& args, const Context& ctx) {
  const char* const op = "voxel_downsample";
  constexpr double far = std::numeric_limits<double>::infinity();
  VoxelSpan span{{far, far, far}, {-far, -far, -far}};
  SpanCall call{.clouds = CloudRows(args), .places = RowPlaces(args.points, args), .from = args.points.data};
  if (call.clouds.rows == 0) return span;
  auto* const stream = static_cast<cudaStream_t>(ctx.stream);
  refuse_capture(op, stream);
  ScratchPlan scratch;
  const std::size_t at = scratch.add(sizeof(unsigned long long) * kEnds);
  scratch.take(ctx);
  call.ends = scratch.at<unsigned long long>(at);
  unsigned long long ends[kEnds];
  check(op, cudaMemsetAsync(call.ends, 0xff, sizeof(ends), stream));
  visit_element_type(args.points.dtype, [&]<class T, class C>() {
    const dim3 blocks(blocks_for(op, call.clouds.rows, kWarps * WarpTile<T>::kRows));
    launch(op, find_ends<T, C>, blocks, 32 * kWarps, stream, call);
    check(op, cudaMemcpyAsync(ends, call.ends, sizeof(ends), cudaMemcpyDeviceToHost, stream));
    check(op, cudaStreamSynchronize(stream));
    if (ends[0] != kNone) span = span_of(args.axes<C>(), ends);
  });
  return span;
}

}  // namespace robocache::cuda
