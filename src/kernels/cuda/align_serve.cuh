#pragma once

#include "kernels/cuda/align_signs.cuh"

// What the kernels for streams that are not plain do alike: locate a tile of a stream, serve its runs, settle its
// marks.
namespace robocache::cuda {

template <int N>
__device__ __forceinline__ TileSigns signs_of(const Block<N>& run, std::uint32_t tiles) {
  const AlignPlan& plan = run.plan();
  std::uint8_t* const turned = plan.turned;
  return {turned == nullptr ? nullptr : turned + static_cast<std::int64_t>(run.b) * tiles * plan.units, run.piece,
          plan.units, run.call.second};
}

template <int N>
__device__ __forceinline__ Block<N> run_of(const Block<N>& block, std::uint32_t r) {
  return {block.call, block.index + r, block.b, block.piece};
}

/// Whether the second launch has something to do here. Called by every thread of the block.
template <int N>
__device__ __forceinline__ bool is_turned(const Block<N>& block) {
  const AlignPlan& first = block.plan();
  bool turned = false;
  for (std::uint32_t r = 0; r < first.runs && block.piece < first.tiles; ++r) {
    const Block<N> run = run_of(block, r);
    if (run.plan().turned != nullptr) turned |= turned_by_others(signs_of(run, first.tiles));
  }
  return turned;
}

/// Marks that the runs' units had a say in.
template <int N, class Scratch>
__device__ __forceinline__ void finish_marks(const AlignParameters<N>& call, const Scratch& scratch) {
  __syncthreads();
  const Served& served = scratch.served;
  const Block<N> block{call, served.index, served.b, served.piece};
  const std::uint32_t k = threadIdx.x;
  if (k < served.rows.lead || k >= served.rows.end) return;
  const std::uint32_t flags = scratch.flags[k];
  const std::int64_t t = served.rows.first + k;
  if constexpr (requires { scratch.ages; }) {
    if (may_miss(block.stream())) {
      if ((flags & kRefused) != 0) block.fault(Fault::Code::outside, t);
      Placement marks;
      marks.valid = flags == 0;
      marks.age_ns = scratch.ages[k];
      return write_marks(block, t, marks);
    }
  }
  // Its marks were written when it was located.
  if (flags != 0 && call.valid.data != nullptr) call.valid.at(block.b, t, block.plan().number) = false;
}

/// Calls apply(source, tile, signs) for each run of a tile. `kMany`: there may be several; the loop costs registers.
template <class T, bool kMany, int N, class Scratch, class Apply>
__device__ __forceinline__ void serve_runs(const AlignParameters<N>& call, Scratch& scratch, const Apply& apply) {
  const Block<N> block = this_block(call);
  if (block.b >= call.batch || (call.second && !is_turned(block))) return;
  Source<T> source = row_source<T>(block);
  if (block.plan().indirect) follow_segment(block, source);
  if (!locate_rows(block, source, scratch)) return;
#pragma unroll 1
  for (std::uint32_t r = 0;;) {
    const Served served = scratch.served;
    const Block<N> run{call, served.index + r, served.b, served.piece};
    const AlignPlan& plan = run.plan();
    const AlignPlan& first = call.plans[served.index];
    if (!call.second || plan.turned != nullptr) {
      const RunTile tile{plan,
                         run.stream(),
                         scratch.classes[time_class(plan.interp)],
                         scratch.widths,
                         scratch.flags,
                         static_cast<const char*>(plan.values) + served.segment,
                         static_cast<char*>(plan.out) + run.b * plan.out_batch + served.rows.first * plan.out_pitch,
                         served.rows.lead,
                         served.rows.end};
      apply(source, tile, signs_of(run, first.tiles));
    }
    if (!kMany || ++r >= call.plans[scratch.served.index].runs) break;
    __syncthreads();
  }
  if (call.second) return;
  const std::uint32_t index = scratch.served.index;
  if (call.plans[index].signs || may_miss(call.streams[index])) finish_marks(call, scratch);
}

}  // namespace robocache::cuda
