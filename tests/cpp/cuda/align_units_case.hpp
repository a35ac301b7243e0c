#pragma once

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/align_random.hpp"
#include "math/convert.hpp"
#include "math/unit.hpp"

// Random calls of the align kernel with everything that a stream can be asked for, and what src/math/unit.hpp makes of
// them unit by unit. What unit.hpp itself says is held to an oracle elsewhere.
namespace robocache::align_units {

using align_random::Bytes;
using align_random::Random;

/// align_random's case with runs of columns, curves, masks and NaN: `entries` instead of its list.
struct Case {
  align_random::Case base;
  std::vector<Bytes> masks;  ///< of each stream
  std::vector<AlignStream> entries;
};

inline void spoil(Random& random, align_random::StreamCase& s) {
  const DType dtype = s.args.dtype;
  const std::size_t size = size_of(dtype);
  const bool holes = random.one_in(2);
  for (std::size_t i = 0; i + 8 < s.values.size() / size; ++i) {
    if (holes && random.one_in(30)) {
      std::uint64_t bits = dtype == DType::f64   ? 0x7ff8000000000000U
                           : dtype == DType::f32 ? 0x7fc00000U
                           : dtype == DType::f16 ? 0x7e00U
                                                 : 0x7fc0U;
      std::memcpy(s.values.data() + i * size, &bits, size);
    }
    if (random.one_in(200)) std::memset(s.values.data() + i * size, 0, 8 * size);
  }
}

inline Interp pick_interp(Random& random, DType dtype, std::int64_t columns) {
  if (!is_float(dtype)) return random.pick({Interp::hold, Interp::nearest});
  for (;;) {
    const Interp interp = random.pick({Interp::hold, Interp::nearest, Interp::linear, Interp::slerp, Interp::se3,
                                       Interp::screw, Interp::pchip, Interp::angle, Interp::slerp, Interp::pchip});
    if (columns >= unit_columns(interp) || columns == 0) return interp;
  }
}

/// Cuts a stream into runs.
inline void add_runs(Random& random, const AlignStream& stream, std::vector<AlignStream>& entries) {
  std::int64_t first = 0;
  bool continues = false;
  do {
    AlignStream run = stream;
    const std::int64_t left = stream.columns - first;
    run.place.interp = pick_interp(random, stream.dtype, left);
    const int unit = unit_columns(run.place.interp);
    run.columns =
        random.one_in(2) ? left / unit * unit : random.integer(1, std::max<std::int64_t>(left / unit, 1)) * unit;
    run.columns = std::min(run.columns, left / unit * unit);
    run.values = static_cast<const std::uint8_t*>(stream.values) +
                 first * stream.value_column * static_cast<std::int64_t>(size_of(stream.dtype));
    if (run.scale != nullptr) run.scale += first;
    if (run.bias != nullptr) run.bias += first;
    run.continues = continues;
    continues = true;
    first += run.columns;
    entries.push_back(run);
  } while (first < stream.columns);
}

inline Case make_case(unsigned seed) {
  Case c;
  c.base = align_random::make_case(seed);
  Random random(seed + 77);
  for (std::size_t i = 0; i < c.base.streams.size(); ++i) {
    align_random::StreamCase& s = c.base.streams[i];
    AlignStream stream = s.args;
    stream.number = static_cast<std::uint32_t>(i);
    stream.quaternion = random.pick({QuaternionOrder::xyzw, QuaternionOrder::wxyz});
    if (is_float(stream.dtype)) spoil(random, s);
    c.masks.emplace_back();
    if (random.one_in(3)) {
      c.masks.back().resize(s.stamps.size() / size_of(c.base.args.time));
      for (std::uint8_t& there : c.masks.back()) there = random.one_in(5) ? 0 : 1;
      stream.mask = reinterpret_cast<const bool*>(c.masks.back().data());
      stream.mask_batch = stream.stamp_batch;
      stream.mask_row = stream.stamp_row;
    }
    if (random.one_in(2) && (is_float(stream.dtype) || stream.mask != nullptr)) {
      stream.missing = random.pick({Missing::skip, Missing::hold});
    }
    add_runs(random, stream, c.entries);
  }
  return c;
}

/// A row of a stream: what its runs make of its marks.
struct Marks {
  bool valid = true;
  std::int64_t age_ns = std::numeric_limits<std::int64_t>::min();
};

/// What one element has to be, and by how much it may be off.
struct Element {
  double value = 0;
  double tolerance = 0;  ///< 0: bit for bit
  Bytes bits;            ///< then
};

inline void put(DType dtype, Bytes& bits, auto value, bool fill) {
  const auto as = [&]<class T>(T) {
    T v;
    if constexpr (std::is_same_v<T, bool> || std::is_integral_v<T>) {
      v = filled<T>(static_cast<double>(value));
    } else {
      v = fill ? filled<T>(static_cast<double>(value)) : narrowed<T>(value);
    }
    bits.resize(sizeof v);
    std::memcpy(bits.data(), &v, sizeof v);
  };
  switch (dtype) {
    case DType::f64:
      return as(double{});
    case DType::f32:
      return as(float{});
    case DType::f16:
      return as(f16{});
    case DType::bf16:
      return as(bf16{});
    case DType::i64:
      return as(std::int64_t{});
    case DType::i32:
      return as(std::int32_t{});
    case DType::i16:
      return as(std::int16_t{});
    case DType::u8:
      return as(std::uint8_t{});
    default:
      return as(bool{});
  }
}

/// Half a step of an output near 1, and a bit.
inline double rounding(DType dtype) {
  return dtype == DType::f64 ? 1e-15 : dtype == DType::f32 ? 6e-8 : dtype == DType::f16 ? 5e-4 : 4e-3;
}
/// Of what is computed before that, from samples of a dtype.
inline double computing(DType dtype) { return dtype == DType::f64 ? 1e-12 : dtype == DType::f32 ? 5e-7 : 1e-5; }

/// Walks through one entry and batch row as one would write it down.
template <class T>
class RowAnswer {
 public:
  RowAnswer(const Case& c, const align_random::StreamCase& s, const AlignStream& run, std::int64_t b)
      : call_(c.base.args), s_(s), run_(run), b_(b) {
    Fault::Code fault = Fault::Code::none;
    segment_ = segment_of(run, b, fault);
  }

