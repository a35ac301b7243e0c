#include "ops/voxelize_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "ops/clouds.hpp"

namespace robocache {

namespace {

constexpr std::int64_t kMostCudaClouds = std::int64_t{1} << 30;   // a block each at least
constexpr std::int64_t kMostCudaColumns = std::int64_t{1} << 24;  // kernels count them, of 128 runs, in 32 bits

}  // namespace

VoxelizeInputs::VoxelizeInputs(const char* op, const Clouds& clouds, const VoxelGrid& grid)
    : check_(op), args_{read_clouds(check_, clouds), {}, {}, nullptr}, device_(clouds.points.device) {
  if (device_.kind == DeviceKind::cuda && args_.clouds > kMostCudaClouds) {
    check_.unsupported("points", "of " + std::to_string(args_.clouds) + " clouds", "at most 2^30 on CUDA");
  }
  read_grid(grid);
}

void VoxelizeInputs::check_output(const Subject& subject, const ConstTensor& out,
                                  std::span<const std::int64_t> shape) const {
  if (!std::ranges::equal(out.sizes(), shape)) check_.fail(subject, shape_text(out), shape_text(shape));
  check_.device(subject, out, device_);
  if (!is_contiguous(out)) check_.fail(subject, "strided", "contiguous");
}

void VoxelizeInputs::check_features() const {
  if (!args_.has_features) {
    check_.fail("features", "not given", "an array as points, with F columns", "count and occupancy need none");
  }
  if (device_.kind == DeviceKind::cuda && args_.columns > kMostCudaColumns) {
    check_.unsupported("features", "of " + std::to_string(args_.columns) + " columns", "at most 2^24 on CUDA");
  }
}

std::vector<std::int64_t> VoxelizeInputs::leading() const {
  return args_.batched ? std::vector{args_.clouds} : std::vector<std::int64_t>{};
}

std::int64_t* VoxelizeInputs::numbers(const char* subject, const Tensor& out,
                                      std::span<const std::int64_t> shape) const {
  if (!out.given()) return nullptr;
  check_output(subject, out, shape);
  check_.dtype(subject, out, DType::i64);
  return static_cast<std::int64_t*>(out.data);
}

void VoxelizeInputs::read_grid(const VoxelGrid& grid) {
  const char* const axes[] = {" along x", " along y", " along z"};
  for (int i = 0; i < 3; ++i) {
    const double voxel_m = grid.voxel_m[i];
    if (!std::isfinite(static_cast<float>(grid.origin[i]))) {
      check_.fail("origin", number_text(grid.origin[i]) + axes[i], "a number of metres that float32 holds");
    }
    if (!(std::isnormal(static_cast<float>(voxel_m)) && std::isnormal(1 / static_cast<float>(voxel_m)) &&
          voxel_m > 0)) {
      check_.fail("voxel_m", number_text(voxel_m) + axes[i], "1.2e-38 to 8.5e37 metres");
    }
    if (grid.shape[i] < 0 || grid.shape[i] > kMostVoxelsOfAxis) {
      check_.fail("shape", std::to_string(grid.shape[i]) + axes[i],
                  "0 to " + std::to_string(kMostVoxelsOfAxis) + " voxels");
    }
  }
  std::int64_t all = args_.clouds;
  bool overflow = false;
  for (std::int64_t size : grid.shape) overflow = __builtin_mul_overflow(all, size, &all) || overflow;
  if (overflow) check_.fail("shape", shape_text(grid.shape), "less than 2^63 voxels in all clouds");
  args_.grid = grid;
}

}  // namespace robocache
