#pragma once

#include <cstdint>
#include <span>

#include "core/host_device.hpp"
#include "core/index_list.hpp"
#include "core/isa.hpp"
#include "core/visit.hpp"
#include "math/convert.hpp"
#include "math/voxel.hpp"
#include "robocache/voxelize.hpp"

namespace robocache {

using PointDTypes = Values<DType::f32, DType::f64, DType::f16, DType::bf16>;
using OccupancyDTypes = Values<DType::boolean, DType::u8>;
using IndexDTypes = Values<DType::i32, DType::i64>;
using TransformDTypes = Values<DType::f32, DType::f64>;

/// A voxel's points are summed so many at a time, and then those sums: a million points in one voxel are no serial chain.
inline constexpr std::uint32_t kVoxelSumChunk = 256;

/// Whether v takes the place of the best of those before it, for min (`least`) or max: the first of equal ones stays,
/// and the first NaN, which beats all else.
template <class C>
ROBOCACHE_HD bool beats(C v, C best, bool least) {
  return (least ? v < best : v > best) || (v != v && best == best);
}

/// run.operator()<T, C>() with the element type of `dtype` and the type it is computed in.
template <class F>
void visit_element_type(DType dtype, const F& run) {
  visit(dtype, PointDTypes{}, [&]<DType known>() {
    if constexpr (known == DType::f64) {
      run.template operator()<double, double>();
    } else if constexpr (known == DType::f32) {
      run.template operator()<float, float>();
    } else if constexpr (known == DType::f16) {
      run.template operator()<f16, float>();
    } else {
      run.template operator()<bf16, float>();
    }
  });
}

/// Rows of float elements. Pitches count elements.
struct PointRows {
  const void* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t batch = 0, row = 0, column = 1;
};

/// [B, 4, 4] or one for all (batch 0); null: none.
struct Transforms {
  const void* data = nullptr;
  bool wide = false;
  std::int64_t batch = 0, row = 0, column = 1;

  template <class C>
  [[nodiscard]] ROBOCACHE_HD C at(std::int64_t cloud, int i, int j) const {
    const std::int64_t k = cloud * batch + i * row + j * column;
    return wide ? static_cast<C>(static_cast<const double*>(data)[k])
                : static_cast<C>(static_cast<const float*>(data)[k]);
  }

  template <class C>
  [[nodiscard]] ROBOCACHE_HD Affine<C> at(std::int64_t cloud) const {
    Affine<C> affine;
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 4; ++j) affine.m[i][j] = at<C>(cloud, i, j);
    }
    return affine;
  }
};

/// Clouds as operators on points take them, checked.
struct CloudArgs {
  PointRows points;
  PointRows features;
  IndexList lengths;
  IndexList offsets;
  Transforms transforms;
  std::int64_t clouds = 1;   ///< B
  std::int64_t samples = 0;  ///< N
  std::int64_t columns = 0;  ///< F
  bool has_features = false;
  bool batched = false;  ///< [B, N, 3] or packed
};

/// Points [begin, end) of the batch row `base` are a cloud's.
struct CloudRange {
  std::int64_t base = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

ROBOCACHE_HD CloudRange cloud_range(const CloudArgs& args, std::int64_t cloud) {
  if (args.offsets.data != nullptr) return {0, args.offsets[cloud], args.offsets[cloud + 1]};
  return {cloud, 0, args.lengths.data != nullptr ? args.lengths[cloud] : args.samples};
}

/// One result; contiguous.
struct VoxelOutput {
  Reduce reduce = Reduce::count;
  void* data = nullptr;
  double empty = 0;
};

/// voxelize as both backends take it, checked.
struct VoxelizeArgs : CloudArgs {
  VoxelGrid grid;
  std::span<const VoxelOutput> outputs;
  std::int64_t* dropped = nullptr;  ///< [B] or null
  std::int64_t max_scratch = kNoMemoryLimit;

  [[nodiscard]] ROBOCACHE_HD std::int64_t rows() const { return grid.shape[0] * grid.shape[1]; }
  [[nodiscard]] ROBOCACHE_HD std::int64_t bytes_z() const { return (grid.shape[2] + 7) / 8; }

  template <class C>
  [[nodiscard]] VoxelAxes<C> axes() const {
    const auto axis = [this](int i) { return VoxelAxis<C>(grid.origin[i], grid.voxel_m[i], grid.shape[i]); };
    return {axis(0), axis(1), axis(2), grid.shape[1]};
  }
};

/// A point in compute type C.
template <class T, class C>
ROBOCACHE_HD Point<C> point_at(const PointRows& points, std::int64_t base, std::int64_t n) {
  const T* p = static_cast<const T*>(points.data) + base * points.batch + n * points.row;
  return {widened<C>(p[0]), widened<C>(p[points.column]), widened<C>(p[2 * points.column])};
}

/// Bytes.
struct VoxelizeScratch {
  std::int64_t all = 0;    ///< without a limit
  std::int64_t least = 0;  ///< no limit makes it less: that of the largest cloud, on CUDA of all packed ones
};

namespace cpu {

/// One instance per ISA level.
template <Isa>
void voxelize(const VoxelizeArgs& args, const Context& ctx);

/// What voxelize takes, at most. Outputs are not looked at, nor is the limit.
template <Isa>
[[nodiscard]] VoxelizeScratch voxelize_scratch(const VoxelizeArgs& args, const Context& ctx);

}  // namespace cpu

namespace cuda {

/// On ctx.stream of the current device.
void voxelize(const VoxelizeArgs& args, const Context& ctx);

/// What voxelize takes of the current device. Outputs are not looked at, nor is the limit.
[[nodiscard]] VoxelizeScratch voxelize_scratch(const VoxelizeArgs& args);

}  // namespace cuda

}  // namespace robocache