  /// elements[t * columns + d], marks[t]
  void answer(std::vector<Element>& elements, std::vector<Marks>& marks) {
    elements.assign(static_cast<std::size_t>(call_.targets * run_.columns), {});
    const int width = unit_columns(run_.place.interp);
    for (std::int64_t d = 0; d < run_.columns; d += width) unit(d, width, elements, marks);
    if (run_.columns > 0) return;
    for (std::int64_t t = 0; t < call_.targets; ++t) mark(placed(0, 0, t).p, marks[static_cast<std::size_t>(t)]);
  }

 private:
  std::int64_t element(std::int64_t sample, std::int64_t d) const {
    const auto base = static_cast<const std::uint8_t*>(run_.values) - s_.values.data();
    return base / static_cast<std::int64_t>(size_of(run_.dtype)) + segment_.index * run_.value_batch +
           (segment_.first + sample) * run_.value_row + d * run_.value_column;
  }
  double value(std::int64_t sample, std::int64_t d) const {
    return static_cast<double>(align_random::value_at(s_.values, run_.dtype, element(sample, d)));
  }
  T target(std::int64_t t) const {
    const T at = static_cast<const T*>(call_.at)[b_ * call_.at_batch + t * call_.at_row];
    return call_.origin == nullptr ? at : Clock<T>::sum(static_cast<const T*>(call_.origin)[b_ * call_.origin_row], at);
  }
  UnitPlace placed(std::int64_t d, int width, std::int64_t t) const {
    const auto stamp = [&](std::int64_t i) {
      return Clock<T>::shift(
          static_cast<const T*>(run_.stamps)[segment_.index * run_.stamp_batch + (segment_.first + i) * run_.stamp_row],
          run_.offset_ns);
    };
    const auto has = [&](std::int64_t i) {
      if (run_.mask != nullptr && !run_.mask[segment_.index * run_.mask_batch + (segment_.first + i) * run_.mask_row]) {
        return false;
      }
      for (int k = 0; k < width && run_.missing != Missing::propagate && is_float(run_.dtype); ++k) {
        if (std::isnan(value(i, d + k))) return false;
      }
      return true;
    };
    const T at = target(t);
    const std::int64_t i = last_at_or_before<T>(stamp, 0, segment_.count, at);
    return place_unit<T>(stamp, segment_.count, has, run_.missing, i, at, run_.place);
  }
  static void mark(const Placement& p, Marks& m) {
    m.valid = m.valid && p.valid;
    m.age_ns = std::max(m.age_ns, p.age_ns);
  }
  double scaled(double v, std::int64_t d) const {
    if (run_.scale != nullptr) v *= static_cast<double>(run_.scale[d]);
    if (run_.bias != nullptr) v += static_cast<double>(run_.bias[d]);
    return v;
  }
  float scaled(float v, std::int64_t d) const {
    if (run_.scale != nullptr) v *= run_.scale[d];
    if (run_.bias != nullptr) v += run_.bias[d];
    return v;
  }

