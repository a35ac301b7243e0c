#pragma once

#include <cstdint>
#include <span>

#include "core/host_device.hpp"
#include "core/isa.hpp"
#include "kernels/align.hpp"
#include "math/convert.hpp"
#include "math/uses.hpp"
#include "robocache/align_gradient.hpp"

namespace robocache {

/// One run of columns of a stream, as align takes it, and its gradients. Pitches count elements. Of `align`, `out` is
/// what align wrote and is only read (for quaternions; else it may be null), and out_dtype is that of grad_out.
struct AlignGradientStream {
  AlignStream align;
  const void* grad_out = nullptr;
  std::int64_t grad_out_batch = 0, grad_out_row = 0, grad_out_column = 1;
  void* grad_values = nullptr;  ///< of align.dtype, a float type; laid out like values with pitches of its own
  std::int64_t grad_value_batch = 0, grad_value_row = 0, grad_value_column = 1;
  bool shared = false;  ///< all segments read the same values, and grad_values has one segment for all of them

  /// Rows of grad_values that are computed: one for each segment and sample, each packed sample, or each shared sample.
  [[nodiscard]] ROBOCACHE_HD std::int64_t rows() const {
    return align.offsets.data != nullptr || shared ? align.samples : align.segments * align.samples;
  }
};

/// align_gradient as both backends take it, checked. `call` holds the targets; its streams and marks are not looked at.
struct AlignGradientArgs {
  AlignArgs call;
  std::span<const AlignGradientStream> streams;
};

/// What row r of grad_values is about: `sample` of segment `segment` (of every segment where values are shared), which
/// batch rows [begin, end) may read. No batch row: a sample that no segment has.
struct SourceRow {
  std::int64_t segment = 0;
  std::int64_t sample = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

ROBOCACHE_HD SourceRow source_row(const AlignGradientStream& stream, std::int64_t batch, std::int64_t r) {
  const AlignStream& a = stream.align;
  SourceRow source{0, r, 0, batch};
  if (a.offsets.data != nullptr) {
    const auto offset = [&a](std::int64_t g) { return a.offsets[g]; };
    source.segment = last_at_or_before<std::int64_t>(offset, 0, a.segments, r);
    if (source.segment < 0) return {};
    source.sample = r - a.offsets[source.segment];
  } else if (!stream.shared) {
    source.segment = r / a.samples;
    source.sample = r % a.samples;
  }
  if (a.rows.data == nullptr && !stream.shared && batch > 0) {
    source.begin = source.segment;
    source.end = source.segment + 1;
  }
  return source;
}

/// Whether batch row b reads the source row; `segment` is the one that it reads.
ROBOCACHE_HD bool reads(const AlignGradientStream& stream, const SourceRow& source, std::int64_t b, Segment& segment) {
  if (stream.align.rows.data != nullptr && !stream.shared && stream.align.rows[b] != source.segment) return false;
  Fault::Code ignored = Fault::Code::none;
  segment = segment_of(stream.align, b, ignored);
  return source.sample < segment.count;
}

/// The shifted stamps of one segment.
template <class T>
struct SegmentStamps {
  const T* first;
  std::int64_t stride;
  std::int64_t offset_ns;

  ROBOCACHE_HD SegmentStamps(const AlignStream& a, const Segment& segment)
      : first(static_cast<const T*>(a.stamps) + segment.index * a.stamp_batch + segment.first * a.stamp_row),
        stride(a.stamp_row),
        offset_ns(a.offset_ns) {}
  ROBOCACHE_HD T operator()(std::int64_t i) const { return Clock<T>::shift(first[i * stride], offset_ns); }
};

/// The targets of batch row b.
template <class T>
struct RowTargets {
  const T* first;
  std::int64_t stride;
  T origin;
  bool relative;

  ROBOCACHE_HD RowTargets(const AlignArgs& call, std::int64_t b)
      : first(static_cast<const T*>(call.at) + b * call.at_batch),
        stride(call.at_row),
        origin(call.origin != nullptr ? static_cast<const T*>(call.origin)[b * call.origin_row] : T{}),
        relative(call.origin != nullptr) {}
  ROBOCACHE_HD T operator()(std::int64_t t) const {
    const T at = first[t * stride];
    return relative ? Clock<T>::sum(origin, at) : at;
  }
};

/// A float element of a type that is known at run time.
template <class C>
ROBOCACHE_HD C load_float(const void* from, DType dtype, std::int64_t i) {
  switch (dtype) {
    case DType::f64:
      return widened<C>(static_cast<const double*>(from)[i]);
    case DType::f16:
      return widened<C>(static_cast<const f16*>(from)[i]);
    case DType::bf16:
      return widened<C>(static_cast<const bf16*>(from)[i]);
    default:
      return widened<C>(static_cast<const float*>(from)[i]);
  }
}

/// The element that column `column` of sample i of a segment is.
ROBOCACHE_HD std::int64_t value_at(const AlignStream& a, const Segment& segment, std::int64_t i, std::int64_t column) {
  return segment.index * a.value_batch + (segment.first + i) * a.value_row + column * a.value_column;
}

/// Whether sample i of a unit is there: the mask keeps it, and none of the `unit` columns from `first` on is NaN.
ROBOCACHE_HD bool is_present(const AlignStream& a, const Segment& segment, std::int64_t i, std::int64_t first,
                             int unit) {
  if (a.mask != nullptr) {
    const auto* const mask = reinterpret_cast<const std::uint8_t*>(a.mask);  // As bytes: they may not be 0 or 1.
    if (mask[segment.index * a.mask_batch + (segment.first + i) * a.mask_row] == 0) return false;
  }
  for (int k = 0; k < unit; ++k) {
    const double v = load_float<double>(a.values, a.dtype, value_at(a, segment, i, first + k));
    if (v != v) return false;
  }
  return true;
}

/// The element of grad_values that row r starts at.
ROBOCACHE_HD std::int64_t gradient_row(const AlignGradientStream& stream, std::int64_t r) {
  const std::int64_t samples = stream.align.samples;
  if (stream.align.offsets.data != nullptr || stream.shared) return r * stream.grad_value_row;
  return r / samples * stream.grad_value_batch + r % samples * stream.grad_value_row;
}

namespace cpu {

/// One instance per ISA level.
template <Isa>
void align_gradient(const AlignGradientArgs& args, const Context& ctx);

}  // namespace cpu

namespace cuda {

/// Two launches on ctx.stream of the current device, and one more for each stream after the first.
void align_gradient(const AlignGradientArgs& args, const Context& ctx);

}  // namespace cuda

}  // namespace robocache
