#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/align.hpp"
#include "math/unit.hpp"

// A namespace for each ISA level: the linker never sees two functions of one name that were compiled differently.
namespace robocache::cpu::ROBOCACHE_ISA {

/// Targets of one batch row that are located together: their placements stay in the first-level cache.
inline constexpr std::int64_t kTile = 64;

/// What one output row of one run of columns is made of.
using Row = PlanStep;

inline bool is_fill(const Row& row) { return row.index < 0; }
inline bool blends(const Row& row) { return row.index >= 0 && row.weight != 0; }

/// The widths stay as they are. Of a placement that copies, the weight is 0.
inline void set_row(Row& row, const Placement& p) {
  row.index = p.store == Placement::Store::fill ? -1 : p.index;
  row.weight = p.weight;
}
inline void set_row(Row& row, const UnitPlace& u) {
  set_row(row, u.p);
  row.before_width = u.around.before_width;
  row.after_width = u.around.after_width;
}

/// The rows of a tile, and the one before them. Not set to anything.
union TileRows {
  TileRows() {}
  Row storage[kTile + 1];
};

/// Where valid and age_ns of one tile and stream go; null: not wanted.
struct Marks {
  bool* valid = nullptr;
  std::int64_t* age_ns = nullptr;
  std::int64_t valid_row = 0;
  std::int64_t age_row = 0;
  bool joins =
      false;  ///< earlier runs of the stream have been here: a row is valid where all are, as old as the oldest

  void set(std::int64_t r, bool ok, std::int64_t age) const {
    if (joins) return join(r, ok, age);
    if (valid != nullptr) valid[r * valid_row] = ok;
    if (age_ns != nullptr) age_ns[r * age_row] = age;
  }
  void join(std::int64_t r, bool ok, std::int64_t age) const {
    if (!ok) invalidate(r);
    if (age_ns != nullptr && age_ns[r * age_row] < age) age_ns[r * age_row] = age;
  }
  void invalidate(std::int64_t r) const {
    if (valid != nullptr) valid[r * valid_row] = false;
  }
};

/// Places the units of rows one by one, where samples can be missing in some of them. Each once: it marks the row.
struct UnitPlacer {
  void* tile = nullptr;  ///< null: all units of a row are placed as it says
  UnitPlace (*place)(void* tile, std::int64_t r, std::int64_t unit) = nullptr;

  [[nodiscard]] bool given() const { return tile != nullptr; }
  UnitPlace operator()(std::int64_t r, std::int64_t unit) const { return place(tile, r, unit); }
};

/// How the signs of a tile's quaternions follow those of the tile before it.
struct Signs {
  bool lead = false;                  ///< there is a row -1: that of the target before, computed but not stored
  const std::int8_t* seed = nullptr;  ///< [units] the sign of row -1 relative to its samples; null: 1
  std::int8_t* last = nullptr;        ///< [units] set to that of the last row; null: not wanted
};

/// Rows of one run of columns and tile to be stored. Row r comes from sample rows[r].index, counted from `samples`, and
/// goes to out + r * stream.out_row.
struct Store {
  const AlignStream& stream;
  const std::byte* samples;
  const Row* rows;
  std::int64_t count;
  std::byte* out;
  bool ahead;   ///< fetch samples before they are needed: they are not in a near cache
  bool bypass;  ///< write past the caches: the result does not fit in them
  Marks marks;
  Signs signs;
  UnitPlacer units;
  const bool* apart;  ///< [count] with `units`, except for quaternions: these rows are the ones that it places

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

/// The same for quaternions and poses.
void apply_quaternions(const Store& store);

/// The rows that are to be placed unit by unit, where a unit is a column.
void apply_apart(const Store& store);

/// Writes a fill value.
void fill(std::byte* out, DType dtype, std::int64_t columns, double value);

}  // namespace robocache::cpu::ROBOCACHE_ISA
