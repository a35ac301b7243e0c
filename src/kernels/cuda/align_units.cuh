#pragma once

#include "kernels/cuda/align_convert.cuh"
#include "kernels/cuda/align_signs.cuh"

// Units of any kind, one by one through their compute type: conversions, strides, scale and bias, missing samples, f64.
namespace robocache::cuda {

/// sample(index, k): column `column` + k of a sample.
struct SampleOf {
  const char* values;
  std::int64_t pitch, step;
  DType dtype;
  std::int64_t column;

  __device__ __forceinline__ SampleOf(const RunTile& tile, std::int64_t first_column)
      : values(tile.values),
        pitch(tile.plan.value_pitch),
        step(tile.stream.value_column * static_cast<std::int64_t>(size_of(tile.stream.dtype))),
        dtype(tile.stream.dtype),
        column(first_column) {}

  __device__ __forceinline__ const char* at(std::int64_t index, int k) const {
    return values + index * pitch + (column + k) * step;
  }
  __device__ __forceinline__ double operator()(std::int64_t index, int k) const {
    return load_f64(dtype, at(index, k));
  }
};

/// Where the units of a row are when no sample can be missing: all alike.
struct RowPlaces {
  __device__ __forceinline__ UnitPlace operator()(const RunTile& tile, std::uint32_t k, std::int64_t) const {
    UnitPlace u;
    u.p.store = static_cast<Placement::Store>(tile.rows.steps[k].store);
    u.p.weight = tile.rows.weights[k];
    u.p.index = tile.rows.samples[k];
    u.p.next = u.p.index + 1;
    if (tile.stream.place.interp != Interp::pchip) return u;
    const Widths widths = tile.widths[k];
    u.around = {widths.before > 0 ? u.p.index - 1 : -1, widths.after > 0 ? u.p.index + 2 : -1, widths.before,
                widths.after};
    return u;
  }
};

/// Where they are when each has holes of its own; remembers what that makes of the row.
template <class T>
struct HolePlaces {
  Stamps<T> stamps;
  std::int64_t samples;
  const bool* mask;  ///< of the segment; null: none
  const T* targets;
  const std::int64_t* last;
  std::int64_t* ages;

  __device__ __noinline__ UnitPlace operator()(const RunTile& tile, std::uint32_t k, std::int64_t column) const {
    const AlignStream& stream = tile.stream;
    const SampleOf sample(tile, column);
    const bool looks = stream.missing != Missing::propagate && is_float(stream.dtype) && stream.columns > 0;
    const auto has = [&](std::int64_t s) {
      if (mask != nullptr && !mask[s * stream.mask_row]) return false;
      for (int i = 0; looks && i < unit_columns(stream.place.interp); ++i) {
        const double value = sample(s, i);
        if (value != value) return false;
      }
      return true;
    };
    const UnitPlace u = place_unit<T>(stamps, samples, has, stream.missing, last[k], targets[k], stream.place);
    if (k < tile.lead) return u;
    const std::uint32_t flags = (u.p.valid ? 0 : kNotValid) | (u.p.refused ? kRefused : 0);
    if (flags != 0) atomicOr(tile.flags + k, flags);
    atomicMax(reinterpret_cast<long long*>(ages + k), static_cast<long long>(u.p.age_ns));
    return u;
  }
};

/// A unit of one column.
template <bool in_f32>
__device__ __forceinline__ void apply_column(const RunTile& tile, const UnitPlace& u, std::int64_t column, char* out) {
  const AlignStream& stream = tile.stream;
  const Interp interp = stream.place.interp;
  const SampleOf sample(tile, column);
  const bool as_is = stream.dtype == stream.out_dtype && stream.scale == nullptr && stream.bias == nullptr;
  if (u.p.store == Placement::Store::fill) {
    store_fill(stream.out_dtype, out, u.p.weight);
  } else if (u.p.store == Placement::Store::copy && as_is && interp != Interp::angle) {
    copy_element(stream.dtype, out, sample.at(u.p.index, 0));
  } else if constexpr (in_f32) {
    float value = load_element<float>(stream.dtype, sample.at(u.p.index, 0));
    if (u.p.store == Placement::Store::blend) {
      const float next = load_element<float>(stream.dtype, sample.at(u.p.next, 0));
      value = value + static_cast<float>(u.p.weight) * (next - value);
    }
    store_element(stream.out_dtype, out, scaled(stream, column, value));
  } else {
    double value;
    const Interp blend = interp == Interp::pchip || interp == Interp::angle ? interp : Interp::linear;
    unit_value<double>(blend, stream.quaternion, u, sample, &value);
    store_element(stream.out_dtype, out, scaled(stream, column, value));
  }
}

template <bool in_f32, class Places>
__device__ __forceinline__ void apply_columns(const RunTile& tile, const Places& places) {
  const AlignStream& stream = tile.stream;
  const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
  const std::uint32_t lanes = 1U << tile.plan.lane_bits;
  const std::uint32_t rows_at_once = kAlignThreads >> tile.plan.lane_bits;
  for (std::uint32_t k = tile.lead + (threadIdx.x >> tile.plan.lane_bits); k < tile.end; k += rows_at_once) {
    char* out = tile.row(k) + (threadIdx.x & (lanes - 1)) * out_size;
    for (std::int64_t column = threadIdx.x & (lanes - 1); column < stream.columns; column += lanes) {
      apply_column<in_f32>(tile, places(tile, k, column), column, out);
      out += lanes * out_size;
    }
  }
}

/// Quaternions and poses of any dtype, in f64; as `apply_rotations` wants them.
template <class Places>
struct AnyRotation {
  using Compute = double;
  static constexpr bool kPicky = false;
  struct Loaded {};
  struct Value {
    double c[7];
    bool filled;
  };
  const RunTile& tile;
  const Places& places;

