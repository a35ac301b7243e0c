#pragma once

#include <cstdint>

#include "kernels/cpu/point_operators_block.hpp"
#include "kernels/cpu/simd.hpp"
#include "math/voxel.hpp"

namespace robocache::cpu::ROBOCACHE_ISA {

/// The voxels of a block of points along each axis, counted from `low`; -1: outside. An axis of 2^24 voxels needs no more
/// than 32 bits, and those every processor converts to.
template <class C>
struct BlockVoxels {
  alignas(64) std::int32_t x[PointBlock<C>::kPoints], y[PointBlock<C>::kPoints], z[PointBlock<C>::kPoints];

  BlockVoxels(const PointBlock<C>& block, const VoxelAxes<C>& axes, const Point<C>& low) {
    find(block.x, block.count, axes.x, low.x, x);
    find(block.y, block.count, axes.y, low.y, y);
    find(block.z, block.count, axes.z, low.z, z);
  }

  [[nodiscard]] bool inside(std::int64_t n) const { return (x[n] | y[n] | z[n]) >= 0; }

 private:
  /// Also of what is behind the points, up to a whole vector.
  static void find(const C* coordinates, std::int64_t points, const VoxelAxis<C>& axis, C low, std::int32_t* to) {
    constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(C));
    using V = Vector<C, lanes>;
    for (std::int64_t n = 0; n < points; n += lanes) {
      const V voxel = floor_lanes(axis.scaled(load_bytes<V>(coordinates + n))) - low;
      const V held = (voxel >= C{0}) & (voxel < axis.size) ? voxel : V{} - C{1};
      store_bytes(to + n, __builtin_convertvector(held, Vector<std::int32_t, lanes>));
    }
  }
};

}  // namespace robocache::cpu::ROBOCACHE_ISA
