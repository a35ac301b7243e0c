#include <algorithm>
#include <type_traits>

#include "core/thread_pool.hpp"
#include "kernels/align_gradient.hpp"
#include "math/unit_gradient.hpp"
#include "memory/buffer.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

/// Whether the targets of each batch row are in order: then a sample's targets are found by searching.
template <class T>
void find_order(const AlignArgs& call, bool* sorted) {
  const bool shared = call.at_batch == 0 && call.origin == nullptr;
  for (std::int64_t b = 0; b < call.batch; ++b) {
    if (shared && b > 0) {
      sorted[b] = sorted[0];
      continue;
    }
    const RowTargets<T> target(call, b);
    bool disorder = false;
    for (std::int64_t t = 0; t + 1 < call.targets; ++t) disorder |= !(target(t) <= target(t + 1));
    sorted[b] = !disorder;
  }
}

/// sums[d] += weight * (scale[d] * upstream[d])
template <class C, class V>
void add_weighted(C* sums, C weight, const float* scale, const V* upstream, std::int64_t stride, std::int64_t columns) {
  if (scale != nullptr) {
    for (std::int64_t d = 0; d < columns; ++d) {
      sums[d] = sums[d] + weight * (static_cast<C>(scale[d]) * widened<C>(upstream[d * stride]));
    }
  } else if (stride == 1) {
    for (std::int64_t d = 0; d < columns; ++d) sums[d] = sums[d] + weight * widened<C>(upstream[d]);
  } else {
    for (std::int64_t d = 0; d < columns; ++d) sums[d] = sums[d] + weight * widened<C>(upstream[d * stride]);
  }
}

/// The element type of a float dtype.
template <DType dtype>
using Element = std::conditional_t<
    dtype == DType::f64, double,
    std::conditional_t<dtype == DType::f32, float, std::conditional_t<dtype == DType::f16, f16, bf16>>>;

/// The gradient of one row of samples. The code that finds its targets is long: it is there once for each type of
/// stamps, but not for each type of sums.
class RowGradient {
 public:
  virtual void clear() = 0;
  /// What row t of batch row b owes to sample s in columns [begin, end).
  virtual void add(std::int64_t b, const Segment& segment, std::int64_t t, const UnitPlace& place, std::int64_t s,
                   std::int64_t begin, std::int64_t end) = 0;
  virtual void store(std::int64_t row) const = 0;

 protected:
  ~RowGradient() = default;
};

/// The same, summed up in C.
template <class C>
class Sums final : public RowGradient {
 public:
  Sums(const AlignGradientStream& stream, MemoryResource& scratch)
      : stream_(stream),
        a_(stream.align),
        memory_(scratch, static_cast<std::size_t>(a_.columns) * sizeof(C)),
        sums_(static_cast<C*>(memory_.data())) {}

  void clear() override {
    for (std::int64_t d = 0; d < a_.columns; ++d) sums_[d] = C(0);
  }

  void add(std::int64_t b, const Segment& segment, std::int64_t t, const UnitPlace& place, std::int64_t s,
           std::int64_t begin, std::int64_t end) override {
    if (has_weights(a_.place.interp)) {
      add_weights(b, t, sample_weight<C>(place.p, s), begin, end);
    } else {
      for (std::int64_t d = begin; d < end; ++d) add_derivative(b, segment, t, place, s, d);
    }
  }

  void store(std::int64_t row) const override {
    visit(a_.dtype, AlignFloats{}, [&]<DType dtype>() {
      auto* const to = static_cast<Element<dtype>*>(stream_.grad_values) + row;
      for (std::int64_t d = 0; d < a_.columns; ++d) {
        to[d * stream_.grad_value_column] = narrowed<Element<dtype>>(sums_[d]);
      }
    });
  }

 private:
  void add_weights(std::int64_t b, std::int64_t t, C weight, std::int64_t begin, std::int64_t end) {
    const float* const scale = a_.scale != nullptr ? a_.scale + begin : nullptr;
    visit(a_.out_dtype, AlignFloats{}, [&]<DType dtype>() {
      const auto* const from = static_cast<const Element<dtype>*>(stream_.grad_out) + upstream_at(b, t, begin);
      add_weighted(sums_ + begin, weight, scale, from, stream_.grad_out_column, end - begin);
    });
  }

