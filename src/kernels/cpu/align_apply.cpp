#include "kernels/cpu/align_prefetch.hpp"
#include "kernels/cpu/lanes.hpp"

// Apply for rows whose elements keep their type and lie side by side: byte copies and blends in vectors.
namespace robocache::cpu::ROBOCACHE_ISA {

namespace {

/// The elements of a blended row in their compute type: N of them from element d on, or one.
template <class T>
struct Line {
  const T* a;
  const T* b;
  Compute<T> w;

  Line(const Store& store, const Row& row)
      : a(elements(store, row.index)), b(elements(store, row.index + 1)), w(static_cast<Compute<T>>(row.weight)) {}

  static const T* elements(const Store& store, std::int64_t index) {
    return reinterpret_cast<const T*>(store.sample(index));
  }
  template <int N>
  ROBOCACHE_SIMD auto at(std::int64_t d) const {
    const auto from = load<T, N>(a + d);
    return from + w * (load<T, N>(b + d) - from);
  }
};

/// The same for pchip.
template <class T>
struct Cubic {
  const T* before;
  const T* a;
  const T* b;
  const T* after;
  Compute<T> before_width, after_width, w;

  // What is not there is not used either: any sample will do.
  Cubic(const Store& store, const Row& row)
      : before(Line<T>::elements(store, row.before_width > 0 ? row.index - 1 : row.index)),
        a(Line<T>::elements(store, row.index)),
        b(Line<T>::elements(store, row.index + 1)),
        after(Line<T>::elements(store, row.after_width > 0 ? row.index + 2 : row.index)),
        before_width(static_cast<Compute<T>>(row.before_width)),
        after_width(static_cast<Compute<T>>(row.after_width)),
        w(static_cast<Compute<T>>(row.weight)) {}