  __device__ __forceinline__ Loaded load(std::uint32_t, std::uint32_t) const { return {}; }
  __device__ __forceinline__ Value value(std::uint32_t k, std::uint32_t unit, const Loaded&) const {
    return computed(k, unit);
  }
  __device__ __noinline__ Value computed(std::uint32_t k, std::uint32_t unit) const {
    const Interp interp = tile.stream.place.interp;
    const int width = unit_columns(interp);
    const UnitPlace u = places(tile, k, unit * std::int64_t{width});
    Value v{};
    v.filled = u.p.store == Placement::Store::fill;
    if (v.filled) {
      for (double& c : v.c) c = u.p.weight;
      return v;
    }
    const SampleOf sample(tile, unit * std::int64_t{width});
    if (interp == Interp::slerp) {
      unit_value<double>(Interp::slerp, tile.stream.quaternion, u, sample, v.c + 3);
    } else {
      unit_value<double>(interp == Interp::se3 ? Interp::se3 : Interp::screw, tile.stream.quaternion, u, sample, v.c);
    }
    if (v.c[3] != v.c[3]) atomicOr(tile.flags + k, kNotValid);
    return v;
  }
  __device__ __forceinline__ bool is_unusual(const Value&) const { return false; }
  __device__ __forceinline__ Quaternion<double> direction(const Value& v) const {
    const double none = std::numeric_limits<double>::quiet_NaN();
    if (v.filled) return {{none, none, none, none}};
    return {{v.c[3], v.c[4], v.c[5], v.c[6]}};
  }
  __device__ __noinline__ void store(std::uint32_t k, std::uint32_t unit, const Value& v, std::uint32_t turned) const {
    const AlignStream& stream = tile.stream;
    const int width = unit_columns(stream.place.interp);
    const auto out_size = static_cast<std::int64_t>(size_of(stream.out_dtype));
    for (int i = 7 - width; i < 7; ++i) {
      const std::int64_t column = unit * std::int64_t{width} + i - (7 - width);
      char* const out = tile.row(k) + column * out_size;
      if (v.filled) {
        store_fill(stream.out_dtype, out, v.c[i]);
      } else {
        store_element(stream.out_dtype, out, scaled(stream, column, turned != 0 && i >= 3 ? -v.c[i] : v.c[i]));
      }
    }
  }
};

template <class Places>
__device__ __noinline__ void apply_any_rotations(const RunTile tile, const Places places, const TileSigns signs,
                                                 SignExchange& exchange) {
  apply_rotations(tile, AnyRotation<Places>{tile, places}, signs, exchange);
}

}  // namespace robocache::cuda
