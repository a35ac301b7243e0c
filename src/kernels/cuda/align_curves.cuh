#pragma once

#include "kernels/cuda/align_angle.cuh"
#include "kernels/cuda/align_rotations.cuh"
#include "kernels/cuda/align_serve.cuh"
#include "kernels/cuda/align_units.cuh"

// The kernel for curves, rotations, runs of columns and plans whose samples are stored as they are read: alike, side by
// side and aligned.
namespace robocache::cuda {

template <int kFirst, DType dtype, class T>
__device__ __forceinline__ void apply_alike(const RunTile& tile, const TileSigns& signs, RunScratch<T>& scratch) {
  using Path = AlikeRotation<dtype, kFirst>;
  bool done;
  if constexpr (dtype == DType::f32)
    done = apply_rotations(tile, Path(tile, scratch.arcs_f64), signs, scratch.signs);
  else
    done = apply_rotations(tile, Path(tile, scratch.arcs_f32), signs, scratch.signs);
  if (!done) apply_any_rotations(tile, RowPlaces{}, signs, scratch.signs);
}

template <Interp interp, DType dtype, class T>
__device__ __forceinline__ void apply_curve_of(const RunTile& tile, const TileSigns& signs, RunScratch<T>& scratch) {
  if constexpr (interp == Interp::pchip)
    apply_pchip<dtype>(tile, scratch.cubics);
  else if constexpr (interp == Interp::angle)
    apply_angles<dtype>(tile);
  else
    apply_alike<interp == Interp::slerp ? 0 : 3, dtype>(tile, signs, scratch);
}

template <Interp interp, class T>
__device__ __forceinline__ void apply_curve_of(const RunTile& tile, const TileSigns& signs, RunScratch<T>& scratch) {
  if (tile.plan.dtype == DType::f32) return apply_curve_of<interp, DType::f32>(tile, signs, scratch);
  if (tile.plan.dtype == DType::f16) return apply_curve_of<interp, DType::f16>(tile, signs, scratch);
  apply_curve_of<interp, DType::bf16>(tile, signs, scratch);
}

template <class T>
__device__ __forceinline__ void apply_curve(const RunTile& tile, const TileSigns& signs, RunScratch<T>& scratch) {
  if (tile.plan.interp <= Interp::linear) {
    const Tile rows{tile.rows.steps + tile.lead, tile.rows.weights + tile.lead, tile.values, tile.row(tile.lead),
                    tile.end - tile.lead};
    if (tile.plan.width == 16) return apply_width<16, true>(tile.plan, rows);
    return apply_width<8, true>(tile.plan, rows);
  }
  if (tile.plan.interp == Interp::pchip) return apply_curve_of<Interp::pchip>(tile, signs, scratch);
  if (tile.plan.interp == Interp::angle) return apply_curve_of<Interp::angle>(tile, signs, scratch);
  if (tile.plan.interp == Interp::slerp) return apply_curve_of<Interp::slerp>(tile, signs, scratch);
  apply_curve_of<Interp::se3>(tile, signs, scratch);
}

template <class T, int N>
__device__ __forceinline__ void begin_curves(const AlignParameters<N>& call) {
  start_next();
  const Block<N> block = this_block(call);
  if (block.b < call.batch && !call.second) prefetch_piece<T>(block);
  await_earlier();
}

template <class T, int N>
__global__ void __launch_bounds__(kAlignThreads, 8)
    align_curves_kernel(const __grid_constant__ AlignParameters<N> call) {
  __shared__ RunScratch<T> scratch;
  begin_curves<T>(call);
  serve_runs<T, (N > 4)>(call, scratch, [&](const Source<T>&, const RunTile& tile, const TileSigns& signs) {
    if (tile.plan.chunks > 0) apply_curve(tile, signs, scratch);
  });
}

template <class T, int N>
void launch_align_curves(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream) {
  launch_blocks(align_curves_kernel<T, N>, parameters, blocks, kAlignThreads, stream, Start::early);
}

}  // namespace robocache::cuda
