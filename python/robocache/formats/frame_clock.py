"""Stamps of data with one fixed rate: exact nanoseconds from frame numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.rates import NS_PER_S, ticks_ns

# LeRobot's own tolerance_s.
TOLERANCE_S = 1e-4
# int64 ns end here; also false for NaN.
_LARGEST_S = 9.2e9


@dataclass(frozen=True)
class Clock:
    """Stamps int64 ns [S], and what was wrong with the columns that they came from."""

    stamps_ns: npt.NDArray[np.int64]
    faults: tuple[tuple[str, str], ...] = ()


def derive_stamps(
    timestamp_s: npt.NDArray[Any] | None, frame_index: npt.NDArray[np.int64] | None, fps: Fraction | None, rows: int
) -> Clock:
    """Stamps of one episode.

    Parameters
    ----------
    timestamp_s : float [S] seconds, or None
    frame_index : int64 [S], or None
    fps : Fraction, or None when the dataset does not say
    rows : int
        S.

    Returns
    -------
    Clock
        frame / fps exactly, where the timestamps agree with it to `TOLERANCE_S` plus half a unit of the column's
        own type (float32 cannot hold more); else the timestamps themselves, rounded from float64.

    Raises
    ------
    ValueError
        Neither the columns nor the rate give a time, or not one that int64 ns hold.
    """
    if timestamp_s is None:
        if fps is None:
            raise ValueError("no timestamp column and no fps")
        frames = np.arange(rows, dtype=np.int64) if frame_index is None else frame_index
        source = "row numbers" if frame_index is None else "frame_index"
        return Clock(ticks_ns(frames, fps), (("no timestamp column", f"stamps are made from {source} and fps"),))

    seconds = timestamp_s.astype(np.float64)
    usable = np.abs(seconds) < _LARGEST_S
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        fault = ("timestamp is not a usable number", f"row {row} is {seconds[row]}")
        if fps is None or frame_index is None:
            raise ValueError(f"{fault[0]}, {fault[1]}")
        return Clock(ticks_ns(frame_index, fps), (fault,))
    own = rounded_ns(seconds, NS_PER_S)
    if fps is None:
        return Clock(own)

    frames = np.rint(seconds * float(fps)).astype(np.int64) if frame_index is None else frame_index
    deviation = np.abs(seconds - frames / float(fps))
    allowed = TOLERANCE_S + 0.5 * np.abs(np.spacing(timestamp_s)).astype(np.float64)
    if (deviation <= allowed).all():
        return Clock(ticks_ns(frames, fps))
    row = int(np.argmax(deviation - allowed))
    grid = "a multiple of 1 / fps" if frame_index is None else "frame_index / fps"
    what = f"timestamp is not {grid}, the column itself is used"
    return Clock(own, ((what, f"row {row} is off by {deviation[row]:.6g} s"),))


def rounded_ns(times: npt.NDArray[np.float64], unit_ns: int) -> npt.NDArray[np.int64]:
    """Times in any unit as int64 ns; each is rounded once."""
    # The whole part apart: epoch seconds times 1e9 would round to 256 ns.
    whole = np.floor(times)
    return whole.astype(np.int64) * unit_ns + np.rint((times - whole) * unit_ns).astype(np.int64)
