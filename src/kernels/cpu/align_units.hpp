#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/cpu/align_elements.hpp"
#include "kernels/cpu/align_locate.hpp"

// Placement where samples can be missing: in a row, or in some units of it only.
namespace robocache::cpu::ROBOCACHE_ISA {

/// Which samples of a segment are there, as far as the mask says.
class MaskedSamples {
 public:
  MaskedSamples(const AlignStream& stream, const Segment& segment)
      : mask_(stream.mask != nullptr ? stream.mask + segment.index * stream.mask_batch + segment.first * stream.mask_row
                                     : nullptr),
        row_(stream.mask_row) {}

  bool operator()(std::int64_t s) const {
    return mask_ == nullptr || load_bytes<std::uint8_t>(mask_ + s * row_) != 0;  // As a byte: it may not be 0 or 1.
  }

 private:
  const bool* mask_;
  std::int64_t row_;
};

/// Places the rows of one run and tile whose float elements are missing where they are NaN, too.
template <class S, class T>
class UnitTile {
 public:
  UnitTile(const S& stamp, const TileTargets<T>& targets, const std::int64_t* found, const AlignStream& stream,
           const MaskedSamples& masked, const std::byte* samples, const Marks& marks)
      : stamp_(stamp),
        targets_(targets),
        found_(found),
        stream_(stream),
        masked_(masked),
        samples_(samples),
        marks_(marks),
        nan_(nan_test(stream.dtype)) {}

  /// Where nothing is missing around a row, it is placed as one; the other rows are `apart`.
  void place_rows(Row* rows, bool* apart) {
    for (std::int64_t r = 0; r < targets_.count; ++r) {
      const UnitPlace u = place_all(r);
      apart[r] = !(complete_around(found_[r]) && complete_around(u.p.index));
      if (apart[r]) {
        rows[r] = {};
        begin_row(r);
      } else {
        set_row(rows[r], u);
        mark(r, u.p);
      }
    }
  }

  /// All units of all rows are placed one by one.
  void begin_rows() {
    for (std::int64_t r = 0; r < targets_.count; ++r) begin_row(r);
  }

  UnitPlacer placer() {
    return {this, [](void* tile, std::int64_t r, std::int64_t unit) {
              return static_cast<UnitTile*>(tile)->place_one(r, unit);
            }};
  }
  /// The first row that the stream refuses, or -1.
  [[nodiscard]] std::int64_t refused() const { return refused_; }

 private:
  UnitPlace place_all(std::int64_t r) const {
    const auto everywhere = [](std::int64_t) { return true; };
    return place_unit(stamp_, stamp_.count, everywhere, Missing::propagate, found_[r], targets_[r], stream_.place);
  }

  UnitPlace place_one(std::int64_t r, std::int64_t unit) {
    const std::int64_t columns = unit_columns(stream_.place.interp);
    const auto has = [&](std::int64_t s) {
      return masked_(s) && !nan_(sample(s, unit * columns), stream_.value_column, columns);
    };
    const UnitPlace u = place_unit(stamp_, stamp_.count, has, stream_.missing, found_[r], targets_[r], stream_.place);
    if (r >= 0) mark(r, u.p, true);
    return u;
  }

  /// Whether samples i - 1 to i + 2, as far as there are such, are there in all columns. A placement that looks at no
  /// others is the same for all units.
  bool complete_around(std::int64_t i) {
    for (std::int64_t s = i - 1; s <= i + 2; ++s) {
      if (s >= 0 && s < stamp_.count && !complete(s)) return false;
    }
    return true;
  }

  bool complete(std::int64_t s) {
    Known& known = known_[s % kKnown];
    if (known.sample != s) known = {s, masked_(s) && !nan_(sample(s, 0), stream_.value_column, stream_.columns)};
    return known.complete;
  }

  [[nodiscard]] const std::byte* sample(std::int64_t s, std::int64_t column) const {
    return samples_ +
           (s * stream_.value_row + column * stream_.value_column) * static_cast<std::int64_t>(size_of(stream_.dtype));
  }

  void begin_row(std::int64_t r) const {
    if (!marks_.joins) marks_.set(r, true, std::numeric_limits<std::int64_t>::min());
  }
  void mark(std::int64_t r, const Placement& p, bool one_of_many = false) {
    if (one_of_many) {
      marks_.join(r, p.valid, p.age_ns);
    } else {
      marks_.set(r, p.valid, p.age_ns);
    }
    if (p.refused && (refused_ < 0 || r < refused_)) refused_ = r;
  }

  struct Known {
    std::int64_t sample = -1;
    bool complete = false;
  };
  static constexpr std::int64_t kKnown = 8;

  const S& stamp_;
  const TileTargets<T>& targets_;
  const std::int64_t* found_;
  const AlignStream& stream_;
  const MaskedSamples& masked_;
  const std::byte* samples_;
  Marks marks_;
  NanTest nan_;
  std::int64_t refused_ = -1;
  Known known_[kKnown];
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
