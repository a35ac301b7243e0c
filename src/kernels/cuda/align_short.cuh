#pragma once

#include "cuda/bulk_copy.cuh"
#include "kernels/cuda/align_kernel.cuh"
#include "kernels/cuda/align_short.hpp"

// The kernel of align_short.hpp.
namespace robocache::cuda {

/// A block's shared memory beside the clocks. A stream has `tile` steps, side by side.
struct ShortScratch {
  Step steps[kPlainTile];
  BulkBarrier arrived;
  bool rest;  ///< locate_rest has something to do
};

/// Calls f(k, stream) for each stream, written out: parameters are then at known places.
template <int N, class F>
__device__ __forceinline__ void each_stream(const ShortParameters<N>& p, const F& f) {
#pragma unroll
  for (std::uint32_t k = 0; k < N; ++k) {
    if (N > 1 && k >= p.count) break;
    f(k, p.streams[k]);
  }
}

/// Where a stream's stamps are in shared memory: as far from a multiple of 16 bytes as they are in global memory.
template <class T>
__device__ __forceinline__ T* clock_of(const ShortStream& s, const char* stamps, char* clocks) {
  return reinterpret_cast<T*>(clocks + s.clock +
                              static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(stamps)) % kBulkUnit);
}
__device__ __forceinline__ const char* stamps_of(const ShortStream& s, std::uint32_t b) {
  return s.stamps + std::uint64_t{b} * s.stamp_batch;
}

/// Asks for what the block is going to read, while the kernel before still runs: a warp for the stamps and one for the
/// samples of each stream.
template <class T, int N>
__device__ __forceinline__ void prefetch_tile(const ShortParameters<N>& p, std::uint32_t b, std::uint32_t piece) {
  constexpr std::uint32_t kWarps = kPlainThreads / 32;
  static_assert(2 * N <= kWarps);
  if (threadIdx.x % 32 != 0) return;
  const std::uint32_t warp = threadIdx.x / 32;
  const auto share = [&](const char* rows, std::uint32_t samples, std::uint32_t pitch, std::uint32_t ahead) {
    const std::uint32_t first = piece * ahead;
    const std::uint32_t end = min(first + ahead, samples);
    if (first < end) prefetch(rows + first * pitch, (end - first) * pitch);
  };
  each_stream(p, [&](std::uint32_t k, const ShortStream& s) {
    if (warp == k) share(stamps_of(s, b), s.samples, sizeof(T), s.stamps_ahead);
    if (warp == N + k) share(s.values + std::uint64_t{b} * s.value_batch, s.samples, s.value_pitch, s.samples_ahead);
  });
  if (warp == kWarps - 1 && p.at_row == sizeof(T)) {
    share(p.at + std::uint64_t{b} * p.at_batch, p.targets, sizeof(T), p.tile);
  }
}

/// Starts to copy the clocks of all streams. Called by one warp, eight lanes for each stream: the first asks for whole
/// units, and all together copy the few stamps before and behind these.
template <class T, int N>
__device__ __forceinline__ void bring_clocks(const ShortParameters<N>& p, std::uint32_t b, char* clocks,
                                             BulkBarrier& arrived) {
  constexpr std::uint32_t kLanes = 8;
  constexpr std::uint32_t kSize = sizeof(T);
  each_stream(p, [&](std::uint32_t k, const ShortStream& s) {
    const char* const stamps = stamps_of(s, b);
    char* const clock = reinterpret_cast<char*>(clock_of<T>(s, stamps, clocks));
    const std::uint32_t bytes = s.samples * kSize;
    const std::uint32_t lead = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(stamps)) % kBulkUnit;
    const std::uint32_t first = min((kBulkUnit - lead) % kBulkUnit, bytes);
    const std::uint32_t end = first + (bytes - first) / kBulkUnit * kBulkUnit;
    if (threadIdx.x == k * kLanes) arrived.copy(clock + first, stamps + first, end - first);
    if (first == 0 && end == bytes) return;
    const std::uint32_t at = (threadIdx.x - k * kLanes) * kSize;
    const bool before = at < kBulkUnit;
    const std::uint32_t i = before ? at : end + at - kBulkUnit;
    if (at < kLanes * kSize && (before ? i < first : i < bytes)) {
      *reinterpret_cast<T*>(clock + i) = __ldg(reinterpret_cast<const T*>(stamps + i));
    }
  });
}

/// Pads the clocks for the search. Before sm_90, copies them, too.
template <class T, int N>
__device__ __forceinline__ void pad_clocks(const ShortParameters<N>& p, std::uint32_t b, char* clocks) {
  constexpr T kLast =
      std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  each_stream(p, [&](std::uint32_t, const ShortStream& s) {
    const char* const stamps = stamps_of(s, b);
    T* const clock = clock_of<T>(s, stamps, clocks);
#if __CUDA_ARCH__ < 900
    for (std::uint32_t i = threadIdx.x; i < s.samples; i += kPlainThreads) {
      clock[i] = __ldg(reinterpret_cast<const T*>(stamps) + i);
    }
#endif
    const int last = searched(static_cast<int>(s.samples));
    for (int i = static_cast<int>(s.samples + threadIdx.x); i <= last; i += kPlainThreads) clock[i] = kLast;
  });
}