  void unit(std::int64_t d, int width, std::vector<Element>& elements, std::vector<Marks>& marks) {
    double last[4] = {NAN, NAN, NAN, NAN};
    double sign = 1;
    for (std::int64_t t = 0; t < call_.targets; ++t) {
      const UnitPlace u = placed(d, width, t);
      Marks& m = marks[static_cast<std::size_t>(t)];
      mark(u.p, m);
      Element* const out = elements.data() + t * run_.columns + d;
      const bool fill = u.p.store == Placement::Store::fill;
      if (fill) {
        for (int k = 0; k < width; ++k) put(run_.out_dtype, out[k].bits, u.p.weight, true);
      } else if (run_.place.interp <= Interp::linear) {
        simple(u, d, *out);
        continue;
      }
      double c[7] = {};
      double* const q = c + width - 4;
      if (!fill) {
        unit_value<double>(
            run_.place.interp, run_.quaternion, u, [&](std::int64_t i, int k) { return value(i, d + k); }, c);
      }
      if (width > 1) {
        if (fill) std::fill_n(q, 4, NAN);
        if (q[0] * last[0] + q[1] * last[1] + q[2] * last[2] + q[3] * last[3] < 0) sign = -sign;
        std::copy_n(q, 4, last);
        if (!fill && std::isnan(q[0])) m.valid = false;
        for (int k = 0; k < 4; ++k) q[k] *= sign;
      }
      for (int k = 0; k < width && !fill; ++k) finish(u, d + k, c[k], out[k]);
    }
  }
  void simple(const UnitPlace& u, std::int64_t d, Element& out) const {
    const bool as_is = run_.dtype == run_.out_dtype && run_.scale == nullptr && run_.bias == nullptr;
    const bool blends = u.p.store == Placement::Store::blend;
    if (as_is && !blends) {
      const auto size = static_cast<std::ptrdiff_t>(size_of(run_.dtype));
      const auto from = s_.values.begin() + element(u.p.index, d) * size;
      out.bits.assign(from, from + size);
    } else if (run_.dtype == DType::f64 || (!is_float(run_.dtype) && run_.out_dtype == DType::f64)) {
      double v = value(u.p.index, d);
      if (blends) v += u.p.weight * (value(u.p.next, d) - v);
      put(run_.out_dtype, out.bits, scaled(v, d), false);
    } else {
      auto v = static_cast<float>(value(u.p.index, d));
      if (blends) v += static_cast<float>(u.p.weight) * (static_cast<float>(value(u.p.next, d)) - v);
      put(run_.out_dtype, out.bits, scaled(v, d), false);
    }
  }
  void finish(const UnitPlace& u, std::int64_t d, double v, Element& out) const {
    put(run_.out_dtype, out.bits, scaled(v, d), false);
    if (run_.place.interp == Interp::angle) return;
    out.value = scaled(v, d);
    double most = std::abs(out.value) + 1;
    for (const std::int64_t i : {u.p.index, u.p.next, u.around.before, u.around.after}) {
      if (i >= 0 && i < segment_.count && std::isfinite(value(i, d))) most = std::max(most, std::abs(value(i, d)));
    }
    const bool curve = run_.place.interp == Interp::pchip || run_.place.interp == Interp::screw;
    const double reach = std::pow(1 + std::abs(u.p.weight), curve ? 3 : 1);
    out.tolerance = rounding(run_.out_dtype) * std::abs(out.value) + computing(run_.dtype) * most * reach;
  }

  const AlignArgs& call_;
  const align_random::StreamCase& s_;
  const AlignStream& run_;
  std::int64_t b_;
  Segment segment_;
};

}  // namespace robocache::align_units
