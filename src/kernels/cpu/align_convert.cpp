#include <type_traits>

#include "kernels/cpu/align_tile.hpp"
#include "kernels/cpu/simd.hpp"
#include "math/quaternion.hpp"

// Apply for everything that is not a copy or a blend of contiguous rows of one type: through chunks of the compute
// type.
namespace robocache::cpu::ROBOCACHE_ISA {

namespace {

/// Calls f.operator()<T>() with the element type of `dtype`.
template <class F>
ROBOCACHE_SIMD auto with_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f64:
      return f.template operator()<double>();
    case DType::f32:
      return f.template operator()<float>();
    case DType::f16:
      return f.template operator()<f16>();
    case DType::bf16:
      return f.template operator()<bf16>();
    case DType::i64:
      return f.template operator()<std::int64_t>();
    case DType::i32:
      return f.template operator()<std::int32_t>();
    case DType::i16:
      return f.template operator()<std::int16_t>();
    case DType::i8:
      return f.template operator()<std::int8_t>();
    case DType::u64:
      return f.template operator()<std::uint64_t>();
    case DType::u32:
      return f.template operator()<std::uint32_t>();
    case DType::u16:
      return f.template operator()<std::uint16_t>();
    case DType::u8:
      return f.template operator()<std::uint8_t>();
    case DType::boolean:
      break;
  }
  return f.template operator()<bool>();
}

/// n elements, `stride` apart, in compute type C.
template <class C>
using Read = void (*)(C* to, const std::byte* from, std::int64_t stride, std::int64_t n);

template <class C, class T>
void read(C* to, const std::byte* from, std::int64_t stride, std::int64_t n) {
  // A bool is read as a byte: any other byte than 0 and 1 would be undefined as a bool.
  using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;
  const auto element = [from](std::int64_t i) {
    const auto stored = load_bytes<Stored>(from + i * static_cast<std::int64_t>(sizeof(T)));
    if constexpr (std::is_same_v<T, bool>) {
      return widened<C>(stored != 0);
    } else {
      return widened<C>(stored);
    }
  };
  if (stride == 1) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = element(i);
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = element(i * stride);
  }
}

template <class C>
Read<C> reader(DType dtype) {
  return with_type(dtype, []<class T>() -> Read<C> { return read<C, T>; });
}

template <class C>
using Write = void (*)(std::byte* to, const C* from, std::int64_t n);

template <class C>
Write<C> writer(DType dtype) {
  return with_type(dtype, []<class T>() -> Write<C> {
    if constexpr (is_half<T> || std::is_floating_point_v<T>) {
      return [](std::byte* to, const C* from, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i)
          store_bytes(to + i * static_cast<std::int64_t>(sizeof(T)), narrowed<T>(from[i]));
      };
    } else {
      return nullptr;  // Integers are copied, never computed.
    }
  });
}

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

template <class C>
void scale_and_shift(const AlignStream& stream, C* values, std::int64_t first, std::int64_t n) {
  if (stream.scale != nullptr) {
    for (std::int64_t i = 0; i < n; ++i) values[i] *= static_cast<C>(stream.scale[first + i]);
  }
  if (stream.bias != nullptr) {
    for (std::int64_t i = 0; i < n; ++i) values[i] += static_cast<C>(stream.bias[first + i]);
  }
}

/// Calls chunk(out, from, first column, columns) for each piece of at most `most` columns of a row.
template <class F>
void for_chunks(const Store& store, std::int64_t r, std::int64_t most, const F& chunk) {
  const AlignStream& stream = store.stream;
  const std::int64_t step = stream.value_column * static_cast<std::int64_t>(size_of(stream.dtype));
  for (std::int64_t d = 0; d < stream.columns; d += most) {
    chunk(store.row(r) + d * static_cast<std::int64_t>(size_of(stream.out_dtype)),
          store.sample(store.rows[r].index) + d * step, d, stream.columns - d < most ? stream.columns - d : most);
  }
}

template <class C>
void convert_rows(const Store& store) {
  constexpr std::int64_t kChunk = 128;
  const AlignStream& stream = store.stream;
  const std::int64_t stride = stream.value_column;
  const std::int64_t next_sample = stream.value_row * static_cast<std::int64_t>(size_of(stream.dtype));
  const bool unchanged = stream.dtype == stream.out_dtype && stream.scale == nullptr && stream.bias == nullptr;
  const Read<C> read_some = reader<C>(stream.dtype);
  const Write<C> write_some = writer<C>(stream.out_dtype);
  for (std::int64_t r = 0; r < store.count; ++r) {
    const Row& row = store.rows[r];
    if (row.store == Placement::Store::fill) {
      fill(store.row(r), stream.out_dtype, stream.columns, row.weight);
    } else if (row.store == Placement::Store::copy && unchanged) {
      gather(store.row(r), store.sample(row.index), stride, stream.columns, size_of(stream.dtype));
    } else {
      for_chunks(store, r, kChunk, [&](std::byte* out, const std::byte* from, std::int64_t first, std::int64_t n) {
        C a[kChunk];
        read_some(a, from, stride, n);
        if (row.store == Placement::Store::blend) {
          C b[kChunk];
          read_some(b, from + next_sample, stride, n);
          const C w = static_cast<C>(row.weight);
          for (std::int64_t i = 0; i < n; ++i) a[i] = a[i] + w * (b[i] - a[i]);
        }
        scale_and_shift(stream, a, first, n);
        write_some(out, a, n);
      });
    }
  }
}

}  // namespace

void apply_converted(const Store& store) {
  const AlignStream& stream = store.stream;
  const bool wide = stream.dtype == DType::f64 || (!is_float(stream.dtype) && stream.out_dtype == DType::f64);
  if (wide) {
    convert_rows<double>(store);
  } else {
    convert_rows<float>(store);
  }
}

void apply_slerp(const Store& store) {
  const AlignStream& stream = store.stream;
  const std::int64_t next_sample = stream.value_row * static_cast<std::int64_t>(size_of(stream.dtype));
  const Read<double> read_some = reader<double>(stream.dtype);
  const Write<double> write_some = writer<double>(stream.out_dtype);
  for (std::int64_t r = 0; r < store.count; ++r) {
    const Row& row = store.rows[r];
    if (row.store == Placement::Store::fill) {
      fill(store.row(r), stream.out_dtype, stream.columns, row.weight);
      continue;
    }
    for_chunks(store, r, 4, [&](std::byte* out, const std::byte* from, std::int64_t first, std::int64_t n) {
      Quaternion a;
      read_some(a.c, from, stream.value_column, n);
      if (row.store == Placement::Store::blend) {
        Quaternion b;
        read_some(b.c, from + next_sample, stream.value_column, n);
        a = slerp(a, b, row.weight);
      } else {
        a = normalized(a);
      }
      scale_and_shift(stream, a.c, first, n);
      write_some(out, a.c, n);
    });
  }
}

void fill(std::byte* out, DType dtype, std::int64_t columns, double value) {
  with_type(dtype, [=]<class T>() {
    const T element = filled<T>(value);
    for (std::int64_t d = 0; d < columns; ++d) store_bytes(out + d * static_cast<std::int64_t>(sizeof(T)), element);
  });
}

}  // namespace robocache::cpu::ROBOCACHE_ISA
