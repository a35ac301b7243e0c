#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "memory/counting_memory.hpp"
#include "robocache/voxelize.hpp"

namespace robocache {
namespace {

using memory_testing::Counting;

/// A batch of clouds of very different sizes, some of them empty.
struct MemoryScene {
  std::vector<std::int64_t> offsets{0, 30'000, 30'000, 31'000, 31'001, 60'000, 60'000, 60'500};
  VoxelGrid grid{{-1, -1, -1}, {0.05, 0.05, 0.05}, {40, 40, 40}};
  std::vector<float> points = std::vector<float>(std::size_t{60'500} * 3);
  std::vector<float> mean = std::vector<float>(std::size_t{7} * 64'000 * 3);
  std::vector<std::int32_t> count = std::vector<std::int32_t>(std::size_t{7} * 64'000);
  std::vector<std::int64_t> dropped = std::vector<std::int64_t>(7);

  MemoryScene() {
    std::mt19937 random(7);
    std::normal_distribution<float> some(0, 0.5F);
    for (float& v : points) v = some(random);
  }

  [[nodiscard]] Clouds clouds() const {
    const ConstTensor all{points.data(), DType::f32, {60'500, 3}};
    return {.points = all, .features = all, .offsets = {offsets.data(), DType::i64, {8}}};
  }
  void run(const VoxelizeOptions& options, const Context& ctx) {
    const Voxels voxels[] = {{Reduce::mean, Tensor{mean.data(), DType::f32, {7, 40, 40, 40, 3}}, -1},
                             {Reduce::count, Tensor{count.data(), DType::i32, {7, 40, 40, 40}}}};
    voxelize(clouds(), grid, voxels, {dropped.data(), DType::i64, {7}}, options, ctx);
  }
  [[nodiscard]] VoxelizeMemory plan(const Context& ctx) const {
    const Reduce reductions[] = {Reduce::mean, Reduce::count};
    return plan_memory(clouds(), grid, reductions, ctx);
  }
};

TEST(VoxelizeMemoryPool, ThePlanIsWhatACallTakes) {
  for (int threads : {1, 2, 5}) {
    MemoryScene scene;
    Counting memory;
    const Context ctx{.scratch = &memory, .threads = threads};
    const VoxelizeMemory plan = scene.plan(ctx);
    EXPECT_EQ(memory.most, 0);
    EXPECT_EQ(plan.outputs, 7 * 64'000 * (3 * 4 + 4) + 7 * 8);
    scene.run({}, ctx);
    EXPECT_LE(memory.most, plan.scratch);
    if (threads == 1) {
      EXPECT_GE(memory.most, plan.scratch * 95 / 100);
    }
    EXPECT_EQ(memory.taken, 0);
  }
}

TEST(VoxelizeMemoryPool, ALimitChangesNoResult) {
  MemoryScene all;
  all.run({}, {});
  const VoxelizeMemory plan = all.plan({});
  ASSERT_LT(plan.least_scratch, plan.scratch);
  for (std::int64_t limit : {plan.least_scratch, (plan.least_scratch + plan.scratch) / 2, plan.scratch}) {
    MemoryScene some;
    Counting memory;
    some.run({.max_scratch = limit}, {.scratch = &memory});
    EXPECT_LE(memory.most, limit);
    EXPECT_EQ(some.mean, all.mean);
    EXPECT_EQ(some.count, all.count);
    EXPECT_EQ(some.dropped, all.dropped);
  }
}

TEST(VoxelizeMemoryPool, ALimitThatOneCloudDoesNotKeepIsNamed) {
  MemoryScene scene;
  Counting memory;
  const Context ctx{.scratch = &memory};
  const std::int64_t least = scene.plan(ctx).least_scratch;
  try {
    scene.run({.max_scratch = least - 1}, ctx);
    ADD_FAILURE() << "no exception";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.what(), "voxelize: max_scratch is " + std::to_string(least - 1) + " bytes, expected at least " +
                                std::to_string(least) + ", the least that these clouds take");
  }
  EXPECT_EQ(memory.most, 0);
}

TEST(VoxelizeMemoryPool, GoesOnAfterMemoryRanOut) {
  MemoryScene all;
  all.run({}, {});
  MemoryScene scene;
  Counting memory;
  const Context ctx{.scratch = &memory};
  const std::int64_t needed = scene.plan(ctx).scratch;
  for (std::int64_t part = 0; part < 8; ++part) {  // at different allocations, in threads too
    memory.limit = needed * part / 16;
    EXPECT_THROW(scene.run({}, ctx), OutOfMemory) << part;
    EXPECT_EQ(memory.taken, 0);
  }
  memory.limit = kNoMemoryLimit;
  scene.run({}, ctx);
  EXPECT_EQ(scene.mean, all.mean);
}

TEST(VoxelizeMemoryPool, CountersOfTinyCloudsAreBounded) {
  constexpr std::int64_t clouds = 3'000;
  constexpr std::int64_t columns =
      1'000;  // A tile has 2^7 voxels then: 2^13 tiles, and 24 million counters of all clouds.
  const std::vector<float> points(clouds * 3, 0.5F);
  const std::vector<float> features(clouds * columns);
  const VoxelGrid grid{{0, 0, 0}, {1, 1, 1}, {1 << 20, 1, 1}};
  const Reduce reductions[] = {Reduce::occupancy_bits};
  const Clouds batch{.points = {points.data(), DType::f32, {clouds, 1, 3}},
                     .features = {features.data(), DType::f32, {clouds, 1, columns}}};
  const VoxelizeMemory plan = plan_memory(batch, grid, reductions, {.threads = 2});
  EXPECT_LT(plan.scratch, std::int64_t{70} << 20);
  EXPECT_EQ(plan.outputs, clouds * ((std::int64_t{1} << 20) + 8));
}

TEST(VoxelizeMemoryPool, HostMemorySaysWhatWasAskedForAndWhatIsFree) {
  try {
    static_cast<void>(host_memory().allocate(std::size_t{1} << 60, nullptr));
    ADD_FAILURE() << "no exception";
  } catch (const OutOfMemory& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find("host_memory: free memory is "), 0U) << text;
    EXPECT_NE(text.find(" bytes, expected 1152921504606846976 bytes"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace robocache
