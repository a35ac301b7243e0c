#pragma once

#include "kernels/cuda/align_kernel.cuh"

// The kernel for one plain stream with a clock that fits a block's window and rows that 32 bits reach. Such a call is
// over in a few microseconds, in which a warp's instructions wait for each other: this kernel does what align_kernel
// does with half of them between one read and the next, for it asks less and has computed more before await_earlier().
// On H200 (bench align_cuda) that is 1.25x at 8x250->128x128, 1.18x at 32x500->256x256, 1.14x at 256x500->250x32, 1.06x
// at 1024x1000->500x32, 1.04x at 64x1000->512x512 and 1.02x at 256x1000->512x512.
//
// Several streams are left to align_kernel. Blocks that serve a tile of targets in all of them walk through the
// instructions of each: 1.07x to 1.7x slower than a block for each stream (fusion, B=4 to 1024).
namespace robocache::cuda {

/// A block's shared memory.
template <class T>
struct ShortScratch {
  T clock[kAlignWindow + 1];
  Step steps[kPlainTile];
  bool rest;  ///< locate_rest has something to do
};

/// What AlignPlan says of rows, in 32 bits.
struct ShortRows {
  std::uint32_t chunks, value_pitch, out_pitch;

  __device__ __forceinline__ explicit ShortRows(const AlignPlan& plan)
      : chunks(plan.chunks),
        value_pitch(static_cast<std::uint32_t>(plan.value_pitch)),
        out_pitch(static_cast<std::uint32_t>(plan.out_pitch)) {}
};

/// `data` + i * pitch; pitches are less than 2^31.
__device__ __forceinline__ const char* advanced(const void* data, std::uint32_t i, std::int64_t pitch) {
  return static_cast<const char*>(data) + std::uint64_t{i} * static_cast<std::uint32_t>(pitch);
}

/// Starts to copy a clock, of which this thread has the stamp at `from` and every kPlainThreads-th behind it, to shared
/// memory from `to` on; none of it is there before await_clock().
template <class T>
__device__ __forceinline__ void copy_clock(const char* from, std::uint32_t samples, std::uint32_t to) {
#pragma unroll
  for (std::uint32_t k = 0; k <= kAlignWindow; k += kPlainThreads) {
    if (threadIdx.x + k < samples) {
      asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to + k * static_cast<std::uint32_t>(sizeof(T))),
                   "l"(from + k * sizeof(T)), "n"(sizeof(T))
                   : "memory");
    }
  }
}

/// Waits for the clock, and adds the stream's offset. Called by every thread of the block.
template <class T>
__device__ __forceinline__ void await_clock(const AlignPlan& plan, std::uint32_t samples, T* clock) {
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  if (plan.shift_bits == 0) return;
  T shift;
  memcpy(&shift, &plan.shift_bits, sizeof shift);
#pragma unroll 1
  for (std::uint32_t i = threadIdx.x; i < samples; i += kPlainThreads) clock[i] = Clock<T>::sum(clock[i], shift);
  __syncthreads();
}

template <class T, class Words, int Width>
__global__ void __launch_bounds__(kPlainThreads, 5)
    align_short_kernel(const __grid_constant__ AlignParameters<1> call) {
  __shared__ ShortScratch<T> scratch;
  const Block<1> block{call, 0, blockIdx.z * gridDim.y + blockIdx.y, blockIdx.x};
  if (block.b >= call.batch) return;
  start_next();
  prefetch_piece<T>(block);
  const AlignPlan& plan = block.plan();
  const auto samples = static_cast<std::uint32_t>(plan.samples);
  if (threadIdx.x == 0) scratch.rest = false;
  pad_cache<kPlainThreads>(static_cast<int>(samples), scratch.clock);
  std::uint32_t rows = block.piece + 1 < plan.tiles ? plan.tile : plan.last_tile;
  const std::uint32_t first = block.piece * plan.tile;
  const std::uint32_t t = min(first + threadIdx.x, static_cast<std::uint32_t>(call.targets) - 1);
  const char* at = advanced(advanced(call.at, block.b, call.at_batch), t, call.at_row);
  const char* stamps = advanced(plan.stamps, block.b, plan.stamp_batch) + threadIdx.x * sizeof(T);
  auto clock = static_cast<std::uint32_t>(__cvta_generic_to_shared(scratch.clock + threadIdx.x));
  const char* values = advanced(plan.values, block.b, plan.value_batch);
  char* out = const_cast<char*>(advanced(advanced(plan.out, block.b, plan.out_batch), first, plan.out_pitch));
  pin(at), pin(stamps), pin(clock), pin(rows), pin(values), pin(out);
  ShortRows row(plan);
  NarrowLane<kPlainThreads> lane(plan.lane_bits);
  pin(row.chunks), pin(lane.chunk), pin(lane.row), pin(lane.row_step);
  settle(at);
  settle(stamps);
  await_earlier();
  T target = load_behind(reinterpret_cast<const T*>(at));
  copy_clock<T>(stamps, samples, clock);
  if (call.origin != nullptr) {
    const T* const origin = static_cast<const T*>(call.origin) + block.b * call.origin_row;
    target = Clock<T>::sum(load_behind(origin), target);
  }
  await_clock(plan, samples, scratch.clock);
  const bool has_target = threadIdx.x < rows;
  Placement placement;
  bool rest = false;
  if (has_target) {
    const auto count = static_cast<int>(samples);
    const Neighbours<T> around =
        neighbours({0, count, 1, count}, scratch.clock, row_source<T>(block).stamps, count, target);
    rest = !locate(block, target, count, around, row.value_pitch, placement, scratch);
  }
  __syncthreads();
  if (has_target && !rest) write_marks(block, t, placement);
  if (scratch.rest) {
    if (rest) locate_rest(block, t, row_source<T>(block), scratch);
    __syncthreads();
  }
  const Tile tile{scratch.steps, nullptr, values, out, rows};
  apply_words<Words, Width, true>(row, tile, lane);
  if (!plan.checks) return;
  check_run<T>(
      block, [](std::int64_t i) { return scratch.clock[i]; }, samples, static_cast<int>(threadIdx.x), kPlainThreads);
}

template <class T>
void launch_align_short(const AlignParameters<1>& parameters, std::uint32_t blocks, void* stream) {
  const auto launch_with = [&](auto kernel) {
    launch_blocks(kernel, parameters, blocks, kPlainThreads, stream, Start::early);
  };
  const auto with_words = [&]<class Words>() {
    parameters.plans[0].width == 16 ? launch_with(align_short_kernel<T, Words, 16>)
                                    : launch_with(align_short_kernel<T, Words, 8>);
  };
  switch (parameters.plans[0].dtype) {
    case DType::f32:
      return with_words.template operator()<F32Words>();
    case DType::f16:
      return with_words.template operator()<F16Words>();
    default:
      return with_words.template operator()<Bf16Words>();
  }
}

}  // namespace robocache::cuda
