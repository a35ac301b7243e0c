#include "kernels/voxelize_sparse.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <type_traits>
#include <vector>

#include "kernels/cpu/voxelize_order.hpp"
#include "kernels/cpu/voxelize_tile.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

std::uint64_t cells(const VoxelGrid& grid) {
  return static_cast<std::uint64_t>(grid.shape[0]) * static_cast<std::uint64_t>(grid.shape[1]) *
         static_cast<std::uint64_t>(grid.shape[2]);
}

/// A point's cloud and voxel, as one number in the order of the results.
struct SparseKeys {
  const VoxelizeSparseArgs& args;

  template <class C>
  auto operator()(std::int64_t cloud) const {
    const auto low = [this](int i) { return static_cast<C>(args.low[i]); };
    return [axes = args.input.axes<C>(), x = low(0), y = low(1), z = low(2), sizes_z = args.input.grid.shape[2],
            first = static_cast<std::uint64_t>(cloud) * cells(args.input.grid)](const Point<C>& p) {
      const VoxelPlace at = axes.place(axes.x.at(p.x) - x, axes.y.at(p.y) - y, axes.z.at(p.z) - z);
      return at.row < 0 ? kNoKey : first + static_cast<std::uint64_t>(at.row * sizes_z + at.z);
    };
  }
};

/// Rows [first, last) of the results, of one cloud.
struct RowTile {
  std::int64_t cloud;
  std::int64_t first, last;
};

/// The voxels of one call: which are kept, and what is said of them.
class SparseRows {
 public:
  SparseRows(const VoxelizeSparseArgs& args, const Context& ctx)
      : args_(args),
        ctx_(ctx),
        chunks_(args.input, 4 << 10, ctx),
        order_(chunks_, cells(args.input.grid) * static_cast<std::uint64_t>(args.input.clouds), SparseKeys{args},
               scratch_memory(ctx)),
        offsets_(scratch_memory(ctx), args.input.clouds + 1) {
    keep_points();
    keep_voxels();
    counts_ = Scratch<std::uint32_t>(scratch_memory(ctx), offsets_[args.input.clouds]);
    cut_tiles();
    parallel_for(
        args.inverse != nullptr ? args.inverse_size : 0, 1 << 16, ctx.threads,
        [&](std::int64_t begin, std::int64_t end) { std::fill(args.inverse + begin, args.inverse + end, -1); });
    over_tiles([this](const RowTile& tile) { write(tile); });
    write_totals();
  }

  void reduce(const SparseFeatures& features) const {
    visit_element_type(features.rows.dtype, [&]<class T, class C>() { reduce_as<T, C>(features); });
  }

 private:
  [[nodiscard]] const OccupiedVoxel* voxels() const { return order_.voxels(); }

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
      offsets_[b] = to - order_.voxels();
      const std::uint64_t key = static_cast<std::uint64_t>(b + 1) * cells(args_.input.grid);
      OccupiedVoxel* const last =
          std::partition_point(from, end, [&](const OccupiedVoxel& voxel) { return voxel.key < key; });
      if (last - from > args_.limits.max_voxels) {
        const auto first_point = [this](const OccupiedVoxel& voxel) { return order_.points()[voxel.begin]; };
        const Scratch<std::uint64_t> firsts(scratch_memory(ctx_), last - from);
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
    offsets_[args_.input.clouds] = to - order_.voxels();
  }

  /// Tiles are of one cloud, their accumulators stay in the L2 of a core, and one ends where the capacity does.
  void cut_tiles() {
    std::int64_t bytes = 0;
    for (const SparseFeatures& set : args_.features) {
      bytes = std::max<std::int64_t>(bytes, 2 * static_cast<std::int64_t>(sizeof(double)) * set.columns);
    }
    const std::int64_t rows = offsets_[args_.input.clouds];
    const std::int64_t most = std::max<std::int64_t>((512 << 10) / (bytes + 8), 1);
    step_ = std::clamp<std::int64_t>(rows / (8 * workers(ctx_)), std::min<std::int64_t>(64, most), most);
    for (std::int64_t b = 0; b < args_.input.clouds; ++b) {
      for (std::int64_t first = offsets_[b]; first < offsets_[b + 1];) {
        std::int64_t last = std::min(first + step_, offsets_[b + 1]);
        if (first < args_.capacity) last = std::min(last, args_.capacity);
        tiles_.push_back({b, first, last});
        first = last;
      }
    }
  }