  template <int N>
  ROBOCACHE_SIMD auto at(std::int64_t d) const {
    if constexpr (N == 1) {
      return pchip(load<T, 1>(before + d), load<T, 1>(a + d), load<T, 1>(b + d), load<T, 1>(after + d), before_width,
                   after_width, w);
    } else {
      using L = Lanes<Compute<T>, N>;
      return pchip(L(load<T, N>(before + d)), L(load<T, N>(a + d)), L(load<T, N>(b + d)), L(load<T, N>(after + d)),
                   before_width, after_width, w)
          .v;
    }
  }
};

/// n elements in vectors of N lanes; what is left over overlaps the vector before it.
template <class T, int N, class Blend>
ROBOCACHE_SIMD void blend_row(T* out, const Blend& blend, std::int64_t begin, std::int64_t n) {
  if constexpr (N < 4 && N > 1) {
    blend_row<T, 1>(out, blend, begin, n);
  } else if constexpr (N == 1) {
    for (std::int64_t d = begin; d < begin + n; ++d) store_bytes(out + d, narrow<T, 1>(blend.template at<1>(d)));
  } else {
    if (n < N) return blend_row<T, N / 2>(out, blend, begin, n);
    const std::int64_t end = begin + n;
    std::int64_t d = begin;
    for (; d + N <= end; d += N) store_bytes(out + d, narrow<T, N>(blend.template at<N>(d)));
    if (d < end) store_bytes(out + end - N, narrow<T, N>(blend.template at<N>(end - N)));
  }
}

/// Elements before the first whole cache line of `out`; n where no line can be reached.
template <class T>
std::int64_t elements_to_line(const T* out, std::int64_t n) {
  constexpr std::uintptr_t line = 64;
  const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(out);
  if (address % sizeof(T) != 0) return n;
  const auto head = static_cast<std::int64_t>((line - address % line) % line / sizeof(T));
  return head < n ? head : n;
}

/// The same past the caches: whole lines only, because a part of a line would be read, merged and written back.
template <class T, int N, class Blend>
void blend_row_bypass(T* out, const Blend& blend, std::int64_t n) {
  constexpr std::int64_t line = 64 / sizeof(T);
  std::int64_t d = elements_to_line(out, n);
  blend_row<T, N>(out, blend, 0, d);
  for (; d + line <= n; d += line) {
    for (std::int64_t k = d; k < d + line; k += N) stream_bytes(out + k, narrow<T, N>(blend.template at<N>(k)));
  }
  blend_row<T, N>(out, blend, d, n - d);
}

template <bool bypass>
void copy_row(std::byte* out, const std::byte* from, std::int64_t bytes) {
  if constexpr (bypass) {
    using V = Vector<std::uint8_t, kVectorBytes>;
    std::int64_t d = elements_to_line(out, bytes);
    __builtin_memcpy(out, from, static_cast<std::size_t>(d));
    for (; d + 64 <= bytes; d += 64) {
      for (std::int64_t k = d; k < d + 64; k += kVectorBytes) stream_bytes(out + k, load_bytes<V>(from + k));
    }
    __builtin_memcpy(out + d, from + d, static_cast<std::size_t>(bytes - d));
  } else {
    __builtin_memcpy(out, from, static_cast<std::size_t>(bytes));
  }
}

/// `blend_one(r)` writes a blended row.
template <bool bypass, class Blend>
void store_rows(const Store& store, const Blend& blend_one) {
  const std::int64_t columns = store.stream.columns;
  const std::int64_t bytes = columns * static_cast<std::int64_t>(size_of(store.stream.dtype));
  const Prefetch prefetch(store);
  for (std::int64_t r = 0; r < store.count; ++r) {
    const Row& row = store.rows[r];
    prefetch.before(r);
    if (is_fill(row)) {
      fill(store.row(r), store.stream.out_dtype, columns, row.weight);
    } else if (blends(row)) {
      blend_one(r);
    } else {
      copy_row<bypass>(store.row(r), store.sample(row.index), bytes);
    }
  }
}

template <bool bypass>
void copy_rows(const Store& store) {
  store_rows<bypass>(store, [](std::int64_t) {});
}

template <class T, bool bypass, template <class> class Blend>
void blend_rows(const Store& store) {
  constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(Compute<T>));
  store_rows<bypass>(store, [&store, columns = store.stream.columns](std::int64_t r) {
    const Blend<T> blend(store, store.rows[r]);
    const auto out = reinterpret_cast<T*>(store.row(r));
    if constexpr (bypass) {
      blend_row_bypass<T, lanes>(out, blend, columns);
    } else {
      blend_row<T, lanes>(out, blend, 0, columns);
    }
  });
}

template <bool bypass, template <class> class Blend>
void blend_rows(const Store& store) {
  switch (store.stream.dtype) {
    case DType::f64:
      return blend_rows<double, bypass, Blend>(store);
    case DType::f32:
      return blend_rows<float, bypass, Blend>(store);
    case DType::f16:
      return blend_rows<f16, bypass, Blend>(store);
    case DType::bf16:
      return blend_rows<bf16, bypass, Blend>(store);
    default:
      return;  // The front door lets no other type be blended.
  }
}

template <bool bypass>
void apply_unchanged(const Store& store) {
  switch (store.stream.place.interp) {
    case Interp::linear:
      return blend_rows<bypass, Line>(store);
    case Interp::pchip:
      return blend_rows<bypass, Cubic>(store);
    default:
      return copy_rows<bypass>(store);
  }
}

}  // namespace

void apply(const Store& store) {
  const AlignStream& stream = store.stream;
  const Interp interp = stream.place.interp;
  if (has_quaternion(interp)) return apply_quaternions(store);
  const bool factors = stream.scale != nullptr || stream.bias != nullptr;
  if (stream.value_column != 1 || stream.dtype != stream.out_dtype || factors || interp == Interp::angle) {
    apply_converted(store);
  } else if (store.bypass) {
    apply_unchanged<true>(store);
  } else {
    apply_unchanged<false>(store);
  }
  if (store.units.given()) apply_apart(store);
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
