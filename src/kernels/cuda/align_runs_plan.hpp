#pragma once

#include <algorithm>
#include <span>

#include "kernels/cuda/align_plan.hpp"
#include "math/unit.hpp"

// Of streams with several runs of columns, on the host.
namespace robocache::cuda {

/// The runs of the stream that begins with entry i.
inline std::span<const AlignStream> runs_of(std::span<const AlignStream> entries, std::size_t i) {
  std::size_t end = i + 1;
  while (end < entries.size() && entries[end].continues) ++end;
  return entries.subspan(i, end - i);
}

/// The entries from `first` on that one launch takes: whole streams only.
inline std::span<const AlignStream> launch_of(std::span<const AlignStream> entries, std::size_t first) {
  std::size_t end = first;
  while (end < entries.size()) {
    const std::size_t runs = runs_of(entries, end).size();
    if (end > first && end + runs - first > kAlignStreams) break;
    end += runs;
  }
  return entries.subspan(first, end - first);
}

/// In order of what they can do.
enum class Kernel : std::uint8_t { plain, curves, general };

/// Columns of a curve that its kernel takes: it counts the bytes of a row in 32 bits.
inline constexpr std::int64_t kMostCurveColumns = (std::int64_t{1} << 30) - 1;

/// The first that can serve a run; `width` as in AlignPlan.
inline Kernel kernel_of(const AlignStream& s, int width) {
  if (s.mask != nullptr || s.missing != Missing::propagate) return Kernel::general;
  const auto size = static_cast<int>(size_of(s.dtype));
  const bool planned = s.continues || s.read_steps != nullptr || s.write_steps != nullptr;
  const Interp interp = s.place.interp;
  if (s.columns == 0) return planned || is_curve(interp) ? Kernel::curves : Kernel::plain;
  if (width == 0 || s.value_column != 1) return Kernel::general;
  if (interp <= Interp::linear) return width < 8 ? Kernel::general : planned ? Kernel::curves : Kernel::plain;
  const bool narrow = s.dtype != DType::f64 && s.columns <= kMostCurveColumns;
  const bool fits = (interp == Interp::se3 && width >= size) || (interp == Interp::slerp && width >= 4 * size) ||
                    ((interp == Interp::pchip || interp == Interp::angle) && width >= 4);
  return narrow && fits ? Kernel::curves : Kernel::general;
}

/// Says in the plan of a stream's first run what the others are.
inline void plan_runs(std::span<const AlignStream> runs, AlignPlan& plan) {
  plan.runs = static_cast<std::uint8_t>(runs.size());
  plan.units = static_cast<std::uint32_t>(runs.front().columns / unit_columns(runs.front().place.interp));
  for (std::size_t r = runs.size(); r-- > 0;) {
    const AlignStream& run = runs[r];
    const Interp interp = run.place.interp;
    plan.class_run[is_curve(interp) ? 2 : interp == Interp::nearest ? 1 : 0] = static_cast<std::uint8_t>(r);
    plan.shoulders = plan.shoulders || interp == Interp::pchip || run.write_steps != nullptr;
    plan.signs = plan.signs || has_quaternion(interp);
  }
}

/// Bytes for the signs of a run's tiles.
inline std::size_t sign_bytes(const AlignStream& run, std::uint32_t batch, std::uint32_t tiles) {
  if (!has_quaternion(run.place.interp) || tiles < 2) return 0;
  return std::size_t{batch} * tiles * static_cast<std::size_t>(run.columns / unit_columns(run.place.interp));
}

}  // namespace robocache::cuda
