#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cuda/error.hpp"
#include "cuda_timing.hpp"
#include "device_array.hpp"
#include "robocache/robocache.hpp"

// Operators on points on CUDA: device time by replaying a graph over rotating buffers (more than the L2 holds), beside
// the bytes that have to move and what a copy of as many takes in the same run. voxel_downsample waits for the device,
// so that its time is that of calls one after another.
namespace {

using bench::device_time;
using bench::DeviceArray;
using robocache::Box;
using robocache::Device;
using robocache::DeviceKind;
using robocache::DType;
using robocache::cuda::check;

constexpr Device kGpu{DeviceKind::cuda, 0};
constexpr std::int64_t kLarge = 16;  ///< times as many

/// [0, 1).
std::vector<float> numbers(std::int64_t count) {
  std::vector<float> made(static_cast<std::size_t>(count));
  std::uint32_t state = 12345;
  for (float& v : made) {
    state = state * 1664525U + 1013904223U;
    v = static_cast<float>(state >> 8) * 0x1p-24F;
  }
  return made;
}

/// What one call reads and writes.
struct Set {
  DeviceArray<float> points, out;
  DeviceArray<std::int64_t> index, offsets;
  DeviceArray<std::uint16_t> depth;
  DeviceArray<std::uint8_t> valid;

  Set(const std::vector<float>& from, std::size_t out_numbers, std::size_t rows, const std::vector<std::uint16_t>& mm)
      : points(from), out(out_numbers), index(rows), offsets(2), depth(mm), valid(mm.size()) {}
};

struct Case {
  std::string name;
  double bytes;  ///< that have to move
  std::function<Set()> make;
  std::function<void(const Set&, cudaStream_t)> run;
};

class Cases {
 public:
  Cases()
      : transform_(std::vector<float>{0.6F, -0.8F, 0, 1, 0.8F, 0.6F, 0, -2, 0, 0, 1, 0.3F, 0, 0, 0, 1}),
        camera_(std::vector<float>{525, 0, 319.5F, 0, 525, 239.5F, 0, 0, 1}) {}

  [[nodiscard]] Case copy(std::int64_t times) const {
    const std::int64_t n = 1'000'000 * times;
    return {"copy of " + millions(n) + " points", 24.0 * static_cast<double>(n),
            [n] { return Set(numbers(3 * n), static_cast<std::size_t>(3 * n), 0, {}); },
            [](const Set& set, cudaStream_t stream) {
              check("benchmark", cudaMemcpyAsync(set.out.data(), set.points.data(), set.points.bytes(),
                                                 cudaMemcpyDeviceToDevice, stream));
            }};
  }

  /// `pitch` 4: x, y and z of scans with one more number, moved in place.
  [[nodiscard]] Case transform(std::int64_t times, std::int64_t pitch) const {
    const std::int64_t n = 1'000'000 * times;
    return {"transform_points " + millions(n) + (pitch == 3 ? " f32" : " f32 of 4 columns"),
            8.0 * static_cast<double>(pitch * n),
            [n, pitch] { return Set(numbers(pitch * n), static_cast<std::size_t>(pitch * n), 0, {}); },
            [this, n, pitch](const Set& set, cudaStream_t stream) {
              robocache::Tensor points{set.points.data(), DType::f32, {n, 3}, kGpu};
              robocache::Tensor out{pitch == 3 ? set.out.data() : set.points.data(), DType::f32, {n, 3}, kGpu};
              points.strides[0] = out.strides[0] = pitch;
              robocache::transform_points(
                  {.points = points, .transform = {transform_.data(), DType::f32, {4, 4}, kGpu}}, out,
                  {.stream = stream});
            }};
  }

  [[nodiscard]] Case crop(std::int64_t times) const {
    const std::int64_t n = 1'000'000 * times;
    return {"crop " + millions(n) + " f32, half kept", (12.0 + 6 + 4) * static_cast<double>(n),
            [n] { return Set(numbers(3 * n), static_cast<std::size_t>(3 * n), static_cast<std::size_t>(n), {}); },
            [n](const Set& set, cudaStream_t stream) {
              Box box;
              box.high[0] = 0.5;
              robocache::crop({.points = {set.points.data(), DType::f32, {n, 3}, kGpu}}, box,
                              {.points = {set.out.data(), DType::f32, {n, 3}, kGpu},
                               .index = {set.index.data(), DType::i64, {n}, kGpu},
                               .offsets = {set.offsets.data(), DType::i64, {2}, kGpu}},
                              {.stream = stream});
            }};
  }

