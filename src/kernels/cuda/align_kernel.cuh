#pragma once

#include "cuda/launch.hpp"
#include "kernels/cuda/align_convert.cuh"
#include "kernels/cuda/align_locate.cuh"

namespace robocache::cuda {

__device__ __forceinline__ void report(const FaultSink& sink, const Fault& fault) {
  if (sink.word == nullptr) return;
  *static_cast<volatile std::uint64_t*>(sink.word) = fault.encode();
  __threadfence_system();  // The host reads the flag first.
  *static_cast<volatile std::uint32_t*>(sink.flag) = sink.ticket;
}

template <class T>
__device__ __forceinline__ Stamps<T> stamps_of(const AlignStream& stream, const Segment& segment) {
  const std::int64_t first = segment.index * stream.stamp_batch + segment.first * stream.stamp_row;
  return {static_cast<const T*>(stream.stamps) + first, stream.stamp_row, stream.offset_ns};
}

/// Reports unsorted and NaN stamps in one piece of a segment.
template <class T>
__device__ __forceinline__ void check_stamps(const AlignStreamPlan& plan, std::uint32_t stream, std::int64_t row,
                                             std::int64_t piece, const FaultSink& sink) {
  Fault fault{Fault::Code::none, stream, static_cast<std::uint64_t>(row), 0};
  const Segment segment = segment_of(plan.stream, row, fault.code);
  const Stamps<T> stamp = stamps_of<T>(plan.stream, segment);
  if (fault.code == Fault::Code::none && segment.count == 1 && Clock<T>::is_nan(stamp(0))) {
    fault.code = Fault::Code::stamps;
  }
  if (fault.code != Fault::Code::none && piece == 0 && threadIdx.x == 0) report(sink, fault);
  constexpr std::int64_t pass = kAlignThreads * kCheckedPerThread;
  for (std::int64_t begin = piece * pass; begin + 1 < segment.count; begin += plan.pieces * pass) {
#pragma unroll
    for (int k = 0; k < kCheckedPerThread; ++k) {
      const std::int64_t i = begin + k * kAlignThreads + threadIdx.x;
      if (i + 1 >= segment.count || stamp(i) <= stamp(i + 1)) continue;
      report(sink, {Fault::Code::stamps, stream, static_cast<std::uint64_t>(row), static_cast<std::uint64_t>(i + 1)});
    }
  }
}

template <class T>
__device__ __forceinline__ T target_at(const AlignArgs& call, std::int64_t b, std::int64_t t) {
  const T at = __ldg(static_cast<const T*>(call.at) + b * call.at_batch + t * call.at_row);
  return call.origin == nullptr ? at
                                : Clock<T>::sum(__ldg(static_cast<const T*>(call.origin) + b * call.origin_row), at);
}

/// What row (b, t) of a stream becomes; writes its valid and age.
template <class T>
__device__ __forceinline__ Step locate(const AlignArgs& call, const AlignStreamPlan& plan, const FaultSink& sink,
                                       std::uint32_t index, std::uint32_t number, std::int64_t b, std::int64_t t,
                                       T target, const Window<T>& window, std::int64_t samples) {
  const AlignStream& stream = plan.stream;
  const Placement p = place<T>(window, samples, window.last_at_or_before(target), target, stream.place);
  if (call.valid != nullptr) call.valid[b * call.valid_batch + t * call.valid_row + index * call.valid_stream] = p.valid;
  if (call.age_ns != nullptr) call.age_ns[b * call.age_batch + t * call.age_row + index * call.age_stream] = p.age_ns;
  if (p.refused) {
    report(sink, {Fault::Code::outside, number, static_cast<std::uint64_t>(b), static_cast<std::uint64_t>(t)});
  }
  const bool fill = p.store == Placement::Store::fill;
  return {fill ? fill_bits(stream.out_dtype, p.weight) : p.index * plan.value_pitch, p.weight,
          static_cast<float>(p.weight), p.store};
}

/// Streams with chunks of 8 or 16 bytes: the usual ones.
__device__ __forceinline__ void apply_plain(const AlignStreamPlan& plan, const Rows& tile, int rows) {
  const auto chunks = static_cast<int>(plan.chunks);
  if (plan.width == 16) return apply_width<16>(plan.stream.dtype, tile, rows, chunks);
  apply_width<8>(plan.stream.dtype, tile, rows, chunks);
}

__device__ __forceinline__ void apply_any(const AlignStreamPlan& plan, const Rows& tile, std::int64_t rows) {
  const AlignStream& stream = plan.stream;
  switch (plan.width) {
    case 16: return apply_width<16>(stream.dtype, tile, rows, plan.chunks);
    case 8: return apply_width<8>(stream.dtype, tile, rows, plan.chunks);
    case 4: return apply_width<4>(stream.dtype, tile, rows, plan.chunks);
    case 2: return apply_width<2>(stream.dtype, tile, rows, plan.chunks);
    case 1: return apply_width<1>(stream.dtype, tile, rows, plan.chunks);
    default: break;
  }
  if (stream.place.interp == Interp::slerp) return slerp_rows(stream, tile, rows);
  const bool scaled = stream.scale != nullptr || stream.bias != nullptr;
  if (stream.dtype == DType::f64 || (!is_float(stream.dtype) && !scaled)) return convert<double>(stream, tile, rows);
  convert<float>(stream, tile, rows);
}

template <class T, int N, bool Plain>
__global__ void __launch_bounds__(kAlignThreads)
    align_kernel(const __grid_constant__ AlignParameters<N> parameters) {
  __shared__ T cache[kAlignWindow];
  __shared__ Step steps[kAlignTile];

  std::int64_t block = static_cast<std::int64_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  std::uint32_t index = 0;
  while (index + 1 < parameters.count && block >= parameters.plans[index + 1].first_block) ++index;
  const AlignStreamPlan& plan = parameters.plans[index];
  const AlignStream& stream = plan.stream;
  const AlignArgs& call = parameters.call;
  const std::uint32_t number = parameters.first_stream + index;
  block -= plan.first_block;
  if (block < plan.check_blocks) {
    const std::int64_t row = block / plan.pieces;
    return check_stamps<T>(plan, number, row, block - row * plan.pieces, parameters.sink);
  }
  block -= plan.check_blocks;
  const std::int64_t b = block / plan.tiles;
  if (b >= call.batch) return;  // the grid is a rectangle
  const std::int64_t first = (block - b * plan.tiles) * plan.tile;
  const auto rows = static_cast<int>(min(plan.tile, call.targets - first));

  Fault::Code bad_segment = Fault::Code::none;
  const Segment segment = segment_of(stream, b, bad_segment);
  const bool has_target = threadIdx.x < rows;
  T target{};
  if (has_target) target = target_at<T>(call, b, first + threadIdx.x);
  T earliest{};
  T latest{};
  if (segment.count > kAlignWindow) {
    earliest = target_at<T>(call, b, first);
    latest = target_at<T>(call, b, first + rows - 1);
  }
  const bool inside = !has_target || (earliest <= target && target <= latest);
  const Window<T> window =
      load_window<T>(stamps_of<T>(stream, segment), segment.count, earliest, latest, inside, cache);
  __syncthreads();
  if (has_target) {
    steps[threadIdx.x] = locate<T>(call, plan, parameters.sink, index, number, b, first + threadIdx.x, target, window,
                                   segment.count);
  }
  __syncthreads();
  if (stream.columns == 0) return;
  const auto size = static_cast<std::int64_t>(size_of(stream.dtype));
  const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
  const Rows tile{steps,
                  static_cast<const char*>(stream.values) + segment.index * stream.value_batch * size +
                      segment.first * plan.value_pitch,
                  static_cast<char*>(stream.out) + (b * stream.out_batch + first * stream.out_row) * out_size,
                  plan.value_pitch,
                  plan.value_chunk,
                  stream.out_row * out_size};
  if constexpr (Plain) {
    apply_plain(plan, tile, rows);
  } else {
    apply_any(plan, tile, rows);
  }
}

template <class T, int N>
void launch_align(const AlignParameters<N>& parameters, std::int64_t blocks, bool plain, void* stream) {
  constexpr std::int64_t widest = 0x7fffffff;
  const dim3 grid(static_cast<unsigned>(blocks < widest ? blocks : widest),
                  static_cast<unsigned>((blocks + widest - 1) / widest));
  launch("align", plain ? align_kernel<T, N, true> : align_kernel<T, N, false>, grid, kAlignThreads, stream, parameters);
}

}  // namespace robocache::cuda
