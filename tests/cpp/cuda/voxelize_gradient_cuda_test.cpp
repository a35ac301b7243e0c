#include "robocache/voxelize_gradient.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "robocache/error.hpp"
#include "voxelize_case.hpp"

namespace robocache {
namespace {

using cuda_testing::Arena;
using cuda_testing::Bytes;
using cuda_testing::CloudCase;
using cuda_testing::kGpu;
using cuda_testing::Room;
using Reductions = std::vector<Reduce>;

const std::vector<Reductions> kMixes = {
    {Reduce::sum},
    {Reduce::mean},
    {Reduce::min},
    {Reduce::max},
    {Reduce::last},
    {Reduce::sum, Reduce::sum},
    {},
    {Reduce::max, Reduce::last, Reduce::mean, Reduce::min, Reduce::sum, Reduce::first}};

class VoxelizeGradientCuda : public cuda_testing::CudaTest {
 protected:
  /// The gradients by some results, on both devices.
  void compare(CloudCase& c, const Reductions& reductions) {
    arena_.reset();
    const Clouds on_device = c.on_device(arena_);
    std::vector<Bytes> on_host;
    std::vector<VoxelGradient> gradients[2];
    on_host.reserve(reductions.size());
    std::string what;
    for (Reduce reduce : reductions) {
      on_host.push_back(c.numbers(c.voxels()));
      gradients[0].push_back({reduce, grad_out(c, on_host.back().data(), Device{})});
      gradients[1].push_back({reduce, grad_out(c, arena_.copy(on_host.back()), kGpu)});
      what += std::string(name(reduce)) + " ";
    }
    Room room(arena_, c.features.size(), 0);
    voxelize_gradient(c.on_host(), c.grid, gradients[0], like_features(c, room.at(Device{}), Device{}));
    voxelize_gradient(on_device, c.grid, gradients[1], like_features(c, room.at(kGpu), kGpu));
    room.expect_same(what + "of " + std::to_string(c.columns) + " " + std::string(name(c.dtype)));
  }

  static ConstTensor grad_out(const CloudCase& c, const void* data, Device device) {
    const std::int64_t* n = c.grid.shape;
    return {data, c.dtype, {c.clouds, n[0], n[1], n[2], c.columns}, device};
  }
  static Tensor like_features(const CloudCase& c, void* data, Device device) {
    if (!c.offsets.empty()) return {data, c.dtype, {c.clouds * c.samples, c.columns}, device};
    return {data, c.dtype, {c.clouds, c.samples, c.columns}, device};
  }

  Arena arena_{std::size_t{1} << 30};
};

TEST_F(VoxelizeGradientCuda, HasTheBitsOfTheCpu) {
  for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
    for (std::int64_t columns : {0, 1, 3, 16, 33}) {
      CloudCase c(3, 5000, columns, dtype);
      c.tie();
      for (const Reductions& reductions : kMixes) compare(c, reductions);
    }
  }
}

TEST_F(VoxelizeGradientCuda, PackedClouds) {
  CloudCase c(3, 5000, 4, DType::f32);
  c.tie();
  c.pack();
  for (const Reductions& reductions : kMixes) compare(c, reductions);
}

TEST_F(VoxelizeGradientCuda, AllPointsInOneVoxel) {
  for (std::int64_t columns : {1, 16}) {
    CloudCase c(1, 70'000, columns, DType::f32);
    std::ranges::fill(c.points, 0.01F);
    for (const Reductions& reductions : kMixes) compare(c, reductions);
    c.tie();  // The first NaN is among the first points; before, the extremes lie anywhere.
    for (const Reductions& reductions : kMixes) compare(c, reductions);
  }
}

TEST_F(VoxelizeGradientCuda, FewPointsAndNoVoxels) {
  for (std::int64_t samples : {0, 1, 2}) {
    CloudCase c(1, samples, 3, DType::f32);
    for (const Reductions& reductions : kMixes) compare(c, reductions);
    c.grid.shape[1] = 0;
    for (const Reductions& reductions : kMixes) compare(c, reductions);
  }
}

TEST_F(VoxelizeGradientCuda, MoreColumnsThanABlockHasThreads) {
  for (const std::int64_t columns : {1027, 1028}) {
    CloudCase c(2, 600, columns, DType::f32);
    c.grid.shape[0] = c.grid.shape[1] = c.grid.shape[2] = 4;
    c.tie();
    for (const Reductions& reductions : kMixes) compare(c, reductions);
  }
}

TEST_F(VoxelizeGradientCuda, GradientsThatLieAnywhere) {
  CloudCase c(2, 3000, 4, DType::f32);
  const Reduce reductions[] = {Reduce::sum, Reduce::max};
  for (std::size_t used = 1; used <= 2; ++used) {
    arena_.reset();
    const Clouds on_device = c.on_device(arena_);
    Bytes padded = c.numbers(c.voxels() + 1);
    std::vector<VoxelGradient> gradients[2];
    for (std::size_t g = 0; g < used; ++g) {
      gradients[0].push_back({reductions[g], grad_out(c, padded.data() + 4, Device{})});
      gradients[1].push_back({reductions[g], grad_out(c, arena_.copy(padded) + 4, kGpu)});
    }
    Room room(arena_, c.features.size(), 4);
    voxelize_gradient(c.on_host(), c.grid, gradients[0], like_features(c, room.at(Device{}), Device{}));
    voxelize_gradient(on_device, c.grid, gradients[1], like_features(c, room.at(kGpu), kGpu));
    room.expect_same(std::to_string(used));
  }
}

TEST_F(VoxelizeGradientCuda, MoreGradientsThanAKernelTakesAreRefused) {
  const CloudCase c(1, 10, 1, DType::f32);
  const Clouds on_device = c.on_device(arena_);
  const Bytes zeros(static_cast<std::size_t>(c.voxels()) * 4);
  const std::vector<VoxelGradient> gradients(33, {Reduce::sum, grad_out(c, arena_.copy(zeros), kGpu)});
  Room room(arena_, c.features.size(), 0);
  try {
    voxelize_gradient(on_device, c.grid, gradients, like_features(c, room.at(kGpu), kGpu));
    ADD_FAILURE() << "no exception";
  } catch (const Unsupported& error) {
    EXPECT_STREQ(error.what(), "voxelize_gradient: gradients is 33 arrays, expected at most 32 on CUDA");
  }
}

}  // namespace
}  // namespace robocache
