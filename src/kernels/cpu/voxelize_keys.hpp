#pragma once

#include <cstdint>

#include "kernels/cpu/simd.hpp"
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
    Voxels x, y, z;
    find(block.x, block.count, axes_.x, low_.x, x);
    find(block.y, block.count, axes_.y, low_.y, y);
    find(block.z, block.count, axes_.z, low_.z, z);
    const auto sizes_y = static_cast<Key>(sizes_y_);
    const auto sizes_z = static_cast<Key>(sizes_z_);
    const auto first = static_cast<Key>(first_);
    for (std::int64_t n = 0; n < block.count; ++n) {
      const Key key = (static_cast<Key>(x[n]) * sizes_y + static_cast<Key>(y[n])) * sizes_z + static_cast<Key>(z[n]);
      to[n] = (x[n] | y[n] | z[n]) < 0 ? none : first + key;
    }
  }

 private:
  using Voxels = std::int32_t[PointBlock<C>::kPoints];  ///< of one axis; -1: outside

  /// Also of what is behind the points, up to a whole vector. 32 bits are enough for an axis of 2^24 voxels, and those every
  /// processor converts to.
  static void find(const C* coordinates, std::int64_t points, const VoxelAxis<C>& axis, C low, Voxels& to) {
    constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(C));
    using V = Vector<C, lanes>;
    for (std::int64_t n = 0; n < points; n += lanes) {
      const V voxel = floor_lanes(axis.scaled(load_bytes<V>(coordinates + n))) - low;
      const V held = (voxel >= C{0}) & (voxel < axis.size) ? voxel : V{} - C{1};
      store_bytes(to + n, __builtin_convertvector(held, Vector<std::int32_t, lanes>));
    }
  }

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