  [[nodiscard]] Case depth(std::int64_t images, bool moves) const {
    constexpr std::int64_t kHeight = 480;
    constexpr std::int64_t kWidth = 640;
    const std::int64_t pixels = images * kHeight * kWidth;
    return {"depth_to_points " + std::to_string(images) + "x480x640 u16" + (moves ? ", transform" : ""),
            15.0 * static_cast<double>(pixels),
            [pixels] {
              std::vector<std::uint16_t> mm;
              for (float v : numbers(pixels)) mm.push_back(static_cast<std::uint16_t>(4000 * v));
              return Set({}, static_cast<std::size_t>(3 * pixels), 0, mm);
            },
            [this, images, moves](const Set& set, cudaStream_t stream) {
              robocache::DepthImages in{.depth = {set.depth.data(), DType::u16, {images, kHeight, kWidth}, kGpu},
                                        .intrinsics = {camera_.data(), DType::f32, {3, 3}, kGpu}};
              if (moves) in.transform = {transform_.data(), DType::f32, {4, 4}, kGpu};
              robocache::depth_to_points(in, {set.out.data(), DType::f32, {images, kHeight, kWidth, 3}, kGpu},
                                         {set.valid.data(), DType::boolean, {images, kHeight, kWidth}, kGpu},
                                         {.stream = stream});
            }};
  }

  /// Into 25^3 voxels.
  [[nodiscard]] Case downsample() const {
    constexpr std::int64_t n = 1'000'000;
    return {"voxel_downsample 1M f32", 24.0 * n, [] { return Set(numbers(3 * n), std::size_t{3 * n}, 0, {}); },
            [](const Set& set, cudaStream_t stream) {
              robocache::voxel_downsample({.points = {set.points.data(), DType::f32, {n, 3}, kGpu}}, {0.04, 0.04, 0.04},
                                          {0, 0, 0},
                                          {.points = {set.out.data(), DType::f32, {n, 3}, kGpu},
                                           .offsets = {set.offsets.data(), DType::i64, {2}, kGpu}},
                                          {.stream = stream});
            }};
  }

 private:
  static std::string millions(std::int64_t n) { return std::to_string(n / 1'000'000) + "M"; }

  DeviceArray<float> transform_, camera_;
};

double gigabytes_per_s(const Case& c, double us) { return c.bytes / us / 1000; }

/// Microseconds of the faster of two runs, so that one that was disturbed does not count.
double measure(const Case& c, cudaStream_t stream, bool captured) {
  std::vector<Set> sets;
  const std::size_t count =
      captured ? static_cast<std::size_t>(static_cast<double>(bench::kWorkingSet) / c.bytes) + 2 : 1;
  sets.push_back(c.make());
  while (sets.size() < count) sets.push_back(c.make());
  const auto run = [&] {
    if (!captured) return bench::timed(40, stream, [&] { c.run(sets[0], stream); }).median_us;
    return device_time(count, stream, [&](std::size_t i) { c.run(sets[i], stream); }).median_us;
  };
  return std::min(run(), run());
}

}  // namespace

int main(int argc, char** argv) {
  std::string only;
  if (argc > 2 && std::strcmp(argv[1], "--only") == 0) only = argv[2];
  cudaStream_t stream = nullptr;
  check("benchmark", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const Cases cases;
  const Case large_copy = cases.copy(kLarge);
  const double copied = gigabytes_per_s(large_copy, measure(large_copy, stream, true));
  std::printf("%-46s %9.0f GB/s\n", large_copy.name.c_str(), copied);
  for (const Case& c : {cases.copy(1), cases.transform(1, 3), cases.transform(kLarge, 3), cases.transform(1, 4),
                        cases.transform(kLarge, 4), cases.crop(1), cases.crop(kLarge), cases.depth(8, false),
                        cases.depth(8, true), cases.depth(64, true), cases.downsample()}) {
    if (c.name.find(only) == std::string::npos) continue;
    const double us = measure(c, stream, c.name.find("downsample") == std::string::npos);
    std::printf("%-46s %9.2f us  %6.1f MB  %5.0f GB/s  %3.0f %% of a copy\n", c.name.c_str(), us, c.bytes / 1e6,
                gigabytes_per_s(c, us), 100 * gigabytes_per_s(c, us) / copied);
  }
  return 0;
}
