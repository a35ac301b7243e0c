#pragma once

#include "cuda/launch.hpp"
#include "cuda/programmatic.cuh"
#include "kernels/cuda/align_convert.cuh"
#include "kernels/cuda/align_locate.cuh"

// What the kernels of align have in common: a block, the rows that it is to write and what they are made of.
namespace robocache::cuda {

/// Out of line, like all that a sound call never needs.
__device__ __noinline__ inline void report(const FaultSink& sink, Fault::Code code, std::uint32_t stream,
                                           std::uint32_t row, std::int64_t item) {
  if (sink.word == nullptr) return;
  *static_cast<volatile std::uint64_t*>(sink.word) =
      Fault{code, stream, row, static_cast<std::uint64_t>(item)}.encode();
  __threadfence_system();  // The host reads the flag first.
  *static_cast<volatile std::uint32_t*>(sink.flag) = sink.ticket;
}

/// What a block works on: a piece of a stream for a batch row.
template <int N>
struct Block {
  const AlignParameters<N>& call;
  std::uint32_t index;  ///< of the stream in the launch
  std::uint32_t b;
  std::uint32_t piece;

  __device__ __forceinline__ const AlignPlan& plan() const { return call.plans[index]; }
  __device__ __forceinline__ const AlignStream& stream() const { return call.streams[index]; }
  __device__ __forceinline__ void fault(Fault::Code code, std::int64_t item) const {
    report(call.sink, code, plan().number, b, item);
  }
};

/// The work of this thread block; its b is past the batch in the last layer of a grid.
template <int N>
__device__ __forceinline__ Block<N> this_block(const AlignParameters<N>& call) {
  std::uint32_t index = 0;
#pragma unroll
  for (std::uint32_t step = N / 2; step > 0; step /= 2) {
    if (blockIdx.x >= call.first_blocks[index + step]) index += step;
  }
  return {call, index, blockIdx.z * gridDim.y + blockIdx.y, blockIdx.x - call.first_blocks[index]};
}

/// The samples of one batch row.
template <class T>
struct Source {
  Stamps<T> stamps;
  const char* values;
  std::int64_t count;
};

/// What batch row b has where samples are not ragged. Reads no memory: it can be asked for before await_earlier().
template <class T, int N>
__device__ __forceinline__ Source<T> row_source(const Block<N>& block) {
  const AlignPlan& plan = block.plan();
  T shift;
  memcpy(&shift, &plan.shift_bits, sizeof shift);
  return {{static_cast<const char*>(plan.stamps) + block.b * plan.stamp_batch, plan.stamp_row, shift},
          static_cast<const char*>(plan.values) + block.b * plan.value_batch,
          plan.samples};
}

/// And where rows, lengths or offsets are given.
template <class T, int N>
__device__ __forceinline__ void follow_segment(const Block<N>& block, Source<T>& source) {
  const AlignPlan& plan = block.plan();
  Fault::Code fault = Fault::Code::none;
  const Segment segment = segment_of(block.stream(), block.b, fault);
  if (fault != Fault::Code::none && block.piece == 0 && threadIdx.x == 0) block.fault(fault, 0);
  source.stamps.data =
      static_cast<const char*>(plan.stamps) + segment.index * plan.stamp_batch + segment.first * plan.stamp_row;
  source.values =
      static_cast<const char*>(plan.values) + segment.index * plan.value_batch + segment.first * plan.value_pitch;
  source.count = segment.count;
}

/// Reports unsorted and NaN stamps in this block's share of a segment: every `shares`-th run of stamps.
template <class T, int N, class Stamp>
__device__ __forceinline__ void check_run(const Block<N>& block, const Stamp& stamp, std::int64_t count, int thread,
                                          int threads) {
  const AlignPlan& plan = block.plan();
  const std::int64_t share = block.piece + (plan.shared_clock ? std::int64_t{block.b} * plan.pieces : 0);
  const std::int64_t shares = std::int64_t{plan.pieces} * (plan.shared_clock ? block.call.batch : 1);
  if (!Clock<T>::is_integer && count == 1 && share == 0 && thread == 0 && Clock<T>::is_nan(stamp(0))) {
    block.fault(Fault::Code::stamps, 0);
  }
  for (std::int64_t i = share * threads + thread; i + 1 < count; i += shares * threads) {
    if (!(stamp(i) <= stamp(i + 1))) block.fault(Fault::Code::stamps, i + 1);
  }
}

/// Called by `threads` threads of the block, of which this one is number `thread`.
template <class T, int N>
__device__ __forceinline__ void check_stamps(const Block<N>& block, const Source<T>& source, const T* cache, int thread,
                                             int threads) {
  if (source.count > kAlignWindow) return check_run<T>(block, source.stamps, source.count, thread, threads);
  check_run<T>(block, [cache](std::int64_t i) { return cache[i]; }, source.count, thread, threads);
}

/// The targets of a batch row. They are added to their origin only when that is needed: until then a block's loads do not
/// wait for each other.
template <class T>
struct TargetRow {
  const char* at;
  std::int64_t row;  ///< bytes
  bool relative;
  T origin{};

