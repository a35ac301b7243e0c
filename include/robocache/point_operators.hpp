#pragma once

#include <limits>
#include <optional>

#include <robocache/context.hpp>
#include <robocache/error.hpp>
#include <robocache/tensor.hpp>
#include <robocache/voxelize.hpp>

namespace robocache {

/// Moves points into another frame, with the arithmetic of voxelize: f32, or f64 for f64 points. 16 bits: one rounding.
///   clouds.transform  needed: T_out_points; features are not read
///   out               as points in shape and dtype, any strides; may be points itself, else must not overlap inputs
/// Rows that are no cloud's, before and behind offsets or beyond lengths, are NaN in `out`.
/// Runs on points.device, ordered on ctx.stream; returns before the GPU is done; takes scratch on the CPU: 80 bytes a
/// cloud and 40 for each 4096 points. On CUDA lengths and offsets are clamped, and a call can be captured in a graph.
/// Throws InvalidArgument (shape, dtype, device, on the CPU lengths and offsets out of range), OutOfMemory.
void transform_points(const Clouds& clouds, const Tensor& out, const Context& ctx = {});

/// A point p is inside where low <= p < high holds for each axis and p is finite, in the compute type: f64 for f64
/// points, else f32, to which the corners are rounded.
struct Box {
  double low[3] = {-std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                   -std::numeric_limits<double>::infinity()};
  double high[3] = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity(),
                    std::numeric_limits<double>::infinity()};
};

/// What crop keeps, in the order of the input. Contiguous; K rows of room, the same for all that are given. More than K
/// points are counted, but not written: a call with offsets alone says how much room is needed.
struct Cropped {
  Tensor points{};    ///< [K, 3] as points: transformed where there is a transform
  Tensor features{};  ///< [K, F] as features
  Tensor index{};     ///< [K] i64: the row of the point in its input, b * N + n of points [B, N, 3]
  Tensor offsets{};   ///< [B + 1] i64, needed: cloud b is rows offsets[b] to offsets[b + 1]; a single cloud has B = 1
};

/// Keeps the points inside a box in the frame that clouds.transform maps to, if it is given. The same answer with any
/// number of threads and on every device. Outputs must overlap neither inputs nor each other.
/// Runs on points.device, ordered on ctx.stream; returns before the GPU is done; takes scratch: on the CPU 80 bytes a
/// cloud and 40 for each 4096 points, on CUDA 16 for each 2048 points (1024 of f64). On CUDA lengths and offsets are
/// clamped, and a call can be captured in a graph: how many points are kept stays there.
/// Throws InvalidArgument (shape, dtype, device, box, on the CPU lengths and offsets out of range), OutOfMemory.
void crop(const Clouds& clouds, const Box& box, const Cropped& cropped, const Context& ctx = {});

/// Images of one pinhole camera, or of B.
struct DepthImages {
  ConstTensor depth{};       ///< [H, W] or [B, H, W]; u16|f16|f32|f64; along the optical axis; any strides
  ConstTensor intrinsics{};  ///< [3, 3] or [B, 3, 3] f32|f64 pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
  ConstTensor transform{};   ///< [4, 4] or [B, 4, 4] f32|f64: T_out_cam, applied last; its last row is not read
  std::optional<double> depth_scale{};  ///< metres of one unit of depth; not given: 0.001 for u16, else 1
  double max_depth_m = std::numeric_limits<double>::infinity();
};

/// The points that depth images show. Pixel (u, v) counts columns and rows from 0 at the centre of the first pixel:
///   z = depth * depth_scale, x = ((u - cx) / fx) * z, y = ((v - cy) / fy) * z
/// with each step rounded in f32 (f64 for f64 depth). A depth is valid where 0 < z <= max_depth_m and z is finite.
///   points  [B, H, W, 3]  f32 (f64 for f64 depth)  NaN where the depth is not valid; contiguous
///   valid   [B, H, W]     bool                     may be not given; contiguous; both without B for one image
/// Outputs must overlap neither inputs nor each other. Runs on depth.device, ordered on ctx.stream; returns before the
/// GPU is done; takes no scratch; on CUDA it can be captured in a graph.
/// Throws InvalidArgument (shape, dtype, device, on the CPU intrinsics that are no pinhole's: on CUDA fx, fy, cx and cy
/// alone are read).
void depth_to_points(const DepthImages& images, const Tensor& points, const Tensor& valid, const Context& ctx = {});

}  // namespace robocache