  template <class F>
  void over_tiles(const F& body) const {
    parallel_for(static_cast<std::int64_t>(tiles_.size()), 1, ctx_.threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) body(tiles_[static_cast<std::size_t>(i)]);
    });
  }

  /// What is said of the voxels of a tile; their points become entries as a Tile has them, without gaps.
  void write(const RowTile& tile) {
    const PointChunks::Cloud& cloud = chunks_[tile.cloud];
    std::uint64_t* entry = order_.points() + voxels()[tile.first].begin;
    const std::int64_t point_of_inverse = cloud.range.base * args_.input.samples + cloud.range.begin;
    for (std::int64_t row = tile.first; row < tile.last; ++row) {
      const OccupiedVoxel& voxel = voxels()[row];
      const std::uint64_t* point = order_.points() + voxel.begin;
      for (std::int64_t i = 0; i < voxel.points; ++i) {
        const std::uint64_t number = *point++ - static_cast<std::uint64_t>(cloud.first_point);
        *entry++ = number << kPlaceBits | static_cast<std::uint64_t>(row - tile.first);
        if (args_.inverse != nullptr) args_.inverse[point_of_inverse + static_cast<std::int64_t>(number)] = row;
      }
      counts_[row] = static_cast<std::uint32_t>(voxel.points);
      if (row >= args_.capacity) continue;
      if (args_.counts != nullptr) args_.counts[row] = static_cast<std::int32_t>(voxel.points);
      if (args_.coords != nullptr) write_coords(row, tile.cloud, args_.coords + 4 * row);
    }
  }

  void write_coords(std::int64_t row, std::int64_t cloud, std::int32_t* to) const {
    const VoxelGrid& grid = args_.input.grid;
    std::uint64_t rest = voxels()[row].key - static_cast<std::uint64_t>(cloud) * cells(grid);
    for (int axis = 2; axis >= 0; --axis) {
      const auto size = static_cast<std::uint64_t>(grid.shape[axis]);
      to[1 + axis] = static_cast<std::int32_t>(rest % size);
      rest /= size;
    }
    to[0] = static_cast<std::int32_t>(cloud);
  }

  void write_totals() const {
    for (std::int64_t b = 0; b < args_.input.clouds; ++b) {
      std::int64_t left = chunks_[b].range.end - chunks_[b].range.begin;
      for (std::int64_t row = offsets_[b]; row < offsets_[b + 1]; ++row) left -= counts_[row];
      if (args_.input.dropped != nullptr) args_.input.dropped[b] = left;
    }
    if (args_.offsets != nullptr) std::copy_n(offsets_.data(), args_.input.clouds + 1, args_.offsets);
  }

  template <class T, class C>
  void reduce_as(const SparseFeatures& features) const {
    if (tiles_.empty()) return;
    parallel_for(static_cast<std::int64_t>(tiles_.size()), 1, ctx_.threads, [&](std::int64_t begin, std::int64_t end) {
      const FeatureReducer<T, C> reduce(features.rows, features.columns, step_, scratch_memory(ctx_));
      for (std::int64_t i = begin; i < end; ++i) {
        const RowTile& rows = tiles_[static_cast<std::size_t>(i)];
        if (rows.last > args_.capacity) continue;
        const Tile tile = tile_of(rows);
        for (const VoxelOutput& output : features.outputs) reduce(tile, output);
      }
    });
  }

  [[nodiscard]] Tile tile_of(const RowTile& rows) const {
    Tile tile{.cloud = chunks_[rows.cloud].range,
              .entries = {},
              .first_voxel = rows.first,
              .voxels = rows.last - rows.first,
              .count = counts_.data() + rows.first};
    std::size_t points = 0;
    for (std::int64_t row = rows.first; row < rows.last; ++row) {
      points += counts_[row];
      tile.most = std::max(tile.most, counts_[row]);
    }
    tile.entries = {order_.points() + voxels()[rows.first].begin, points};
    return tile;
  }

  const VoxelizeSparseArgs& args_;
  const Context& ctx_;
  PointChunks chunks_;
  VoxelOrder order_;
  Scratch<std::int64_t> offsets_;
  Scratch<std::uint32_t> counts_;
  std::int64_t step_ = 1;
  std::vector<RowTile> tiles_;
};

