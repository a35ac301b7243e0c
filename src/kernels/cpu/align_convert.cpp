#include "kernels/cpu/align_elements.hpp"
#include "kernels/cpu/align_tile.hpp"

// Apply for everything that the vectors of align_apply.cpp do not do, except for quaternions: through chunks of the
// compute type.
namespace robocache::cpu::ROBOCACHE_ISA {

namespace {

/// Elements of one size, `stride` apart.
template <class Bits>
void gather(std::byte* out, const std::byte* from, std::int64_t stride, std::int64_t n) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Bits));
  for (std::int64_t i = 0; i < n; ++i) store_bytes(out + i * size, load_bytes<Bits>(from + i * stride * size));
}

void gather(std::byte* out, const std::byte* from, std::int64_t stride, std::int64_t n, std::size_t size) {
  switch (size) {
    case 8:
      return gather<std::uint64_t>(out, from, stride, n);
    case 4:
      return gather<std::uint32_t>(out, from, stride, n);
    case 2:
      return gather<std::uint16_t>(out, from, stride, n);
    default:
      return gather<std::uint8_t>(out, from, stride, n);
  }
}

/// Rows of columns that are units of their own, chunk by chunk.
template <class C>
class Converter {
 public:
  explicit Converter(const Store& store)
      : store_(store),
        stream_(store.stream),
        unchanged_(stream_.dtype == stream_.out_dtype && stream_.scale == nullptr && stream_.bias == nullptr &&
                   stream_.place.interp != Interp::angle),
        read_(reader<C>(stream_.dtype)),
        write_(writer<C>(stream_.out_dtype)) {}

  void run() const {
    for (std::int64_t r = 0; r < store_.count; ++r) store_row(r);
  }

 private:
  static constexpr std::int64_t kChunk = 128;

  void store_row(std::int64_t r) const {
    const Row& row = store_.rows[r];
    if (is_fill(row)) return fill(store_.row(r), stream_.out_dtype, stream_.columns, row.weight);
    if (!blends(row) && unchanged_) {
      return gather(store_.row(r), store_.sample(row.index), stream_.value_column, stream_.columns,
                    size_of(stream_.dtype));
    }
    for (std::int64_t first = 0; first < stream_.columns; first += kChunk) {
      const std::int64_t n = stream_.columns - first < kChunk ? stream_.columns - first : kChunk;
      C values[kChunk];
      read_some(values, row.index, first, n);
      if (blends(row)) {
        blend(values, row, first, n);
      } else if (stream_.place.interp == Interp::angle) {
        wrap(values, n);
      }
      scale_and_shift(stream_, values, first, n);
      write_(store_.row(r) + first * static_cast<std::int64_t>(size_of(stream_.out_dtype)), values, n);
    }
  }

  void read_some(C* to, std::int64_t sample, std::int64_t first, std::int64_t n) const {
    const auto size = static_cast<std::int64_t>(size_of(stream_.dtype));
    read_(to, store_.sample(sample) + first * stream_.value_column * size, stream_.value_column, n);
  }

  void blend(C* a, const Row& row, std::int64_t first, std::int64_t n) const {
    C b[kChunk];
    read_some(b, row.index + 1, first, n);
    const C w = static_cast<C>(row.weight);
    if (stream_.place.interp == Interp::pchip) return curve(a, b, row, first, n);
    if (stream_.place.interp == Interp::angle) return turn(a, b, row.weight, n);
    for (std::int64_t i = 0; i < n; ++i) a[i] = a[i] + w * (b[i] - a[i]);
  }

  // Angles are computed in f64 only.
  static void wrap(C* a, std::int64_t n) {
    if constexpr (std::is_same_v<C, double>) {
      for (std::int64_t i = 0; i < n; ++i) a[i] = wrapped_angle(a[i]);
    }
  }
  static void turn(C* a, const C* b, double w, std::int64_t n) {
    if constexpr (std::is_same_v<C, double>) {
      for (std::int64_t i = 0; i < n; ++i) a[i] = blended_angle(a[i], b[i], w);
    }
  }

  void curve(C* a, const C* b, const Row& row, std::int64_t first, std::int64_t n) const {
    C before[kChunk] = {};
    C after[kChunk] = {};
    if (row.before_width > 0) read_some(before, row.index - 1, first, n);
    if (row.after_width > 0) read_some(after, row.index + 2, first, n);
    const C before_width = static_cast<C>(row.before_width);
    const C after_width = static_cast<C>(row.after_width);
    const C w = static_cast<C>(row.weight);
    for (std::int64_t i = 0; i < n; ++i) {
      a[i] = pchip(before[i], a[i], b[i], after[i], before_width, after_width, w);
    }
  }

  const Store& store_;
  const AlignStream& stream_;
  bool unchanged_;
  Read<C> read_;
  Write<C> write_;
};

/// Calls f.operator()<C>() with the type that single columns of a stream are computed in.
template <class F>
void with_compute_type(const AlignStream& stream, const F& f) {
  const bool wide = stream.dtype == DType::f64 || stream.place.interp == Interp::angle ||
                    (!is_float(stream.dtype) && stream.out_dtype == DType::f64);
  if (wide) {
    f.template operator()<double>();
  } else {
    f.template operator()<float>();
  }
}

/// The columns of row r, each with a placement of its own.
template <class C>
void store_apart(const Store& store, std::int64_t r) {
  const AlignStream& stream = store.stream;
  const auto size = static_cast<std::int64_t>(size_of(stream.dtype));
  const Read<C> read_some = reader<C>(stream.dtype);
  const Write<C> write_some = writer<C>(stream.out_dtype);
  for (std::int64_t d = 0; d < stream.columns; ++d) {
    std::byte* const out = store.row(r) + d * static_cast<std::int64_t>(size_of(stream.out_dtype));
    const UnitPlace u = store.units(r, d);
    if (u.p.store == Placement::Store::fill) {
      fill(out, stream.out_dtype, 1, u.p.weight);
      continue;
    }
    const auto sample = [&](std::int64_t s, int) {
      C value;
      read_some(&value, store.sample(s) + d * stream.value_column * size, 1, 1);
      return value;
    };
    C value[7];  // As many as the largest unit has.
    unit_value<C>(stream.place.interp, stream.quaternion, u, sample, value);
    scale_and_shift(stream, value, d, 1);
    write_some(out, value, 1);
  }
}

}  // namespace

void apply_converted(const Store& store) {
  with_compute_type(store.stream, [&store]<class C>() { Converter<C>(store).run(); });
}

void apply_apart(const Store& store) {
  with_compute_type(store.stream, [&store]<class C>() {
    for (std::int64_t r = 0; r < store.count; ++r) {
      if (store.apart[r]) store_apart<C>(store, r);
    }
  });
}

void fill(std::byte* out, DType dtype, std::int64_t columns, double value) {
  with_element_type(dtype, [=]<class T>() {
    const T element = filled<T>(value);
    for (std::int64_t d = 0; d < columns; ++d) store_bytes(out + d * static_cast<std::int64_t>(sizeof(T)), element);
  });
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
