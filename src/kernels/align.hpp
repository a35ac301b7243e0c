#pragma once

#include <cstdint>
#include <span>

#include "core/fault.hpp"
#include "core/isa.hpp"
#include "core/visit.hpp"
#include "math/place.hpp"
#include "robocache/align.hpp"

namespace robocache {

/// The lists that the front door checks, both backends instantiate and the tests read.
using AlignTimes = Values<DType::i64, DType::f64, DType::f32>;
using AlignFloats = Values<DType::f64, DType::f32, DType::f16, DType::bf16>;
using AlignIndices = Values<DType::i32, DType::i64>;

/// A [G], [G+1] or [B] list of counts or indices; null: not given.
struct IndexList {
  const void* data = nullptr;
  std::int64_t stride = 0;
  bool wide = false;  ///< i64, else i32

  [[nodiscard]] ROBOCACHE_HD std::int64_t operator[](std::int64_t i) const {
    return wide ? static_cast<const std::int64_t*>(data)[i * stride]
                : static_cast<std::int64_t>(static_cast<const std::int32_t*>(data)[i * stride]);
  }
};

/// One stream, checked and with every default resolved (interp is never `automatic`). Pitches count elements.
/// Sample s of segment g is values + g * value_batch + s * value_row + d * value_column; with offsets, value_batch and
/// stamp_batch are 0 and s counts from offsets[g]. A shared clock has stamp_batch 0.
struct AlignStream {
  const void* values = nullptr;
  const void* stamps = nullptr;
  void* out = nullptr;           ///< row (b, t) starts at out + b * out_batch + t * out_row; columns are contiguous
  const float* scale = nullptr;  ///< [columns], contiguous; stored = value * scale + bias; fills are stored as they are
  const float* bias = nullptr;
  IndexList lengths, offsets, rows;
  std::int64_t samples = 0;   ///< S; with offsets the length N of the packed samples
  std::int64_t segments = 0;  ///< G
  std::int64_t columns = 0;   ///< D
  std::int64_t value_batch = 0, value_row = 0, value_column = 1;
  std::int64_t stamp_batch = 0, stamp_row = 1;
  std::int64_t out_batch = 0, out_row = 0;
  std::int64_t offset_ns = 0;
  PlaceOptions place{};
  DType dtype = DType::f32;
  DType out_dtype = DType::f32;  ///< dtype, or a float type
};

/// align in the form that both backends take and that the engine fills in directly.
struct AlignArgs {
  std::span<const AlignStream> streams;
  DType time = DType::i64;       ///< of stamps, at and origin
  const void* at = nullptr;      ///< target (b, t) is at[b * at_batch + t * at_row] (+ origin[b])
  const void* origin = nullptr;  ///< null: none
  std::int64_t at_batch = 0, at_row = 1, origin_row = 0;
  std::int64_t batch = 0, targets = 0;  ///< B, T: never 0 here
  bool* valid = nullptr;                ///< null: not wanted
  std::int64_t* age_ns = nullptr;       ///< null: not wanted
  std::int64_t valid_batch = 0, valid_row = 0, valid_stream = 0;
  std::int64_t age_batch = 0, age_row = 0, age_stream = 0;
  bool check_data = true;  ///< look for faults; bad lengths, offsets and rows are never followed
};

/// The samples of one segment after clamping what the data got wrong: never outside the memory of the stream.
struct Segment {
  std::int64_t index = 0;  ///< of the segment
  std::int64_t first = 0;  ///< sample that s = 0 means (offsets[g], else 0)
  std::int64_t count = 0;
};

/// The segment that batch row b of a stream reads; `fault` is set where rows, offsets or lengths are bad.
ROBOCACHE_HD Segment segment_of(const AlignStream& stream, std::int64_t b, Fault::Code& fault) {
  Segment s{b, 0, stream.samples};
  if (stream.rows.data != nullptr) {
    s.index = stream.rows[b];
    if (s.index < 0 || s.index >= stream.segments) {
      fault = Fault::Code::rows;
      return {0, 0, 0};
    }
  }
  if (stream.offsets.data != nullptr) {
    const std::int64_t begin = stream.offsets[s.index];
    const std::int64_t end = stream.offsets[s.index + 1];
    if (begin < 0 || end < begin || end > stream.samples) {
      fault = Fault::Code::offsets;
      return {s.index, 0, 0};
    }
    s.first = begin;
    s.count = end - begin;
  } else if (stream.lengths.data != nullptr) {
    const std::int64_t length = stream.lengths[s.index];
    if (length < 0 || length > stream.samples) {
      fault = Fault::Code::length;
      return {s.index, 0, 0};
    }
    s.count = length;
  }
  return s;
}

namespace cpu {

/// One instance per ISA level. Returns the first fault by stream, row and item; every output row is written all the
/// same.
template <Isa>
Fault align(const AlignArgs& args, const Context& ctx);

}  // namespace cpu

namespace cuda {

/// One launch (for up to 64 streams; more take several) on ctx.stream of the current device.
void align(const AlignArgs& args, const FaultSink& sink, const Context& ctx);

}  // namespace cuda

}  // namespace robocache
