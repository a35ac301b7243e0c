#pragma once

#include <cstdint>

// The plain way to voxelize on a GPU: the grid is cleared, and each point, or each of its features, is an atomic on it.
// Cubic voxels of a metre from the origin on; points and features are f32, side by side.
namespace peers {

struct NaiveVoxels {
  const float* points;    ///< [B, N, 3]
  const float* features;  ///< [B, N, F]
  int clouds, samples, columns, side;
  int* count = nullptr;              ///< [B, side, side, side]
  std::uint8_t* occupied = nullptr;  ///< the same
  unsigned* bits = nullptr;          ///< the same, a bit each
  float* values = nullptr;           ///< [B, side, side, side, F]
};

__device__ inline std::int64_t naive_voxel(const NaiveVoxels& a, std::int64_t point) {
  std::int64_t voxel = point / a.samples;
  for (int axis = 0; axis < 3; ++axis) {
    const int i = static_cast<int>(floorf(a.points[3 * point + axis]));
    if (i < 0 || i >= a.side) return -1;
    voxel = voxel * a.side + i;
  }
  return voxel;
}

/// A thread for each point.
__global__ void naive_counts(const __grid_constant__ NaiveVoxels a) {
  const std::int64_t point = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (point >= static_cast<std::int64_t>(a.clouds) * a.samples) return;
  const std::int64_t voxel = naive_voxel(a, point);
  if (voxel < 0) return;
  if (a.count != nullptr) atomicAdd(a.count + voxel, 1);
  if (a.occupied != nullptr) a.occupied[voxel] = 1;
  if (a.bits != nullptr) atomicOr(a.bits + voxel / 32, 1U << (voxel % 32));
}

/// A thread for each feature.
__global__ void naive_sums(const __grid_constant__ NaiveVoxels a) {
  const std::int64_t element = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t point = element / a.columns;
  if (point >= static_cast<std::int64_t>(a.clouds) * a.samples) return;
  const std::int64_t voxel = naive_voxel(a, point);
  if (voxel < 0) return;
  atomicAdd(a.values + voxel * a.columns + element % a.columns, a.features[element]);
  if (element % a.columns == 0) atomicAdd(a.count + voxel, 1);
}

/// A thread for each feature: none is negative, so that their bits are in the same order.
__global__ void naive_maxima(const __grid_constant__ NaiveVoxels a) {
  const std::int64_t element = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t point = element / a.columns;
  if (point >= static_cast<std::int64_t>(a.clouds) * a.samples) return;
  const std::int64_t voxel = naive_voxel(a, point);
  if (voxel < 0) return;
  atomicMax(reinterpret_cast<int*>(a.values) + voxel * a.columns + element % a.columns,
            __float_as_int(a.features[element]));
}

/// A thread for each feature of each voxel.
__global__ void naive_divide(const __grid_constant__ NaiveVoxels a) {
  const std::int64_t element = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t voxel = element / a.columns;
  if (voxel >= static_cast<std::int64_t>(a.clouds) * a.side * a.side * a.side) return;
  const int count = a.count[voxel];
  if (count > 1) a.values[element] /= static_cast<float>(count);
}

}  // namespace peers
