#pragma once

#include "cuda/programmatic.cuh"
#include "kernels/cuda/align_pchip.cuh"
#include "kernels/cuda/align_rotations.cuh"
#include "kernels/cuda/align_serve.cuh"
#include "kernels/cuda/align_units.cuh"

// The kernel for curves, rotations, runs of columns and plans whose samples are stored as they are read: alike, side by
// side and aligned.
namespace robocache::cuda {

template <int kFirst, class T>
__device__ __forceinline__ bool apply_alike(const RunTile& tile, const TileSigns& signs, RunScratch<T>& scratch) {
  switch (tile.plan.dtype) {
    case DType::f32:
      return apply_rotations(tile, AlikeRotation<DType::f32, kFirst>(tile, scratch.arcs_f64), signs, scratch.signs);
    case DType::f16:
      return apply_rotations(tile, AlikeRotation<DType::f16, kFirst>(tile, scratch.arcs_f32), signs, scratch.signs);
    default:
      return apply_rotations(tile, AlikeRotation<DType::bf16, kFirst>(tile, scratch.arcs_f32), signs, scratch.signs);
  }
}

__device__ __forceinline__ void apply_cubics(const RunTile& tile, Cubic* cubics) {
  switch (tile.plan.dtype) {
    case DType::f32:
      return apply_pchip<DType::f32>(tile, cubics);
    case DType::f16:
      return apply_pchip<DType::f16>(tile, cubics);
    default:
      return apply_pchip<DType::bf16>(tile, cubics);
  }
}

template <class T>
__device__ __forceinline__ void apply_curve(const RunTile& tile, const TileSigns& signs, RunScratch<T>& scratch) {
  if (tile.plan.interp <= Interp::linear) {
    const Tile rows{tile.rows.steps + tile.lead, tile.rows.weights + tile.lead, tile.values, tile.row(tile.lead),
                    tile.end - tile.lead};
    if (tile.plan.width == 16) return apply_width<16, true>(tile.plan, rows);
    return apply_width<8, true>(tile.plan, rows);
  }
  if (tile.plan.interp == Interp::pchip) return apply_cubics(tile, scratch.cubics);
  const bool done =
      tile.plan.interp == Interp::slerp ? apply_alike<0>(tile, signs, scratch) : apply_alike<3>(tile, signs, scratch);
  if (!done) apply_any_rotations(tile, RowPlaces{}, signs, scratch.signs);
}

template <class T, int N>
__global__ void __launch_bounds__(kAlignThreads, 8)
    align_curves_kernel(const __grid_constant__ AlignParameters<N> call) {
  __shared__ RunScratch<T> scratch;
  start_next();
  await_earlier();
  serve_runs<T, (N > 4)>(call, scratch, [&](const Source<T>&, const RunTile& tile, const TileSigns& signs) {
    if (tile.plan.chunks > 0) apply_curve(tile, signs, scratch);
  });
}

template <class T, int N>
void launch_align_curves(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream) {
  launch_blocks(align_curves_kernel<T, N>, parameters, blocks, kAlignThreads, stream, Start::early);
}

}  // namespace robocache::cuda
