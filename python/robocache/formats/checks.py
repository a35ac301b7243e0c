"""Checks of what a stream holds, the same for every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.episode import StreamInfo

# Loggers print quaternions with few digits; further off than this, it is not a rotation.
_NORM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the rows (of the samples that were looked at) that show it."""

    what: str
    rows: npt.NDArray[np.int64]


def stamp_faults(stamps_ns: npt.NDArray[np.int64]) -> list[Fault]:
    """Stamps that decrease or repeat, by the row of the later one."""
    steps = np.diff(stamps_ns)
    return _faults(("stamps decrease", steps < 0, 1), ("stamps repeat", steps == 0, 1))


def value_faults(info: StreamInfo, values: npt.NDArray[Any]) -> list[Fault]:
    """Rows with NaN; rows of a quaternion stream that are no rotation."""
    if values.dtype.kind != "f" or len(values) == 0:
        return []
    nan = np.isnan(values).reshape(len(values), -1).any(axis=1)
    checks = [(f"{info.name} has NaN", nan, 0)]
    if info.kind == "quaternion":
        norm = np.linalg.norm(values.astype(np.float64), axis=1)
        checks.append((f"{info.name} is not of norm 1", ~nan & (np.abs(norm - 1) > _NORM_TOLERANCE), 0))
    return _faults(*checks)


def _faults(*checks: tuple[str, npt.NDArray[np.bool_], int]) -> list[Fault]:
    return [Fault(what, np.flatnonzero(wrong) + shift) for what, wrong, shift in checks if wrong.any()]
