#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "memory/counting_memory.hpp"
#include "robocache/error.hpp"
#include "voxelize_case.hpp"

namespace robocache {
namespace {

using cuda_testing::Arena;
using cuda_testing::CloudCase;
using cuda_testing::kGpu;
using cuda_testing::Room;
using memory_testing::Counting;

constexpr Reduce kReductions[] = {Reduce::mean, Reduce::count, Reduce::max};

class VoxelizeMemoryCuda : public cuda_testing::CudaTest {
 protected:
  /// The results of a call, on the device.
  struct Results {
    Room mean, count, max, dropped;

    Results(const CloudCase& c, Arena& arena)
        : mean(arena, static_cast<std::size_t>(c.voxels() * c.columns) * size_of(c.dtype), 0),
          count(arena, static_cast<std::size_t>(c.voxels()) * 4, 0),
          max(arena, mean.bytes, 0),
          dropped(arena, static_cast<std::size_t>(c.clouds) * 8, 0) {}
  };

  static void run(const CloudCase& c, const Clouds& clouds, Results& to, Device device, const VoxelizeOptions& options,
                  const Context& ctx) {
    const std::int64_t* n = c.grid.shape;
    const Voxels voxels[] = {
        {Reduce::mean, Tensor(to.mean.at(device), c.dtype, {c.clouds, n[0], n[1], n[2], c.columns}, device), -1},
        {Reduce::count, Tensor(to.count.at(device), DType::i32, {c.clouds, n[0], n[1], n[2]}, device)},
        {Reduce::max, Tensor(to.max.at(device), c.dtype, {c.clouds, n[0], n[1], n[2], c.columns}, device), 3}};
    voxelize(clouds, c.grid, voxels, Tensor(to.dropped.at(device), DType::i64, {c.clouds}, device), options, ctx);
  }

  static void expect_same(const Results& results, const std::string& what) {
    results.mean.expect_same("mean " + what);
    results.count.expect_same("count " + what);
    results.max.expect_same("max " + what);
    results.dropped.expect_same("dropped " + what);
  }

  Arena arena_{std::size_t{1} << 30};
};

TEST_F(VoxelizeMemoryCuda, ThePlanIsWhatACallTakes) {
  for (const bool packed : {false, true}) {
    CloudCase c(5, 3000, 5, DType::f32);
    if (packed) c.pack();
    arena_.reset();
    const Clouds clouds = c.on_device(arena_);
    Counting memory(device_memory(0));
    const Context ctx{.scratch = &memory};
    const VoxelizeMemory plan = plan_memory(clouds, c.grid, kReductions, ctx);
    EXPECT_EQ(memory.most, 0);
    EXPECT_EQ(plan.outputs, c.voxels() * (2 * 5 * 4 + 4) + 5 * 8);
    EXPECT_EQ(plan.least_scratch < plan.scratch, !packed) << "how long packed clouds are, the device alone knows";
    Results results(c, arena_);
    run(c, clouds, results, kGpu, {}, ctx);
    EXPECT_EQ(memory.most, plan.scratch);
    EXPECT_EQ(memory.taken, 0);
    const VoxelizeMemory counts = plan_memory(clouds, c.grid, std::span(kReductions).subspan(1, 1), ctx);
    EXPECT_EQ(counts.scratch, 0);
  }
}

TEST_F(VoxelizeMemoryCuda, ALimitChangesNoResult) {
  for (const bool packed : {false, true}) {
    CloudCase c(7, 2000, 3, DType::f16);
    if (packed) c.pack();
    const Clouds host = c.on_host();
    arena_.reset();
    const Clouds clouds = c.on_device(arena_);
    const VoxelizeMemory plan = plan_memory(clouds, c.grid, kReductions);
    for (const std::int64_t limit :
         {plan.least_scratch, (plan.least_scratch + plan.scratch) / 2, plan.scratch - (packed ? 0 : 1), plan.scratch}) {
      Results results(c, arena_);
      Counting memory(device_memory(0));
      run(c, host, results, Device{}, {}, {});
      run(c, clouds, results, kGpu, {.max_scratch = limit}, {.scratch = &memory});
      EXPECT_LE(memory.most, limit);
      expect_same(results, std::to_string(limit));
    }
  }
}

TEST_F(VoxelizeMemoryCuda, ALimitThatOneCloudDoesNotKeepIsNamed) {
  const CloudCase c(3, 1000, 3, DType::f32);
  const Clouds clouds = c.on_device(arena_);
  Counting memory(device_memory(0));
  const Context ctx{.scratch = &memory};
  const std::int64_t least = plan_memory(clouds, c.grid, kReductions, ctx).least_scratch;
  Results results(c, arena_);
  try {
    run(c, clouds, results, kGpu, {.max_scratch = least - 1}, ctx);
    ADD_FAILURE() << "no exception";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.what(), "voxelize: max_scratch is " + std::to_string(least - 1) + " bytes, expected at least " +
                                std::to_string(least) + ", the least that these clouds take");
  }
  EXPECT_EQ(memory.most, 0);
  expect_same(results, "is written nowhere");
}

/// Scratch of more than any device has: a million features of each of 2^30 points, all of them one number in memory.
TEST_F(VoxelizeMemoryCuda, RunningOutSaysWhatWasAskedForAndWhatIsFree) {
  constexpr std::int64_t kColumns = 1 << 20;
  const std::vector<float> number{0.5F};
  ConstTensor points(arena_.copy(number), DType::f32, {std::int64_t{1} << 30, 3}, kGpu);
  ConstTensor features(points.data, DType::f32, {std::int64_t{1} << 30, kColumns}, kGpu);
  for (int axis : {0, 1}) points.strides[axis] = features.strides[axis] = 0;
  const Clouds huge{.points = points, .features = features};
  const VoxelGrid grid;
  const std::vector<float> before(kColumns, 3);
  float* const out = arena_.copy(before);
  const Reduce reductions[] = {Reduce::mean};
  const Voxels mean[] = {{Reduce::mean, Tensor(out, DType::f32, {1, 1, 1, kColumns}, kGpu)}};
  const std::int64_t scratch = plan_memory(huge, grid, reductions).scratch;
  ASSERT_GT(scratch, std::int64_t{1} << 44);
  try {
    voxelize(huge, grid, mean, {});
    ADD_FAILURE() << "no exception";
  } catch (const OutOfMemory& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find("device_memory: free memory of cuda:0 is "), 0U) << text;
    EXPECT_NE(text.find(" bytes, expected " + std::to_string(scratch) + " bytes"), std::string::npos) << text;
  }
  EXPECT_EQ(cuda_testing::to_host(out, kColumns), before) << "something was computed";

  const CloudCase c(3, 1000, 3, DType::f32);  // and the process goes on
  Results results(c, arena_);
  run(c, c.on_host(), results, Device{}, {}, {});
  run(c, c.on_device(arena_), results, kGpu, {}, {});
  expect_same(results, "after memory ran out");
}

}  // namespace
}  // namespace robocache
