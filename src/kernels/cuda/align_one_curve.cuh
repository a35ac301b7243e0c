#pragma once

#include "kernels/cuda/align_curves.cuh"

// The kernels for one stream that is one curve: each does what align_curves_kernel does for it, with the registers that
// it takes. Calls this short have no time to fetch what was spilled.
namespace robocache::cuda {

template <class T, Interp interp, DType dtype>
__global__ void __launch_bounds__(kAlignThreads, curve_blocks(interp, dtype))
    align_one_curve_kernel(const __grid_constant__ AlignParameters<1> call) {
  __shared__ RunScratch<T> scratch;
  begin_curves<T>(call);
  serve_runs<T, false>(call, scratch, [&](const Source<T>&, const RunTile& tile, const TileSigns& signs) {
    apply_curve_of<interp, dtype>(tile, signs, scratch);
  });
}

template <class T, Interp interp>
auto* one_curve_kernel(DType dtype) {
  if (dtype == DType::f32) return align_one_curve_kernel<T, interp, DType::f32>;
  if (dtype == DType::f16) return align_one_curve_kernel<T, interp, DType::f16>;
  return align_one_curve_kernel<T, interp, DType::bf16>;
}

template <class T>
void launch_align_one_curve(const AlignParameters<1>& parameters, std::uint32_t blocks, void* stream) {
  const AlignPlan& plan = parameters.plans[0];
  auto* const kernel = plan.interp == Interp::pchip   ? one_curve_kernel<T, Interp::pchip>(plan.dtype)
                       : plan.interp == Interp::angle ? one_curve_kernel<T, Interp::angle>(plan.dtype)
                       : plan.interp == Interp::slerp ? one_curve_kernel<T, Interp::slerp>(plan.dtype)
                                                      : one_curve_kernel<T, Interp::se3>(plan.dtype);
  launch_blocks(kernel, parameters, blocks, kAlignThreads, stream, Start::early);
}

}  // namespace robocache::cuda
