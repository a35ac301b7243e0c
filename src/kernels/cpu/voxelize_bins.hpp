#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

#include "core/thread_pool.hpp"
#include "kernels/voxelize.hpp"
#include "memory/buffer.hpp"

// Points sorted by the tile of their voxel, in their own order within a tile.
namespace robocache::cpu::ROBOCACHE_ISA {

/// How a cloud's grid is cut: into tiles of a power of two of whole rows along z, so that no two tiles share a byte of any result.
struct Tiling {
  std::int64_t rows = 0;    ///< of the grid
  std::int64_t z = 0;       ///< voxels of a row
  int shift = 0;            ///< a tile has 2^shift rows
  std::int64_t tiles = 0;   ///< of a cloud
  std::int64_t voxels = 0;  ///< of a tile, at most 2^24

  Tiling(const VoxelizeArgs& args, std::int64_t bytes_per_voxel) : rows(args.rows()), z(args.grid.shape[2]) {
    constexpr std::int64_t tile_bytes = 512 << 10;  // A tile and its accumulators stay in the L2 of one core.
    const std::int64_t wanted = std::clamp<std::int64_t>(tile_bytes / (z * bytes_per_voxel), 1, rows);
    shift = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(wanted))) - 1;
    tiles = (rows + (std::int64_t{1} << shift) - 1) >> shift;
    voxels = z << shift;
  }

  [[nodiscard]] std::int64_t first_row(std::int64_t tile) const { return tile << shift; }
  [[nodiscard]] std::int64_t rows_of(std::int64_t tile) const {
    return std::min(rows - first_row(tile), std::int64_t{1} << shift);
  }
};

/// A voxel's place in its tile, below what else is said of a point: its tile, or its number in the cloud.
inline constexpr int kPlaceBits = 24;
inline constexpr std::uint64_t kPlaceMask = (std::uint64_t{1} << kPlaceBits) - 1;
inline constexpr std::uint64_t kNoVoxel = ~std::uint64_t{0};

/// An array of scratch memory; zeroed by whoever needs that.
template <class T>
class Scratch {
 public:
  Scratch(MemoryResource& memory, std::int64_t count) : buffer_(memory, static_cast<std::size_t>(count) * sizeof(T)) {}
  [[nodiscard]] T* data() const { return static_cast<T*>(buffer_.data()); }
  T& operator[](std::int64_t i) const { return data()[i]; }

 private:
  Buffer buffer_;
};

class PointBins {
 public:
  PointBins(const VoxelizeArgs& args, const Tiling& tiling, const Context& ctx)
      : args_(args),
        tiling_(tiling),
        memory_(ctx.scratch != nullptr ? *ctx.scratch : host_memory()),
        clouds_(memory_, args.clouds + 1),
        bins_(memory_, args.clouds * (tiling.tiles + 1)),
        chunk_(chunk_size(ctx.threads)),
        first_of_chunks_(memory_, (count_chunks() + 1) * tiling.tiles),
        keys_(memory_, points()),
        entries_(memory_, points()) {
    over_chunks(ctx.threads, [this](const Chunk& chunk) { place(chunk); });
    sum_up(ctx.threads);
    over_chunks(ctx.threads, [this](const Chunk& chunk) { sort(chunk); });
  }

  /// The points in a tile, in their order: number in the cloud << kPlaceBits | place in the tile.
  [[nodiscard]] std::span<const std::uint64_t> tile(std::int64_t cloud, std::int64_t t) const {
    const std::int64_t* bin = &bins_[cloud * (tiling_.tiles + 1) + t];
    return {entries_.data() + bin[0], static_cast<std::size_t>(bin[1] - bin[0])};
  }

 private:
  struct Cloud {
    CloudRange range;
    std::int64_t first_point;  ///< among all clouds' points
    std::int64_t first_chunk;
  };
  /// Points of one cloud that one thread handles.
  struct Chunk {
    std::int64_t cloud, number;
    std::int64_t begin, end;  ///< within the cloud
  };

  std::int64_t chunk_size(int threads) {
    std::int64_t all = 0;
    for (std::int64_t b = 0; b < args_.clouds; ++b) {
      clouds_[b] = {cloud_range(args_, b), all, 0};
      all += clouds_[b].range.end - clouds_[b].range.begin;
    }
    clouds_[args_.clouds] = {{}, all, 0};
    constexpr std::int64_t least = 16 << 10;
    const std::int64_t workers = threads > 0 ? threads : processor_count();
    return std::max({least, tiling_.tiles, (all + 4 * workers - 1) / (4 * workers)});
  }

  std::int64_t count_chunks() {
    std::int64_t chunks = 0;
    for (std::int64_t b = 0; b < args_.clouds; ++b) {
      clouds_[b].first_chunk = chunks;
      chunks += (clouds_[b].range.end - clouds_[b].range.begin + chunk_ - 1) / chunk_;
    }
    return clouds_[args_.clouds].first_chunk = chunks;
  }

