#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "cuda/error.hpp"
#include "device_array.hpp"
#include "robocache/robocache.hpp"

// Inputs and outputs of align on a GPU, for its benchmark.
namespace bench {

using robocache::DType;
using robocache::cuda::check;

inline constexpr std::int64_t kEpoch = 1'700'000'000'000'000'000;
inline constexpr std::int64_t kSpan = 1'000'000'000;

struct Source {
  std::int64_t samples, columns;
};
struct Shape {
  const char* name;
  std::int64_t batch, targets;
  std::vector<Source> sources;
  DType dtype = DType::bf16;  ///< or f32

  [[nodiscard]] std::int64_t value_bytes() const { return dtype == DType::f32 ? 4 : 2; }
  [[nodiscard]] std::int64_t columns() const {
    std::int64_t sum = 0;
    for (const Source& s : sources) sum += s.columns;
    return sum;
  }
};

inline std::vector<std::int64_t> sorted_stamps(std::mt19937_64& random, std::int64_t rows, std::int64_t count) {
  std::vector<std::int64_t> stamps(static_cast<std::size_t>(rows * count));
  for (std::int64_t& s : stamps) s = kEpoch + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(kSpan));
  for (std::int64_t r = 0; r < rows; ++r) std::sort(stamps.begin() + r * count, stamps.begin() + (r + 1) * count);
  return stamps;
}

/// Relative to the epoch: what f32 can hold.
inline std::vector<float> seconds(const std::vector<std::int64_t>& stamps) {
  std::vector<float> relative(stamps.size());
  std::ranges::transform(stamps, relative.begin(),
                         [](std::int64_t s) { return static_cast<float>(s - kEpoch) * 1e-9F; });
  return relative;
}

/// 16-bit words in [-1, 1) as bf16; two of them are an f32 of that range.
inline std::vector<std::uint16_t> random_words(std::mt19937_64& random, std::int64_t count) {
  std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
  for (std::uint16_t& v : values) {
    const float x = static_cast<float>(static_cast<std::int64_t>(random() >> 40)) / 8388608.0F - 1.0F;
    std::uint32_t bits = 0;
    std::memcpy(&bits, &x, sizeof(bits));
    v = static_cast<std::uint16_t>(bits >> 16);
  }
  return values;
}

/// `count` words of the pool, from a random place on, as often as it takes.
inline DeviceArray<std::uint16_t> some_of(const std::vector<std::uint16_t>& pool, std::size_t count,
                                          std::mt19937_64& random) {
  DeviceArray<std::uint16_t> words(count);
  for (std::size_t done = 0; done < count;) {
    const std::size_t skip = random() % (pool.size() / 2);
    const std::size_t part = std::min(count - done, pool.size() - skip);
    check("benchmark",
          cudaMemcpy(words.data() + done, pool.data() + skip, part * sizeof(std::uint16_t), cudaMemcpyHostToDevice));
    done += part;
  }
  return words;
}

/// Inputs and outputs of one call.
struct Set {
  std::vector<DeviceArray<std::uint16_t>> values;
  std::vector<DeviceArray<std::int64_t>> stamps;
  std::vector<DeviceArray<float>> stamps_s;
  DeviceArray<std::int64_t> at;
  DeviceArray<float> at_s;
  DeviceArray<std::uint16_t> out;
  DeviceArray<std::uint8_t> valid;
  DeviceArray<std::int64_t> age_ns;
  double touched_bytes = 0;  ///< of distinct samples that the targets need

  Set(const Shape& shape, std::mt19937_64& random, const std::vector<std::uint16_t>& pool)
      : Set(shape, random, pool, sorted_stamps(random, shape.batch, shape.targets)) {}

 private:
  Set(const Shape& shape, std::mt19937_64& random, const std::vector<std::uint16_t>& pool,
      const std::vector<std::int64_t>& targets)
      : at(targets),
        at_s(seconds(targets)),
        out(static_cast<std::size_t>(shape.batch * shape.targets * shape.columns() * shape.value_bytes() / 2)),
        valid(static_cast<std::size_t>(shape.batch * shape.targets) * shape.sources.size()),
        age_ns(static_cast<std::size_t>(shape.batch * shape.targets) * shape.sources.size()) {
    for (const Source& s : shape.sources) {
      const std::vector<std::int64_t> clock = sorted_stamps(random, shape.batch, s.samples);
      values.push_back(some_of(
          pool, static_cast<std::size_t>(shape.batch * s.samples * s.columns * shape.value_bytes() / 2), random));
      stamps.emplace_back(clock);
      stamps_s.emplace_back(seconds(clock));
      for (std::int64_t b = 0; b < shape.batch; ++b) count_touched(shape, s, clock, targets, b);
    }
  }

  void count_touched(const Shape& shape, const Source& s, const std::vector<std::int64_t>& clock,
                     const std::vector<std::int64_t>& targets, std::int64_t b) {
    const auto row = clock.begin() + b * s.samples;
    std::int64_t next = 0;  // first sample not yet counted
    for (std::int64_t t = 0; t < shape.targets; ++t) {
      const auto above =
          std::upper_bound(row, row + s.samples, targets[static_cast<std::size_t>(b * shape.targets + t)]);
      const std::int64_t first = std::max<std::int64_t>(above - row - 1, 0);
      const std::int64_t last = std::min<std::int64_t>(above - row, s.samples - 1);
      touched_bytes += static_cast<double>(std::max<std::int64_t>(last + 1 - std::max(first, next), 0) * s.columns *
                                           shape.value_bytes());
      next = std::max(next, last + 1);
    }
  }
};

}  // namespace bench
