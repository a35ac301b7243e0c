#include <algorithm>
#include <type_traits>

#include "cuda/launch.hpp"
#include "kernels/cuda/align_gradient_kernel.hpp"
#include "math/unit_gradient.hpp"

namespace robocache::cuda {

namespace {

/// kWidth elements that are read and written at once.
template <class E, int kWidth>
struct alignas(sizeof(E) * kWidth) Chunk {
  E e[kWidth];
};

template <class E>
inline constexpr int kWidest = 16 / static_cast<int>(sizeof(E));

/// A few lanes a row of samples; each adds up one chunk of its columns at a time.
template <class T, class E, int kWidth>
__global__ void __launch_bounds__(kGatherThreads) gather_weights(const GatherParameters p) {
  using C = std::conditional_t<std::is_same_v<E, double>, double, float>;
  const AlignStream& a = p.stream.align;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kGatherThreads + threadIdx.x;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kGatherThreads >> p.lane_bits;
  const auto lane = static_cast<std::uint32_t>(thread) & ((1u << p.lane_bits) - 1);
  for (std::int64_t r = thread >> p.lane_bits; r < p.stream.rows(); r += step) {
    const SourceRow source = source_row(p.stream, p.call.batch, r);
    for (std::uint32_t chunk = lane; chunk < p.chunks; chunk += 1u << p.lane_bits) {
      const std::int64_t column = static_cast<std::int64_t>(chunk) * kWidth;
      C sums[kWidth] = {};
      for (std::int64_t b = source.begin; b < source.end; ++b) {
        Segment segment;
        if (!reads(p.stream, source, b, segment)) continue;
        const RowTargets<T> target(p.call, b);
        const TargetRow<RowTargets<T>> row{target, p.call.targets, p.sorted[b]};
        const E* const upstream =
            static_cast<const E*>(p.stream.grad_out) + b * p.stream.grad_out_batch + column * p.stream.grad_out_column;
        const auto has = [&](std::int64_t i) { return is_present(a, segment, i, 0, 0); };
        for_each_use<T>(
            SegmentStamps<T>(a, segment), segment.count, has, Missing::propagate, source.sample, row, a.place,
            [&](std::int64_t t, const UnitPlace& place) {
              const C weight = sample_weight<C>(place.p, source.sample);
              const auto g = *reinterpret_cast<const Chunk<E, kWidth>*>(upstream + t * p.stream.grad_out_row);
#pragma unroll
              for (int k = 0; k < kWidth; ++k) {
                const C owed = widened<C>(g.e[k]);
                sums[k] = sums[k] + weight * (a.scale != nullptr ? static_cast<C>(a.scale[column + k]) * owed : owed);
              }
            });
      }
      Chunk<E, kWidth> result;
#pragma unroll
      for (int k = 0; k < kWidth; ++k) result.e[k] = narrowed<E>(sums[k]);
      E* const to = static_cast<E*>(p.stream.grad_values) + gradient_row(p.stream, r);
      *reinterpret_cast<Chunk<E, kWidth>*>(to + column * p.stream.grad_value_column) = result;
    }
  }
}

/// Whether rows of grad_out and grad_values can be accessed `width` elements of `size` bytes at a time.
bool fits(const AlignGradientStream& s, std::int64_t size, std::int64_t width) {
  if (s.grad_out_column != 1 || s.grad_value_column != 1) return false;
  const std::int64_t pitches =
      s.align.columns | s.grad_out_batch | s.grad_out_row | s.grad_value_batch | s.grad_value_row;
  const auto addresses = reinterpret_cast<std::uintptr_t>(s.grad_out) | reinterpret_cast<std::uintptr_t>(s.grad_values);
  return pitches % width == 0 && addresses % static_cast<std::uintptr_t>(size * width) == 0;
}

template <class T, class E, int kWidth>
void launch_width(GatherParameters& p, void* stream) {
  p.chunks = static_cast<std::uint32_t>(p.stream.align.columns / kWidth);
  while (p.lane_bits < 5 && (1u << p.lane_bits) < p.chunks) ++p.lane_bits;
  const std::int64_t blocks = ((p.stream.rows() << p.lane_bits) + kGatherThreads - 1) / kGatherThreads;
  launch("align_gradient", gather_weights<T, E, kWidth>,
         dim3(static_cast<unsigned>(std::min<std::int64_t>(blocks, 1 << 30))), kGatherThreads, stream, p);
}

template <class T, class E>
void launch_type(GatherParameters& p, void* stream) {
  if (fits(p.stream, sizeof(E), kWidest<E>)) return launch_width<T, E, kWidest<E>>(p, stream);
  launch_width<T, E, 1>(p, stream);
}

template <class T>
void launch_times(GatherParameters& p, void* stream) {
  switch (p.stream.align.dtype) {
    case DType::f64:
      return launch_type<T, double>(p, stream);
    case DType::f16:
      return launch_type<T, f16>(p, stream);
    case DType::bf16:
      return launch_type<T, bf16>(p, stream);
    default:
      return launch_type<T, float>(p, stream);
  }
}

}  // namespace

void launch_weights_gather(GatherParameters parameters, void* stream) {
  with_time_type(parameters.call.time, [&]<class T>() { launch_times<T>(parameters, stream); });
}

}  // namespace robocache::cuda