  void add_derivative(std::int64_t b, const Segment& segment, std::int64_t t, const UnitPlace& place, std::int64_t s,
                      std::int64_t d) {
    const std::int64_t column = d % unit_columns(a_.place.interp);
    const std::int64_t first = d - column;
    const auto scale = [&](int j) { return a_.scale != nullptr ? static_cast<C>(a_.scale[first + j]) : C(1); };
    const auto sample = [&](std::int64_t i, int k) {
      return load_float<C>(a_.values, a_.dtype, value_at(a_, segment, i, first + k));
    };
    const auto upstream = [&](int j) {
      return scale(j) * load_float<C>(stream_.grad_out, a_.out_dtype, upstream_at(b, t, first + j));
    };
    const auto written = [&](int j) {
      const C out = load_float<C>(a_.out, a_.out_dtype, b * a_.out_batch + t * a_.out_row + first + j);
      return scale(j) * (a_.bias != nullptr ? out - static_cast<C>(a_.bias[first + j]) : out);
    };
    sums_[d] = sums_[d] + unit_gradient<C>(a_.place.interp, a_.quaternion, place, s, static_cast<int>(column), sample,
                                           upstream, written);
  }

  [[nodiscard]] std::int64_t upstream_at(std::int64_t b, std::int64_t t, std::int64_t column) const {
    return b * stream_.grad_out_batch + t * stream_.grad_out_row + column * stream_.grad_out_column;
  }

  const AlignGradientStream& stream_;
  const AlignStream& a_;
  Buffer memory_;
  C* sums_;
};

/// Calls use(t, place, begin, end) for what targets of batch row b owe to columns [begin, end) of sample s.
template <class T, class Use>
void for_each_use_of_row(const AlignArgs& call, const AlignStream& a, std::int64_t b, bool sorted,
                         const Segment& segment, std::int64_t s, const Use& use) {
  const RowTargets<T> target(call, b);
  const TargetRow<RowTargets<T>> row{target, call.targets, sorted};
  const SegmentStamps<T> stamp(a, segment);
  const int unit = a.missing == Missing::propagate ? 0 : unit_columns(a.place.interp);
  // Without a policy all columns have the same samples.
  for (std::int64_t begin = 0; begin < a.columns; begin += unit > 0 ? unit : a.columns) {
    const std::int64_t end = unit > 0 ? begin + unit : a.columns;
    const auto has = [&](std::int64_t i) { return is_present(a, segment, i, begin, unit); };
    for_each_use<T>(stamp, segment.count, has, a.missing, s, row, a.place,
                    [&](std::int64_t t, const UnitPlace& place) { use(t, place, begin, end); });
  }
}

/// Rows [begin, end) of grad_values.
template <class T>
void gather(const AlignArgs& call, const AlignGradientStream& stream, const bool* sorted, RowGradient& sums,
            std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    sums.clear();
    const SourceRow source = source_row(stream, call.batch, r);
    for (std::int64_t b = source.begin; b < source.end; ++b) {
      Segment segment;
      if (!reads(stream, source, b, segment)) continue;
      for_each_use_of_row<T>(call, stream.align, b, sorted[b], segment, source.sample,
                             [&](std::int64_t t, const UnitPlace& place, std::int64_t first, std::int64_t last) {
                               sums.add(b, segment, t, place, source.sample, first, last);
                             });
    }
    sums.store(gradient_row(stream, r));
  }
}

template <class T>
void gather_all(const AlignGradientArgs& args, const Context& ctx) {
  // Less work than this for each thread costs more to hand out than it saves.
  constexpr std::int64_t kGrainElements = 16 << 10;
  MemoryResource& scratch = ctx.scratch != nullptr ? *ctx.scratch : host_memory();
  const Buffer order(scratch, static_cast<std::size_t>(args.call.batch));
  bool* const sorted = static_cast<bool*>(order.data());
  find_order<T>(args.call, sorted);
  for (const AlignGradientStream& stream : args.streams) {
    const bool wide = stream.align.dtype == DType::f64 || needs_f64(stream.align.place.interp);
    parallel_for(stream.rows(), std::max<std::int64_t>(1, kGrainElements / stream.align.columns), ctx.threads,
                 [&](std::int64_t begin, std::int64_t end) {
                   if (wide) {
                     Sums<double> sums(stream, scratch);
                     gather<T>(args.call, stream, sorted, sums, begin, end);
                   } else {
                     Sums<float> sums(stream, scratch);
                     gather<T>(args.call, stream, sorted, sums, begin, end);
                   }
                 });
  }
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void align_gradient<Isa::ROBOCACHE_ISA>(const AlignGradientArgs& args, const Context& ctx) {
  switch (args.call.time) {
    case DType::f64:
      return ROBOCACHE_ISA::gather_all<double>(args, ctx);
    case DType::f32:
      return ROBOCACHE_ISA::gather_all<float>(args, ctx);
    default:
      return ROBOCACHE_ISA::gather_all<std::int64_t>(args, ctx);
  }
}

}  // namespace robocache::cpu
