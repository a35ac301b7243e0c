#pragma once

// Signatures (for the stub) and docstrings of sparse voxelization, in numpy style. B clouds, N points, F features, M
// voxels.
namespace robocache::python {

inline constexpr const char* kVoxelizeSparseSignature =
    "def voxelize_sparse(points: typing.Any, features: typing.Any = None, *, "
    "voxel_m: float | collections.abc.Sequence[float], origin: collections.abc.Sequence[float], "
    "shape: collections.abc.Sequence[int], reduce: str | collections.abc.Sequence[str] = ('mean',), "
    "inverse: bool = False, point_lists: bool = False, max_points: int | None = None, max_voxels: int | None = None, "
    "lengths: typing.Any = None, offsets: typing.Any = None, transform: typing.Any = None) -> VoxelizeSparseResult";

inline constexpr const char* kVoxelizeSparseDoc =
    R"doc(Put points into the occupied voxels of a grid.

The grid, its voxels and every reduction are those of `voxelize`, bit for bit; memory goes with the points, not with the grid.
The same bits in every run, on every device and with any number of threads.

Parameters
----------
points : array [N, 3] or [B, N, 3], float16, bfloat16, float32 or float64
    Metres, with any strides.
features : array [N, F] or [B, N, F] of any float dtype, optional
    Columns to reduce. Default: the points themselves; with a `transform` they have to be given.
voxel_m : float, or 3 of them
    Size of a voxel.
origin : 3 floats
    The low corner of voxel (0, 0, 0), in metres.
shape : 3 ints
    X, Y and Z voxels.
reduce : str or sequence of str
    'sum', 'mean', 'min', 'max', 'first' or 'last'.
inverse : bool
    Whether to say the voxel of each point.
point_lists : bool
    Whether to list the points of each voxel; needs `max_points`. Of features: what a model is to see of a point has to be in
    their columns, x, y and z too.
max_points : int, optional
    Points that a voxel keeps: its first ones, in the order of the cloud. Counts and reductions are of those.
max_voxels : int, optional
    Voxels that a cloud keeps: those whose first points come first in the cloud.
lengths : int array [B], optional
    With points [B, N, 3]: how many points each cloud has; the padding behind them is never read.
offsets : int array [B+1], optional
    With points [N, 3]: cloud b is points offsets[b] .. offsets[b+1]-1.
transform : float32 or float64 array [4, 4] or [B, 4, 4], optional
    T_grid_points: applied to the points first.

Returns
-------
VoxelizeSparseResult
    ``result.coords`` [M, 4], ``result.counts`` [M] and ``result['mean']`` [M, F] have a row for each occupied voxel, sorted
    by cloud, x, y and z. ``result.points`` [M, P, F] with P = `max_points` are the features of their points.

Raises
------
ValueError
    Shapes, dtypes, limits, or a grid that makes no sense; on the CPU also lengths and offsets out of range. On CUDA those
    are clamped.
NotImplementedError
    On CUDA: more than 2^31 - 1 points.
MemoryError
    The results do not fit.

Examples
--------
>>> import numpy as np, robocache as rc
>>> points = np.array([[0.1, 0.1, 0.1], [1.5, 0.1, 2.1], [0.2, 0.3, 0.4], [np.nan, 0, 0]], np.float32)
>>> voxels = rc.voxelize_sparse(points, voxel_m=1.0, origin=(0, 0, 0), shape=(2, 1, 3), inverse=True)
>>> voxels.coords.tolist(), voxels.counts.tolist(), voxels.inverse.tolist()
([[0, 0, 0, 0], [0, 1, 0, 2]], [2, 1], [0, 1, 0, -1])
)doc";

inline constexpr const char* kVoxelizeSparseResultDoc =
    R"doc(What `voxelize_sparse` returns: the occupied voxels, a row each, sorted by cloud, x, y and z.

Attributes
----------
coords : int32 array [M, 4]
    Cloud, x, y, z.
counts : int32 array [M]
    Kept points.
offsets : int64 array [B+1]
    Cloud b has voxels offsets[b] .. offsets[b+1]-1.
dropped : int64 array [B] or []
    Points of each cloud that no voxel has kept.
points : array [M, P, F] or None
    Features of each voxel's kept points, in the order of the cloud; zeros behind the last of them.
inverse : int64 array [N] or [B, N], or None
    The row of each point's voxel; -1 for points that are dropped, and for padding.
reductions : list of str
    What was asked for; ``result[name]`` [M, F] is one of them.)doc";

inline constexpr const char* kVoxelDownsampleSignature =
    "def voxel_downsample(points: typing.Any, voxel_m: float | collections.abc.Sequence[float], "
    "features: typing.Any = None, *, origin: collections.abc.Sequence[float] | None = None, "
    "lengths: typing.Any = None, offsets: typing.Any = None) -> VoxelDownsampleResult";

inline constexpr const char* kVoxelDownsampleDoc =
    R"doc(Replace the points of each voxel of a grid without bounds by their mean.

Voxel i of an axis, any whole number, holds the coordinates p with i = floor((p - origin) * (1 / voxel_m)), computed in that
order in float32 (float64 for float64 points). Points with a NaN or infinite coordinate are dropped and counted. The same
bits in every run and with any number of threads, on the CPU and on CUDA, where the call waits for the device.

Parameters
----------
points : array [N, 3] or [B, N, 3], float16, bfloat16, float32 or float64
    Metres, with any strides.
voxel_m : float, or 3 of them
    Size of a voxel.
features : array [N, F] or [B, N, F] of any float dtype, optional
    Columns to average beside the points.
origin : 3 floats, optional
    A corner of the voxels, in metres. Default: zeros.
lengths : int array [B], optional
    With points [B, N, 3]: how many points each cloud has; the padding behind them is never read.
offsets : int array [B+1], optional
    With points [N, 3]: cloud b is points offsets[b] .. offsets[b+1]-1.

Returns
-------
VoxelDownsampleResult
    ``result.points`` [M, 3] and ``result.features`` [M, F], sorted by cloud and by the x, y and z of their voxels.

Raises
------
ValueError
    Shapes, dtypes, lengths and offsets out of range; points more than 2^24 voxels from the origin (2^53 for float64
    points) or from each other along an axis, or in a box of 2^63 voxels or more.
NotImplementedError
    Points on a CUDA stream that is being captured, and more than 2^31 - 1 of them on CUDA.
MemoryError
    The results do not fit.

Examples
--------
>>> import numpy as np, robocache as rc
>>> points = np.array([[0.1, 0.1, 0.1], [-1.5, 0.1, 2.1], [0.3, 0.3, 0.5]])
>>> rc.voxel_downsample(points, 1.0).points.tolist()
[[-1.5, 0.1, 2.1], [0.2, 0.2, 0.3]]
)doc";

inline constexpr const char* kVoxelDownsampleResultDoc =
    R"doc(What `voxel_downsample` returns: a row for each occupied voxel.

Attributes
----------
points : array [M, 3]
    The mean of the voxel's points, in their dtype.
features : array [M, F] or None
    The mean of their features, in their dtype.
counts : int32 array [M]
    Points of the voxel.
offsets : int64 array [B+1]
    Cloud b has rows offsets[b] .. offsets[b+1]-1.
dropped : int64 array [B] or []
    Points with a coordinate that is not finite.)doc";

}  // namespace robocache::python
