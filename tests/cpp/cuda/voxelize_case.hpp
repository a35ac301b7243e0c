#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cuda_test.hpp"
#include "math/half.hpp"
#include "robocache/voxelize.hpp"

// Clouds that both devices have, and what they write.
namespace robocache::cuda_testing {

using Bytes = std::vector<std::uint8_t>;

inline void put(DType dtype, std::uint8_t* to, float value) {
  const double wide = value;
  const f16 half = to_f16(value);
  const bf16 brain = to_bf16(value);
  const void* from = dtype == DType::f64   ? static_cast<const void*>(&wide)
                     : dtype == DType::f32 ? static_cast<const void*>(&value)
                     : dtype == DType::f16 ? static_cast<const void*>(&half)
                                           : static_cast<const void*>(&brain);
  std::memcpy(to, from, size_of(dtype));
}

/// Clouds of which some points are outside, some near one another, and a tenth in one voxel.
struct CloudCase {
  std::int64_t clouds, samples, columns;
  DType dtype;
  VoxelGrid grid{{-1, -1, -1}, {0.1, 0.2, 0.05}, {21, 11, 43}};
  std::vector<float> points;
  Bytes features;
  std::vector<std::int64_t> lengths;
  std::vector<std::int64_t> offsets{};  ///< [N, 3] where they are given, else [B, N, 3] with lengths

  CloudCase(std::int64_t clouds_, std::int64_t samples_, std::int64_t columns_, DType dtype_)
      : clouds(clouds_), samples(samples_), columns(columns_), dtype(dtype_) {
    points.resize(static_cast<std::size_t>(3 * clouds * samples));
    for (std::size_t i = 0; i < points.size(); ++i) points[i] = i % 30 < 3 ? 0.01F : some_(random_);
    features = numbers(clouds * samples);
    for (std::int64_t b = 0; b < clouds; ++b) lengths.push_back(b % 3 == 1 ? samples / 2 : samples);
  }

  /// So many rows of features.
  [[nodiscard]] Bytes numbers(std::int64_t rows) {
    Bytes made(static_cast<std::size_t>(rows * columns) * size_of(dtype));
    for (std::size_t i = 0; i < made.size(); i += size_of(dtype)) put(dtype, &made[i], some_(random_));
    return made;
  }

  /// Many features become equal, and some NaN.
  void tie() {
    for (std::size_t i = 0; i < features.size(); i += size_of(dtype)) {
      const float rounded = std::round(2 * some_(random_)) / 2;
      put(dtype, &features[i], i / size_of(dtype) % 53 == 0 ? std::numeric_limits<float>::quiet_NaN() : rounded);
    }
  }

  /// Packed clouds, the second of them empty, with points of no cloud before and behind.
  void pack() {
    for (std::int64_t b = 0; b <= clouds; ++b) offsets.push_back((b == 1 ? 2 : b) * (samples - 2) + 3);
  }

  [[nodiscard]] Clouds on_host() const {
    return at(points.data(), features.data(), lengths.data(), offsets.data(), Device{});
  }
  [[nodiscard]] Clouds on_device(Arena& arena) const {
    return at(arena.copy(points), arena.copy(features), arena.copy(lengths), arena.copy(offsets), kGpu);
  }
  [[nodiscard]] std::int64_t voxels() const { return clouds * grid.shape[0] * grid.shape[1] * grid.shape[2]; }

 private:
  [[nodiscard]] Clouds at(const void* p, const void* f, const void* l, const void* o, Device device) const {
    if (!offsets.empty()) {
      return {.points = ConstTensor(p, DType::f32, {clouds * samples, 3}, device),
              .features = ConstTensor(f, dtype, {clouds * samples, columns}, device),
              .offsets = ConstTensor(o, DType::i64, {clouds + 1}, device)};
    }
    return {.points = ConstTensor(p, DType::f32, {clouds, samples, 3}, device),
            .features = ConstTensor(f, dtype, {clouds, samples, columns}, device),
            .lengths = ConstTensor(l, DType::i64, {clouds}, device)};
  }

  std::mt19937 random_{static_cast<unsigned>(clouds + samples + columns)};
  std::normal_distribution<float> some_{0, 0.5F};
};

/// Room for an output that begins `skew` bytes behind an address that is a multiple of 16, and is followed by bytes that
/// nobody may write, more of them than any store is wide.
struct Room {
  static constexpr std::size_t kGuard = 64;

  std::size_t bytes, skew;
  Bytes host;
  std::uint8_t* device;

  Room(Arena& arena, std::size_t bytes_, std::size_t skew_)
      : bytes(bytes_), skew(skew_), host(skew + bytes + kGuard, 0xa5), device(arena.copy(host)) {}
  [[nodiscard]] void* at(Device where) { return (where.kind == DeviceKind::cpu ? host.data() : device) + skew; }
  /// Other bytes than any result has, on the device.
  void wipe(void* stream = nullptr) const {
    EXPECT_EQ(cudaMemsetAsync(device + skew, 0x3c, bytes, static_cast<cudaStream_t>(stream)), cudaSuccess);
  }
  void expect_same(const std::string& what) const { EXPECT_EQ(to_host(device, host.size()) == host, true) << what; }
};

}  // namespace robocache::cuda_testing