  __device__ __forceinline__ T stored(std::int64_t t) const { return __ldg(reinterpret_cast<const T*>(at + t * row)); }
  __device__ __forceinline__ T placed(T target) const { return relative ? Clock<T>::sum(origin, target) : target; }
};

/// Reads no memory: it can be asked for before await_earlier(), and read_origin() after it.
template <class T, int N>
__device__ __forceinline__ TargetRow<T> targets_of(const Block<N>& block) {
  const AlignParameters<N>& call = block.call;
  return {static_cast<const char*>(call.at) + block.b * call.at_batch, call.at_row, call.origin != nullptr};
}

template <class T, int N>
__device__ __forceinline__ void read_origin(const Block<N>& block, TargetRow<T>& targets) {
  const AlignParameters<N>& call = block.call;
  if (targets.relative) targets.origin = __ldg(static_cast<const T*>(call.origin) + block.b * call.origin_row);
}

/// All stamps where they fit; else a window in the middle of which the targets from `first` up to `last` are, if stamps and
/// targets run evenly over the same time: a guess needs no stamps to be read before those that it is about, 0.5 us less on
/// H200 (bench align_cuda, 64x4096->1024x32).
template <class T, int N>
__device__ __forceinline__ Window first_window(const Block<N>& block, const Source<T>& source, std::int64_t first,
                                               std::int64_t last) {
  if (source.count <= kAlignWindow) return {0, source.count, 1, static_cast<int>(source.count)};
  const float pace = __fdividef(static_cast<float>(source.count), static_cast<float>(block.call.targets));
  const auto middle = static_cast<std::int64_t>(static_cast<float>((first + last) / 2) * pace);
  const std::int64_t begin = max(min(middle - kAlignWindow / 2, source.count - kAlignWindow), std::int64_t{0});
  return {begin, begin + kAlignWindow, 1, kAlignWindow};
}

/// Whether the window, now in the cache, holds all that targets in [earliest, latest] can ask for.
template <class T>
__device__ __forceinline__ bool holds(const Window& window, const T* cache, std::int64_t samples, T earliest,
                                      T latest) {
  return (window.first == 0 || cache[0] <= earliest) && (window.end == samples || cache[window.count - 1] > latest);
}

/// The window of targets in [earliest, latest], or of any targets unless they are `sorted`, wherever it is.
template <int Threads, class T>
__device__ __noinline__ Window search_window(const Source<T> source, bool sorted, T earliest, T latest, T* cache) {
  Window window{0, source.count, 1, 0};
  if (sorted) narrow<Threads>(source.stamps, earliest, latest, window);
  const std::int64_t length = window.end - window.first;
  if (length > kAlignWindow) window.stride = (length + kAlignWindow - 1) / kAlignWindow;
  window.count = static_cast<int>((length + window.stride - 1) / window.stride);
  __syncthreads();  // Nobody looks at the guess any more.
  fill_cache<Threads>(source.stamps, window, cache);
  __syncthreads();
  return window;
}

/// Fills the window for the targets from `first` up to `last`, of which this thread has `target`, as it is stored: that
/// of first_window, or a better one. Called by every thread of the block; the cache is complete on return.
template <int Threads = kAlignThreads, class T, int N>
__device__ __forceinline__ Window load_window(const Block<N>& block, const Source<T>& source,
                                              const TargetRow<T>& targets, std::int64_t first, std::int64_t last,
                                              const Window& guess, T target, bool has_target, T* cache) {
  const bool fits = source.count <= kAlignWindow;
  const std::int64_t end = block.call.targets;
  const T earliest = fits ? T{} : targets.stored(min(first, end - 1));
  const T latest = fits ? T{} : targets.stored(min(last, end) - 1);
  fill_cache<Threads>(source.stamps, guess, cache);
  if (fits) {
    __syncthreads();
    return guess;
  }
  const bool in_order = __syncthreads_and(!has_target || (earliest <= target && target <= latest));
  const T begin = targets.placed(earliest);
  const T until = targets.placed(latest);
  const bool sorted = in_order && !(until < begin);  // An origin can carry integers over the end of their range.
  if (sorted && holds(guess, cache, source.count, begin, until)) return guess;
  return search_window<Threads>(source, sorted, begin, until, cache);
}

/// Asks for what this block, or one beside it, is going to read, while the kernel before still runs. On H200 (bench
/// align_cuda) stamps save 0.6 us at 64x4096->1024x32, samples 0.2 us at 32x500->256x256 and 0.8 us at fusion B=256.
template <class T, int N>
__device__ __forceinline__ void prefetch_piece(const Block<N>& block) {
  const AlignPlan& plan = block.plan();
  const auto ahead = [&](const void* rows, std::int64_t batch, std::int64_t pitch, std::uint32_t share) {
    const std::int64_t first = static_cast<std::int64_t>(block.piece) * share;
    const std::int64_t count = min(static_cast<std::int64_t>(share), plan.samples - first);
    prefetch(static_cast<const char*>(rows) + block.b * batch + first * pitch, count * pitch);
  };
  if (threadIdx.x == 0) ahead(plan.stamps, plan.stamp_batch, plan.stamp_row, plan.stamps_ahead);
  if (threadIdx.x == 32) ahead(plan.values, plan.value_batch, plan.value_pitch, plan.samples_ahead);
  if (threadIdx.x == 64 && block.call.at_row == sizeof(T) && block.stream().read_steps == nullptr) {
    const std::int64_t first = static_cast<std::int64_t>(block.piece) * plan.tile;
    const std::int64_t count = min(static_cast<std::int64_t>(plan.tile), block.call.targets - first);
    prefetch(static_cast<const char*>(block.call.at) + block.b * block.call.at_batch + first * block.call.at_row,
             count * block.call.at_row);
  }
}

template <int N>
__device__ __forceinline__ void write_marks(const Block<N>& block, std::int64_t t, const Placement& p) {
  const AlignParameters<N>& call = block.call;
  const std::uint32_t number = block.plan().number;
  if (call.valid.data != nullptr) call.valid.at(block.b, t, number) = p.valid;
  if (call.age_ns.data != nullptr) call.age_ns.at(block.b, t, number) = p.age_ns;
}

/// One row of the batch for each y and z of the grid, `blocks` blocks for each.
template <int N>
void launch_blocks(void (*kernel)(AlignParameters<N>), const AlignParameters<N>& parameters, std::uint32_t blocks,
                   unsigned threads, void* stream, Start start) {
  constexpr std::uint32_t kHighest = 65535;
  const std::uint32_t layers = (parameters.batch - 1) / kHighest + 1;
  const dim3 grid(blocks, (parameters.batch - 1) / layers + 1, layers);
  launch("align", kernel, grid, threads, stream, parameters, start);
}

}  // namespace robocache::cuda
