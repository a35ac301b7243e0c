#pragma once

#include <cstdint>

#include "kernels/cpu/voxelize_block.hpp"
#include "kernels/cpu/voxelize_chunks.hpp"
#include "kernels/voxelize_sparse.hpp"

namespace robocache::cpu::ROBOCACHE_ISA {

inline std::uint64_t cells(const VoxelGrid& grid) {
  return static_cast<std::uint64_t>(grid.shape[0]) * static_cast<std::uint64_t>(grid.shape[1]) *
         static_cast<std::uint64_t>(grid.shape[2]);
}

/// The clouds and voxels of points, each pair as one number in the order of the results.
template <class C>
class BlockKeys {
 public:
  BlockKeys(const VoxelizeSparseArgs& args, std::int64_t cloud)
      : axes_(args.input.axes<C>()),
        low_{static_cast<C>(args.low[0]), static_cast<C>(args.low[1]), static_cast<C>(args.low[2])},
        sizes_y_(static_cast<std::uint64_t>(args.input.grid.shape[1])),
        sizes_z_(static_cast<std::uint64_t>(args.input.grid.shape[2])),
        first_(static_cast<std::uint64_t>(cloud) * cells(args.input.grid)) {}

  /// `none` for points in no voxel.
  template <class Key>
  void operator()(const PointBlock<C>& block, Key none, Key* to) const {
    const BlockVoxels<C> at(block, axes_, low_);
    const auto sizes_y = static_cast<Key>(sizes_y_);
    const auto sizes_z = static_cast<Key>(sizes_z_);
    const auto first = static_cast<Key>(first_);
    for (std::int64_t n = 0; n < block.count; ++n) {
      const Key key =
          (static_cast<Key>(at.x[n]) * sizes_y + static_cast<Key>(at.y[n])) * sizes_z + static_cast<Key>(at.z[n]);
      to[n] = at.inside(n) ? first + key : none;
    }
  }

 private:
  VoxelAxes<C> axes_;
  Point<C> low_;
  std::uint64_t sizes_y_, sizes_z_, first_;
};

/// BlockKeys of a call's clouds.
struct SparseKeys {
  const VoxelizeSparseArgs& args;

  template <class C>
  BlockKeys<C> operator()(std::int64_t cloud) const {
    return {args, cloud};
  }
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
