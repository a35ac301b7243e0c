#pragma once

#include "cuda/launch.hpp"
#include "kernels/cuda/align_convert.cuh"
#include "kernels/cuda/align_locate.cuh"

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
    report(call.sink, code, call.first_stream + index, b, item);
  }
};

/// The samples of one batch row.
template <class T>
struct Source {
  Stamps<T> stamps;
  const char* values;
  std::int64_t count;
};

template <class T, int N>
__device__ __forceinline__ Source<T> source_of(const Block<N>& block) {
  const AlignPlan& plan = block.plan();
  const auto* const stamps = static_cast<const char*>(plan.stamps);
  const auto* const values = static_cast<const char*>(plan.values);
  if (!plan.indirect) {
    return {{stamps + block.b * plan.stamp_batch, plan.stamp_row, plan.offset_ns},
            values + block.b * plan.value_batch,
            plan.samples};
  }
  Fault::Code fault = Fault::Code::none;
  const Segment segment = segment_of(block.stream(), block.b, fault);
  if (fault != Fault::Code::none && block.piece == 0 && threadIdx.x == 0) block.fault(fault, 0);
  return {{stamps + segment.index * plan.stamp_batch + segment.first * plan.stamp_row, plan.stamp_row, plan.offset_ns},
          values + segment.index * plan.value_batch + segment.first * plan.value_pitch,
          segment.count};
}

/// Reports unsorted and NaN stamps in this block's share of a segment: every `shares`-th run of stamps. Called by the
/// threads that never have a target.
template <class T, int N, class Stamp>
__device__ __forceinline__ void check_run(const Block<N>& block, const Stamp& stamp, std::int64_t count) {
  const AlignPlan& plan = block.plan();
  constexpr int kRun = kAlignThreads - kAlignTile;
  const auto thread = static_cast<int>(threadIdx.x) - kAlignTile;
  const std::int64_t share = block.piece + static_cast<std::int64_t>(block.b) * (plan.shared_clock * plan.pieces);
  const std::int64_t shares = static_cast<std::int64_t>(plan.pieces) * (plan.shared_clock != 0 ? block.call.batch : 1);
  if (!Clock<T>::is_integer && count == 1 && share == 0 && thread == 0 && Clock<T>::is_nan(stamp(0))) {
    block.fault(Fault::Code::stamps, 0);
  }
  for (std::int64_t i = share * kRun + thread; i + 1 < count; i += shares * kRun) {
    if (!(stamp(i) <= stamp(i + 1))) block.fault(Fault::Code::stamps, i + 1);
  }
}

template <class T, int N>
__device__ __forceinline__ void check_stamps(const Block<N>& block, const Source<T>& source, const T* cache) {
  if (source.count > kAlignWindow) return check_run<T>(block, source.stamps, source.count);
  check_run<T>(block, [cache](std::int64_t i) { return cache[i]; }, source.count);
}

/// The targets of a batch row. They are added to their origin only when that is needed: until then a block's loads do not
/// wait for each other.
template <class T>
struct TargetRow {
  const char* at;
  std::int64_t row;  ///< bytes
  bool relative;
  T origin;

  __device__ __forceinline__ T stored(std::int64_t t) const { return __ldg(reinterpret_cast<const T*>(at + t * row)); }
  __device__ __forceinline__ T placed(T target) const { return relative ? Clock<T>::sum(origin, target) : target; }
};

template <class T, int N>
__device__ __forceinline__ TargetRow<T> targets_of(const Block<N>& block) {
  const AlignParameters<N>& call = block.call;
  TargetRow<T> targets{static_cast<const char*>(call.at) + block.b * call.at_batch, call.at_row, call.has_origin, T{}};
  if (call.has_origin) {
    targets.origin = __ldg(static_cast<const T*>(call.call.origin) + block.b * call.call.origin_row);
  }
  return targets;
}

/// Fills the window for the tile of targets from `first` on, of which this thread has `target`, as it is stored. Called by
/// every thread of the block, which must meet at a barrier before looking into the cache.
template <class T, int N>
__device__ __forceinline__ Window load_window(const Block<N>& block, const Source<T>& source,
                                              const TargetRow<T>& targets, std::int64_t first, T target,
                                              bool has_target, T* cache) {
  Window window{0, source.count, 1, static_cast<int>(source.count)};
  if (source.count > kAlignWindow) {
    const T stamp = probe(source.stamps, window);
    const std::int64_t end = block.call.targets;
    const T earliest = targets.stored(min(first, end - 1));
    const T latest = targets.stored(min(first + block.plan().tile, end) - 1);
    const bool inside = !has_target || (earliest <= target && target <= latest);
    if (__syncthreads_and(inside)) {
      narrow(source.stamps, targets.placed(earliest), targets.placed(latest), stamp, window);
    }
    const std::int64_t length = window.end - window.first;
    if (length > kAlignWindow) window.stride = (length + kAlignWindow - 1) / kAlignWindow;
    window.count = static_cast<int>((length + window.stride - 1) / window.stride);
  }
  fill_cache(source.stamps.data + window.first * source.stamps.row, window.stride * source.stamps.row, window.count,
             source.stamps.offset_ns, cache);
  return window;
}