void voxelize_sparse(const VoxelizeSparseArgs& args, const Context& ctx) {
  const SparseRows rows(args, ctx);
  for (const SparseFeatures& features : args.features) rows.reduce(features);
}

/// The span of one chunk's points, added to that of all when it ends.
template <class C>
class ChunkSpan {
 public:
  ChunkSpan(const VoxelAxes<C>& axes, VoxelSpan& all, std::mutex& mutex) : axes_(axes), all_(all), mutex_(mutex) {}
  ChunkSpan(const ChunkSpan&) = delete;
  ChunkSpan& operator=(const ChunkSpan&) = delete;
  // Which voxel never falls where a coordinate grows: the ends of the points are in the ends of the voxels.
  ~ChunkSpan() {
    const std::lock_guard lock(mutex_);
    add(0, axes_.x, low_.x, high_.x);
    add(1, axes_.y, low_.y, high_.y);
    add(2, axes_.z, low_.z, high_.z);
  }

  void operator()(std::int64_t /*n*/, const Point<C>& p) {
    const bool finite = (p.x - p.x) + (p.y - p.y) + (p.z - p.z) == C{0};
    const auto widen = [finite](C& low, C& high, C v) {
      low = finite && v < low ? v : low;
      high = finite && v > high ? v : high;
    };
    widen(low_.x, high_.x, p.x);
    widen(low_.y, high_.y, p.y);
    widen(low_.z, high_.z, p.z);
  }

 private:
  void add(int i, const VoxelAxis<C>& axis, C low, C high) {
    all_.low[i] = std::min(all_.low[i], static_cast<double>(axis.at(low)));
    all_.high[i] = std::max(all_.high[i], static_cast<double>(axis.at(high)));
  }

  static constexpr C kFar = std::numeric_limits<C>::infinity();
  VoxelAxes<C> axes_;
  VoxelSpan& all_;
  std::mutex& mutex_;
  Point<C> low_{kFar, kFar, kFar};
  Point<C> high_{-kFar, -kFar, -kFar};
};

VoxelSpan voxel_span(const VoxelizeArgs& args, const Context& ctx) {
  constexpr double far = std::numeric_limits<double>::infinity();
  VoxelSpan span{{far, far, far}, {-far, -far, -far}};
  std::mutex mutex;
  const PointChunks chunks(args, 4 << 10, ctx);
  chunks.over([&](const Chunk& chunk) {
    chunks.visit_points(chunk, [&]<class C>() { return ChunkSpan<C>(args.axes<C>(), span, mutex); });
  });
  return span;
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void voxelize_sparse<Isa::ROBOCACHE_ISA>(const VoxelizeSparseArgs& args, const Context& ctx) {
  ROBOCACHE_ISA::voxelize_sparse(args, ctx);
}

template <>
VoxelSpan voxel_span<Isa::ROBOCACHE_ISA>(const VoxelizeArgs& args, const Context& ctx) {
  return ROBOCACHE_ISA::voxel_span(args, ctx);
}

}  // namespace robocache::cpu
