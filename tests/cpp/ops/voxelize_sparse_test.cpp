#include "robocache/voxelize_sparse.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace robocache {
namespace {

/// Random points, several chunks of them, a ninth in one voxel; and room for the results.
struct SparseScene {
  std::int64_t n = 40'000;
  VoxelGrid grid{{-1, -1, -1}, {0.05, 0.05, 0.05}, {40, 35, 45}};
  std::vector<float> points = std::vector<float>(static_cast<std::size_t>(n) * 3);

  SparseScene() {
    std::mt19937 random(7);
    std::normal_distribution<float> some(0, 0.5F);
    for (std::size_t i = 0; i < points.size(); ++i) points[i] = i % 27 < 3 ? 0.01F : some(random);
  }

  [[nodiscard]] ConstTensor cloud() const { return {points.data(), DType::f32, {n, 3}}; }
};

struct SparseAnswer {
  std::vector<std::int32_t> coords, counts;
  std::vector<float> mean;
  std::vector<std::int64_t> inverse, offsets;
  std::int64_t dropped = 0;
  bool operator==(const SparseAnswer&) const = default;
};

SparseAnswer answer(const SparseScene& scene, std::int64_t capacity, const SparseLimits& limits, const Context& ctx) {
  SparseAnswer a;
  a.coords.resize(static_cast<std::size_t>(capacity) * 4);
  a.counts.resize(static_cast<std::size_t>(capacity));
  a.mean.resize(static_cast<std::size_t>(capacity) * 3);
  a.inverse.resize(static_cast<std::size_t>(scene.n));
  a.offsets.resize(2);
  const SparseReduction mean[] = {{Reduce::mean, Tensor{a.mean.data(), DType::f32, {capacity, 3}}}};
  voxelize_sparse({.points = scene.cloud(), .features = scene.cloud()}, scene.grid, limits,
                  {.coords = {a.coords.data(), DType::i32, {capacity, 4}},
                   .counts = {a.counts.data(), DType::i32, {capacity}},
                   .reductions = mean,
                   .inverse = {a.inverse.data(), DType::i64, {scene.n}},
                   .offsets = {a.offsets.data(), DType::i64, {2}},
                   .dropped = {&a.dropped, DType::i64, {}}},
                  ctx);
  return a;
}

TEST(VoxelizeSparsePool, AnyNumberOfThreadsGivesTheSameBits) {
  const SparseScene scene;
  for (const SparseLimits limits : {SparseLimits{}, SparseLimits{3, 500}}) {
    const SparseAnswer one = answer(scene, scene.n, limits, {.threads = 1});
    EXPECT_GE(one.offsets[1], 500);
    for (int threads : {2, 3, 8}) EXPECT_EQ(answer(scene, scene.n, limits, {.threads = threads}), one) << threads;
  }
}

TEST(VoxelizeSparsePool, WritesWhatThereIsRoomForAndSaysHowManyThereAre) {
  const SparseScene scene;
  const SparseAnswer all = answer(scene, scene.n, {}, {});
  for (std::int64_t capacity : {std::int64_t{0}, std::int64_t{1}, std::int64_t{777}}) {
    const SparseAnswer some = answer(scene, capacity, {}, {});
    EXPECT_EQ(some.offsets, all.offsets);
    EXPECT_EQ(some.inverse, all.inverse);
    EXPECT_EQ(some.dropped, all.dropped);
    EXPECT_TRUE(std::equal(some.mean.begin(), some.mean.end(), all.mean.begin()));
    EXPECT_TRUE(std::equal(some.coords.begin(), some.coords.end(), all.coords.begin()));
  }
}

TEST(VoxelizeSparsePool, DownsamplesAsTheGridDoes) {
  SparseScene scene;
  scene.grid.origin[0] = scene.grid.origin[1] = scene.grid.origin[2] = -5;
  for (std::int64_t& size : scene.grid.shape) size = 200;
  const SparseAnswer sparse = answer(scene, scene.n, {}, {});
  ASSERT_EQ(sparse.dropped, 0);
  std::vector<float> points(sparse.mean.size());
  std::vector<std::int64_t> offsets(2);
  voxel_downsample({.points = scene.cloud()}, scene.grid.voxel_m, scene.grid.origin,
                   {.points = {points.data(), DType::f32, {scene.n, 3}}, .offsets = {offsets.data(), DType::i64, {2}}});
  EXPECT_EQ(points, sparse.mean);
  EXPECT_EQ(offsets, sparse.offsets);
}

TEST(VoxelizeSparse, NamesWhatIsWrong) {
  const std::vector<float> points(12);
  std::vector<std::int32_t> counts(8);
  const Clouds clouds{.points = {points.data(), DType::f32, {4, 3}}};
  const auto text = [&](const SparseLimits& limits, const SparseVoxels& out) -> std::string {
    try {
      voxelize_sparse(clouds, {}, limits, out);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(text({}, {}), "");
  EXPECT_EQ(text({.max_points = 0}, {}), "voxelize_sparse: max_points is 0, expected at least 1");
  EXPECT_EQ(text({}, {.coords = {counts.data(), DType::i32, {2, 3}}}),
            "voxelize_sparse: coords is [2, 3], expected [2, 4]");
  EXPECT_EQ(text({}, {.coords = {counts.data(), DType::i32, {1, 4}}, .counts = {counts.data(), DType::i32, {2}}}),
            "voxelize_sparse: counts is [2], expected [1]");
}

}  // namespace
}  // namespace robocache
