#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "robocache/voxelize_sparse.hpp"
#include "voxelize_case.hpp"

namespace robocache {
namespace {

using cuda_testing::Arena;
using cuda_testing::CloudCase;
using cuda_testing::kGpu;
using cuda_testing::Room;

constexpr Reduce kAll[] = {Reduce::count, Reduce::occupancy, Reduce::occupancy_bits, Reduce::sum, Reduce::mean,
                           Reduce::min,   Reduce::max,       Reduce::first,          Reduce::last};

class VoxelizeCuda : public cuda_testing::CudaTest {
 protected:
  Arena arena_{std::size_t{1} << 30};
};

Tensor dense_output(const CloudCase& c, Reduce reduce, void* data, Device device) {
  const std::int64_t* n = c.grid.shape;
  if (reduce == Reduce::count) return {data, DType::i32, {c.clouds, n[0], n[1], n[2]}, device};
  if (reduce == Reduce::occupancy) return {data, DType::u8, {c.clouds, n[0], n[1], n[2]}, device};
  if (reduce == Reduce::occupancy_bits) return {data, DType::u8, {c.clouds, n[0], n[1], (n[2] + 7) / 8}, device};
  return {data, c.dtype, {c.clouds, n[0], n[1], n[2], c.columns}, device};
}

std::size_t bytes_of(const Tensor& t) { return static_cast<std::size_t>(t.numel()) * size_of(t.dtype); }

/// All reductions in one call and each alone, on both devices.
void compare_dense(const CloudCase& c, Arena& arena, std::size_t skew) {
  arena.reset();
  const Clouds on_device = c.on_device(arena);
  std::vector<Room> rooms;
  rooms.reserve(std::size(kAll));
  for (Reduce reduce : kAll) {
    rooms.emplace_back(arena, bytes_of(dense_output(c, reduce, nullptr, kGpu)), needs_features(reduce) ? 0 : skew);
  }
  Room dropped(arena, static_cast<std::size_t>(c.clouds) * sizeof(std::int64_t), 0);
  const auto run = [&](const Clouds& clouds, Device device, std::span<const std::size_t> which) {
    std::vector<Voxels> voxels;
    for (std::size_t i : which)
      voxels.push_back({kAll[i], dense_output(c, kAll[i], rooms[i].at(device), device), -1.5});
    voxelize(clouds, c.grid, voxels, Tensor(dropped.at(device), DType::i64, {c.clouds}, device));
  };
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < std::size(kAll); ++i) all.push_back(i);
  run(c.on_host(), Device{}, all);
  run(on_device, kGpu, all);
  const auto expect = [&](const std::string& how) {
    for (std::size_t i : all) rooms[i].expect_same(std::string(name(kAll[i])) + how);
    dropped.expect_same("dropped" + how);
  };
  expect(" of all");
  for (std::size_t i : all) {
    const std::size_t bytes = bytes_of(dense_output(c, kAll[i], nullptr, kGpu));
    EXPECT_EQ(cudaMemset(rooms[i].device + rooms[i].skew, 0x3c, bytes), cudaSuccess);
    run(on_device, kGpu, {&i, 1});
  }
  expect(" alone");
}

TEST_F(VoxelizeCuda, HasTheBitsOfTheCpu) {
  for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
    for (std::int64_t columns : {0, 1, 3, 8, 33}) {
      SCOPED_TRACE(std::string(name(dtype)) + " " + std::to_string(columns));
      compare_dense(CloudCase(3, 5000, columns, dtype), arena_, static_cast<std::size_t>(columns) % 4 * 4);
    }
  }
}

TEST_F(VoxelizeCuda, ManyCloudsOnMemoryThatLiesAnywhere) {
  compare_dense(CloudCase(1, 0, 2, DType::f32), arena_, 0);
  compare_dense(CloudCase(1, 1, 2, DType::f32), arena_, 4);
  compare_dense(CloudCase(60, 300, 1, DType::f32), arena_, 12);
  CloudCase large(3, 3000, 1, DType::f32);
  for (std::int64_t& size : large.grid.shape) size = 140;
  compare_dense(large, arena_, 4);
}

/// A call whose results are so large that a graph fills them while its points are sorted.
struct LargeCall {
  CloudCase c;
  Clouds clouds;
  Room mean, max, dropped;

  explicit LargeCall(Arena& arena)
      : c(cloud_case()),
        clouds(c.on_device(arena)),
        mean(arena, bytes_of(dense_output(c, Reduce::mean, nullptr, kGpu)), 4),
        max(arena, mean.host.size() - 4, 0),
        dropped(arena, static_cast<std::size_t>(c.clouds) * sizeof(std::int64_t), 0) {}

