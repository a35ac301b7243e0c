#include "kernels/voxelize_sparse.hpp"

#include "kernels/cpu/voxelize_ranked.hpp"
#include "kernels/cpu/voxelize_rows.hpp"
#include "kernels/cpu/voxelize_sorted.hpp"

namespace robocache::cpu {

namespace ROBOCACHE_ISA {

namespace {

void voxelize_sparse(const VoxelizeSparseArgs& args, const Context& ctx) {
  VoxelRows rows(args, ctx);
  if (RankedVoxels::fits(rows)) {
    RankedVoxels(rows).write();
  } else {
    SortedVoxels(rows).write();
  }
}

}  // namespace

}  // namespace ROBOCACHE_ISA

template <>
void voxelize_sparse<Isa::ROBOCACHE_ISA>(const VoxelizeSparseArgs& args, const Context& ctx) {
  ROBOCACHE_ISA::voxelize_sparse(args, ctx);
}

}  // namespace robocache::cpu
