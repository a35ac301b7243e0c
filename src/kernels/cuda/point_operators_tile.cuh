#pragma once

#include <cstdint>

#include "kernels/voxelize.hpp"
#include "math/convert.hpp"

// Points on their way through shared memory.
namespace robocache::cuda {

/// A quotient of numbers that are not negative; of 64 bits it takes four times as long.
__device__ inline std::int64_t quotient(std::int64_t a, std::int64_t b) {
  if (((a | b) >> 32) != 0) return a / b;
  return static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b);
}

/// Where rows lie that are numbered through all clouds: b * N + n of [B, N, ...], or n of packed ones.
struct RowPlaces {
  std::int64_t batch = 0, row = 0, column = 1;
  std::int64_t samples = 0;  ///< N where batches of rows have a pitch of their own; else 0

  RowPlaces(const PointRows& rows, const CloudArgs& clouds) : batch(rows.batch), row(rows.row), column(rows.column) {
    const bool flat = clouds.offsets.data != nullptr || clouds.clouds == 1 || batch == clouds.samples * row;
    if (!flat) samples = clouds.samples;
  }

  /// In elements.
  [[nodiscard]] __device__ std::int64_t at(std::int64_t i) const {
    if (samples == 0) return i * row;
    const std::int64_t b = quotient(i, samples);
    return b * batch + (i - b * samples) * row;
  }

  /// Of points: whether they lie one behind another.
  [[nodiscard]] __device__ bool is_dense() const { return samples == 0 && row == 3 && column == 1; }
};

/// Points of a warp. In memory a point is no multiple of what is best moved at once: so here they change hands between
/// the lane that moves 16 bytes and the one that a row modulo 32 belongs to. All lanes call what loads and stores.
template <class T, int kParts = 1>
class WarpTile {
 public:
  static constexpr int kRows = kParts * 32 * static_cast<int>(sizeof(uint4) / sizeof(T));

  /// `rows` points from row `first` on.
  __device__ void load(const T* from, const RowPlaces& places, std::int64_t first, int rows) {
    if (places.is_dense()) {
      move(from + 3 * first, numbers(), 3 * rows);
    } else {
#pragma unroll
      for (int row = static_cast<int>(threadIdx.x % 32); row < kRows; row += 32) {
        if (row >= rows) break;
        const T* const point = from + places.at(first + row);
        for (int i = 0; i < 3; ++i) numbers()[3 * row + i] = point[i * places.column];
      }
    }
    __syncwarp();
  }

  __device__ void store(T* to, const RowPlaces& places, std::int64_t first, int rows) {
    if (places.is_dense()) return store(to + 3 * first, rows);
    for (int row = static_cast<int>(threadIdx.x % 32); row < rows; row += 32) {  // its own ones: nothing to wait for
      T* const point = to + places.at(first + row);
      for (int i = 0; i < 3; ++i) point[i * places.column] = numbers()[3 * row + i];
    }
  }

  /// The first `rows` points, one behind another.
  __device__ void store(T* to, int rows) {
    __syncwarp();
    move(numbers(), to, 3 * rows);
  }

  template <class C>
  [[nodiscard]] __device__ Point<C> at(int row) const {
    const T* const point = numbers() + 3 * row;
    return {widened<C>(point[0]), widened<C>(point[1]), widened<C>(point[2])};
  }

  template <class C>
  __device__ void set(int row, const Point<C>& p) {
    T* const point = numbers() + 3 * row;
    point[0] = narrowed<T>(p.x), point[1] = narrowed<T>(p.y), point[2] = narrowed<T>(p.z);
  }

  [[nodiscard]] __device__ T* numbers() { return reinterpret_cast<T*>(vectors_); }
  [[nodiscard]] __device__ const T* numbers() const { return reinterpret_cast<const T*>(vectors_); }

 private:
  static constexpr int kVectors = kParts * 32 * 3;

  /// `count` numbers, 16 bytes at a time where both sides can; one of them is that of this tile.
  static __device__ void move(const T* from, T* to, int count) {
    constexpr int kWide = static_cast<int>(sizeof(uint4) / sizeof(T));
    const int lane = static_cast<int>(threadIdx.x % 32);
    int moved = 0;
    if ((reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to)) % sizeof(uint4) == 0) {
#pragma unroll
      for (int i = lane; i < kVectors; i += 32) {
        if (i < count / kWide) reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
      }
      moved = count / kWide * kWide;
    }
#pragma unroll 4
    for (int i = moved + lane; i < count; i += 32) to[i] = from[i];
  }

  uint4 vectors_[kVectors];
};

}  // namespace robocache::cuda
