#pragma once

// Signatures (for the stub) and docstrings of the point operators, in numpy style. B clouds or images, N points, F
// features.
namespace robocache::python {

inline constexpr const char* kTransformPointsSignature =
    "def transform_points(points: typing.Any, transform: typing.Any, *, lengths: typing.Any = None, "
    "offsets: typing.Any = None, out: typing.Any = None) -> typing.Any";

inline constexpr const char* kTransformPointsDoc =
    R"doc(Move points into another frame: ``((m0*x + m1*y) + m2*z) + m3`` for each of the upper three rows.

Each step is rounded in float32 (float64 for float64 points), as in the `transform` of `voxelize`: for such points
``voxelize(transform_points(p, T))`` has the bits of ``voxelize(p, transform=T)``.

Parameters
----------
points : array [N, 3] or [B, N, 3], float16, bfloat16, float32 or float64
    Metres, with any strides.
transform : float32 or float64 array [4, 4] or [B, 4, 4]
    T_out_points; the last row is not read.
lengths : int array [B], optional
    With points [B, N, 3]: how many points each cloud has. The padding behind them does not count, and is NaN in the result.
offsets : int array [B+1], optional
    With points [N, 3]: cloud b is points offsets[b] .. offsets[b+1]-1. What is no cloud's is NaN in the result.
out : array like points, optional
    Written instead of a new array, with any strides; may be `points` itself.

Returns
-------
array like points

Raises
------
ValueError
    Shapes, dtypes, devices, on the CPU lengths and offsets out of range; on CUDA they are clamped.

Examples
--------
>>> import numpy as np, robocache as rc
>>> T_base_lidar = np.array([[0, -1, 0, 0.5], [1, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]])
>>> rc.transform_points(np.array([[1.0, 2.0, 3.0]]), T_base_lidar).tolist()
[[-1.5, 1.0, 5.0]]
)doc";

inline constexpr const char* kCropSignature =
    "def crop(points: typing.Any, low: collections.abc.Sequence[float], high: collections.abc.Sequence[float], *, "
    "features: typing.Any = None, lengths: typing.Any = None, offsets: typing.Any = None, "
    "transform: typing.Any = None) -> CropResult";

inline constexpr const char* kCropDoc =
    R"doc(Keep the points inside a box, in their order: ``low <= p < high`` on each axis, and finite.

Compared in float32 (float64 for float64 points), to which the corners are rounded. On CUDA the call waits for the device
once, to learn how many points are kept.

Parameters
----------
points : array [N, 3] or [B, N, 3], float16, bfloat16, float32 or float64
    Metres, with any strides.
low, high : 3 floats
    The corners in metres; ``-inf`` and ``inf`` leave a side open.
features : array [N, F] or [B, N, F] of any float dtype, optional
    Kept beside the points.
lengths : int array [B], optional
    With points [B, N, 3]: how many points each cloud has; the padding behind them does not count.
offsets : int array [B+1], optional
    With points [N, 3]: cloud b is points offsets[b] .. offsets[b+1]-1.
transform : float32 or float64 array [4, 4] or [B, 4, 4], optional
    T_box_points: applied first, as `transform_points` does. The result's points are transformed.

Returns
-------
CropResult
    `points` [M, 3], `features` [M, F] or None, `index` [M], `offsets` [B+1], packed: what other functions take as
    ``offsets=``.

Raises
------
ValueError
    Shapes, dtypes, devices, a box that makes no sense, on the CPU lengths and offsets out of range; on CUDA they are
    clamped.

Examples
--------
>>> import numpy as np, robocache as rc
>>> points = np.array([[0.0, 0.5, 0.5], [1.0, 0.5, 0.5], [np.nan, 0, 0], [0.9, 0.1, 0.0]])
>>> inside = rc.crop(points, low=(0, 0, 0), high=(1, 1, 1))
>>> inside.index.tolist(), inside.offsets.tolist()
([0, 3], [0, 2])
)doc";

inline constexpr const char* kCropResultDoc = R"doc(What `crop` returns.

Attributes
----------
points : array [M, 3]
    The points inside, in their order; transformed where there was a transform.
features : array [M, F] or None
    Theirs.
index : int64 array [M]
    The row of each in ``points.reshape(-1, 3)``.
offsets : int64 array [B+1]
    Cloud b is rows offsets[b] .. offsets[b+1]-1; [0, M] of a single cloud.)doc";

inline constexpr const char* kDepthToPointsSignature =
    "def depth_to_points(depth: typing.Any, intrinsics: typing.Any, *, depth_scale: float | None = None, "
    "transform: typing.Any = None, max_depth_m: float | None = None) -> DepthPoints";

inline constexpr const char* kDepthToPointsDoc =
    R"doc(The points that depth images show, one for each pixel.

Pixel (u, v) is column u of row v; the centre of the first one is (0, 0), as in OpenCV and ROS:
``z = depth * depth_scale``, ``x = ((u - cx) / fx) * z``, ``y = ((v - cy) / fy) * z``, each step rounded in float32
(float64 for float64 depth). x points right, y down, z forward. Valid is ``0 < z <= max_depth_m``, and finite.

Parameters
----------
depth : array [H, W] or [B, H, W], uint16, float16, float32 or float64
    Distances along the optical axis (not along the ray), with any strides.
intrinsics : float32 or float64 array [3, 3] or [B, 3, 3]
    ``[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`` in pixels, of rectified images.
depth_scale : float, optional
    Metres of one unit of depth. Default: 0.001 for uint16 (millimetres), else 1.
transform : float32 or float64 array [4, 4] or [B, 4, 4], optional
    T_out_cam: applied to the points, as `transform_points` does.
max_depth_m : float, optional
    Greater depths are not valid.

Returns
-------
DepthPoints
    `points` [B, H, W, 3], float32 (float64 for float64 depth), NaN where the depth is not valid, and `valid` [B, H, W];
    without B for one image. ``points.reshape(-1, 3)`` goes into `voxelize`, which drops NaN.

Raises
------
ValueError
    Shapes, dtypes, devices, a scale or a maximum that is not positive; on the CPU intrinsics that are no pinhole
    camera's. On CUDA only fx, fy, cx and cy of them are read.

Examples
--------
>>> import numpy as np, robocache as rc
>>> depth = np.array([[0, 1000], [2000, 500]], np.uint16)
>>> intrinsics = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])
>>> cloud = rc.depth_to_points(depth, intrinsics)
>>> cloud.points[1].tolist(), int(cloud.valid.sum())
([[-0.5, 0.5, 2.0], [0.125, 0.125, 0.5]], 3)
)doc";

inline constexpr const char* kDepthPointsDoc = R"doc(What `depth_to_points` returns.

Attributes
----------
points : array [B, H, W, 3] or [H, W, 3]
    Metres; NaN where the depth is not valid.
valid : bool array [B, H, W] or [H, W]
    Where it is.)doc";

}  // namespace robocache::python
