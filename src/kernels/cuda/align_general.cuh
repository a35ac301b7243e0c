#pragma once

#include "kernels/cuda/align_serve.cuh"
#include "kernels/cuda/align_units.cuh"

// The kernel for streams of which anything may be asked: chunks of any width, strides, conversions, scale and bias,
// missing samples, f64 curves.
namespace robocache::cuda {

__device__ __noinline__ inline void apply_chunks(const RunTile run) {
  const AlignPlan& plan = run.plan;
  const Tile tile{run.rows.steps + run.lead, run.rows.weights + run.lead, run.values, run.row(run.lead),
                  run.end - run.lead};
  switch (plan.width) {
    case 16:
      return apply_width<16, true>(plan, tile);
    case 8:
      return apply_width<8, false>(plan, tile);
    case 4:
      return apply_width<4, false>(plan, tile);
    case 2:
      return apply_width<2, false>(plan, tile);
    default:
      return apply_width<1, false>(plan, tile);
  }
}

template <class Places>
__device__ __noinline__ void apply_elements(const RunTile tile, const Places places) {
  const AlignStream& stream = tile.stream;
  const bool wide = stream.dtype == DType::f64 || (!is_float(stream.dtype) && stream.out_dtype == DType::f64);
  if (wide || stream.place.interp > Interp::linear) return apply_columns<false>(tile, places);
  apply_columns<true>(tile, places);
}

template <class Places>
__device__ __forceinline__ void apply_units(const RunTile& tile, const Places& places, const TileSigns& signs,
                                            SignExchange& exchange) {
  if (has_quaternion(tile.stream.place.interp)) return apply_any_rotations(tile, places, signs, exchange);
  apply_elements(tile, places);
}

/// The mask of the segment that a block serves.
template <int N>
__device__ __forceinline__ const bool* mask_of(const AlignParameters<N>& call, const Served& served) {
  const AlignStream& stream = call.streams[served.index];
  if (stream.mask == nullptr) return nullptr;
  Fault::Code fault = Fault::Code::none;
  const Segment segment = segment_of(stream, served.b, fault);
  return stream.mask + segment.index * stream.mask_batch + segment.first * stream.mask_row;
}

template <class T, int N>
__global__ void __launch_bounds__(kAlignThreads, 6)
    align_general_kernel(const __grid_constant__ AlignParameters<N> call) {
  __shared__ HoleScratch<T> scratch;
  serve_runs<T, (N > 4)>(call, scratch, [&](const Source<T>& source, const RunTile& tile, const TileSigns& signs) {
    if (may_miss(tile.stream)) {
      const HolePlaces<T> places{source.stamps,   source.count, mask_of(call, scratch.served),
                                 scratch.targets, scratch.last, scratch.ages};
      if (tile.stream.columns > 0) {
        apply_units(tile, places, signs, scratch.signs);
      } else if (threadIdx.x >= tile.lead && threadIdx.x < tile.end) {
        places(tile, threadIdx.x, 0);
      }
    } else if (tile.plan.chunks > 0) {
      const bool chunks = tile.plan.width > 0 && tile.plan.interp <= Interp::linear;
      if (chunks) return apply_chunks(tile);
      apply_units(tile, RowPlaces{}, signs, scratch.signs);
    }
  });
}

template <class T, int N>
void launch_align_general(const AlignParameters<N>& parameters, std::uint32_t blocks, void* stream) {
  launch_blocks(align_general_kernel<T, N>, parameters, blocks, kAlignThreads, stream, Start::in_order);
}

}  // namespace robocache::cuda
