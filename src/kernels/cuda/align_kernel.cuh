#pragma once

#include "kernels/cuda/align_apply.cuh"
#include "kernels/cuda/align_block.cuh"

// The kernel for plain streams: rows are copied or blended as they are, in chunks of 8 or 16 bytes.
namespace robocache::cuda {

/// A block's shared memory.
template <class T>
struct Scratch {
  T cache[kAlignWindow + 1];
  Step steps[kPlainTile];
  double weights[kPlainTile];
  bool rest;  ///< locate_rest has something to do
};

template <class Scratch>
__device__ __forceinline__ void keep(const Placement& p, std::int64_t source, Scratch& scratch) {
  scratch.steps[threadIdx.x] = make_step(source, static_cast<float>(p.weight), p.store);
  if constexpr (requires { scratch.weights; }) scratch.weights[threadIdx.x] = p.weight;
}

/// Finds what the row of a target is made of; false: locate_rest must. Marks are left to the caller: rows come first.
template <class T, int N, class Scratch>
__device__ __forceinline__ bool locate(const Block<N>& block, T target, std::int64_t samples, const Neighbours<T>& near,
                                       std::int64_t value_pitch, Placement& p, Scratch& scratch) {
  const AlignPlan& plan = block.plan();
  bool found = false;
  if (plan.interp == Interp::linear && !plan.limited) {  // written out: what most calls ask, in half the instructions
    constexpr PlaceOptions kLinear{Interp::linear, {}, {}, kNoLimit, kNoLimit};
    found = place_common(near, samples, target, plan.clamps, kLinear, p);
  } else {
    PlaceOptions options{plan.interp, {}, {}, kNoLimit, kNoLimit};
    if (plan.limited) {
      options.max_gap_ns = block.stream().place.max_gap_ns;
      options.max_age_ns = block.stream().place.max_age_ns;
    }
    found = place_common(near, samples, target, plan.clamps, options, p);
  }
  if (found) {
    keep(p, p.index * value_pitch, scratch);
    return true;
  }
  scratch.steps[threadIdx.x].source = near.i;
  scratch.rest = true;
  return false;
}

/// The same for the targets that are left over. Apart, as the registers that `place` needs would be spilled.
template <class T, int N, class Scratch>
__device__ __forceinline__ void locate_rest(const Block<N>& block, std::int64_t t, const Source<T>& source,
                                            Scratch& scratch) {
  const AlignPlan& plan = block.plan();
  TargetRow<T> targets = targets_of<T>(block);
  read_origin(block, targets);
  const T target = targets.placed(targets.stored(t));
  const std::int64_t i = scratch.steps[threadIdx.x].source;
  const Placement p = place<T>(source.stamps, source.count, i, target, block.stream().place);
  const bool fill = p.store == Placement::Store::fill;
  keep(p, fill ? fill_bits(block.stream().out_dtype, p.weight) : p.index * plan.value_pitch, scratch);
  write_marks(block, t, p);
  if (p.refused) block.fault(Fault::Code::outside, t);
}

/// What a block is to do, as far as parameters say: all that can be computed before the kernel before is complete.
template <class T>
struct Work {
  Source<T> source;
  TargetRow<T> targets;
  std::int64_t first;  ///< target
  std::int64_t t;      ///< this thread's; those without one read the last: a branch would make stamps wait for targets
  std::uint32_t rows;
  Window window;
};

/// Has `address` computed here: the compiler would do it where it is used. None is odd, and another start_next() does
/// nothing.
__device__ __forceinline__ void settle(const void* address) {
  if (reinterpret_cast<std::uintptr_t>(address) == 1) start_next();
}

/// Has `value` computed here as far as nvcc goes: ptxas, which settle() binds, too, may move the end of it.
__device__ __forceinline__ void pin(std::uint32_t& value) { asm volatile("" : "+r"(value)); }
template <class V>
__device__ __forceinline__ void pin(V*& value) {
  asm volatile("" : "+l"(value));
}

template <class T, int N>
__device__ __forceinline__ Work<T> work_of(const Block<N>& block) {
  const AlignPlan& plan = block.plan();
  const std::int64_t first = static_cast<std::int64_t>(block.piece) * plan.tile;
  const std::uint32_t left = plan.tiles - min(block.piece, plan.tiles);
  const Source<T> source = row_source<T>(block);
  const Work<T> work{source,
                     targets_of<T>(block),
                     first,
                     min(first + threadIdx.x, block.call.targets - 1),
                     left > 1 ? plan.tile : left * plan.last_tile,
                     first_window(block, source, first, first + plan.tile)};
  settle(work.targets.at + work.t * work.targets.row);
  settle(source.stamps.data + (work.window.first + threadIdx.x) * source.stamps.row);
  return work;
}

/// Finds what the rows of a block are made of. Called by every thread of the block; `scratch` is complete on return.
template <class T, int N>
__device__ __forceinline__ void locate_tile(const Block<N>& block, const Work<T>& work, Scratch<T>& scratch) {
  const T target = work.targets.stored(work.t);
  const bool has_target = threadIdx.x < work.rows;
  const Source<T>& source = work.source;
  if (threadIdx.x == 0) scratch.rest = false;
  const Window window =
      load_window<kPlainThreads>(block, source, work.targets, work.first, work.first + block.plan().tile, work.window,
                                 target, has_target, scratch.cache);
  Placement p;
  bool rest = false;
  if (has_target) {
    const T placed = work.targets.placed(target);
    const Neighbours<T> near = neighbours(window, scratch.cache, source.stamps, source.count, placed);
    rest = !locate(block, placed, source.count, near, block.plan().value_pitch, p, scratch);
  }
  __syncthreads();
  if (has_target && !rest) write_marks(block, work.t, p);
  if (!scratch.rest) return;
  if (rest) locate_rest(block, work.t, source, scratch);
  __syncthreads();
}

template <class T, int N>
__global__ void __launch_bounds__(kPlainThreads, 5) align_kernel(const __grid_constant__ AlignParameters<N> call) {
  __shared__ Scratch<T> scratch;
  const Block<N> block = this_block(call);
  if (block.b >= call.batch) return;
  start_next();
  prefetch_piece<T>(block);
  Work<T> work = work_of<T>(block);
  await_earlier();
  if (block.plan().indirect) {
    follow_segment(block, work.source);
    work.window = first_window(block, work.source, work.first, work.first + block.plan().tile);
  }
  read_origin(block, work.targets);
  locate_tile(block, work, scratch);
  const AlignPlan& plan = block.plan();
  if (plan.chunks > 0 && work.rows > 0) {
    char* const out = static_cast<char*>(plan.out) + block.b * plan.out_batch + work.first * plan.out_pitch;
    const Tile tile{scratch.steps, scratch.weights, work.source.values, out, work.rows};
    if (plan.width == 16)
      apply_width<16, true, kPlainThreads>(plan, tile);
    else
      apply_width<8, true, kPlainThreads>(plan, tile);
  }
  // Now that the rows are on their way: 0.5 us less than before them on H200 (bench align_cuda, 64x4096->1024x32).
  if (plan.checks) check_stamps(block, work.source, scratch.cache, static_cast<int>(threadIdx.x), kPlainThreads);
}

template <class T, int N>
void launch_align(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream) {
  launch_blocks(align_kernel<T, N>, parameters, blocks, kPlainThreads, stream, Start::early);
}

}  // namespace robocache::cuda