  [[nodiscard]] std::int64_t points() const { return clouds_[args_.clouds].first_point; }

  template <class F>
  void over_chunks(int threads, const F& body) {
    parallel_for(clouds_[args_.clouds].first_chunk, 1, threads, [&](std::int64_t first, std::int64_t last) {
      const Cloud* const after =
          std::upper_bound(clouds_.data(), clouds_.data() + args_.clouds + 1, first,
                           [](std::int64_t chunk, const Cloud& cloud) { return chunk < cloud.first_chunk; });
      std::int64_t b = after - clouds_.data() - 1;
      for (std::int64_t number = first; number < last; ++number) {
        while (clouds_[b + 1].first_chunk <= number) ++b;
        const std::int64_t begin = (number - clouds_[b].first_chunk) * chunk_;
        const std::int64_t count = clouds_[b + 1].first_point - clouds_[b].first_point;
        body(Chunk{b, number, begin, std::min(begin + chunk_, count)});
      }
    });
  }

  std::int64_t* counters(std::int64_t chunk) const { return first_of_chunks_.data() + chunk * tiling_.tiles; }

  /// Writes the tile and place of each point, and how many each tile has.
  void place(const Chunk& chunk) {
    visit(args_.points.dtype, PointDTypes{}, [&]<DType dtype>() {
      if constexpr (dtype == DType::f64) {
        place_as<double, double>(chunk);
      } else if constexpr (dtype == DType::f32) {
        place_as<float, float>(chunk);
      } else if constexpr (dtype == DType::f16) {
        place_as<f16, float>(chunk);
      } else {
        place_as<bf16, float>(chunk);
      }
    });
  }

  template <class T, class C>
  void place_as(const Chunk& chunk) {
    if (args_.transforms.data == nullptr) return place_mapped<T, C>(chunk, [](const Point<C>& p) { return p; });
    place_mapped<T, C>(chunk, args_.transforms.template at<C>(chunk.cloud));
  }

  template <class T, class C, class Map>
  void place_mapped(const Chunk& chunk, const Map& map) {
    const Cloud& cloud = clouds_[chunk.cloud];
    const VoxelAxes<C> axes = args_.axes<C>();
    std::int64_t* found = counters(chunk.number);
    std::fill_n(found, tiling_.tiles, 0);
    const std::int64_t low_rows = (std::int64_t{1} << tiling_.shift) - 1;
    for (std::int64_t n = chunk.begin; n < chunk.end; ++n) {
      const VoxelPlace at = axes.place(map(point_at<T, C>(args_.points, cloud.range.base, cloud.range.begin + n)));
      std::uint64_t key = kNoVoxel;
      if (at.row >= 0) {
        const std::int64_t tile = at.row >> tiling_.shift;
        key = static_cast<std::uint64_t>(tile) << kPlaceBits |
              static_cast<std::uint64_t>((at.row & low_rows) * tiling_.z + at.z);
        ++found[tile];
      }
      keys_[cloud.first_point + n] = key;
    }
  }

  /// Turns counts into places among the entries: by cloud, tile, and chunk.
  void sum_up(int threads) {
    parallel_for(args_.clouds, 1, threads, [this](std::int64_t first, std::int64_t last) {
      for (std::int64_t b = first; b < last; ++b) {
        std::int64_t next = clouds_[b].first_point;
        std::int64_t* bin = &bins_[b * (tiling_.tiles + 1)];
        for (std::int64_t t = 0; t < tiling_.tiles; ++t) {
          bin[t] = next;
          for (std::int64_t c = clouds_[b].first_chunk; c < clouds_[b + 1].first_chunk; ++c) {
            next += std::exchange(counters(c)[t], next);
          }
        }
        bin[tiling_.tiles] = next;
        if (args_.dropped != nullptr) args_.dropped[b] = clouds_[b + 1].first_point - next;
      }
    });
  }

  void sort(const Chunk& chunk) {
    const std::int64_t first = clouds_[chunk.cloud].first_point;
    std::int64_t* next = counters(chunk.number);
    for (std::int64_t n = chunk.begin; n < chunk.end; ++n) {
      const std::uint64_t key = keys_[first + n];
      if (key == kNoVoxel) continue;
      const auto tile = static_cast<std::int64_t>(key >> kPlaceBits);
      entries_[next[tile]++] = static_cast<std::uint64_t>(n) << kPlaceBits | (key & kPlaceMask);
    }
  }

  const VoxelizeArgs& args_;
  const Tiling& tiling_;
  MemoryResource& memory_;
  Scratch<Cloud> clouds_;
  Scratch<std::int64_t> bins_;
  std::int64_t chunk_;
  Scratch<std::int64_t> first_of_chunks_;  ///< [chunk][tile]
  Scratch<std::uint64_t> keys_;            ///< tile << kPlaceBits | place, or kNoVoxel
  Scratch<std::uint64_t> entries_;
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
