#pragma once

#include "kernels/cuda/align_apply.cuh"
#include "kernels/cuda/align_block.cuh"

// The kernel for plain streams: rows are copied or blended as they are, in chunks of 8 or 16 bytes.
namespace robocache::cuda {

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

/// A block's shared memory.
template <class T>
struct Scratch {
  T cache[kAlignWindow + 1];
  Step steps[kPlainTile];
  double weights[kPlainTile];
};

/// Finds what the rows of a block are made of. Called by every thread of the block; `scratch` is complete on return.
template <class T, int N>
__device__ __forceinline__ Tile locate_tile(const Block<N>& block, const Source<T>& source, Scratch<T>& scratch) {
  const AlignPlan& plan = block.plan();
  const std::int64_t first = static_cast<std::int64_t>(block.piece) * plan.tile;
  const std::uint32_t left = plan.tiles - min(block.piece, plan.tiles);
  const std::uint32_t rows = left > 1 ? plan.tile : left * plan.last_tile;
  const TargetRow<T> targets = targets_of<T>(block);
  // Threads without a target read the last one: a branch here would make the stamps wait for the targets.
  const bool has_target = threadIdx.x < rows;
  const std::int64_t t = min(first + threadIdx.x, block.call.targets - 1);
  const T target = targets.stored(t);
  const Window window =
      load_window<kPlainThreads>(block, source, targets, first, first + plan.tile, target, has_target, scratch.cache);
  if (has_target) {
    const T placed = targets.placed(target);
    const Neighbours<T> near = neighbours(window, scratch.cache, source.stamps, source.count, placed);
    locate(block, t, placed, source.count, near, scratch.steps, scratch.weights);
  }
  __syncthreads();
  char* const out = static_cast<char*>(plan.out) + block.b * plan.out_batch + first * plan.out_pitch;
  return {scratch.steps, scratch.weights, source.values, out, rows};
}

template <class T, int N>
__global__ void __launch_bounds__(kPlainThreads, 5) align_kernel(const __grid_constant__ AlignParameters<N> call) {
  __shared__ Scratch<T> scratch;
  const Block<N> block = this_block(call);
  if (block.b >= call.batch) return;
  start_next();
  prefetch_piece<T>(block);
  await_earlier();
  const AlignPlan& plan = block.plan();
  const Source<T> source = source_of<T>(block);
  const Tile tile = locate_tile(block, source, scratch);
  if (plan.chunks > 0 && tile.rows > 0) {
    if (plan.width == 16)
      apply_width<16, true, kPlainThreads>(plan, tile);
    else
      apply_width<8, true, kPlainThreads>(plan, tile);
  }
  // Now that the rows are on their way: 0.5 us less than before them on H200 (bench align_cuda, 64x4096->1024x32).
  if (plan.checks) check_stamps(block, source, scratch.cache, static_cast<int>(threadIdx.x), kPlainThreads);
}

template <class T, int N>
void launch_align(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream) {
  launch_blocks(align_kernel<T, N>, parameters, blocks, kPlainThreads, stream, Start::early);
}

}  // namespace robocache::cuda
