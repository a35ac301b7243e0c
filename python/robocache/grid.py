"""Target times that cover a set of streams."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from robocache._core import Stream
from robocache._frameworks import from_numpy, library_of, to_numpy
from robocache.errors import InvalidArgument

_NS = 1_000_000_000


def _span(stream: Stream, subject: str) -> tuple[Any, Any, np.dtype[Any]] | None:
    """First and last stamp of a stream, offset included, over all its rows; None where it has no samples."""
    stamps = stream.stamps
    if stream.lengths is None and stream.offsets is None and stamps.shape[-1] > 1:
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
    return values.min() + shift, values.max() + shift, values.dtype


def grid(streams: Iterable[Stream], *, hz: float) -> Any:
    """Evenly spaced target times over the union of the streams, end included.

    Parameters
    ----------
    streams : iterable of Stream
        All with stamps of one dtype. Streams without samples do not count.
    hz : float
        Rate in 1/s; > 0. Taken at its decimal value: 29.97 means 2997/100.

    Returns
    -------
    array [T]
        In the stamps' dtype and unit, in the library and on the device of the first stream's stamps. With int64 ns the
        k-th target is start + round(k * 10**9 / hz), ties to even, exactly. Empty where no stream has samples.

    Raises
    ------
    ValueError
        No streams, mixed stamp dtypes, or a rate that is not positive.
    """
    streams = list(streams)
    if not streams:
        raise InvalidArgument("grid: streams is empty, expected at least one robocache.Stream")
    if not (np.isfinite(hz) and hz > 0):
        raise InvalidArgument(f"grid: hz is {hz}, expected a positive rate")
    named = [(s, f"streams[{s.name!r}]" if s.name else f"streams[{i}]") for i, s in enumerate(streams)]
    spans = [span for s, subject in named if (span := _span(s, subject)) is not None]
    like = streams[0].stamps
    if not spans:
        empty = to_numpy(like).reshape(-1)[:0]
        return from_numpy(like, empty.copy())
    dtypes = {dtype for _, _, dtype in spans}
    if len(dtypes) > 1:
        raise InvalidArgument(f"grid: stamps are {sorted(map(str, dtypes))}, expected one dtype")
    dtype = dtypes.pop()
    start, end = min(first for first, _, _ in spans), max(last for _, last, _ in spans)
    if dtype == np.int64:
        times = _int_grid(int(start), int(end), Fraction(str(hz)))
    else:
        count = int(float(end - start) * hz) + 2  # one too many, then cut by what the dtype can tell apart
        times = (float(start) + np.arange(count) / hz).astype(dtype)
        times = times[times <= end]
    return from_numpy(like, times) if library_of(like) != "numpy" else times


def _int_grid(start: int, end: int, hz: Fraction) -> np.ndarray[Any, np.dtype[np.int64]]:
    step, per = _NS * hz.denominator, hz.numerator  # target k is start + round(k * step / per)
    count = (2 * (end - start) + 1) * per // (2 * step) + 1
    k = np.arange(count, dtype=object if count * step >= 2**62 else np.int64)
    whole, rest = np.divmod(k * step, per)
    up = (2 * rest > per) | ((2 * rest == per) & (whole % 2 == 1))
    ns: np.ndarray[Any, np.dtype[np.int64]] = (whole + up).astype(np.int64)
    ns = ns[ns <= end - start]
    ns += start
    return ns
