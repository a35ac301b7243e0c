#pragma once

// Signature (for the stub) and docstrings of the voxelization bindings, in numpy style. B clouds, N points, F features.
namespace robocache::python {

inline constexpr const char* kVoxelizeSignature =
    "def voxelize(points: typing.Any, features: typing.Any = None, *, "
    "voxel_m: float | collections.abc.Sequence[float], origin: collections.abc.Sequence[float], "
    "shape: collections.abc.Sequence[int], reduce: str | collections.abc.Sequence[str] = 'count', "
    "empty: float | dict[str, float] = 0.0, lengths: typing.Any = None, offsets: typing.Any = None, "
    "transform: typing.Any = None) -> VoxelizeResult";

inline constexpr const char* kVoxelizeDoc =
    R"doc(Put points into a dense grid of voxels.

Voxel i of an axis holds the coordinates p with i = floor((p - origin) * (1 / voxel_m)), computed in that order in float32
(float64 for float64 points). Points outside the grid, and those with a NaN or infinite coordinate, are dropped and counted.
Every result has the same bits in every run, on every device and with any number of threads.

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
    'count' (int32), 'occupancy' (bool), 'occupancy_bits' (uint8, a bit a voxel, 8 along z in a byte, the lowest first, as
    numpy.packbits(bitorder='little')), 'sum', 'mean', 'min', 'max', 'first' or 'last' (the features of the lowest or
    highest point). Sums add 256 points at a time in their order, then those sums in order. NaN wins in 'min' and 'max'.
empty : float, or {reduction: float}
    Written to voxels without points; counts and occupancy are 0 there.
lengths : int array [B], optional
    With points [B, N, 3]: how many points each cloud has; the padding behind them is never read.
offsets : int array [B+1], optional
    With points [N, 3]: cloud b is points offsets[b] .. offsets[b+1]-1.
transform : float32 or float64 array [4, 4] or [B, 4, 4], optional
    T_grid_points: applied to the points first.

Returns
-------
VoxelizeResult
    ``result['mean']`` is [X, Y, Z, F] (counts and occupancy [X, Y, Z], bits [X, Y, ceil(Z/8)]), with B before where the
    points are a batch. ``result.values`` is the only one. ``result.dropped`` counts the points in no voxel.

Raises
------
ValueError
    Shapes, dtypes, devices, or a grid that makes no sense; on the CPU also lengths and offsets out of range. On CUDA
    those are clamped.
NotImplementedError
    On CUDA: reductions of features of more than 2^31 - 1 points.
MemoryError
    The grid does not fit.

Examples
--------
>>> import numpy as np, robocache as rc
>>> points = np.array([[0.1, 0.1, 0.1], [0.2, 0.3, 0.4], [1.5, 0.1, 2.1], [np.nan, 0, 0]], np.float32)
>>> grid = rc.voxelize(points, voxel_m=1.0, origin=(0, 0, 0), shape=(2, 1, 3), reduce=("count", "mean"))
>>> grid["count"][:, 0].tolist(), int(grid.dropped)
([[2, 0, 0], [0, 0, 1]], 1)
)doc";

inline constexpr const char* kVoxelizeResultDoc = R"doc(What `voxelize` returns: one array for each reduction.

Attributes
----------
values : array
    The only result; raises where several were asked for.
dropped : int64 array [B] or []
    Points of each cloud that are in no voxel.
reductions : list of str
    What was asked for; ``result[name]`` is one of them.)doc";

}  // namespace robocache::python
