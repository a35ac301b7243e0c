"""Target times that cover a set of streams."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache._core import Stream
from robocache._frameworks import from_numpy, library_of, to_numpy
from robocache.errors import InvalidArgument, OutOfMemory
from robocache.rates import exact_rate, tick_count, ticks_ns


def grid(streams: Stream | Iterable[Stream], *, hz: float) -> Any:
    """Evenly spaced target times over the union of the streams, end included.

    Parameters
    ----------
    streams : Stream or iterable of Stream
        All with stamps of one dtype. Streams without samples do not count.
    hz : float
        Rate in 1/s; > 0. Taken at its decimal value, 29.97 means 2997/100; but within 1e-9 of a fraction of a
        denominator up to 1001 it is that fraction, 29.97002997 means 30000/1001.

    Returns
    -------
    array [T]
        In the stamps' dtype and unit, in the library and on the device of the first stream's stamps. With int64 ns the
        k-th target is start + round(k * 10**9 / hz), ties to even, exactly. Empty where no stream has samples.

    Raises
    ------
    ValueError
        No streams, stamps that are no finite times or of mixed dtypes, or a rate that is not positive.
    MemoryError
        More targets than memory holds.
    """
    named = _named(streams)
    if not isinstance(hz, Real) or isinstance(hz, bool):
        raise InvalidArgument(f"grid: hz is {hz!r}, expected a number")
    if not (math.isfinite(hz) and hz > 0):
        raise InvalidArgument(f"grid: hz is {hz}, expected a positive rate")
    spans = [span for subject, stream in named if (span := _span(stream, subject)) is not None]
    like = named[0][1].stamps
    if not spans:
        return from_numpy(like, to_numpy(like).reshape(-1)[:0].copy())
    dtypes = {dtype for _, _, dtype in spans}
    if len(dtypes) > 1:
        raise InvalidArgument(f"grid: stamps are {sorted(map(str, dtypes))}, expected one dtype")
    dtype = dtypes.pop()
    start, end = min(first for first, _, _ in spans), max(last for _, last, _ in spans)
    if dtype == np.int64:
        rate = exact_rate(hz)
        return from_numpy(like, int(start) + ticks_ns(_ticks(tick_count(int(end) - int(start), rate), hz), rate))
    # One too many, then cut by what the dtype can tell apart.
    seconds = (float(start) + _ticks(int(float(end - start) * float(hz)) + 2, hz) / float(hz)).astype(dtype)
    return from_numpy(like, seconds[seconds <= end])


def _named(streams: Stream | Iterable[Stream]) -> list[tuple[str, Stream]]:
    """The streams, each with the name that it has in error texts."""
    if isinstance(streams, Stream):
        streams = [streams]
    if not isinstance(streams, Iterable):
        raise InvalidArgument(f"grid: streams is {type(streams).__name__}, expected robocache.Stream or a list of them")
    out = []
    for i, stream in enumerate(streams):
        if not isinstance(stream, Stream):
            raise InvalidArgument(f"grid: streams[{i}] is {type(stream).__name__}, expected robocache.Stream")
        out.append((f"streams[{stream.name!r}]" if stream.name else f"streams[{i}]", stream))
    if not out:
        raise InvalidArgument("grid: streams is empty, expected at least one robocache.Stream")
    return out


def _span(stream: Stream, subject: str) -> tuple[Any, Any, np.dtype[Any]] | None:
    """First and last stamp of a stream, offset included, over all its rows; None where it has no samples."""
    stamps = stream.stamps
    if not (hasattr(stamps, "__dlpack__") or _has_buffer(stamps)):
        raise InvalidArgument(f"grid: {subject}.stamps is {type(stamps).__name__}, expected an array")
    rank = getattr(stamps, "ndim", 1)
    if rank not in (1, 2):
        raise InvalidArgument(f"grid: {subject}.stamps has {rank} axes, expected [S] or [B, S]")
    if stream.lengths is None and stream.offsets is None and library_of(stamps) != "other" and stamps.shape[-1] > 1:
        stamps = stamps[..., :: stamps.shape[-1] - 1]
    values = to_numpy(stamps)
    if values.dtype not in (np.int64, np.float64, np.float32):
        raise InvalidArgument(f"grid: {subject}.stamps is {values.dtype}, expected int64 ns, float64 s or float32 s")
    if stream.lengths is not None:
        lengths = to_numpy(stream.lengths)
        values = np.broadcast_to(values, (len(lengths), values.shape[-1]))
        values = values[np.arange(values.shape[-1]) < lengths[:, None]]
    if stream.offsets is not None:
        offsets = to_numpy(stream.offsets)
        values = values[offsets[0] : offsets[-1]]
    if values.size == 0:
        return None
    shift = stream.offset_ns if values.dtype == np.int64 else values.dtype.type(stream.offset_ns / 1e9)
    first, last = values.min() + shift, values.max() + shift
    if not (np.isfinite(first) and np.isfinite(last)):
        raise InvalidArgument(f"grid: {subject}.stamps go from {first} to {last}, expected finite times")
    return first, last, values.dtype


def _has_buffer(array: Any) -> bool:
    try:
        memoryview(array)
    except TypeError:
        return False
    return True


def _ticks(count: int, hz: float) -> npt.NDArray[np.int64]:
    try:
        return np.arange(count, dtype=np.int64)
    except (MemoryError, ValueError, OverflowError) as error:
        raise OutOfMemory(
            f"grid: hz is {hz}, which gives {Decimal(count):.4g} targets, more than memory holds"
        ) from error
