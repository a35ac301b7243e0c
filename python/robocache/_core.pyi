"""
RoboCache's C++ core. Use the names that the package `robocache` exports.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy
import numpy.typing
from numpy.typing import NDArray


class Memory:
    """Memory of RoboCache lent to other libraries (buffer protocol, DLPack)."""

    def __dlpack_device__(self) -> tuple[int, int]: ...

    def __dlpack__(self, *, stream: object | None = None, max_version: object | None = None, dl_device: object | None = None, copy: object | None = None) -> object: ...

def cuda_build() -> bool:
    """Whether the module was built with the CUDA backend."""

def cuda_device_count() -> int:
    """Number of usable CUDA devices."""

def why_no_cuda() -> str:
    """Why there is no usable CUDA device; empty where there is one."""

def cuda_device_name(index: int) -> str:
    """The name of CUDA device `index`."""

def cpu_isa() -> str:
    """The instruction-set level of the CPU kernels in use."""

def cpu_threads() -> int:
    """Processors that a call may use."""

class Stream:
    """
    One sensor: its samples, their stamps, and how to fill the time between them.

    Arrays are numpy, torch, jax or cupy arrays on the CPU or a CUDA device (anything with DLPack or the buffer
    protocol); nothing is copied. All streams of a call live on one device.

    Parameters
    ----------
    values : array [B, S, D], [S, D] or [S]; with `offsets` [N, D] or [N]
        Samples of any float, integer or bool dtype, with any strides. Without a batch axis in a batched call the
        stream is shared by all batch rows.
    stamps : array [B, S] or [S]; with `offsets` [N]
        int64 ns, float64 s or float32 s (relative times only), non-decreasing. The dtype must be that of `at`.
    interp : {None, 'hold', 'nearest', 'linear', 'pchip', 'angle', 'slerp', 'se3', 'screw'} or list of (mode, columns)
        None: linear for floats, hold for integers and bools. 'pchip' is scipy's monotone cubic. 'angle' (rad) goes
        the shorter way around. 'slerp' takes unit quaternions in groups of four columns along the shortest arc;
        'se3' poses in groups of seven (position, quaternion), 'screw' the same along their screw motion. A list
        gives each run of columns a mode of its own: [('linear', 9), ('hold', 1), ('slerp', 4)].
    outside : {'hold', 'nan', 'extrapolate', 'error'}, a number, or a pair (before, after) of these
        What targets outside the stamps get; they are not valid whatever is written. With 'hold' interpolation only
        targets before the first sample are outside.
    max_gap_ns : int, optional
        Targets in an interval wider than this keep their value and are not valid.
    max_age_ns : int, optional
        Targets farther than this from the nearest sample used keep their value and are not valid.
    offset_ns : int
        Clock skew, added to the stamps.
    lengths : int array [B], optional
        Samples in each row; the padding behind them is never read.
    offsets : int array [B+1], optional
        Row b is the samples offsets[b] .. offsets[b+1]-1 of packed values [N, D].
    mask : bool array [B, S] or [S]; with `offsets` [N], optional
        False: the sample is missing. Other dtypes are refused; ``.view(bool)`` makes one of bytes 0 and 1.
    missing : {'propagate', 'skip', 'hold'}
        What stands for samples that are missing: masked, or (with 'skip' and 'hold') NaN in their column, quaternion
        or pose. 'propagate': NaN (0 for integers). 'skip': the nearest samples present on either side. 'hold': the
        last one present before.
    quaternion : {'xyzw', 'wxyz'}
        Which component is the scalar; matters to 'screw' only.
    name : str, optional
        Used in error texts.

    Raises
    ------
    ValueError
        An option is none of those above.
    """

    def __init__(self, values: Any, stamps: Any, *, interp: str | Sequence[tuple[str | None, int]] | None = None, outside: str | float | tuple[str | float, str | float] = 'hold', max_gap_ns: int | None = None, max_age_ns: int | None = None, offset_ns: int = 0, lengths: Any = None, offsets: Any = None, mask: Any = None, missing: Literal['propagate', 'skip', 'hold'] = 'propagate', quaternion: Literal['xyzw', 'wxyz'] = 'xyzw', name: str | None = None) -> None: ...

    @property
    def values(self) -> Any: ...

    @property
    def stamps(self) -> Any: ...

    @property
    def lengths(self) -> Any: ...

    @property
    def offsets(self) -> Any: ...

    @property
    def mask(self) -> Any: ...

    @property
    def outside(self) -> str | float | tuple[str | float, str | float]: ...

    @property
    def interp(self) -> str | list[tuple[str | None, int]] | None: ...

    @property
    def missing(self) -> str: ...

    @property
    def quaternion(self) -> str: ...

    @property
    def offset_ns(self) -> int: ...

    @property
    def max_gap_ns(self) -> int | None: ...

    @property
    def max_age_ns(self) -> int | None: ...

    @property
    def name(self) -> str | None: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

    def __repr__(self) -> str: ...

def made_of(streams: Sequence[Stream], types: frozenset[type]) -> bool:
    """
    Whether every array of the streams of a call of align is of one of the types.
    """

def take_apart(streams: Sequence[Stream]) -> tuple[list[Stream], list[Any]]:
    """
    Streams without arrays, and the arrays: values, stamps, lengths, offsets and mask of each, None where it has none.
    """

def put_together(options: Sequence[Stream], arrays: list[Any]) -> list[Stream]:
    """
    Streams with the options of some and the arrays of others, in the order of take_apart().
    """

class AlignResult:
    """
    The aligned streams: `values`, `valid`, `age_ns`, `split()`, `check()`.
    """

    @property
    def values(self) -> Any:
        """Array [B, T, sum D] (or [T, sum D]); raises for a mix of dtypes."""

    @property
    def valid(self) -> Any:
        """bool array [B, T, N] (or [T, N]): in range, gap and age kept."""

    @property
    def age_ns(self) -> Any:
        """int64 array [B, T, N] (or [T, N]) in ns."""

    def split(self) -> list[Any]:
        """List of arrays, one a stream, each in the dtype it was written in."""

    def check(self) -> None:
        """
        Waits for the call's stream and raises InvalidArgument if its data was bad. Silent on the CPU.
        """

def align(streams: Sequence[Stream] | Stream, at: Any, *, dtype: Any = None, out: Any = None, check: Literal['auto', 'now', 'off'] = 'auto') -> AlignResult:
    """
    Put streams at the same instants.

    Parameters
    ----------
    streams : sequence of Stream
        N of them. The first one's library makes the outputs.
    at : array [B, T] or [T]
        Target times in the stamps' dtype, in any order.
    dtype : dtype or str, optional
        Of the result: any float dtype, or the dtype that all streams have. Default: the streams' own.
    out : array, or list of arrays, optional
        Written instead of new arrays: one [B, T, sum D], or one [B, T, D] a stream.
    check : {'auto', 'now', 'off'}
        When unsorted or NaN stamps are reported. 'auto': on the CPU at once; on CUDA by `result.check()` or the next
        RoboCache call on the device. 'now' waits for the device. 'off' never looks.

    Returns
    -------
    AlignResult
        `.values` [B, T, sum D], `.valid` bool [B, T, N], `.age_ns` int64 [B, T, N], `.split()`, `.check()`.
        Where neither streams nor `at` have a batch axis, the results have none.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit; on the CPU also unsorted or NaN stamps.
    NotImplementedError
        A dtype or interpolation that is not there (blending integers, gradients).
    """

def resample(values: Any, stamps: Any, at: Any, *, interp: str | Sequence[tuple[str | None, int]] | None = None, outside: str | float | tuple[str | float, str | float] = 'hold', max_gap_ns: int | None = None, max_age_ns: int | None = None, offset_ns: int = 0, lengths: Any = None, offsets: Any = None, mask: Any = None, missing: Literal['propagate', 'skip', 'hold'] = 'propagate', quaternion: Literal['xyzw', 'wxyz'] = 'xyzw', name: str | None = None, out: Any = None, check: Literal['auto', 'now', 'off'] = 'auto') -> Any:
    """
    Put one stream at new times: `align` without validity.

    Parameters
    ----------
    values, stamps, interp, outside, max_gap_ns, max_age_ns, offset_ns, lengths, offsets, mask, missing, quaternion, name
        As in `Stream`.
    at : array [B, T] or [T]
        Target times in the stamps' dtype, in any order.
    out : array [B, T, D], optional
        Written instead of a new array; may have any float dtype.
    check : {'auto', 'now', 'off'}
        As in `align`.

    Returns
    -------
    array [B, T, D]
        Without the axes that `values` and `at` do not have: [T, D], [B, T] or [T].

    Raises
    ------
    ValueError, NotImplementedError
        As `align`.
    """

def align_gradient(streams: Sequence[Stream] | Stream, at: Any, grad_out: Any, *, out: Any = None, wanted: Sequence[bool] | None = None, check: Literal['auto', 'now', 'off'] = 'auto') -> list[Any]:
    """
    The gradient of `align` by the values of its streams.

    For torch there is robocache.torch, which does this in backward(). docs/gradients.md says what is differentiable.

    Parameters
    ----------
    streams, at
        As `align` was given them.
    grad_out : array [B, T, sum D], or list of arrays [B, T, D], one a stream
        Derivative of a scalar by what `align` wrote; any float dtype and strides.
    out : array, or list of arrays, optional
        What `align` wrote, in the form and dtype of `grad_out`. Streams with quaternions need it: it holds the sign that each
        was written with.
    wanted : sequence of bool, optional
        For which streams. Default: all with float values.
    check : {'auto', 'now', 'off'}
        As in `align`.

    Returns
    -------
    list of arrays
        One a stream, of the shape and dtype of its values; None where it is not wanted. Values that several batch rows read
        get the sum over them.

    Raises
    ------
    ValueError, NotImplementedError
        As `align`.
    """

class Plan:
    """
    Where the values of B x T targets come from; made by `plan`: `index`, `weight`, `valid`, `age_ns`, `apply()`, `check()`.
    """

    @property
    def index(self) -> Any:
        """
        int64 array [B, T] or [T]: the sample within its row, or -1 where there is none. Of column runs: of those that hold; else of nearest; else of the others.
        """

    @property
    def weight(self) -> Any:
        """
        float64 array [B, T] or [T]: weight of the sample behind `index` (0: none of it); where there is no sample, what is written.
        """

    @property
    def valid(self) -> Any:
        """bool array [B, T] or [T]: in range, gap and age kept."""

    @property
    def age_ns(self) -> Any:
        """int64 array [B, T] or [T] in ns."""

    def check(self) -> None:
        """
        Waits for the plan's stream and raises InvalidArgument if its data was bad.
        """

    def apply(self, values: Any, *, interp: str | Sequence[tuple[str | None, int]] | None = None, out: Any = None, dtype: Any = None) -> Any:
        """
        Resample values on the plan's clock.

        Parameters
        ----------
        values : array [B, S, D], [S, D] or [S]; with `offsets` [N, D] or [N]
            A plan without a batch axis serves all rows of a batch.
        interp : str or list of (mode, columns), optional
            Instead of the plan's: modes that place targets alike, such as 'slerp' or 'pchip' where the plan has 'linear'.
        out : array [B, T, D], optional
            Written instead of a new array.
        dtype : dtype or str, optional
            Of the result: any float dtype, or that of the values.

        Returns
        -------
        array [B, T, D]
            What `resample` gives, bit for bit.

        Raises
        ------
        ValueError, NotImplementedError
            As `resample`; also values of another number of samples than the plan's.
        """

def plan(stamps: Any, at: Any, *, interp: str | Sequence[tuple[str | None, int]] | None = None, outside: str | float | tuple[str | float, str | float] = 'hold', max_gap_ns: int | None = None, max_age_ns: int | None = None, offset_ns: int = 0, lengths: Any = None, offsets: Any = None, mask: None = None, missing: Literal['propagate'] = 'propagate', name: str | None = None, check: Literal['auto', 'now', 'off'] = 'auto') -> Plan:
    """
    What `align` finds out before it looks at values, once for many streams or epochs.

    Parameters
    ----------
    stamps, interp, outside, max_gap_ns, max_age_ns, offset_ns, lengths, offsets, name
        As in `Stream`. `interp` None is linear. A plan has no missing samples: they belong to values.
    at : array [B, T] or [T]
        Target times in the stamps' dtype, in any order.
    check : {'auto', 'now', 'off'}
        As in `align`; `plan.check()` waits.

    Returns
    -------
    Plan
        `.apply(values)` gives what `resample` gives; `.index`, `.weight`, `.valid`, `.age_ns` are arrays [B, T] or [T].

    Raises
    ------
    ValueError, NotImplementedError
        As `align`.
    """

def transform_points(points: Any, transform: Any, *, lengths: Any = None, offsets: Any = None, out: Any = None) -> Any:
    """
    Move points into another frame: ``((m0*x + m1*y) + m2*z) + m3`` for each of the upper three rows.

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
    """

class CropResult:
    """
    What `crop` returns.

    Attributes
    ----------
    points : array [M, 3]
        The points inside, in their order; transformed where there was a transform.
    features : array [M, F] or None
        Theirs.
    index : int64 array [M]
        The row of each in ``points.reshape(-1, 3)``.
    offsets : int64 array [B+1]
        Cloud b is rows offsets[b] .. offsets[b+1]-1; [0, M] of a single cloud.
    """

    @property
    def points(self) -> Any:
        """Array [M, 3] as the input: the points inside, in their order."""

    @property
    def features(self) -> Any:
        """Array [M, F] as the input, or None."""

    @property
    def index(self) -> Any:
        """int64 array [M]: the row of each in points.reshape(-1, 3)."""

    @property
    def offsets(self) -> Any:
        """
        int64 array [B+1]: cloud b is rows offsets[b] .. offsets[b+1]-1; [0, M] of a single cloud.
        """

def crop(points: Any, low: Sequence[float], high: Sequence[float], *, features: Any = None, lengths: Any = None, offsets: Any = None, transform: Any = None) -> CropResult:
    """
    Keep the points inside a box, in their order: ``low <= p < high`` on each axis, and finite.

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
    """

class DepthPoints:
    """
    What `depth_to_points` returns.

    Attributes
    ----------
    points : array [B, H, W, 3] or [H, W, 3]
        Metres; NaN where the depth is not valid.
    valid : bool array [B, H, W] or [H, W]
        Where it is.
    """

    @property
    def points(self) -> Any:
        """Array [B, H, W, 3] or [H, W, 3]: NaN where the depth is not valid."""

    @property
    def valid(self) -> Any:
        """bool array [B, H, W] or [H, W]."""

def depth_to_points(depth: Any, intrinsics: Any, *, depth_scale: float | None = None, transform: Any = None, max_depth_m: float | None = None) -> DepthPoints:
    """
    The points that depth images show, one for each pixel.

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
    """

class Window:
    """
    What `robocache.past` and its like ask; include/robocache/windows.hpp has the meaning.
    """

    def __init__(self, *, stream: str, offsets_s: Sequence[float], last: int, on_samples: bool, interp: object | None, outside: object, max_gap_ns: int | None, max_age_ns: int | None, quaternion: str, scale: Sequence[float], bias: Sequence[float], dtype: object | None) -> None: ...

class Windows:
    """include/robocache/windows.hpp says what it does."""

    def __init__(self, store: Store, windows: Sequence[Window], anchor: str) -> None: ...

    @property
    def samples(self) -> int: ...

    def takes_samples(self, window: int) -> bool: ...

    def read(self, samples: object, like: object) -> dict[str, Any]: ...

class Loader:
    """
    What `robocache.Loader` asks; include/robocache/loader.hpp has the meaning.
    """

    def __init__(self, windows: Windows, like: object, *, batch_size: int, shuffle: bool, seed: int, drop_last: bool, rank: int, world_size: int, prefetch: int, valid: bool, age: bool) -> None: ...

    def next(self) -> dict[str, Any]: ...

    @property
    def samples(self) -> int: ...

    @property
    def batches_left(self) -> int: ...

    @property
    def state(self) -> tuple[int, int]: ...

    def seek(self, epoch: int, position: int) -> None: ...

    def close(self) -> None: ...

class Sampler:
    """
    What `robocache.Sampler` asks; include/robocache/sampler.hpp says what it means.
    """

    def __init__(self, *, counts: Sequence[int], weights: Sequence[float], samples_per_epoch: int, batch_size: int, shuffle: bool, drop_last: bool, seed: int, rank: int, world_size: int) -> None: ...

    @property
    def samples(self) -> int: ...

    @property
    def batches_left(self) -> int: ...

    @property
    def state(self) -> tuple[int, int]: ...

    def seek(self, epoch: int, position: int) -> None: ...

    def part(self) -> tuple[int, int, int]: ...

    def advance(self) -> None: ...

    def read(self, epoch: int, first: int, out: object) -> None: ...

class Store:
    """
    What `robocache.Store` reads from; include/robocache/store.hpp says what it is.
    """

    @property
    def episode_index(self) -> Any: ...

    def values(self, column: int) -> Any:
        """[N, ...shape]"""

    def stamps_ns(self, column: int) -> Any:
        """[N]"""

    def offsets(self, column: int) -> Any:
        """[E + 1]"""

    def clock_rate_hz(self, column: int) -> float: ...

    @property
    def episodes(self) -> int: ...

    @property
    def streams(self) -> list[tuple[str, str, list[int], float, int]]:
        """(name, dtype, shape, rate_hz, clock) of each column"""

    def memory(self) -> tuple[int, int, int]:
        """bytes (host, pinned, device)"""

class StoreBuilder:
    """What `robocache.StoreBuilder` fills."""

    def __init__(self, streams: Sequence[tuple[str, str, Sequence[int], float]]) -> None:
        """(name, dtype, shape, rate_hz) of each"""

    def append(self, episode_index: int, arrays: Sequence[tuple[object, object]]) -> None:
        """arrays: (values, stamps_ns) of each stream"""

    def finish(self) -> Store: ...

class TFRecordExample:
    """
    A tf.train.Example in a TFRecord file: lists of values by key; of a key that is not in it, an empty one.
    """

    def kinds(self) -> dict[str, str]:
        """
        The kind of each key's list: "bytes", "floats", "ints", or "none" where nothing is written.
        """

    def count(self, key: str) -> int:
        """How many values the list of `key` has."""

    def floats(self, key: str) -> Annotated[NDArray[numpy.float32], dict(shape=(None,))]:
        """The list of `key` as float32 [count]."""

    def ints(self, key: str) -> Annotated[NDArray[numpy.int64], dict(shape=(None,))]:
        """The list of `key` as int64 [count]."""

    def byte_strings(self, key: str) -> list[bytes]:
        """The list of `key`, each value copied."""

class TFRecordFile:
    """A TFRecord file, mapped into memory."""

    def __init__(self, path: bytes) -> None: ...

    def scan(self) -> tuple[numpy.typing.NDArray[numpy.int64], str]:
        """
        The offset of each record, up to the first damage, and what that is; empty when there is none. Reads headers alone.
        """

    def check(self, offset: int) -> None:
        """
        Raises DataError when the checksum of the record at `offset` is not the stored one.
        """

    def example(self, offset: int) -> TFRecordExample:
        """
        The record at `offset` as an Example. Its data is not checked: see `check`.
        """

class VoxelizeResult:
    """
    What `voxelize` returns: one array for each reduction.

    Attributes
    ----------
    values : array
        The only result; raises where several were asked for.
    dropped : int64 array [B] or []
        Points of each cloud that are in no voxel.
    reductions : list of str
        What was asked for; ``result[name]`` is one of them.
    """

    @property
    def values(self) -> Any:
        """The only result; raises where several were asked for."""

    @property
    def dropped(self) -> Any:
        """int64 array [B] or []: points of each cloud that are in no voxel."""

    @property
    def reductions(self) -> list[str]:
        """What was asked for."""

    def __getitem__(self, reduction: str) -> Any:
        """The result of one reduction."""

    def __contains__(self, reduction: object) -> bool:
        """Whether it was asked for."""

def voxelize(points: Any, features: Any = None, *, voxel_m: float | Sequence[float], origin: Sequence[float], shape: Sequence[int], reduce: str | Sequence[str] = 'count', empty: float | dict[str, float] = 0.0, lengths: Any = None, offsets: Any = None, transform: Any = None, max_bytes: int | None = None) -> VoxelizeResult:
    """
    Put points into a dense grid of voxels.

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
    """

class VoxelizeMemory:
    """
    Bytes that a call of `voxelize` takes.

    Attributes
    ----------
    outputs : int
        The results, `dropped` among them.
    scratch : int
        What the call takes besides, at most, without `max_bytes`; on CUDA just that.
    least_scratch : int
        That of the largest cloud alone; on CUDA of all packed ones.
    """

    @property
    def outputs(self) -> int:
        """The results, `dropped` among them."""

    @property
    def scratch(self) -> int:
        """
        What the call takes besides, at most, without `max_bytes`; on CUDA just that.
        """

    @property
    def least_scratch(self) -> int:
        """That of the largest cloud alone; on CUDA of all packed ones."""

def voxelize_plan_memory(points: Any, features: Any = None, *, voxel_m: float | Sequence[float], origin: Sequence[float], shape: Sequence[int], reduce: str | Sequence[str] = 'count', lengths: Any = None, offsets: Any = None, transform: Any = None) -> VoxelizeMemory:
    """
    The bytes that `voxelize` takes for these arguments. Nothing is computed; on CUDA nothing is waited for.

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
    """

def voxelize_gradient(points: Any, features: Any, grad_out: Sequence[Any], *, voxel_m: float | Sequence[float], origin: Sequence[float], shape: Sequence[int], reduce: str | Sequence[str], lengths: Any = None, offsets: Any = None, transform: Any = None) -> Any:
    """
    The gradient of `voxelize` by its features.

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
    """

class VoxelizeSparseResult:
    """
    What `voxelize_sparse` returns: the occupied voxels, a row each, sorted by cloud, x, y and z.

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
        What was asked for; ``result[name]`` [M, F] is one of them.
    """

    @property
    def coords(self) -> Any:
        """int32 array [M, 4]: cloud, x, y, z of each occupied voxel, sorted."""

    @property
    def counts(self) -> Any:
        """int32 array [M]: kept points."""

    @property
    def offsets(self) -> Any:
        """int64 array [B+1]: cloud b has voxels offsets[b] .. offsets[b+1]-1."""

    @property
    def dropped(self) -> Any:
        """int64 array [B] or []: points of each cloud that no voxel has kept."""

    @property
    def points(self) -> Any:
        """
        Array [M, P, F]: features of each voxel's kept points, then zeros; None where they were not asked for.
        """

    @property
    def inverse(self) -> Any:
        """
        int64 array [N] or [B, N]: the row of each point's voxel, or -1; None where it was not asked for.
        """

    @property
    def reductions(self) -> list[str]:
        """What was asked for."""

    def __getitem__(self, reduction: str) -> Any:
        """The result [M, F] of one reduction."""

    def __contains__(self, reduction: object) -> bool:
        """Whether it was asked for."""

def voxelize_sparse(points: Any, features: Any = None, *, voxel_m: float | Sequence[float], origin: Sequence[float], shape: Sequence[int], reduce: str | Sequence[str] = ('mean',), inverse: bool = False, point_lists: bool = False, max_points: int | None = None, max_voxels: int | None = None, lengths: Any = None, offsets: Any = None, transform: Any = None) -> VoxelizeSparseResult:
    """
    Put points into the occupied voxels of a grid.

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
    """

class VoxelDownsampleResult:
    """
    What `voxel_downsample` returns: a row for each occupied voxel.

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
        Points with a coordinate that is not finite.
    """

    @property
    def points(self) -> Any:
        """Array [M, 3]: the mean of each occupied voxel's points."""

    @property
    def features(self) -> Any:
        """Array [M, F]: the mean of their features; None without."""

    @property
    def counts(self) -> Any:
        """int32 array [M]: points of the voxel."""

    @property
    def offsets(self) -> Any:
        """int64 array [B+1]: cloud b has rows offsets[b] .. offsets[b+1]-1."""

    @property
    def dropped(self) -> Any:
        """int64 array [B] or []: points with a coordinate that is not finite."""

def voxel_downsample(points: Any, voxel_m: float | Sequence[float], features: Any = None, *, origin: Sequence[float] | None = None, lengths: Any = None, offsets: Any = None) -> VoxelDownsampleResult:
    """
    Replace the points of each voxel of a grid without bounds by their mean.

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
    """
