#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <robocache/context.hpp>
#include <robocache/data_check.hpp>
#include <robocache/error.hpp>
#include <robocache/tensor.hpp>

namespace robocache {

/// How a value between two samples is made. `automatic`: linear for floats, hold for integers and bools.
///   hold     the last sample at or before the target
///   nearest  the nearer sample; the earlier one on a tie
///   linear   a + w * (b - a)
///   slerp    unit quaternions in groups of four columns, shortest arc, renormalised, each in the hemisphere of the
///            target before it; the order of the components (xyzw or wxyz) is the caller's and is kept
///   se3      poses in groups of seven columns: the position (three) linear, the quaternion behind it slerp
///   screw    poses as for se3, along the screw motion from one to the next: a constant twist
///   pchip    monotone cubic (Fritsch, Butland 1984) as scipy's PchipInterpolator; duplicate stamps break the curve
///   angle    rad, in any number of columns: the shorter way around; stored in [-pi, pi)
enum class Interp : std::uint8_t { automatic, hold, nearest, linear, slerp, se3, screw, pchip, angle };

/// Consecutive columns of a stream that have an interpolation of their own.
struct ColumnRun {
  Interp interp = Interp::automatic;
  std::int64_t columns = 0;
};

/// Which component of a quaternion is the scalar. Only `screw` asks.
enum class QuaternionOrder : std::uint8_t { xyzw, wxyz };

/// What stands for samples that are missing: NaN (in a column; in any column of a quaternion or pose), or left out by
/// Stream::mask.
enum class Missing : std::uint8_t {
  propagate,  ///< nothing: NaN spreads as arithmetic says; a masked sample is NaN (0 for integers) and not valid
  skip,       ///< the nearest samples present on either side, as if there were no others
  hold        ///< the value of the last sample present before it
};

/// What is written for targets outside a stream's time range; `valid` is false there whatever is written.
struct Outside {
  enum class Policy : std::uint8_t {
    hold,         ///< the first or last sample
    fill,         ///< `value` (NaN on integers and bools writes 0)
    extrapolate,  ///< continues the first or last interval of non-zero length; hold and nearest: as `hold`
    error         ///< InvalidArgument
  };
  Policy policy = Policy::hold;
  double value = std::numeric_limits<double>::quiet_NaN();
};

inline constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

/// One sensor: samples and their stamps. B batch, S samples, D features, G segments, N packed samples.
///   values   [G, S, D], or [N, D] with offsets    any dtype, any strides
///   stamps   [G, S], [S] (shared), or [N]         i64 ns | f64 s | f32 s; non-decreasing in each segment
///   lengths  [G]    i32 | i64   samples of each segment; the padding behind them is never read; excludes offsets
///   offsets  [G+1]  i32 | i64   segment g is the packed samples offsets[g] .. offsets[g+1]-1
///   rows     [B]    i32 | i64   batch row b reads segment rows[b]; not given: G = B, segment b
///   scale    [D]    f32         stored = value * scale + bias, float outputs only
///   bias     [D]    f32
///   mask     [G, S], [S] or [N] bool   false: the sample is missing
///   runs     together D columns; not given: all columns are `interp`
struct Stream {
  ConstTensor values{};
  ConstTensor stamps{};
  Interp interp = Interp::automatic;
  Outside before{};
  Outside after{};
  std::int64_t max_gap_ns = kNoLimit;  ///< width of the bracketing interval; more: invalid, value kept
  std::int64_t max_age_ns = kNoLimit;  ///< distance to the nearest sample used; more: invalid, value kept
  std::int64_t offset_ns = 0;          ///< added to the stamps (in the stamps' own type)
  ConstTensor lengths{};
  ConstTensor offsets{};
  ConstTensor rows{};
  ConstTensor scale{};
  ConstTensor bias{};
  ConstTensor mask{};
  Missing missing = Missing::propagate;
  std::span<const ColumnRun> runs{};
  QuaternionOrder quaternion = QuaternionOrder::xyzw;
  std::string_view name{};  ///< used in error texts
};

/// When to align: at[b, t], or origin[b] + at[b, t].
///   at      [B, T] or [T]   the stamps' dtype; any order
///   origin  [B]             the stamps' dtype
struct Targets {
  ConstTensor at;
  ConstTensor origin{};

  Targets(const ConstTensor& times) : at(times) {}  // NOLINT(google-explicit-constructor): align(streams, at, ...)
  Targets(const Tensor& times) : at(times) {}       // NOLINT(google-explicit-constructor)
  Targets(const ConstTensor& times, const ConstTensor& row_origin) : at(times), origin(row_origin) {}
};

/// Puts N streams at the same instants. DESIGN and docs/alignment.md hold the full contract.
///   streams  N >= 1
///   out      [B, T, sum D], or one [B, T, D] per stream; written. A stream's own dtype, or any float dtype. Columns of
///            one row must be contiguous; rows and batch may have any pitch. Outputs must overlap neither inputs nor
///            each other: refused where arrays without gaps tell.
///   valid    [B, T, N] bool or not given: in range, gap and age kept, a sample found
///   age_ns   [B, T, N] i64 or not given: target minus the stamp of the last sample at or before it; negative only
///            before the first; INT64_MAX with no samples or a NaN target
/// On CUDA one launch (two for quaternions at many targets, one more where streams of several kinds meet), ordered on
/// ctx.stream; returns before the GPU is done and can be captured in a graph.
/// Throws InvalidArgument (shape, dtype, device, on the CPU unsorted or NaN stamps), Unsupported (dtype, interp).
Pending align(std::span<const Stream> streams, const Targets& at, std::span<const Tensor> out, const Tensor& valid,
              const Tensor& age_ns, DataCheck check = DataCheck::automatic, const Context& ctx = {});

/// align with one stream and no validity: out [B, T, D].
Pending resample(const Stream& stream, const Targets& at, const Tensor& out, DataCheck check = DataCheck::automatic,
                 const Context& ctx = {});

/// What align finds out before it looks at values, kept for streams that share a clock, or for another epoch.
///   clock   stamps, interp or runs, limits, outside, lengths, offsets, rows as in align; no values, no mask
///   steps   [C, B, T, 4] i64   written; contiguous. C: how many of {hold}, {nearest}, {all curves} interp or runs
///           have, in this order. Word 0 is the sample within its segment, or -1; word 1 the bits of a double: the
///           weight of the next sample (0: the sample itself), or what is written where there is no sample; the others
///           belong to pchip.
///   valid, age_ns   [B, T, 1] or not given, as in align
Pending plan(const Stream& clock, const Targets& at, const Tensor& steps, const Tensor& valid, const Tensor& age_ns,
             DataCheck check = DataCheck::automatic, const Context& ctx = {});

/// Applies a plan to values: what resample would write, bit for bit.
///   steps   [C, B, T, 4]   of a plan for as many samples, with the same lengths, offsets and rows; a stride of 0 in B
///           shares it
///   stream  values, lengths, offsets, rows, scale, bias; interp or runs of the plan's classes
///   out     [B, T, D]
void apply_plan(const ConstTensor& steps, const Stream& stream, const Tensor& out, const Context& ctx = {});

}  // namespace robocache
