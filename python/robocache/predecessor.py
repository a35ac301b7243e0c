"""The function names of RoboCache 1.0.0, with its argument order and correct results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from robocache import _core
from robocache._frameworks import as_int32, to_device
from robocache.errors import CudaError, InvalidArgument, Unsupported


def _place(op: str, backend: str | None, arrays: list[Any], home: str) -> list[Any]:
    """The arrays where `backend` computes; `home` is the device of the first one."""
    if backend not in (None, "auto", "cuda", "cpu", "pytorch"):
        raise InvalidArgument(f"{op}: backend is {backend!r}, expected None, 'auto', 'cuda', 'cpu' (or 'pytorch')")
    wanted = {"cuda": "cuda", "cpu": "cpu", "pytorch": "cpu"}.get(backend or "")
    if wanted is None or home.startswith(wanted):
        return arrays
    if wanted == "cuda" and _core.cuda_device_count() == 0:
        raise CudaError(f"{op}: backend is 'cuda' and there is no CUDA device: {_core.why_no_cuda()}")
    return [to_device(array, wanted, f"{op}: backend is {backend!r}") for array in arrays]


@contextmanager
def _called(op: str, names: str) -> Iterator[None]:
    """Says in an error of the operator that does the work who called it, and which of its arguments are whose."""
    try:
        yield
    except (InvalidArgument, Unsupported) as error:
        raise type(error)(f"{op}: {error} ({names})") from error


def _back(op: str, result: Any, home: str) -> Any:
    return result if _device_of(result) == home else to_device(result, home, f"{op}: result goes to {home!r}")


def _device_of(array: Any) -> str:
    kind, index = array.__dlpack_device__() if hasattr(array, "__dlpack_device__") else (1, 0)
    return f"cuda:{index}" if int(kind) in (2, 13) else "cpu"


def resample_trajectories(
    source_data: Any, source_times: Any, target_times: Any, device: Any = None, backend: str | None = None
) -> Any:
    """Resample trajectories linearly; targets outside the source times get the end samples.

    Parameters
    ----------
    source_data : array [B, S, D]
        float16, bfloat16, float32 or float64.
    source_times, target_times : array [B, S], [B, T]
        One dtype: int64 ns, float64 s or float32 s (relative times only). Expanded (stride-0) times cost no copy.
    device : str or torch.device, optional
        Where to compute and leave the result; default: where `source_data` is.
    backend : {None, 'auto', 'cuda', 'cpu'}
        Where to compute; the result is left where `source_data` is. 'pytorch' is the old name of 'cpu'.

    Returns
    -------
    array [B, T, D]
        In the dtype of `source_data`.

    Raises
    ------
    ValueError
        Shapes or dtypes do not fit, an unknown backend, unsorted times.
    RuntimeError
        backend='cuda' without a CUDA device.
    """
    arrays = [source_data, source_times, target_times]
    op = "resample_trajectories"
    if device is not None:
        arrays = [to_device(array, str(device), f"{op}: device is {str(device)!r}") for array in arrays]
    home = _device_of(arrays[0])
    data, times, targets = _place(op, backend, arrays, home)
    with _called(op, "values is source_data, stamps is source_times, at is target_times"):
        result = _core.resample(data, times, targets, interp="linear")
    return _back(op, result, home)


def fuse_multimodal(
    stream1_data: Any,
    stream1_times: Any,
    stream2_data: Any,
    stream2_times: Any,
    stream3_data: Any,
    stream3_times: Any,
    target_times: Any,
    backend: str | None = None,
) -> Any:
    """Resample three streams linearly at the same targets and join their columns.

    Parameters
    ----------
    stream1_data, stream2_data, stream3_data : array [B, S_i, D_i]
        Floats of one dtype.
    stream1_times, stream2_times, stream3_times : array [B, S_i]
        One dtype: int64 ns, float64 s or float32 s (relative times only).
    target_times : array [B, T]
        In the same dtype.
    backend : {None, 'auto', 'cuda', 'cpu'}
        As in `resample_trajectories`.

    Returns
    -------
    array [B, T, D_1 + D_2 + D_3]

    Raises
    ------
    ValueError
        Shapes or dtypes do not fit or differ, an unknown backend, unsorted times.
    RuntimeError
        backend='cuda' without a CUDA device.
    """
    arrays = [stream1_data, stream1_times, stream2_data, stream2_times, stream3_data, stream3_times, target_times]
    op = "fuse_multimodal"
    dtypes = [str(getattr(array, "dtype", None)).removeprefix("torch.") for array in arrays[:6:2]]
    for i, dtype in enumerate(dtypes):
        if dtype != dtypes[0]:
            raise InvalidArgument(f"{op}: stream{i + 1}_data is {dtype}, expected {dtypes[0]} as stream1_data")
    home = _device_of(stream1_data)
    *pairs, targets = _place(op, backend, arrays, home)
    with _called(op, "streams['stream1'] is stream1_data and stream1_times, at is target_times"):
        streams = [_core.Stream(pairs[i], pairs[i + 1], interp="linear", name=f"stream{i // 2 + 1}") for i in (0, 2, 4)]
        result = _core.align(streams, targets).values
    return _back(op, result, home)


def voxelize_pointcloud(
    points: Any,
    features: Any = None,
    grid_min: Sequence[float] = (-10.0, -10.0, -10.0),
    voxel_size: float = 0.1,
    grid_size: Sequence[int] = (128, 128, 128),
    mode: str = "occupancy",
    backend: str | None = None,
) -> Any:
    """Put a point cloud into a grid; points outside of it are in no voxel.

    Parameters
    ----------
    points : array [N, 3]
        Metres, float16, bfloat16, float32 or float64.
    features : array [N, F], optional
        Floats; 'mean' and 'max' need them.
    grid_min : 3 floats
        The low corner of the grid, in metres.
    voxel_size : float
        Metres.
    grid_size : 3 ints
        X, Y and Z voxels.
    mode : {'occupancy', 'count', 'mean', 'max'}
        What a voxel holds; 0 without points.
    backend : {None, 'auto', 'cuda', 'cpu'}
        As in `resample_trajectories`.

    Returns
    -------
    array
        int32 [X, Y, Z] for occupancy (0 or 1) and count; [X, Y, Z, F] in the dtype of `features` for mean and max.

    Raises
    ------
    ValueError
        Shapes or dtypes do not fit, no features where they are needed, an unknown mode or backend.
    RuntimeError
        backend='cuda' without a CUDA device.
    """
    op = "voxelize_pointcloud"
    if mode not in ("occupancy", "count", "mean", "max"):
        raise InvalidArgument(f"{op}: mode is {mode!r}, expected 'occupancy', 'count', 'mean' or 'max'")
    if features is None and mode in ("mean", "max"):
        raise InvalidArgument(f"{op}: features is None, expected an array [N, F] for mode {mode!r}")
    arrays = [points] if features is None else [points, features]
    options = {"voxel_m": voxel_size, "origin": grid_min, "shape": grid_size, "reduce": mode}
    return _voxelized(op, arrays, options, backend, "origin is grid_min, voxel_m is voxel_size, shape is grid_size")


def voxelize_occupancy(
    points: Any,
    grid_size: Sequence[int],
    voxel_size: float,
    origin: Sequence[float],
    backend: str | None = None,
) -> Any:
    """Which voxels of a grid have points: `voxelize_pointcloud` with mode 'occupancy' and another order of arguments.

    Parameters
    ----------
    points, grid_size, voxel_size, backend
        As in `voxelize_pointcloud`.
    origin : 3 floats
        The low corner of the grid, in metres.

    Returns
    -------
    int32 array [X, Y, Z]
        1 where there are points, else 0.

    Raises
    ------
    ValueError, RuntimeError
        As `voxelize_pointcloud`.
    """
    options = {"voxel_m": voxel_size, "origin": origin, "shape": grid_size, "reduce": "occupancy"}
    return _voxelized("voxelize_occupancy", [points], options, backend, "voxel_m is voxel_size, shape is grid_size")


def _voxelized(op: str, arrays: list[Any], options: dict[str, Any], backend: str | None, names: str) -> Any:
    home = _device_of(arrays[0])
    placed = _place(op, backend, arrays, home)
    with _called(op, names):
        result = _core.voxelize(*placed, **options).values
    return _back(op, as_int32(result) if options["reduce"] == "occupancy" else result, home)