/// Adds its offset to each clock. Called by every thread of the block.
template <class T, int N>
__device__ __forceinline__ void shift_clocks(const ShortParameters<N>& p, std::uint32_t b, char* clocks) {
  each_stream(p, [&](std::uint32_t k, const ShortStream& s) {
    T* const clock = clock_of<T>(s, stamps_of(s, b), clocks);
    T shift;
    memcpy(&shift, &p.call.plans[k].shift_bits, sizeof shift);
    for (std::uint32_t i = threadIdx.x; i < s.samples; i += kPlainThreads) clock[i] = Clock<T>::sum(clock[i], shift);
  });
  __syncthreads();
}

template <class T, int N, class Words, int Width>
__global__ void __launch_bounds__(kPlainThreads, 5) align_short_kernel(const __grid_constant__ ShortParameters<N> p) {
  extern __shared__ __align__(16) char clocks[];
  __shared__ ShortScratch scratch;
  const std::uint32_t b = blockIdx.z * gridDim.y + blockIdx.y;
  const std::uint32_t piece = blockIdx.x;
  if (b >= p.batch) return;
  start_next();
  prefetch_tile<T>(p, b, piece);
  if (threadIdx.x == 0) {
    scratch.arrived.init(p.count);
    scratch.rest = false;
  }
  const std::uint32_t rows = piece + 1 < p.tiles ? p.tile : p.last_tile;
  const std::uint32_t first = piece * p.tile;
  std::uint32_t index = 0;  // of this thread's stream
#pragma unroll
  for (std::uint32_t k = 1; k < N; ++k) index += threadIdx.x >= k * p.tile ? 1 : 0;
  const std::uint32_t row = threadIdx.x - index * p.tile;
  const bool has_target = row < rows && index < p.count;
  const std::uint32_t t = min(first + row, p.targets - 1);
  const char* const at = p.at + std::uint64_t{b} * p.at_batch + std::uint64_t{t} * p.at_row;
  const Block<N> block{p.call, N == 1 ? 0 : index, b, piece};
  await_earlier();
  if (threadIdx.x < 32) bring_clocks<T>(p, b, clocks, scratch.arrived);
  T target = __ldg(reinterpret_cast<const T*>(at));
  if (p.relative) {
    TargetRow<T> targets = targets_of<T>(block);
    read_origin(block, targets);
    target = targets.placed(target);
  }
  pad_clocks<T>(p, b, clocks);
  __syncthreads();
  scratch.arrived.wait();
  if (p.shifts) shift_clocks<T>(p, b, clocks);
  bool rest = false;
  if (has_target) {
    const ShortStream& s = p.streams[N == 1 ? 0 : index];
    const char* const stamps = stamps_of(s, b);
    const int count = static_cast<int>(s.samples);
    const Neighbours<T> near = neighbours({0, count, 1, count}, clock_of<T>(s, stamps, clocks),
                                          Stamps<T>{stamps, sizeof(T), T{}}, count, target);
    rest = !locate(block, t, target, count, near, How{s.interp, s.clamps, p.limited, s.value_pitch}, scratch);
  }
  __syncthreads();
  if (scratch.rest) {
    if (rest) locate_rest(block, t, row_source<T>(block), scratch);
    __syncthreads();
  }
  each_stream(p, [&](std::uint32_t k, const ShortStream& s) {
    char* const out = s.out + std::uint64_t{b} * s.out_batch + std::uint64_t{first} * s.out_pitch;
    const Tile tile{scratch.steps + k * p.tile, nullptr, s.values + std::uint64_t{b} * s.value_batch, out, rows};
    apply_words<Words, Width, true, kPlainThreads>(s, tile);
  });
  each_stream(p, [&](std::uint32_t k, const ShortStream& s) {
    if (!s.checks) return;
    const T* const clock = clock_of<T>(s, stamps_of(s, b), clocks);
    check_run<T>(
        Block<N>{p.call, k, b, piece}, [clock](std::int64_t i) { return clock[i]; }, s.samples,
        static_cast<int>(threadIdx.x), kPlainThreads);
  });
}

template <class T, int N>
void launch_align_short(const ShortParameters<N>& parameters, DType words, int width, std::size_t clocks,
                        void* stream) {
  const auto launch_with = [&](auto kernel) {
    launch_blocks(kernel, parameters, parameters.tiles, kPlainThreads, stream, Start::early, clocks);
  };
  const auto with_words = [&]<class Words>() {
    width == 16 ? launch_with(align_short_kernel<T, N, Words, 16>) : launch_with(align_short_kernel<T, N, Words, 8>);
  };
  switch (words) {
    case DType::f32:
      return with_words.template operator()<F32Words>();
    case DType::f16:
      return with_words.template operator()<F16Words>();
    default:
      return with_words.template operator()<Bf16Words>();
  }
}

}  // namespace robocache::cuda
