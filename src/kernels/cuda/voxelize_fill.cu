#include <algorithm>
#include <bit>
#include <cstddef>

#include "cuda/bulk_store.cuh"
#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/voxelize_parts.hpp"

// What a voxel without points holds, in all voxels. That is all writes, and takes a warp on each processor: kernels
// that wait for memory most of the time find room beside it.
namespace robocache::cuda {

namespace {

constexpr unsigned kThreads = 32;
constexpr std::uint32_t kUnit = sizeof(uint4);
constexpr std::uint32_t kChunkBytes = 16 << 10;  ///< of a block at a time

struct FillArgs {
  std::byte* out;
  std::uint64_t bytes;
  uint4 pattern;  ///< whole elements
};

__global__ void __launch_bounds__(kThreads) fill_voxels(const __grid_constant__ FillArgs args) {
  start_next();
  await_earlier();
  const std::uint64_t head = min(std::uint64_t{-reinterpret_cast<std::uintptr_t>(args.out) % kUnit}, args.bytes);
  const std::uint64_t body = (args.bytes - head) / kUnit * kUnit;
  std::byte* const out = args.out + head;
  if (blockIdx.x == 0) {
    const auto byte = reinterpret_cast<const std::byte*>(&args.pattern)[threadIdx.x % kUnit];
    if (threadIdx.x < head) args.out[threadIdx.x] = byte;
    if (threadIdx.x < args.bytes - head - body) out[body + threadIdx.x] = byte;
  }
#if __CUDA_ARCH__ >= 900
  extern __shared__ uint4 chunk[];
  for (std::uint32_t i = threadIdx.x; i < kChunkBytes / kUnit; i += kThreads) chunk[i] = args.pattern;
  publish_to_bulk();
  __syncwarp();
  if (threadIdx.x != 0) return;
  for (std::uint64_t at = std::uint64_t{blockIdx.x} * kChunkBytes; at < body;
       at += std::uint64_t{gridDim.x} * kChunkBytes) {
    bulk_store(out + at, chunk, static_cast<std::uint32_t>(min(body - at, std::uint64_t{kChunkBytes})));
  }
  await_bulk_stores();
#else
  auto* const units = reinterpret_cast<uint4*>(out);
  const std::uint64_t first = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::uint64_t i = first; i < body / kUnit; i += std::uint64_t{gridDim.x} * kThreads) units[i] = args.pattern;
#endif
}

/// `value` in as many elements as there are in 16 bytes.
uint4 pattern_of(DType dtype, double value) {
  uint4 pattern{};
  visit_element_type(dtype, [&]<class T, class C>() {
    struct Elements {
      T at[kUnit / sizeof(T)];
    } elements;
    std::ranges::fill(elements.at, filled<T>(value));
    pattern = std::bit_cast<uint4>(elements);
  });
  return pattern;
}

}  // namespace

void fill_features(const VoxelOutput& output, DType dtype, std::uint64_t size, void* stream) {
  const auto attribute = [](cudaDeviceAttr which) {
    int device = 0;
    int value = 0;
    check("voxelize", cudaGetDevice(&device));
    check("voxelize", cudaDeviceGetAttribute(&value, which, device));
    return static_cast<unsigned>(value);
  };
  const FillArgs args{.out = static_cast<std::byte*>(output.data),
                      .bytes = size * size_of(dtype),
                      .pattern = pattern_of(dtype, output.empty)};
  const std::uint64_t chunks = (args.bytes + kChunkBytes - 1) / kChunkBytes;
  const unsigned processors = attribute(cudaDevAttrMultiProcessorCount);
  const dim3 blocks(static_cast<unsigned>(std::min<std::uint64_t>(chunks, processors)));
  const unsigned too_much_for_two = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor) / 2;
  // Processors are set to so much for as long as a block is there, and what begins beside it needs the rest.
  check("voxelize",
        cudaFuncSetAttribute(reinterpret_cast<const void*>(fill_voxels), cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared));
  launch("voxelize", fill_voxels, blocks, kThreads, stream, args, Start::in_order, too_much_for_two);
}

}  // namespace robocache::cuda
