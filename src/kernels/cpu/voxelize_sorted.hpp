#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/cpu/voxelize_order.hpp"
#include "kernels/cpu/voxelize_rows.hpp"

namespace robocache::cpu::ROBOCACHE_ISA {

/// Finds the rows of a call by sorting the points by voxel, however many voxels the grid has, and which of them are kept.
class SortedVoxels {
 public:
  explicit SortedVoxels(VoxelRows& rows)
      : rows_(rows),
        args_(rows.args()),
        order_(rows.chunks(), cells(args_.input.grid) * static_cast<std::uint64_t>(args_.input.clouds),
               SparseKeys{args_}, rows.memory()) {
    keep_points();
    keep_voxels();
    rows.cut();
  }

  void write() const {
    rows_.write(
        [this](std::int64_t t, const auto& body) { body(entries(rows_.tiles()[static_cast<std::size_t>(t)])); });
  }

 private:
  void keep_points() {
    if (args_.limits.max_points == kKeepAll) return;
    for (std::int64_t v = 0; v < order_.count(); ++v) {
      order_.voxels()[v].points = std::min(order_.voxels()[v].points, args_.limits.max_points);
    }
  }

  /// Finds each cloud's voxels, and drops those whose first point comes too late.
  void keep_voxels() {
    OccupiedVoxel* const end = order_.voxels() + order_.count();
    OccupiedVoxel* from = order_.voxels();
    OccupiedVoxel* to = from;
    for (std::int64_t b = 0; b < args_.input.clouds; ++b) {
      rows_.offsets()[b] = to - order_.voxels();
      const std::uint64_t key = static_cast<std::uint64_t>(b + 1) * cells(args_.input.grid);
      OccupiedVoxel* const last =
          std::partition_point(from, end, [&](const OccupiedVoxel& voxel) { return voxel.key < key; });
      if (last - from > args_.limits.max_voxels) {
        const auto first_point = [this](const OccupiedVoxel& voxel) { return order_.points()[voxel.begin]; };
        const Scratch<std::uint64_t> firsts(rows_.memory(), last - from);
        std::transform(from, last, firsts.data(), first_point);
        std::uint64_t* const nth = firsts.data() + args_.limits.max_voxels;
        const auto before = [](std::uint64_t one, std::uint64_t other) { return one < other; };
        std::nth_element(firsts.data(), nth, firsts.data() + (last - from), before);
        to = std::copy_if(from, last, to, [&](const OccupiedVoxel& voxel) { return first_point(voxel) < *nth; });
      } else {
        to = to == from ? last : std::copy(from, last, to);
      }
      from = last;
    }
    rows_.offsets()[args_.input.clouds] = to - order_.voxels();
  }

  /// The points of a tile: what the order has of them becomes entries, without gaps.
  [[nodiscard]] std::span<const std::uint64_t> entries(const RowTile& tile) const {
    const OccupiedVoxel* const voxels = order_.voxels();
    const auto first_point = static_cast<std::uint64_t>(rows_.chunks()[tile.cloud].first_point);
    const std::int64_t first_of_inverse = rows_.first_of_inverse(tile.cloud);
    std::uint64_t* const first = order_.points() + voxels[tile.first].begin;
    std::uint64_t* next = first;
    for (std::int64_t row = tile.first; row < tile.last; ++row) {
      const OccupiedVoxel& voxel = voxels[row];
      const std::uint64_t* point = order_.points() + voxel.begin;
      for (std::int64_t i = 0; i < voxel.points; ++i) {
        const std::uint64_t number = *point++ - first_point;
        *next++ = number << kPlaceBits | static_cast<std::uint64_t>(row - tile.first);
        if (args_.inverse != nullptr) args_.inverse[first_of_inverse + static_cast<std::int64_t>(number)] = row;
      }
      rows_.counts()[row] = static_cast<std::uint32_t>(voxel.points);
      rows_.write_coords(row, tile.cloud, voxel.key);
    }
    return {first, next};
  }

  VoxelRows& rows_;
  const VoxelizeSparseArgs& args_;
  VoxelOrder order_;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
