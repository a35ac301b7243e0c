#pragma once

#include <cstdint>

#include "core/index_list.hpp"
#include "core/isa.hpp"
#include "core/visit.hpp"
#include "kernels/voxelize.hpp"
#include "math/pinhole.hpp"
#include "robocache/point_operators.hpp"

namespace robocache {

using DepthDTypes = Values<DType::u16, DType::f32, DType::f64, DType::f16>;

/// run.operator()<T, C>() with the element type of depth and the type it is computed in.
template <class F>
void visit_depth_type(DType dtype, const F& run) {
  visit(dtype, DepthDTypes{}, [&]<DType known>() {
    if constexpr (known == DType::u16) {
      run.template operator()<std::uint16_t, float>();
    } else if constexpr (known == DType::f32) {
      run.template operator()<float, float>();
    } else if constexpr (known == DType::f64) {
      run.template operator()<double, double>();
    } else {
      run.template operator()<f16, float>();
    }
  });
}

struct TransformPointsArgs {
  CloudArgs clouds;
  void* out = nullptr;
  std::int64_t out_batch = 0, out_row = 0, out_column = 1;
};

struct CropArgs {
  CloudArgs clouds;
  Box box;
  std::int64_t room = 0;   ///< K rows of the outputs
  void* points = nullptr;  ///< each of the three: or null
  void* features = nullptr;
  std::int64_t* index = nullptr;
  std::int64_t* offsets = nullptr;  ///< [B + 1]
};

struct DepthToPointsArgs {
  PointRows depth;       ///< row and column are those of the image
  PointRows intrinsics;  ///< f32 or f64
  Transforms transforms;
  std::int64_t images = 0, height = 0, width = 0;  ///< B, H, W: none is 0 here
  double depth_scale = 1;
  double max_depth_m = 0;
  void* points = nullptr;
  bool* valid = nullptr;  ///< or null

  [[nodiscard]] ROBOCACHE_HD double intrinsic(std::int64_t image, int i, int j) const {
    const std::int64_t k = image * intrinsics.batch + i * intrinsics.row + j * intrinsics.column;
    return intrinsics.dtype == DType::f64 ? static_cast<const double*>(intrinsics.data)[k]
                                          : static_cast<double>(static_cast<const float*>(intrinsics.data)[k]);
  }

  template <class C>
  [[nodiscard]] ROBOCACHE_HD Pinhole<C> camera(std::int64_t image) const {
    const auto at = [&](int i, int j) { return static_cast<C>(intrinsic(image, i, j)); };
    return {at(0, 0), at(1, 1), at(0, 2), at(1, 2)};
  }
};

namespace cpu {

/// One instance of each per ISA level.
template <Isa>
void transform_points(const TransformPointsArgs& args, const Context& ctx);
template <Isa>
void crop(const CropArgs& args, const Context& ctx);
template <Isa>
void depth_to_points(const DepthToPointsArgs& args, const Context& ctx);

}  // namespace cpu

namespace cuda {

/// On ctx.stream of the current device.
void transform_points(const TransformPointsArgs& args, const Context& ctx);
void crop(const CropArgs& args, const Context& ctx);
void depth_to_points(const DepthToPointsArgs& args, const Context& ctx);

}  // namespace cuda

}  // namespace robocache
