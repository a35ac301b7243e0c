#include <algorithm>

#include "cuda/launch.hpp"
#include "kernels/cuda/voxelize_parts.hpp"
#include "kernels/cuda/voxelize_points.cuh"

// The bits of many clouds: a block keeps a cloud's bits, or a slice of them, in shared memory while it looks at all
// points of the cloud, and writes them once. 3x over atomics on the result on H200 (bench voxelize_cuda,
// 64x65536->128^3).
namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 1024;
constexpr std::int64_t kMostSlices = 4;    ///< more would read the points too often
constexpr std::int64_t kLeastBlocks = 48;  ///< fewer leave most of a device without work
constexpr std::int64_t kAlignment = sizeof(uint4);

struct BitsArgs {
  PlacedPoints source;
  std::uint8_t* out;
  std::uint32_t cloud_bytes;
  std::uint32_t slice_bytes;  ///< a multiple of kAlignment; the last one may have fewer
  std::uint32_t slices;       ///< of a cloud
  std::uint32_t bytes_z;
  std::int64_t* dropped;
};

/// The bit of a voxel, among those of a cloud.
__device__ std::uint32_t bit_of(const BitsArgs& args, std::uint32_t voxel) {
  const auto z = static_cast<std::uint32_t>(args.source.z);
  if (z % 8 == 0) return voxel;
  return voxel / z * 8 * args.bytes_z + voxel % z;
}

/// Sets the bits [first_bit, first_bit + bits) of the points of a cloud; how many of a thread's points are in no voxel.
template <class T, class C>
__device__ unsigned set_bits(const BitsArgs& args, std::int64_t cloud, std::uint32_t first_bit, std::uint32_t bits,
                             unsigned* words) {
  const CloudRange range = args.source.range(cloud);
  const bool moved = args.source.transforms.data != nullptr;
  constexpr int kPointsPerThread = 16 / sizeof(C);
  constexpr std::int64_t kEach = std::int64_t{kThreads} * kPointsPerThread;
  unsigned outside = 0;
  for (std::int64_t n = range.begin + threadIdx.x; n < range.end; n += kEach) {
    Point<C> p[kPointsPerThread];
#pragma unroll
    for (int k = 0; k < kPointsPerThread; ++k) {
      const bool there = n + k * kThreads < range.end;
      p[k] = there ? point_at<T, C>(args.source.points, range.base, n + k * kThreads) : Point<C>{};
    }
#pragma unroll
    for (int k = 0; k < kPointsPerThread; ++k) {
      if (n + k * kThreads >= range.end) break;
      if (moved) p[k] = args.source.transforms.template at<C>(cloud)(p[k]);
      const auto voxel = args.source.template voxel<C, std::uint32_t>(p[k]);
      if (voxel == ~0U) {
        ++outside;
      } else if (const std::uint32_t bit = bit_of(args, voxel) - first_bit; bit < bits) {
        atomicOr(words + bit / 32, 1U << (bit % 32));
      }
    }
  }
  return outside;
}

/// Writes `size` bytes from shared memory, by all threads of the block.
__device__ void write_bytes(std::uint8_t* to, const uint4* from, std::uint32_t size) {
  std::uint32_t done = 0;
  if (reinterpret_cast<std::uintptr_t>(to) % kAlignment == 0) {
    const std::uint32_t vectors = size / kAlignment;
    for (std::uint32_t i = threadIdx.x; i < vectors; i += kThreads) reinterpret_cast<uint4*>(to)[i] = from[i];
    done = vectors * kAlignment;
  }
  for (std::uint32_t i = done + threadIdx.x; i < size; i += kThreads)
    to[i] = reinterpret_cast<const std::uint8_t*>(from)[i];
}

template <class T, class C>
__global__ void __launch_bounds__(kThreads) keep_bits(const __grid_constant__ BitsArgs args) {
  extern __shared__ uint4 slice[];
  __shared__ unsigned outside;
  const std::int64_t cloud = blockIdx.x / args.slices;
  const std::uint32_t first = blockIdx.x % args.slices * args.slice_bytes;
  const std::uint32_t bytes = min(args.slice_bytes, args.cloud_bytes - first);
  if (threadIdx.x == 0) outside = 0;
  for (std::uint32_t i = threadIdx.x; i < args.slice_bytes / kAlignment; i += kThreads) slice[i] = {0, 0, 0, 0};
  __syncthreads();
  const unsigned mine = set_bits<T, C>(args, cloud, 8 * first, 8 * bytes, reinterpret_cast<unsigned*>(slice));
  const unsigned of_warp = __reduce_add_sync(~0U, mine);
  if (threadIdx.x % 32 == 0) atomicAdd(&outside, of_warp);
  __syncthreads();
  write_bytes(args.out + cloud * args.cloud_bytes + first, slice, bytes);
  if (args.dropped != nullptr && first == 0 && threadIdx.x == 0) args.dropped[cloud] = outside;
}

/// Bytes of shared memory that a block can have beside its own variables.
std::int64_t shared_bytes() {
  constexpr std::int64_t kOwn = 1024;
  int device = 0;
  int bytes = 0;
  check("voxelize", cudaGetDevice(&device));
  check("voxelize", cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return bytes - kOwn;
}

}  // namespace

bool voxelize_bits(const VoxelizeArgs& args, const Context& ctx) {
  if (args.outputs.size() != 1 || args.outputs[0].reduce != Reduce::occupancy_bits) return false;
  const std::int64_t bytes = args.rows() * args.bytes_z();
  const std::int64_t room = shared_bytes() / kAlignment * kAlignment;
  const std::int64_t slices = std::max<std::int64_t>(1, (bytes + room - 1) / room);
  if (slices > kMostSlices || args.clouds * slices < kLeastBlocks) return false;
  const std::int64_t slice = (bytes + slices * kAlignment - 1) / (slices * kAlignment) * kAlignment;
  const BitsArgs to{.source = PlacedPoints(args),
                    .out = static_cast<std::uint8_t*>(args.outputs[0].data),
                    .cloud_bytes = static_cast<std::uint32_t>(bytes),
                    .slice_bytes = static_cast<std::uint32_t>(slice),
                    .slices = static_cast<std::uint32_t>(slices),
                    .bytes_z = static_cast<std::uint32_t>(args.bytes_z()),
                    .dropped = args.dropped};
  const dim3 grid(static_cast<unsigned>(args.clouds * slices));
  visit_element_type(args.points.dtype, [&]<class T, class C>() {
    launch("voxelize", keep_bits<T, C>, grid, kThreads, ctx.stream, to, Start::in_order,
           static_cast<std::size_t>(slice));
  });
  return true;
}

}  // namespace robocache::cuda
