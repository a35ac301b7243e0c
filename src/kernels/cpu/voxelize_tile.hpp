#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/voxelize_bins.hpp"

// The features of the voxels of one tile.
namespace robocache::cpu::ROBOCACHE_ISA {

/// Voxels of a cloud, and the points in each of them.
struct Tile {
  CloudRange cloud;
  std::span<const std::uint64_t> entries;  ///< the points, as PointBins has them
  std::int64_t first_voxel = 0;            ///< among those of the results
  std::int64_t voxels = 0;
  const std::uint32_t* count = nullptr;  ///< of each voxel
  std::uint32_t most = 0;                ///< of any voxel

  static std::int64_t place(std::uint64_t entry) { return static_cast<std::int64_t>(entry & kPlaceMask); }
  [[nodiscard]] std::int64_t point(std::uint64_t entry) const {
    return cloud.begin + static_cast<std::int64_t>(entry >> kPlaceBits);
  }
};

/// make() returns what one thread does with each Tile; for all tiles of dense grids, and groups of clouds as each_group()
/// makes them.
template <class Fits, class Make>
void each_tile(const VoxelizeArgs& args, const Tiling& tiling, const Context& ctx, const Fits& fits, const Make& make) {
  each_group(args, tiling, fits, [&](CloudGroup group, std::int64_t /*points*/) {
    const PointBins bins(args, group, tiling, ctx);
    const std::int64_t tiles = (group.last - group.first) * tiling.tiles;
    parallel_for(tiles, 4, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
      const auto work = make();
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t cloud = group.first + i / tiling.tiles;
        const std::int64_t t = i % tiling.tiles;
        Tile tile{.cloud = cloud_range(args, cloud),
                  .entries = bins.tile(cloud - group.first, t),
                  .first_voxel = (cloud * tiling.rows + tiling.first_row(t)) * tiling.z,
                  .voxels = tiling.rows_of(t) * tiling.z};
        work(tile);
      }
    });
  });
}

/// Room for a tile's accumulators: of type C, for all its voxels and features, twice; and a counter for each voxel.
template <class C>
struct TileScratch {
  C* first;
  C* second;
  std::uint32_t* left;
};

inline constexpr std::int64_t kFixedColumns = 4;  ///< so many columns at most are known when compiling

/// Features of type T, computed in C. `Columns` is an integer, or a constant of one.
template <class T, class C, class Columns>
class FeatureTile {
 public:
  FeatureTile(const Tile& tile, const PointRows& features, Columns columns, const TileScratch<C>& scratch)
      : tile_(tile),
        columns_(columns),
        scratch_(scratch),
        features_(static_cast<const T*>(features.data) + tile.cloud.base * features.batch),
        row_(features.row),
        column_(features.column) {}

  void reduce(const VoxelOutput& output) const {
    T* out = static_cast<T*>(output.data) + tile_.first_voxel * columns_;
    const auto empty = filled<T>(output.empty);
    constexpr C inf = std::numeric_limits<C>::infinity();
    if (output.reduce == Reduce::sum || output.reduce == Reduce::mean) {
      C* sums = tile_.most > kVoxelSumChunk ? chunked_sums(accumulators(out)) : short_sums(accumulators(out));
      if (output.reduce == Reduce::mean) divide(sums);
      convert(out, sums);
      if (output.empty != 0 || std::signbit(output.empty)) fill_empty(out, empty);  // A sum of nothing is +0.
    } else if (output.reduce == Reduce::min) {
      convert(out, extremes(accumulators(out), inf, [](C v, C best) { return beats(v, best, true); }));
      fill_empty(out, empty);
    } else if (output.reduce == Reduce::max) {
      convert(out, extremes(accumulators(out), -inf, [](C v, C best) { return beats(v, best, false); }));
      fill_empty(out, empty);
    } else {
      copy_points(out, output.reduce == Reduce::first);
      fill_empty(out, empty);
    }
  }

 private:
  /// The result itself where it has their type: written once, while it is in the cache.
  C* accumulators(T* out) const {
    if constexpr (std::is_same_v<T, C>) {
      return out;
    } else {
      return scratch_.first;
    }
  }

  [[nodiscard]] const T* features_of(std::uint64_t entry) const { return features_ + tile_.point(entry) * row_; }

  /// to[d] = f(d) for all columns. All are read before any is written, which the compiler could not know.
  template <class U, class F>
  ROBOCACHE_SIMD void set_row(U* to, const F& f) const {
    if constexpr (std::is_same_v<Columns, std::int64_t>) {
#pragma GCC ivdep
      for (std::int64_t d = 0; d < columns_; ++d) to[d] = f(d);
    } else {
      U row[Columns::value];
      for (std::int64_t d = 0; d < Columns::value; ++d) row[d] = f(d);
      for (std::int64_t d = 0; d < Columns::value; ++d) to[d] = row[d];
    }
  }

  /// accumulator = f(accumulator, feature) for all features of all points, in the order of the points; `then` once a point.
  template <class F, class Then>
  void accumulate(C* into, const F& f, const Then& then) const {
    if (column_ == 1) {
      accumulate(into, std::integral_constant<std::int64_t, 1>{}, f, then);
    } else {
      accumulate(into, column_, f, then);
    }
  }

