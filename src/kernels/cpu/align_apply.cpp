#include "kernels/cpu/align_tile.hpp"
#include "kernels/cpu/simd.hpp"

// Apply for rows whose elements keep their type and lie side by side: byte copies and blends in vectors.
namespace robocache::cpu::ROBOCACHE_ISA {

namespace {

/// out = a + w * (b - a) for n elements, in vectors of N lanes; what is left over overlaps the vector before it.
template <class T, int N>
ROBOCACHE_SIMD void blend_row(T* out, const T* a, const T* b, Compute<T> w, std::int64_t n) {
  if constexpr (N < 4 && N > 1) {
    blend_row<T, 1>(out, a, b, w, n);
  } else if constexpr (N == 1) {
    for (std::int64_t d = 0; d < n; ++d) {
      const auto from = widened<Compute<T>>(load_bytes<T>(a + d));
      store_bytes(out + d, narrowed<T>(from + w * (widened<Compute<T>>(load_bytes<T>(b + d)) - from)));
    }
  } else {
    if (n < N) return blend_row<T, N / 2>(out, a, b, w, n);
    const auto step = [&](std::int64_t d) {
      const auto from = load<T, N>(a + d);
      store_bytes(out + d, narrow<T, N>(from + w * (load<T, N>(b + d) - from)));
    };
    std::int64_t d = 0;
    for (; d + N <= n; d += N) step(d);
    if (d < n) step(n - N);
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
template <class T, int N>
void blend_row_bypass(T* out, const T* a, const T* b, Compute<T> w, std::int64_t n) {
  constexpr std::int64_t line = 64 / sizeof(T);
  std::int64_t d = elements_to_line(out, n);
  blend_row<T, N>(out, a, b, w, d);
  for (; d + line <= n; d += line) {
    for (std::int64_t k = d; k < d + line; k += N) {
      const auto from = load<T, N>(a + k);
      stream_bytes(out + k, narrow<T, N>(from + w * (load<T, N>(b + k) - from)));
    }
  }
  blend_row<T, N>(out + d, a + d, b + d, w, n - d);
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

/// Asks for the samples of rows before they are needed. Narrow ones all at once: while one is stored there is no time.
class Prefetch {
 public:
  explicit Prefetch(const Store& store)
      : store_(store),
        bytes_(store.stream.columns * static_cast<std::int64_t>(size_of(store.stream.dtype))),
        each_(store.ahead && bytes_ > kNarrow) {
    if (!store.ahead || each_) return;
    for (std::int64_t r = 0; r < store.count; ++r) fetch(r);
  }

  /// Before row r is stored.
  ROBOCACHE_SIMD void before(std::int64_t r) const {
    if (each_ && r + 1 < store_.count) fetch(r + 1);
  }

 private:
  static constexpr std::int64_t kNarrow = 512;
  static constexpr std::int64_t kMost = 4096;  // The processor itself follows longer runs.

  ROBOCACHE_SIMD void fetch(std::int64_t r) const {
    const Row& row = store_.rows[r];
    if (row.store == Placement::Store::fill) return;
    const std::int64_t last = row.store == Placement::Store::blend ? row.index + 1 : row.index;
    for (std::int64_t index = row.index; index <= last; ++index) {
      const std::byte* const from = store_.sample(index);
      for (std::int64_t d = 0; d < bytes_ && d < kMost; d += 64) __builtin_prefetch(from + d);
    }
  }

  const Store& store_;
  std::int64_t bytes_;
  bool each_;
};

/// `blend_one(out, a, b, weight)` writes a blended row.
template <bool bypass, class Blend>
void store_rows(const Store& store, const Blend& blend_one) {
  const std::int64_t columns = store.stream.columns;
  const std::int64_t bytes = columns * static_cast<std::int64_t>(size_of(store.stream.dtype));
  const Prefetch prefetch(store);
  for (std::int64_t r = 0; r < store.count; ++r) {
    const Row& row = store.rows[r];
    prefetch.before(r);
    switch (row.store) {
      case Placement::Store::copy:
        copy_row<bypass>(store.row(r), store.sample(row.index), bytes);
        break;
      case Placement::Store::blend:
        blend_one(store.row(r), store.sample(row.index), store.sample(row.index + 1), row.weight);
        break;
      case Placement::Store::fill:
        fill(store.row(r), store.stream.out_dtype, columns, row.weight);
        break;
    }
  }
}

template <bool bypass>
void copy_rows(const Store& store) {
  store_rows<bypass>(store, [](std::byte*, const std::byte*, const std::byte*, double) {});
}

template <class T, bool bypass>
void blend_rows(const Store& store) {
  constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(Compute<T>));
  const std::int64_t columns = store.stream.columns;
  store_rows<bypass>(store, [columns](std::byte* out, const std::byte* a, const std::byte* b, double weight) {
    const auto to = reinterpret_cast<T*>(out);
    const auto first = reinterpret_cast<const T*>(a);
    const auto second = reinterpret_cast<const T*>(b);
    if constexpr (bypass) {
      blend_row_bypass<T, lanes>(to, first, second, static_cast<Compute<T>>(weight), columns);
    } else {
      blend_row<T, lanes>(to, first, second, static_cast<Compute<T>>(weight), columns);
    }
  });
}

template <bool bypass>
void apply_unchanged(const Store& store) {
  if (store.stream.place.interp != Interp::linear) return copy_rows<bypass>(store);
  switch (store.stream.dtype) {
    case DType::f64:
      return blend_rows<double, bypass>(store);
    case DType::f32:
      return blend_rows<float, bypass>(store);
    case DType::f16:
      return blend_rows<f16, bypass>(store);
    case DType::bf16:
      return blend_rows<bf16, bypass>(store);
    default:
      return;  // The front door lets no other type be blended.
  }
}

}  // namespace

void apply(const Store& store) {
  const AlignStream& stream = store.stream;
  const bool factors = stream.scale != nullptr || stream.bias != nullptr;
  if (stream.place.interp == Interp::slerp) return apply_slerp(store);
  if (stream.value_column != 1 || stream.dtype != stream.out_dtype || factors) return apply_converted(store);
  if (store.bypass) {
    apply_unchanged<true>(store);
  } else {
    apply_unchanged<false>(store);
  }
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
