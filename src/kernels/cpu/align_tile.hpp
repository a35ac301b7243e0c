#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/align.hpp"

// A namespace for each ISA level: the linker never sees two functions of one name that were compiled differently.
namespace robocache::cpu::ROBOCACHE_ISA {

/// Targets of one batch row that are located together: their placements stay in the first-level cache.
inline constexpr std::int64_t kTile = 64;

/// What one output row of one stream is made of: a Placement without its marks.
struct Row {
  std::int64_t index;
  double weight;
  Placement::Store store;
};

/// Rows of one stream and tile to be stored. Row r comes from sample rows[r].index, counted from `samples`, and goes to
/// out + r * stream.out_row.
struct Store {
  const AlignStream& stream;
  const std::byte* samples;
  const Row* rows;
  std::int64_t count;
  std::byte* out;
  bool ahead;   ///< fetch samples before they are needed: they are not in a near cache
  bool bypass;  ///< write past the caches: the result does not fit in them

  [[nodiscard]] const std::byte* sample(std::int64_t index) const {
    return samples + index * stream.value_row * static_cast<std::int64_t>(size_of(stream.dtype));
  }
  [[nodiscard]] std::byte* row(std::int64_t r) const {
    return out + r * stream.out_row * static_cast<std::int64_t>(size_of(stream.out_dtype));
  }
};

/// Writes the rows.
void apply(const Store& store);

/// The same, element by element through the compute type: strided columns, conversions, scale and bias.
void apply_converted(const Store& store);

/// The same for streams of quaternions.
void apply_slerp(const Store& store);

/// Writes the fill value of a row.
void fill(std::byte* out, DType dtype, std::int64_t columns, double value);

}  // namespace robocache::cpu::ROBOCACHE_ISA
