#include <algorithm>
#include <type_traits>

#include "cuda/launch.hpp"
#include "kernels/cuda/align_gradient_kernel.hpp"
#include "math/unit_gradient.hpp"

namespace robocache::cuda {

namespace {

/// What one element of grad_values gets from one target that looks at its sample.
template <class C>
struct Owed {
  const AlignGradientStream& stream;
  const Segment& segment;
  std::int64_t sample, column, first;  ///< `first`: column of its unit

  __device__ __forceinline__ C operator()(std::int64_t b, std::int64_t t, const UnitPlace& place) const {
    const AlignStream& a = stream.align;
    const std::int64_t row = b * stream.grad_out_batch + t * stream.grad_out_row;
    const auto scale = [&](int j) { return a.scale != nullptr ? static_cast<C>(a.scale[first + j]) : C(1); };
    const auto upstream = [&](int j) {
      return scale(j) * load_float<C>(stream.grad_out, a.out_dtype, row + (first + j) * stream.grad_out_column);
    };
    if (has_weights(a.place.interp)) {
      return sample_weight<C>(place.p, sample) * upstream(static_cast<int>(column - first));
    }
    const auto value = [&](std::int64_t i, int k) {
      return load_float<C>(a.values, a.dtype, value_at(a, segment, i, first + k));
    };
    const auto written = [&](int j) {
      const C out = load_float<C>(a.out, a.out_dtype, b * a.out_batch + t * a.out_row + first + j);
      return scale(j) * (a.bias != nullptr ? out - static_cast<C>(a.bias[first + j]) : out);
    };
    return unit_gradient<C>(a.place.interp, a.quaternion, place, sample, static_cast<int>(column - first), value,
                            upstream, written);
  }
};

__device__ __forceinline__ void store_float(void* to, DType dtype, std::int64_t i, auto value) {
  switch (dtype) {
    case DType::f64:
      static_cast<double*>(to)[i] = narrowed<double>(value);
      break;
    case DType::f16:
      static_cast<f16*>(to)[i] = narrowed<f16>(value);
      break;
    case DType::bf16:
      static_cast<bf16*>(to)[i] = narrowed<bf16>(value);
      break;
    default:
      static_cast<float*>(to)[i] = narrowed<float>(value);
      break;
  }
}

/// One thread an element of grad_values.
template <class T, class C>
__global__ void __launch_bounds__(kGatherThreads) gather_units(const GatherParameters p) {
  const AlignStream& a = p.stream.align;
  const int columns = unit_columns(a.place.interp);
  const std::int64_t elements = p.stream.rows() * a.columns;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kGatherThreads;
  for (std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * kGatherThreads + threadIdx.x; e < elements; e += step) {
    const std::int64_t r = e / a.columns;
    const std::int64_t column = e % a.columns;
    const std::int64_t first = column - column % columns;
    const int unit = a.missing == Missing::propagate ? 0 : columns;
    const SourceRow source = source_row(p.stream, p.call.batch, r);
    C sum = C(0);
    for (std::int64_t b = source.begin; b < source.end; ++b) {
      Segment segment;
      if (!reads(p.stream, source, b, segment)) continue;
      const RowTargets<T> target(p.call, b);
      const TargetRow<RowTargets<T>> row{target, p.call.targets, p.sorted[b]};
      const auto has = [&](std::int64_t i) { return is_present(a, segment, i, first, unit); };
      const Owed<C> owed{p.stream, segment, source.sample, column, first};
      for_each_use<T>(SegmentStamps<T>(a, segment), segment.count, has, a.missing, source.sample, row, a.place,
                      [&](std::int64_t t, const UnitPlace& place) { sum = sum + owed(b, t, place); });
    }
    store_float(p.stream.grad_values, a.dtype, gradient_row(p.stream, r) + column * p.stream.grad_value_column, sum);
  }
}

template <class T>
void launch_times(const GatherParameters& p, void* stream) {
  const AlignStream& a = p.stream.align;
  const std::int64_t blocks = (p.stream.rows() * a.columns + kGatherThreads - 1) / kGatherThreads;
  const dim3 grid(static_cast<unsigned>(std::min<std::int64_t>(blocks, 1 << 30)));
  const bool wide = a.dtype == DType::f64 || needs_f64(a.place.interp);
  launch("align_gradient", wide ? gather_units<T, double> : gather_units<T, float>, grid, kGatherThreads, stream, p);
}

}  // namespace

void launch_units_gather(const GatherParameters& parameters, void* stream) {
  with_time_type(parameters.call.time, [&]<class T>() { launch_times<T>(parameters, stream); });
}

}  // namespace robocache::cuda
