#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "cuda/error.hpp"
#include "cuda_timing.hpp"
#include "device_array.hpp"
#include "peers/voxelize_naive.cuh"
#include "robocache/robocache.hpp"

// voxelize on CUDA: device time by replaying a graph over rotating buffers (more than the L2 holds), beside what is
// asked of it and beside plain kernels that clear the grid and use atomics. All points are in the grid: spread evenly,
// or all of them in one voxel.
namespace {

using bench::device_time;
using bench::DeviceArray;
using robocache::Device;
using robocache::DeviceKind;
using robocache::DType;
using robocache::Reduce;
using robocache::cuda::check;

constexpr Device kGpu{DeviceKind::cuda, 0};
constexpr unsigned kThreads = 256;

struct Case {
  const char* name;
  Reduce reduce;
  std::int64_t clouds, samples, columns, side;
  double asked_us;

  [[nodiscard]] std::int64_t points() const { return clouds * samples; }
  [[nodiscard]] std::int64_t voxels() const { return clouds * side * side * side; }
  [[nodiscard]] std::size_t out_bytes() const {
    const auto n = static_cast<std::size_t>(voxels());
    if (reduce == Reduce::occupancy_bits) return n / 8;
    if (reduce == Reduce::occupancy) return n;
    return n * sizeof(float) * (robocache::needs_features(reduce) ? static_cast<std::size_t>(columns) : 1);
  }
  [[nodiscard]] DType dtype() const {
    if (reduce == Reduce::count) return DType::i32;
    if (reduce == Reduce::occupancy) return DType::boolean;
    return reduce == Reduce::occupancy_bits ? DType::u8 : DType::f32;
  }
};

const std::vector<Case> kCases = {
    {"500K->128^3", Reduce::count, 1, 500'000, 0, 128, 8.5},
    {"500K->128^3", Reduce::occupancy, 1, 500'000, 0, 128, 8.5},
    {"500K->128^3", Reduce::occupancy_bits, 1, 500'000, 0, 128, 7.0},
    {"64x65536->128^3", Reduce::count, 64, 65'536, 0, 128, 200},
    {"64x65536->128^3", Reduce::occupancy_bits, 64, 65'536, 0, 128, 45},
    {"1Mx16->200^3", Reduce::mean, 1, 1'000'000, 16, 200, 240},
    {"1Mx16->200^3", Reduce::max, 1, 1'000'000, 16, 200, 240},
};

const Case kSparse = {"1Mx16->200^3", Reduce::mean, 1, 1'000'000, 16, 200, 110};

/// [0, scale), other numbers for each seed; `same` for all where that is not negative.
__global__ void make_numbers(float* to, std::int64_t count, std::uint64_t seed, float scale, float same) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  std::uint64_t x = seed + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(i + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  to[i] = same >= 0 ? same : static_cast<float>((x ^ (x >> 31)) >> 40) * 0x1p-24F * scale;
}

dim3 blocks_for(std::int64_t threads) { return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads)); }

/// Inputs and the output of one call.
struct Set {
  DeviceArray<float> points, features;
  DeviceArray<std::uint8_t> out;
  DeviceArray<int> counts;  ///< of the plain mean

  Set(const Case& c, std::uint64_t seed, bool one_voxel)
      : points(static_cast<std::size_t>(3 * c.points())),
        features(static_cast<std::size_t>(c.points() * c.columns)),
        out(c.out_bytes()),
        counts(c.reduce == Reduce::mean ? static_cast<std::size_t>(c.voxels()) : 0) {
    const std::int64_t values = c.points() * c.columns;
    make_numbers<<<blocks_for(3 * c.points()), kThreads>>>(
        points.data(), 3 * c.points(), seed, static_cast<float>(c.side) * 0.99999F, one_voxel ? 3.25F : -1);
    if (values > 0)
      make_numbers<<<blocks_for(values), kThreads>>>(features.data(), values, seed ^ 0x5555555555555555ULL, 1, -1);
    check("benchmark", cudaDeviceSynchronize());
  }
};

robocache::VoxelGrid grid_of(const Case& c) {
  robocache::VoxelGrid grid;
  for (std::int64_t& size : grid.shape) size = c.side;
  return grid;
}

void ours(const Case& c, const Set& set, cudaStream_t stream) {
  std::vector<std::int64_t> shape{c.clouds, c.side, c.side, c.side};
  if (c.reduce == Reduce::occupancy_bits) shape.back() /= 8;
  if (robocache::needs_features(c.reduce)) shape.push_back(c.columns);
  robocache::Clouds clouds{.points = {set.points.data(), DType::f32, {c.clouds, c.samples, 3}, kGpu}};
  if (c.columns > 0) clouds.features = {set.features.data(), DType::f32, {c.clouds, c.samples, c.columns}, kGpu};
  robocache::Tensor out{set.out.data(), c.dtype(), {c.clouds}, kGpu};
  out.rank = static_cast<int>(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0; stride *= shape[i]) {
    out.shape[i] = shape[i];
    out.strides[i] = stride;
  }
  const robocache::Voxels voxels[] = {{c.reduce, out, 0}};
  robocache::voxelize(clouds, grid_of(c), voxels, {}, {.stream = stream});
}

void naive(const Case& c, const Set& set, cudaStream_t stream) {
  peers::NaiveVoxels a{.points = set.points.data(),
                       .features = set.features.data(),
                       .clouds = static_cast<int>(c.clouds),
                       .samples = static_cast<int>(c.samples),
                       .columns = static_cast<int>(c.columns),
                       .side = static_cast<int>(c.side)};
  check("benchmark", cudaMemsetAsync(set.out.data(), 0, set.out.bytes(), stream));
  if (!robocache::needs_features(c.reduce)) {
    if (c.reduce == Reduce::count) a.count = reinterpret_cast<int*>(set.out.data());
    if (c.reduce == Reduce::occupancy) a.occupied = set.out.data();
    if (c.reduce == Reduce::occupancy_bits) a.bits = reinterpret_cast<unsigned*>(set.out.data());
    peers::naive_counts<<<blocks_for(c.points()), kThreads, 0, stream>>>(a);
    return;
  }
  a.values = reinterpret_cast<float*>(set.out.data());
  if (c.reduce == Reduce::max) {
    peers::naive_maxima<<<blocks_for(c.points() * c.columns), kThreads, 0, stream>>>(a);
    return;
  }
  a.count = set.counts.data();
  check("benchmark", cudaMemsetAsync(set.counts.data(), 0, set.counts.bytes(), stream));
  peers::naive_sums<<<blocks_for(c.points() * c.columns), kThreads, 0, stream>>>(a);
  peers::naive_divide<<<blocks_for(c.voxels() * c.columns), kThreads, 0, stream>>>(a);
}

/// What a call leaves in an output that held a pattern.
std::vector<std::uint8_t> answer(const Set& set, cudaStream_t stream, const std::function<void()>& call) {
  check("benchmark", cudaMemsetAsync(set.out.data(), 0xff, set.out.bytes(), stream));
  call();
  check("benchmark", cudaStreamSynchronize(stream));
  return set.out.host();
}

/// Results that differ: in their bits; sums of atomics by more than their rounding.
std::size_t differences(const Case& c, const std::vector<std::uint8_t>& got, const std::vector<std::uint8_t>& want) {
  std::size_t wrong = 0;
  if (c.reduce != Reduce::mean) {
    for (std::size_t i = 0; i < got.size(); ++i) wrong += got[i] != want[i] ? 1 : 0;
    return wrong;
  }
  for (std::size_t i = 0; i < got.size(); i += sizeof(float)) {
    float a = 0;
    float b = 0;
    std::memcpy(&a, &got[i], sizeof a);
    std::memcpy(&b, &want[i], sizeof b);
    wrong += std::abs(a - b) <= 1e-3F ? 0 : 1;
  }
  return wrong;
}

void measure(const Case& c, bool one_voxel, std::uint64_t seed, cudaStream_t stream) {
  std::vector<Set> sets;
  const std::size_t bytes = c.out_bytes() + static_cast<std::size_t>(c.points() * (3 + c.columns)) * sizeof(float);
  const std::size_t count = std::max<std::size_t>(3, bench::kWorkingSet / bytes + 1);
  for (std::size_t i = 0; i < count; ++i) sets.emplace_back(c, seed + i, one_voxel);
  const auto ours_on = [&](std::size_t i) { ours(c, sets[i], stream); };
  const auto naive_on = [&](std::size_t i) { naive(c, sets[i], stream); };
  const auto want = answer(sets[0], stream, [&] { naive_on(0); });
  const std::size_t wrong = differences(c, answer(sets[0], stream, [&] { ours_on(0); }), want);
  // Atomics on one voxel take their turns for many milliseconds.
  const double plain = one_voxel ? bench::timed(3, stream, [&] { naive_on(0); }).median_us
                                 : device_time(count, stream, naive_on).median_us;
  const double device = device_time(count, stream, ours_on).median_us;
  const double again = device_time(count, stream, ours_on).median_us;
  std::printf("%-18s %-14s %-9s asked %6.1f%s  %8.2f %8.2f us  naive %8.2f (%.1fx)  %zu wrong\n", c.name,
              std::string(name(c.reduce)).c_str(), one_voxel ? "one voxel" : "even", (one_voxel ? 3 : 1) * c.asked_us,
              std::max(device, again) <= (one_voxel ? 3 : 1) * c.asked_us ? "  met" : " MORE", device, again, plain,
              plain / device, wrong);
}

/// The occupied voxels alone, with room for a voxel for each point.
struct SparseSet {
  Set in;
  DeviceArray<float> out;
  DeviceArray<std::int32_t> coords, counts;
  DeviceArray<std::int64_t> offsets;

  SparseSet(const Case& c, std::uint64_t seed, bool one_voxel)
      : in(Case{c.name, Reduce::count, 1, c.samples, c.columns, 1, 0}, seed, one_voxel),
        out(static_cast<std::size_t>(c.samples * c.columns)),
        coords(static_cast<std::size_t>(4 * c.samples)),
        counts(static_cast<std::size_t>(c.samples)),
        offsets(2) {
    make_numbers<<<blocks_for(3 * c.samples), kThreads>>>(
        in.points.data(), 3 * c.samples, seed, static_cast<float>(c.side) * 0.99999F, one_voxel ? 3.25F : -1);
    check("benchmark", cudaDeviceSynchronize());
  }
};

void measure_sparse(const Case& c, bool one_voxel, std::uint64_t seed, cudaStream_t stream) {
  std::vector<SparseSet> sets;
  for (std::size_t i = 0; i < 3; ++i) sets.emplace_back(c, seed + i, one_voxel);
  const auto on = [&](std::size_t i) {
    const SparseSet& set = sets[i];
    const robocache::SparseReduction mean[] = {{c.reduce, {set.out.data(), DType::f32, {c.samples, c.columns}, kGpu}}};
    robocache::voxelize_sparse({.points = {set.in.points.data(), DType::f32, {c.samples, 3}, kGpu},
                                .features = {set.in.features.data(), DType::f32, {c.samples, c.columns}, kGpu}},
                               grid_of(c), {},
                               {.coords = {set.coords.data(), DType::i32, {c.samples, 4}, kGpu},
                                .counts = {set.counts.data(), DType::i32, {c.samples}, kGpu},
                                .reductions = mean,
                                .offsets = {set.offsets.data(), DType::i64, {2}, kGpu}},
                               {.stream = stream});
  };
  const double device = device_time(sets.size(), stream, on).median_us;
  const double again = device_time(sets.size(), stream, on).median_us;
  const double asked = (one_voxel ? 3 : 1) * c.asked_us;
  std::printf("%-18s %-14s %-9s asked %6.1f%s  %8.2f %8.2f us  %lld voxels\n", c.name, "mean, sparse",
              one_voxel ? "one voxel" : "even", asked, std::max(device, again) <= asked ? "  met" : " MORE", device,
              again, static_cast<long long>(sets[0].offsets.host()[1]));
}

/// What a result's gradient becomes by the features; the result itself stands for its gradient.
void measure_gradient(const Case& c, bool one_voxel, std::uint64_t seed, cudaStream_t stream) {
  std::vector<Set> sets;
  std::vector<DeviceArray<float>> grads;
  for (std::size_t i = 0; i < 3; ++i) {
    sets.emplace_back(c, seed + i, one_voxel);
    grads.emplace_back(static_cast<std::size_t>(c.points() * c.columns));
    make_numbers<<<blocks_for(c.voxels() * c.columns), kThreads>>>(reinterpret_cast<float*>(sets[i].out.data()),
                                                                   c.voxels() * c.columns, seed ^ i, 1, -1);
  }
  check("benchmark", cudaDeviceSynchronize());
  const auto on = [&](std::size_t i) {
    const robocache::VoxelGradient from[] = {
        {c.reduce, {sets[i].out.data(), DType::f32, {c.side, c.side, c.side, c.columns}, kGpu}}};
    robocache::voxelize_gradient({.points = {sets[i].points.data(), DType::f32, {c.samples, 3}, kGpu},
                                  .features = {sets[i].features.data(), DType::f32, {c.samples, c.columns}, kGpu}},
                                 grid_of(c), from, {grads[i].data(), DType::f32, {c.samples, c.columns}, kGpu},
                                 {.stream = stream});
  };
  const double device = device_time(sets.size(), stream, on).median_us;
  const double again = device_time(sets.size(), stream, on).median_us;
  std::printf("%-18s %-14s %-9s                    %8.2f %8.2f us\n", c.name,
              (std::string(name(c.reduce)) + " grad").c_str(), one_voxel ? "one voxel" : "even", device, again);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = std::random_device{}();
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--seed") == 0) seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  }
  const auto is_wanted = [&](const Case& c, const char* more, bool one_voxel) {
    const std::string line = std::string(c.name) + " " + std::string(name(c.reduce)) + more;
    return (line + (one_voxel ? " one voxel" : " even")).find(only) != std::string::npos;
  };
  cudaStream_t stream = nullptr;
  check("benchmark", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (const bool one_voxel : {false, true}) {
    for (const Case& c : kCases) {
      if (is_wanted(c, "", one_voxel)) measure(c, one_voxel, seed, stream);
    }
    if (is_wanted(kSparse, ", sparse", one_voxel)) measure_sparse(kSparse, one_voxel, seed, stream);
    for (const Reduce reduce : {Reduce::sum, Reduce::mean, Reduce::max}) {
      const Case c{"1Mx16->200^3", reduce, 1, 1'000'000, 16, 200, 0};
      if (is_wanted(c, " grad", one_voxel)) measure_gradient(c, one_voxel, seed, stream);
    }
  }
  return 0;
}
