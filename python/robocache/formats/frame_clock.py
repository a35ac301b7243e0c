"""Stamps of data with one fixed rate: exact nanoseconds from frame numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

# LeRobot's own tolerance_s.
TOLERANCE_S = 1e-4
_NS = 1_000_000_000
# int64 ns end here; also false for NaN.
_LARGEST_S = 9.2e9


@dataclass(frozen=True)
class Clock:
    """Stamps int64 ns [S], and what was wrong with the columns that they came from."""

    stamps_ns: npt.NDArray[np.int64]
    faults: tuple[tuple[str, str], ...] = ()


def exact_fps(fps: float) -> Fraction:
    """The rate that a float stands for: 29.97 is 2997/100 and 30000/1001 is itself, not their binary neighbours."""
    simple = Fraction(fps).limit_denominator(1001)
    return simple if abs(float(simple) - fps) <= 1e-9 * fps else Fraction(fps)


def frame_stamps_ns(frames: npt.NDArray[np.int64], fps: Fraction) -> npt.NDArray[np.int64]:
    """round(frame * 1e9 / fps), half to even, in integers; `frames` int64 [S] of any sign."""
    period = _NS / fps
    largest = max((abs(int(frames.min())), abs(int(frames.max())))) if len(frames) else 0
    # int64 as long as twice the remainder and the product fit; Python's integers beyond.
    wide = 2 * (largest + 1) * period.numerator >= 2**63
    product = (frames.astype(object) if wide else frames) * period.numerator
    quotient, remainder = product // period.denominator, product % period.denominator
    up = (2 * remainder > period.denominator) | ((2 * remainder == period.denominator) & (quotient % 2 == 1))
    return np.asarray(quotient + up, np.int64)


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
        Neither the columns nor the rate give a time.
    """
    if timestamp_s is None:
        if fps is None:
            raise ValueError("no timestamp column and no fps")
        frames = np.arange(rows, dtype=np.int64) if frame_index is None else frame_index
        source = "row numbers" if frame_index is None else "frame_index"
        return Clock(frame_stamps_ns(frames, fps), (("no timestamp column", f"stamps are made from {source} and fps"),))

    seconds = timestamp_s.astype(np.float64)
    usable = np.abs(seconds) < _LARGEST_S
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        fault = ("timestamp is not a usable number", f"row {row} is {seconds[row]}")
        if fps is None or frame_index is None:
            raise ValueError(f"{fault[0]}, {fault[1]}")
        return Clock(frame_stamps_ns(frame_index, fps), (fault,))
    own = rounded_ns(seconds, _NS)
    if fps is None:
        return Clock(own)

    frames = np.rint(seconds * float(fps)).astype(np.int64) if frame_index is None else frame_index
    deviation = np.abs(seconds - frames / float(fps))
    allowed = TOLERANCE_S + 0.5 * np.abs(np.spacing(timestamp_s)).astype(np.float64)
    if (deviation <= allowed).all():
        return Clock(frame_stamps_ns(frames, fps))
    row = int(np.argmax(deviation - allowed))
    grid = "a multiple of 1 / fps" if frame_index is None else "frame_index / fps"
    what = f"timestamp is not {grid}, the column itself is used"
    return Clock(own, ((what, f"row {row} is off by {deviation[row]:.6g} s"),))


def rounded_ns(times: npt.NDArray[np.float64], unit_ns: int) -> npt.NDArray[np.int64]:
    """Times in any unit as int64 ns; each is rounded once."""
    # The whole part apart: epoch seconds times 1e9 would round to 256 ns.
    whole = np.floor(times)
    return whole.astype(np.int64) * unit_ns + np.rint((times - whole) * unit_ns).astype(np.int64)