  template <class Pitch, class F, class Then>
  void accumulate(C* into, Pitch column, const F& f, const Then& then) const {
    constexpr std::size_t ahead = 48;  // The points of a tile are far apart in memory.
    const std::size_t n = tile_.entries.size();
    for (std::size_t i = 0; i < n; ++i) {
      if (i + ahead < n) __builtin_prefetch(features_of(tile_.entries[i + ahead]));
      const std::int64_t voxel = Tile::place(tile_.entries[i]);
      const T* from = features_of(tile_.entries[i]);
      C* to = into + voxel * columns_;
      set_row(to, [&](std::int64_t d) { return f(to[d], widened<C>(from[d * column])); });
      then(voxel);
    }
  }

  C* short_sums(C* sums) const {
    std::fill_n(sums, tile_.voxels * columns_, C{0});
    accumulate(sums, [](C sum, C v) { return sum + v; }, [](std::int64_t) {});
    return sums;
  }

  C* chunked_sums(C* chunks) const {
    C* sums = scratch_.second;
    std::fill_n(chunks, tile_.voxels * columns_, C{0});
    std::fill_n(sums, tile_.voxels * columns_, C{0});
    std::fill_n(scratch_.left, tile_.voxels, kVoxelSumChunk);
    const auto close = [&](std::int64_t voxel) {
      for (std::int64_t i = voxel * columns_; i < (voxel + 1) * columns_; ++i)
        sums[i] += std::exchange(chunks[i], C{0});
      scratch_.left[voxel] = kVoxelSumChunk;
    };
    accumulate(
        chunks, [](C sum, C v) { return sum + v; },
        [&](std::int64_t voxel) {
          if (--scratch_.left[voxel] == 0) close(voxel);
        });
    for (std::int64_t voxel = 0; voxel < tile_.voxels; ++voxel) {
      if (tile_.count[voxel] % kVoxelSumChunk != 0) close(voxel);
    }
    return sums;
  }

  /// The first of the values that nothing beats.
  template <class Wins>
  C* extremes(C* found, C none, const Wins& wins) const {
    std::fill_n(found, tile_.voxels * columns_, none);
    accumulate(found, [&](C best, C v) { return wins(v, best) ? v : best; }, [](std::int64_t) {});
    return found;
  }

  /// A sum of one point is its mean: most voxels have no more, and a branch that is mostly taken costs less than divisions.
  void divide(C* sums) const {
    for (std::int64_t voxel = 0; voxel < tile_.voxels; ++voxel) {
      if (tile_.count[voxel] <= 1) continue;
      const auto count = static_cast<C>(tile_.count[voxel]);
      C* sum = sums + voxel * columns_;
      set_row(sum, [&](std::int64_t d) { return sum[d] / count; });
    }
  }

  void convert(T* out, const C* from) const {
    if (static_cast<const void*>(from) == out) return;
    for (std::int64_t i = 0; i < tile_.voxels * columns_; ++i) out[i] = narrowed<T>(from[i]);
  }

  void fill_empty(T* out, T empty) const {
    T row[kFixedColumns];
    std::fill_n(row, kFixedColumns, empty);
    for (std::int64_t voxel = 0; voxel < tile_.voxels; ++voxel) {
      T* to = out + voxel * columns_;
      if constexpr (std::is_same_v<Columns, std::int64_t>) {
        if (tile_.count[voxel] == 0) std::fill_n(to, columns_, empty);
      } else {
        // Chosen by address: a branch on which voxels have points cannot be predicted.
        const T* from = tile_.count[voxel] == 0 ? row : to;
        set_row(to, [&](std::int64_t d) { return from[d]; });
      }
    }
  }

  /// The features of each voxel's first or last point: of those that are copied, the last stays.
  void copy_points(T* out, bool first) const {
    const std::size_t n = tile_.entries.size();
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t entry = tile_.entries[first ? n - 1 - i : i];
      const T* from = features_of(entry);
      T* to = out + Tile::place(entry) * columns_;
      for (std::int64_t d = 0; d < columns_; ++d) to[d] = from[d * column_];
    }
  }

  const Tile& tile_;
  Columns columns_;
  const TileScratch<C>& scratch_;
  const T* features_;
  std::int64_t row_;
  std::int64_t column_;
};

/// Reduces features of type T, `columns` of them, in tiles of at most `voxels` voxels, with the scratch of one thread.
template <class T, class C>
class FeatureReducer {
 public:
  FeatureReducer(const PointRows& features, std::int64_t columns, std::int64_t voxels, MemoryResource& memory)
      : features_(features),
        columns_(columns),
        left_(memory, voxels),
        first_(memory, std::is_same_v<T, C> ? 0 : voxels * columns),
        second_(memory, voxels * columns) {}

  /// The scratch that one takes.
  static std::int64_t scratch(std::int64_t columns, std::int64_t voxels) {
    const std::int64_t accumulators = std::is_same_v<T, C> ? 1 : 2;
    return voxels * static_cast<std::int64_t>(sizeof(std::uint32_t) + sizeof(C) * accumulators * columns);
  }

  void operator()(const Tile& tile, const VoxelOutput& output) const {
    const auto with = [&](auto columns) {
      const TileScratch<C> scratch{first_.data(), second_.data(), left_.data()};
      FeatureTile<T, C, decltype(columns)>(tile, features_, columns, scratch).reduce(output);
    };
    switch (columns_) {
      case 1:
        return with(std::integral_constant<std::int64_t, 1>{});
      case 3:
        return with(std::integral_constant<std::int64_t, 3>{});
      case 4:
        return with(std::integral_constant<std::int64_t, 4>{});
      default:
        return with(columns_);
    }
  }

 private:
  const PointRows& features_;
  std::int64_t columns_;
  Scratch<std::uint32_t> left_;
  Scratch<C> first_, second_;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
