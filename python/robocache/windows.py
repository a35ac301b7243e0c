"""What a batch takes of a stream: rows around the time of a sample."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from robocache.errors import InvalidArgument

_MOST_ROWS = 1 << 24


@dataclass(frozen=True)
class Window:
    """Made by `past`, `future`, `offsets` and `last`.

    Attributes
    ----------
    offsets_s : tuple of float
        Times of the rows, in seconds behind the sample that is drawn.
    last : int
        Instead of offsets, so many samples at or before it.
    on_samples : bool
        Offsets between two samples of data with one fixed rate are an error.
    options : dict
        interp, outside, max_gap_ns, max_age_ns, quaternion as in `robocache.Stream`.
    """

    offsets_s: tuple[float, ...] = ()
    last: int = 0
    on_samples: bool = False
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def __len__(self) -> int:
        return self.last or len(self.offsets_s)


def past(
    *,
    ms: float,
    hz: float,
    interp: str | None = None,
    outside: Any = "hold",
    max_gap_ns: int | None = None,
    max_age_ns: int | None = None,
    quaternion: str = "xyzw",
) -> Window:
    """The time up to a sample: n = ms * hz / 1000 rows at -(n - 1) / hz to 0 seconds.

    Where the stream has the one fixed rate of the samples, rows that fall on samples are these samples; others are
    interpolated, as rows of streams with clocks of their own are.

    Parameters
    ----------
    ms, hz : float
        Length and rate; together a whole number of rows.
    interp : str, optional
        As in `robocache.Stream`; not said: linear for floats (slerp for quaternions), hold for the others.
    outside, max_gap_ns, max_age_ns, quaternion
        As in `robocache.Stream`.

    Raises
    ------
    ValueError
        `ms` or `hz` is not positive, or they make no whole number of rows.
    """
    n = _rows("past", ms, hz)
    options = _options(interp, outside, max_gap_ns, max_age_ns, quaternion)
    return Window(tuple(-(n - 1 - k) / hz for k in range(n)), options=options)


def future(
    *,
    ms: float,
    hz: float,
    interp: str | None = None,
    outside: Any = "hold",
    max_gap_ns: int | None = None,
    max_age_ns: int | None = None,
    quaternion: str = "xyzw",
) -> Window:
    """The time from a sample on: n = ms * hz / 1000 rows at 0 to (n - 1) / hz seconds. The rest is as in `past`."""
    n = _rows("future", ms, hz)
    options = _options(interp, outside, max_gap_ns, max_age_ns, quaternion)
    return Window(tuple(k / hz for k in range(n)), options=options)


def offsets(
    seconds: Iterable[float],
    *,
    interp: str | None = None,
    outside: Any = "hold",
    max_gap_ns: int | None = None,
    max_age_ns: int | None = None,
    quaternion: str = "xyzw",
) -> Window:
    """Rows at these times behind a sample, as LeRobot's delta_timestamps.

    On data with one fixed rate each is a number of samples: offset * rate rounded half to even, if it is that to 1e-4 s
    and to a tenth of a sample. One that is not raises `InvalidArgument` when it is used, unless `interp` says how rows
    between samples are made. On streams with clocks of their own they are times.

    Raises
    ------
    ValueError
        An offset is no finite number.
    """
    listed = tuple(float(s) for s in seconds)
    for s in listed:
        if not math.isfinite(s):
            raise InvalidArgument(f"offsets: seconds has {s}, expected finite numbers")
    return Window(
        listed, on_samples=interp is None, options=_options(interp, outside, max_gap_ns, max_age_ns, quaternion)
    )


def last(samples: SupportsIndex) -> Window:
    """The last so many samples of a stream at or before a sample's time, at the stream's own rate.

    Where an episode has fewer of them, its first one stands for them, and `is_pad` is true.

    Raises
    ------
    ValueError
        `samples` is less than 1.
    """
    n = operator.index(samples)
    if n < 1:
        raise InvalidArgument(f"last: samples is {n}, expected at least 1")
    return Window(last=n, options=_options(None, "hold", None, None, "xyzw"))


def _rows(op: str, ms: float, hz: float) -> int:
    for name, value in (("ms", ms), ("hz", hz)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidArgument(f"{op}: {name} is {value}, expected a positive number")
    rows = ms * hz / 1000
    if rows > _MOST_ROWS:
        raise InvalidArgument(f"{op}: ms is {ms:g} at {hz:g} Hz, {rows:g} rows, expected at most {_MOST_ROWS}")
    n = round(rows)
    if n < 1 or abs(rows - n) > 1e-6 * n:
        raise InvalidArgument(
            f"{op}: ms is {ms:g} at {hz:g} Hz, which are {rows:g} rows, expected a whole number of them"
        )
    return n


def _options(
    interp: str | None, outside: Any, max_gap_ns: int | None, max_age_ns: int | None, quaternion: str
) -> dict[str, Any]:
    return {
        "interp": interp,
        "outside": outside,
        "max_gap_ns": max_gap_ns,
        "max_age_ns": max_age_ns,
        "quaternion": quaternion,
    }
