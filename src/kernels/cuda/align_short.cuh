#pragma once

#include "cuda/bulk_copy.cuh"
#include "kernels/cuda/align_kernel.cuh"

// The kernel for one plain stream with a clock that fits a block's window, and rows that 32 bits reach. Such a call is
// over in a few microseconds, in which a warp's instructions wait for each other: what this kernel does not ask, at run
// time, is why it is there. On H200 (bench align_cuda) FIGURES.
namespace robocache::cuda {

/// A block's shared memory.
template <class T>
struct ShortScratch {
  static constexpr std::uint32_t kSpare = kBulkUnit / sizeof(T);
  alignas(kBulkUnit) T clock[kAlignWindow + 1 + kSpare];
  Step steps[kPlainTile];
  BulkBarrier arrived;
  bool rest;  ///< locate_rest has something to do
};

/// What AlignPlan says of rows, in 32 bits.
struct ShortRows {
  std::uint32_t chunks, lane_bits, value_pitch, out_pitch;

  __device__ __forceinline__ explicit ShortRows(const AlignPlan& plan)
      : chunks(plan.chunks),
        lane_bits(plan.lane_bits),
        value_pitch(static_cast<std::uint32_t>(plan.value_pitch)),
        out_pitch(static_cast<std::uint32_t>(plan.out_pitch)) {}
};

/// `data` + i * pitch where all of it is less than 2^31.
__device__ __forceinline__ const char* near(const void* data, std::uint32_t i, std::int64_t pitch) {
  return static_cast<const char*>(data) + std::uint64_t{i} * static_cast<std::uint32_t>(pitch);
}

/// A load that stays behind await_earlier(): ptxas moves __ldg, which promises that nobody writes there, before it.
template <class T>
__device__ __forceinline__ T load_behind(const char* from) {
  return *reinterpret_cast<const T*>(from);
}

/// The clock of a batch row on its way to shared memory, where it is as far from a multiple of 16 bytes as in global
/// memory. One thread asks for whole units; the few stamps before and behind these are copied one by one. Before sm_90
/// all are.
template <class T>
struct ClockCopy {
  const char* stamps;
  T* clock;
  std::uint32_t samples;
  std::uint32_t first, end;  ///< bytes: whole units
  std::uint32_t own;         ///< byte at which this thread's stamp begins
  bool has_own;

  /// Reads no memory: it can be asked for before await_earlier().
  __device__ __forceinline__ ClockCopy(const AlignPlan& plan, std::uint32_t b, ShortScratch<T>& scratch)
      : stamps(near(plan.stamps, b, plan.stamp_batch)), samples(static_cast<std::uint32_t>(plan.samples)) {
    const auto bytes = static_cast<std::uint32_t>(samples * sizeof(T));
    const std::uint32_t lead = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(stamps)) % kBulkUnit;
    clock = scratch.clock + lead / sizeof(T);
    first = min((kBulkUnit - lead) % kBulkUnit, bytes);
    end = first + (bytes - first) / kBulkUnit * kBulkUnit;
    const auto at = static_cast<std::uint32_t>(threadIdx.x * sizeof(T));
    const bool before = at < kBulkUnit;
    own = before ? at : end + at - kBulkUnit;
    has_own = own < (before ? first : bytes);
  }

  /// Called by every thread of the block.
  __device__ __forceinline__ void begin([[maybe_unused]] BulkBarrier& arrived) const {
#if __CUDA_ARCH__ >= 900
    if (threadIdx.x == 0) {
      arrived.copy(reinterpret_cast<char*>(clock) + first, stamps + first, end - first);
    }
    if (has_own) *at(own) = load_behind<T>(stamps + own);
#else
    for (std::uint32_t i = threadIdx.x; i < samples; i += kPlainThreads) {
      clock[i] = load_behind<T>(stamps + i * sizeof(T));
    }
#endif
  }

  /// The same; the clock is complete on return, padded for the search and shifted.
  __device__ __forceinline__ void finish(const AlignPlan& plan, BulkBarrier& arrived) const {
    constexpr T kLast =
        std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
    const auto last = static_cast<std::uint32_t>(searched(static_cast<int>(samples)));
#pragma unroll 1
    for (std::uint32_t i = samples + threadIdx.x; i <= last; i += kPlainThreads) clock[i] = kLast;
    __syncthreads();
    arrived.wait();
    if (plan.shift_bits == 0) return;
    T shift;
    memcpy(&shift, &plan.shift_bits, sizeof shift);
#pragma unroll 1
    for (std::uint32_t i = threadIdx.x; i < samples; i += kPlainThreads) clock[i] = Clock<T>::sum(clock[i], shift);
    __syncthreads();
  }

 private:
  __device__ __forceinline__ T* at(std::uint32_t byte) const {
    return reinterpret_cast<T*>(reinterpret_cast<char*>(clock) + byte);
  }
};

template <class T, class Words, int Width>
__global__ void __launch_bounds__(kPlainThreads, 5)
    align_short_kernel(const __grid_constant__ AlignParameters<1> call) {
  __shared__ ShortScratch<T> scratch;
  const Block<1> block{call, 0, blockIdx.z * gridDim.y + blockIdx.y, blockIdx.x};
  if (block.b >= call.batch) return;
  start_next();
  prefetch_piece<T>(block);
  if (threadIdx.x == 0) {
    scratch.arrived.init(1);
    scratch.rest = false;
  }
  const AlignPlan& plan = block.plan();
  const std::uint32_t rows = block.piece + 1 < plan.tiles ? plan.tile : plan.last_tile;
  const std::uint32_t first = block.piece * plan.tile;
  const std::uint32_t t = min(first + threadIdx.x, static_cast<std::uint32_t>(call.targets) - 1);
  const bool has_target = threadIdx.x < rows;
  const char* const at = near(near(call.at, block.b, call.at_batch), t, call.at_row);
  const char* const values = near(plan.values, block.b, plan.value_batch);
  char* const out = const_cast<char*>(near(near(plan.out, block.b, plan.out_batch), first, plan.out_pitch));
  const ClockCopy<T> copy(plan, block.b, scratch);
  settle(at);
  settle(copy.stamps + copy.own);
  await_earlier();
  T target = load_behind<T>(at);
  copy.begin(scratch.arrived);
  if (call.origin != nullptr) {
    TargetRow<T> targets = targets_of<T>(block);
    read_origin(block, targets);
    target = targets.placed(target);
  }
  copy.finish(plan, scratch.arrived);
  Placement placement;
  bool rest = false;
  if (has_target) {
    const auto count = static_cast<int>(copy.samples);
    const Neighbours<T> around =
        neighbours({0, count, 1, count}, copy.clock, row_source<T>(block).stamps, count, target);
    const How how{plan.interp, plan.clamps, plan.limited, static_cast<std::uint32_t>(plan.value_pitch)};
    rest = !locate(block, target, count, around, how, placement, scratch);
  }
  __syncthreads();
  if (has_target && !rest) write_marks(block, t, placement);
  if (scratch.rest) {
    if (rest) locate_rest(block, t, row_source<T>(block), scratch);
    __syncthreads();
  }
  apply_words<Words, Width, true, kPlainThreads>(ShortRows(plan), Tile{scratch.steps, nullptr, values, out, rows});
  if (!plan.checks) return;
  check_run<T>(
      block, [&copy](std::int64_t i) { return copy.clock[i]; }, copy.samples, static_cast<int>(threadIdx.x),
      kPlainThreads);
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
