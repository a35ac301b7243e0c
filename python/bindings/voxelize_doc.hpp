#pragma once

// Signature (for the stub) and docstrings of the voxelization bindings, in numpy style. B clouds, N points, F features.
namespace robocache::python {

inline constexpr const char* kVoxelizeSignature =
    "def voxelize(points: typing.Any, features: typing.Any = None, *, "
    "voxel_m: float | collections.abc.Sequence[float], origin: collections.abc.Sequence[float], "
    "shape: collections.abc.Sequence[int], reduce: str | collections.abc.Sequence[str] = 'count', "
    "empty: float | dict[str, float] = 0.0, lengths: typing.Any = None, offsets: typing.Any = None, "
    "transform: typing.Any = None, max_bytes: int | None = None) -> VoxelizeResult";

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
    numpy.packbits(bitorder='little')), 'sum', 'mean', 'min', 'max', 'first' or 'last' (the features of the point
    that comes first or last in its cloud). Sums add 256 points at a time in their order, then those sums in order. NaN wins in 'min' and 'max'.
empty : float, or {reduction: float}
    Written to voxels without points; counts and occupancy are 0 there.
lengths : int array [B], optional
    With points [B, N, 3]: how many points each cloud has; the padding behind them is never read.
offsets : int array [B+1], optional
    With points [N, 3]: cloud b is points offsets[b] .. offsets[b+1]-1.
transform : float32 or float64 array [4, 4] or [B, 4, 4], optional
    T_grid_points: applied to the points first.
max_bytes : int, optional
    Bytes that the call may ask for at a time, results and scratch together. Clouds are computed some at a time where all at
    once would take more; the results are the same. On CUDA packed clouds are computed all at once: how many points each
    has, the device alone knows. `voxelize_plan_memory` says the bytes.

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
    The grid does not fit, or `max_bytes` is less than the results and the least of scratch; nothing is computed then.

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

inline constexpr const char* kVoxelizePlanMemorySignature =
    "def voxelize_plan_memory(points: typing.Any, features: typing.Any = None, *, "
    "voxel_m: float | collections.abc.Sequence[float], origin: collections.abc.Sequence[float], "
    "shape: collections.abc.Sequence[int], reduce: str | collections.abc.Sequence[str] = 'count', "
    "lengths: typing.Any = None, offsets: typing.Any = None, transform: typing.Any = None) -> VoxelizeMemory";

inline constexpr const char* kVoxelizePlanMemoryDoc =
    R"doc(The bytes that `voxelize` takes for these arguments. Nothing is computed; on CUDA nothing is waited for.

Parameters
----------
points, features, voxel_m, origin, shape, reduce, lengths, offsets, transform
    As in `voxelize`.

Returns
-------
VoxelizeMemory
    ``outputs + scratch`` is the most that a call asks for at a time; ``outputs + least_scratch`` is the least `max_bytes`
    that it takes.

Raises
------
ValueError, NotImplementedError
    As `voxelize`.

Examples
--------
>>> import numpy as np, robocache as rc
>>> memory = rc.voxelize_plan_memory(np.zeros((8, 1000, 3), np.float32), voxel_m=0.1, origin=(0, 0, 0), shape=(64, 64, 32))
>>> memory.outputs, memory.least_scratch < memory.scratch
(4194368, True)
)doc";

inline constexpr const char* kVoxelizeGradientSignature =
    "def voxelize_gradient(points: typing.Any, features: typing.Any, grad_out: collections.abc.Sequence[typing.Any], "
    "*, "
    "voxel_m: float | collections.abc.Sequence[float], origin: collections.abc.Sequence[float], "
    "shape: collections.abc.Sequence[int], reduce: str | collections.abc.Sequence[str], lengths: typing.Any = None, "
    "offsets: typing.Any = None, transform: typing.Any = None) -> typing.Any";

inline constexpr const char* kVoxelizeGradientDoc =
    R"doc(The gradient of `voxelize` by its features.

Each point reads the gradients of its voxel: all of it for 'sum', that over the count for 'mean', and for 'min', 'max', 'first'
and 'last' where the point's feature is the result: of equal ones the first point's, as of NaN, which win. `robocache.torch` calls
it for autograd.

Parameters
----------
points, features, voxel_m, origin, shape, lengths, offsets, transform
    As in `voxelize`.
grad_out : sequence of arrays [X, Y, Z, F] or [B, X, Y, Z, F]
    The gradient by each result, in the dtype of `features`; contiguous.
reduce : str or sequence of str
    The reduction of each: 'sum', 'mean', 'min', 'max', 'first' or 'last'.

Returns
-------
array [N, F] or [B, N, F]
    In the dtype of `features`; zeros for points in no voxel, and for padding. Terms of several reductions are added in their
    order and rounded once: the same bits in every run, on every device and with any number of threads.

Raises
------
ValueError
    Shapes, dtypes, a reduction without a gradient; on the CPU also lengths and offsets out of range. On CUDA those are
    clamped.
NotImplementedError
    On CUDA: more than 32 arrays of `grad_out`, more than 2^31 - 1 points but for 'sum' alone.

Examples
--------
>>> import numpy as np, robocache as rc
>>> points, features = np.array([[0.5, 0, 0], [0.7, 0, 0], [9, 0, 0]]), np.array([[1.0], [2.0], [3.0]])
>>> grid = {"voxel_m": 1, "origin": (0, 0, 0), "shape": (1, 1, 1)}
>>> grad_out = np.ones((1, 1, 1, 1))
>>> rc.voxelize_gradient(points, features, [grad_out, grad_out], **grid, reduce=("mean", "max")).tolist()
[[0.5], [1.5], [0.0]]
)doc";

inline constexpr const char* kVoxelizeMemoryDoc = R"doc(Bytes that a call of `voxelize` takes.

Attributes
----------
outputs : int
    The results, `dropped` among them.
scratch : int
    What the call takes besides, at most, without `max_bytes`; on CUDA just that.
least_scratch : int
    That of the largest cloud alone; on CUDA of all packed ones.)doc";

}  // namespace robocache::python
