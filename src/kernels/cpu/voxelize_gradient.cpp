#include "kernels/voxelize_gradient.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "kernels/cpu/voxelize_bins.hpp"
#include "kernels/cpu/voxelize_tile.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

/// Whether the result is a feature of one point.
bool takes_one(Reduce reduce) { return reduce >= Reduce::min; }

/// What one thread does with a tile.
template <class T, class C>
class TileGradient {
 public:
  TileGradient(const VoxelizeGradientArgs& args, const Tiling& tiling, MemoryResource& memory)
      : args_(args),
        columns_(args.input.columns),
        cells_(tiling.voxels * columns_),
        count_(memory, tiling.voxels),
        best_(memory, chosen_features(args) > 0 ? cells_ : 0),
        sum_(memory, columns_),
        chosen_(memory, tiling.voxels * chosen_features(args)) {}

  /// For each voxel.
  static std::int64_t chosen_features(const VoxelizeGradientArgs& args) {
    return args.input.columns * std::ranges::count_if(args.gradients, takes_one, &VoxelGradientInput::reduce);
  }

  void operator()(const Tile& tile) const {
    std::fill_n(count_.data(), tile.voxels, 0U);
    for (const std::uint64_t entry : tile.entries) ++count_[Tile::place(entry)];
    std::int64_t* chosen = chosen_.data();
    for (const VoxelGradientInput& gradient : args_.gradients) {
      if (!takes_one(gradient.reduce)) continue;
      choose(tile, gradient.reduce, chosen);
      chosen += cells_;
    }
    for (std::size_t i = 0; i < tile.entries.size(); ++i) gather(tile, static_cast<std::int64_t>(i));
  }

 private:
  /// Which of a tile's points has the result, for each voxel with points and feature: as FeatureTile finds it.
  void choose(const Tile& tile, Reduce reduce, std::int64_t* chosen) const {
    std::fill_n(chosen, tile.voxels * columns_, kNone);
    switch (reduce) {
      case Reduce::min:
        return choose(tile, chosen, [](C v, C best) { return beats(v, best, true); });
      case Reduce::max:
        return choose(tile, chosen, [](C v, C best) { return beats(v, best, false); });
      case Reduce::first:
        return choose(tile, chosen, [](C, C) { return false; });
      default:
        return choose(tile, chosen, [](C, C) { return true; });
    }
  }

  template <class Wins>
  void choose(const Tile& tile, std::int64_t* chosen, const Wins& wins) const {
    const PointRows& rows = args_.input.features;
    const T* const features = static_cast<const T*>(rows.data) + tile.cloud.base * rows.batch;
    for (std::size_t i = 0; i < tile.entries.size(); ++i) {
      const T* const from = features + tile.point(tile.entries[i]) * rows.row;
      const std::int64_t first = Tile::place(tile.entries[i]) * columns_;
      for (std::int64_t d = 0; d < columns_; ++d) {
        const C v = widened<C>(from[d * rows.column]);
        if (chosen[first + d] != kNone && !wins(v, best_[first + d])) continue;
        chosen[first + d] = static_cast<std::int64_t>(i);
        best_[first + d] = v;
      }
    }
  }

  void gather(const Tile& tile, std::int64_t i) const {
    const std::uint64_t entry = tile.entries[static_cast<std::size_t>(i)];
    const std::int64_t first = Tile::place(entry) * columns_;
    const auto count = static_cast<C>(count_[Tile::place(entry)]);
    const std::int64_t* chosen = chosen_.data() + first;
    C* const sum = sum_.data();
    std::fill_n(sum, columns_, C{0});
    for (const VoxelGradientInput& gradient : args_.gradients) {
      const T* const from = static_cast<const T*>(gradient.grad_out) + tile.first_voxel * columns_ + first;
      if (gradient.reduce == Reduce::sum) {
        for (std::int64_t d = 0; d < columns_; ++d) sum[d] += widened<C>(from[d]);
      } else if (gradient.reduce == Reduce::mean) {
        for (std::int64_t d = 0; d < columns_; ++d) sum[d] += widened<C>(from[d]) / count;
      } else {
        for (std::int64_t d = 0; d < columns_; ++d) sum[d] += chosen[d] == i ? widened<C>(from[d]) : C{0};
        chosen += cells_;
      }
    }
    const std::int64_t point = tile.cloud.base * args_.input.samples + tile.point(entry);
    T* const to = static_cast<T*>(args_.grad_features) + point * columns_;
    for (std::int64_t d = 0; d < columns_; ++d) to[d] = narrowed<T>(sum[d]);
  }

  static constexpr std::int64_t kNone = -1;
  const VoxelizeGradientArgs& args_;
  std::int64_t columns_;
  std::int64_t cells_;  ///< voxels of a tile x features
  Scratch<std::uint32_t> count_;
  Scratch<C> best_;
  Scratch<C> sum_;
  Scratch<std::int64_t> chosen_;  ///< for each gradient of one point: the number of its entry
};

template <class T, class C>
void gather_tiles(const VoxelizeGradientArgs& args, const Context& ctx) {
  const VoxelizeArgs& input = args.input;
  const std::int64_t bytes_per_voxel = sizeof(std::uint32_t) + sizeof(C) * input.columns +
                                       sizeof(std::int64_t) * TileGradient<T, C>::chosen_features(args);
  const Tiling tiling(input, bytes_per_voxel);
  each_tile(
      input, tiling, ctx, [](std::int64_t, std::int64_t) { return true; },
      [&] { return TileGradient<T, C>(args, tiling, scratch_memory(ctx)); });
}

void voxelize_gradient(const VoxelizeGradientArgs& args, const Context& ctx) {
  const VoxelizeArgs& input = args.input;
  const std::int64_t rows =
      input.batched && input.offsets.data == nullptr ? input.clouds * input.samples : input.samples;
  const std::int64_t row_bytes = input.columns * static_cast<std::int64_t>(size_of(input.features.dtype));
  if (rows * row_bytes == 0) return;
  parallel_for(rows, 1 << 14, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<std::byte*>(args.grad_features) + begin * row_bytes, 0,
                static_cast<std::size_t>((end - begin) * row_bytes));
  });
  if (is_empty(input.grid) || input.clouds == 0) return;
  visit_element_type(input.features.dtype, [&]<class T, class C>() { gather_tiles<T, C>(args, ctx); });
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void voxelize_gradient<Isa::ROBOCACHE_ISA>(const VoxelizeGradientArgs& args, const Context& ctx) {
  ROBOCACHE_ISA::voxelize_gradient(args, ctx);
}

}  // namespace robocache::cpu