  static CloudCase cloud_case() {
    CloudCase made(2, 20'000, 4, DType::f32);
    for (std::int64_t& size : made.grid.shape) size = 140;
    return made;
  }

  void run(const Clouds& on, Device device, void* stream) {
    const Voxels voxels[] = {{Reduce::mean, dense_output(c, Reduce::mean, mean.at(device), device), -1.5},
                             {Reduce::max, dense_output(c, Reduce::max, max.at(device), device), 7}};
    voxelize(on, c.grid, voxels, Tensor(dropped.at(device), DType::i64, {c.clouds}, device), {.stream = stream});
  }

  /// After `repeat`, which calls on the device, results that held something else are as they should be.
  void expect(const std::string& how, void* stream, const std::function<void()>& repeat) {
    const auto on = static_cast<cudaStream_t>(stream);
    EXPECT_EQ(cudaMemsetAsync(mean.at(kGpu), 0x3c, mean.host.size() - 4, on), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(max.at(kGpu), 0x3c, max.host.size(), on), cudaSuccess);
    repeat();
    EXPECT_EQ(cudaStreamSynchronize(on), cudaSuccess);
    mean.expect_same("mean " + how);
    max.expect_same("max " + how);
    dropped.expect_same("dropped " + how);
  }
};

TEST_F(VoxelizeCuda, HasTheSameBitsOnAnyStreamAndInAGraph) {
  LargeCall call(arena_);
  call.run(call.c.on_host(), Device{}, nullptr);
  cudaStream_t made[2] = {};
  EXPECT_EQ(cudaStreamCreateWithFlags(&made[0], cudaStreamDefault), cudaSuccess);
  EXPECT_EQ(cudaStreamCreateWithFlags(&made[1], cudaStreamNonBlocking), cudaSuccess);
  for (cudaStream_t stream : {cudaStream_t{}, cudaStreamLegacy, cudaStreamPerThread, made[0], made[1]}) {
    call.expect("on a stream", stream, [&] { call.run(call.clouds, kGpu, stream); });
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(made[1], cudaStreamCaptureModeGlobal), cudaSuccess);
  for (int i = 0; i < 2; ++i) call.run(call.clouds, kGpu, made[1]);
  EXPECT_EQ(cudaStreamEndCapture(made[1], &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  for (int i = 0; i < 2; ++i) {
    call.expect("in a graph", made[1], [&] { EXPECT_EQ(cudaGraphLaunch(executable, made[1]), cudaSuccess); });
  }
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (cudaStream_t stream : made) EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(VoxelizeCuda, ThreadsCallAtOnce) {
  LargeCall calls[] = {LargeCall(arena_), LargeCall(arena_)};
  std::vector<std::thread> threads;
  for (LargeCall& call : calls) {
    call.run(call.c.on_host(), Device{}, nullptr);
    threads.emplace_back([&call] {
      cudaStream_t stream = nullptr;
      EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
      call.expect("of a thread", stream, [&] {
        for (int i = 0; i < 8; ++i) call.run(call.clouds, kGpu, stream);
      });
      EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(VoxelizeCuda, SparseHasTheBitsOfTheCpuAndKeepsToItsRoom) {
  const CloudCase c(3, 5000, 4, DType::f32);
  for (const std::int64_t capacity : {15'000, 700, 0}) {
    for (const SparseLimits limits : {SparseLimits{}, SparseLimits{300, kKeepAll}, SparseLimits{2, 250}}) {
      arena_.reset();
      const Clouds on_device = c.on_device(arena_);
      const auto rows = static_cast<std::size_t>(capacity);
      Room coords(arena_, rows * 16, 0);
      Room counts(arena_, rows * 4, 0);
      Room mean(arena_, rows * 16, 0);
      Room max(arena_, rows * 16, 0);
      const bool lists = limits.max_points < kKeepAll;
      const std::int64_t listed = lists ? limits.max_points : 1;
      Room points(arena_, lists ? rows * static_cast<std::size_t>(listed) * 16 : 0, 0);
      Room inverse(arena_, std::size_t{15'000} * 8, 0);
      Room offsets(arena_, 32, 0);
      Room dropped(arena_, 24, 0);
      for (const auto& [device, clouds] : {std::tuple(Device{}, c.on_host()), std::tuple(kGpu, on_device)}) {
        const SparseReduction reductions[] = {
            {Reduce::mean, Tensor(mean.at(device), DType::f32, {capacity, 4}, device)},
            {Reduce::max, Tensor(max.at(device), DType::f32, {capacity, 4}, device)}};
        voxelize_sparse(
            clouds, c.grid, limits,
            {.coords = Tensor(coords.at(device), DType::i32, {capacity, 4}, device),
             .counts = Tensor(counts.at(device), DType::i32, {capacity}, device),
             .reductions = reductions,
             .points = lists ? Tensor(points.at(device), DType::f32, {capacity, listed, 4}, device) : Tensor{},
             .inverse = Tensor(inverse.at(device), DType::i64, {3, 5000}, device),
             .offsets = Tensor(offsets.at(device), DType::i64, {4}, device),
             .dropped = Tensor(dropped.at(device), DType::i64, {3}, device)});
      }
      SCOPED_TRACE(std::to_string(capacity) + " " + std::to_string(limits.max_points));
      coords.expect_same("coords");
      counts.expect_same("counts");
      mean.expect_same("mean");
      max.expect_same("max");
      points.expect_same("points");
      inverse.expect_same("inverse");
      offsets.expect_same("offsets");
      dropped.expect_same("dropped");
    }
  }
}

}  // namespace
}  // namespace robocache
