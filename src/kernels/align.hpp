#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "core/fault.hpp"
#include "core/index_list.hpp"
#include "core/isa.hpp"
#include "core/visit.hpp"
#include "math/place.hpp"
#include "robocache/align.hpp"

namespace robocache {

/// The lists that the front door checks, both backends instantiate and the tests read.
using AlignTimes = Values<DType::i64, DType::f64, DType::f32>;
using AlignFloats = Values<DType::f64, DType::f32, DType::f16, DType::bf16>;
using AlignIndices = Values<DType::i32, DType::i64>;

/// Calls f.operator()<T>() with the type of stamps and targets.
template <class F>
void with_time_type(DType time, const F& f) {
  switch (time) {
    case DType::i64:
      return f.template operator()<std::int64_t>();
    case DType::f64:
      return f.template operator()<double>();
    default:
      return f.template operator()<float>();
  }
}

/// What a plan keeps for a target: a Placement without its marks, and what a cubic needs. Told apart by their values:
///   index < 0        fill: `weight` is the value (NaN: none)
///   weight == 0      copy: sample `index`
///   else             blend: samples `index` and index + 1, and their shoulders where the widths are not 0
struct PlanStep {
  std::int64_t index = -1;
  double weight = 0;
  double before_width = 0;  ///< of the interval before, in units of this one; to sample index - 1
  double after_width = 0;   ///< of the interval after; to sample index + 2
};

/// A step as it can be taken among `count` samples: one that was made for more of them has no value.
ROBOCACHE_HD PlanStep usable_step(PlanStep s, std::int64_t count) {
  const bool blends = s.weight != 0;
  if (s.index >= count - (blends ? 1 : 0)) return {-1, std::numeric_limits<double>::quiet_NaN(), 0, 0};
  if (s.index < 1) s.before_width = 0;
  if (s.index + 2 >= count) s.after_width = 0;
  return s;
}

/// One run of columns of a stream, checked and with every default resolved (interp is never `automatic`). Pitches count
/// elements.
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
  const bool* mask = nullptr;  ///< null: all samples are there; else as stamps, with pitches of its own
  std::int64_t mask_batch = 0, mask_row = 1;
  Missing missing = Missing::propagate;
  QuaternionOrder quaternion = QuaternionOrder::xyzw;
  std::uint32_t number = 0;  ///< of the stream: in faults, and its column of valid and age_ns
  bool continues = false;    ///< the same stream as the entry before it: all but values, out, columns, scale, bias and
                             ///< place.interp are alike, and `valid` says whether all its runs are
  const PlanStep* read_steps = nullptr;  ///< placements from a plan, [B, T] with steps_batch; there are no stamps then
  std::int64_t steps_batch = 0;          ///< 0: a plan that the batch shares
  PlanStep* write_steps = nullptr;       ///< [B, T]: for a plan; there are no columns then
  DType dtype = DType::f32;
  DType out_dtype = DType::f32;  ///< dtype, or a float type
};

/// align in the form that both backends take and that the engine fills in directly.
struct AlignArgs {
  std::span<const AlignStream> streams;  ///< runs of one stream lie side by side
  DType time = DType::i64;               ///< of stamps, at and origin
  const void* at = nullptr;              ///< target (b, t) is at[b * at_batch + t * at_row] (+ origin[b])
  const void* origin = nullptr;          ///< null: none
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

/// On ctx.stream of the current device. One launch for up to 64 runs of columns that one kernel can do; a second one
/// for quaternions that take more than one tile of targets.
void align(const AlignArgs& args, const FaultSink& sink, const Context& ctx);

}  // namespace cuda

}  // namespace robocache