template <int N>
__device__ __forceinline__ void write_marks(const Block<N>& block, std::int64_t t, const Placement& p) {
  const AlignArgs& call = block.call.call;
  if (call.valid != nullptr) {
    call.valid[block.b * call.valid_batch + t * call.valid_row + block.index * call.valid_stream] = p.valid;
  }
  if (call.age_ns != nullptr) {
    call.age_ns[block.b * call.age_batch + t * call.age_row + block.index * call.age_stream] = p.age_ns;
  }
}

/// Finds what the row of target t is made of.
template <class T, int N>
__device__ __forceinline__ void locate(const Block<N>& block, std::int64_t t, T target, std::int64_t samples,
                                       const Neighbours<T>& near, Step* steps, double* weights) {
  const Placement p = place<T>(near, samples, near.i, target, block.stream().place);
  const bool fill = p.store == Placement::Store::fill;
  steps[threadIdx.x] =
      make_step(fill ? fill_bits(block.stream().out_dtype, p.weight) : p.index * block.plan().value_pitch,
                static_cast<float>(p.weight), p.store);
  weights[threadIdx.x] = p.weight;
  if (block.call.has_marks) write_marks(block, t, p);
  if (p.refused) block.fault(Fault::Code::outside, t);
}

/// `Plain`: chunks of 8 or 16 bytes only, the usual ones.
template <bool Plain>
__device__ __forceinline__ void apply(const AlignPlan& plan, const AlignStream& stream, const Tile& tile) {
  if (plan.width == 16) return apply_width<16, true>(plan, tile);
  if constexpr (Plain) {
    apply_width<8, true>(plan, tile);
  } else {
    switch (plan.width) {
      case 8:
        return apply_width<8, false>(plan, tile);
      case 4:
        return apply_width<4, false>(plan, tile);
      case 2:
        return apply_width<2, false>(plan, tile);
      case 1:
        return apply_width<1, false>(plan, tile);
      default:
        return apply_elements(plan, stream, tile);
    }
  }
}

template <class T, int N, bool Plain>
__global__ void __launch_bounds__(kAlignThreads, Plain&& Clock<T>::is_integer ? 10 : 6)
    align_kernel(const __grid_constant__ AlignParameters<N> call) {
  __shared__ T cache[kAlignWindow + 1];
  __shared__ Step steps[kAlignTile];
  __shared__ double weights[kAlignTile];

  std::uint32_t index = 0;
#pragma unroll
  for (std::uint32_t step = N / 2; step > 0; step /= 2) {
    if (blockIdx.x >= call.first_blocks[index + step]) index += step;
  }
  const std::uint32_t b = blockIdx.z * gridDim.y + blockIdx.y;
  if (b >= call.batch) return;
  const Block<N> block{call, index, b, blockIdx.x - call.first_blocks[index]};
  const AlignPlan& plan = block.plan();
  const std::int64_t first = static_cast<std::int64_t>(block.piece) * plan.tile;
  const std::uint32_t left = plan.tiles - min(block.piece, plan.tiles);
  const std::uint32_t rows = left > 1 ? plan.tile : left * plan.last_tile;
  const Source<T> source = source_of<T>(block);
  const TargetRow<T> targets = targets_of<T>(block);
  // Threads without a target read the last one: a branch here would make the stamps wait for the targets.
  const bool has_target = threadIdx.x < rows;
  const std::int64_t t = min(first + threadIdx.x, call.targets - 1);
  const T target = targets.stored(t);
  const Window window = load_window(block, source, targets, first, target, has_target, cache);
  __syncthreads();
  if (has_target) {
    const T placed = targets.placed(target);
    const Neighbours<T> near = neighbours(window, cache, source.stamps, source.count, placed);
    locate(block, t, placed, source.count, near, steps, weights);
  } else if (plan.checks && threadIdx.x >= kAlignTile) {
    check_stamps(block, source, cache);
  }
  __syncthreads();
  if (plan.chunks == 0 || rows == 0) return;
  char* const out = static_cast<char*>(plan.out) + b * plan.out_batch + first * plan.out_pitch;
  apply<Plain>(plan, block.stream(), {steps, weights, source.values, out, rows});
}

template <class T, int N>
void launch_align(const AlignParameters<N>& parameters, std::uint32_t blocks, bool plain, void* stream) {
  constexpr std::uint32_t kHighest = 65535;
  const std::uint32_t layers = (parameters.batch - 1) / kHighest + 1;
  const dim3 grid(blocks, (parameters.batch - 1) / layers + 1, layers);
  launch("align", plain ? align_kernel<T, N, true> : align_kernel<T, N, false>, grid, kAlignThreads, stream,
         parameters);
}

}  // namespace robocache::cuda
