"""The point cloud of a real sensor that a run may be given: `--points FILE`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import robocache as rc

DIGITS = 12  # of the file's SHA-256, in hex: enough to tell files apart


class BadScan(ValueError):  # noqa: N818 - named for what is bad, as our errors are
    """A file from which no cloud can be taken."""


@dataclass(frozen=True)
class Scan:
    """A file's points: its finite ones, float32 [N, 3], from their lowest corner."""

    name: str
    sha256: str
    points: npt.NDArray[np.float32]


def read(path: Path) -> Scan:
    """The scan in a file that `rc.read_points` knows.

    Raises
    ------
    BadScan
        It cannot be read, has no finite point, or has all of them in one place.
    """
    try:
        found = rc.read_points(path).points
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
    except (OSError, ValueError, NotImplementedError) as error:
        raise BadScan(f"run: --points: {error}") from error
    return Scan(path.name, digest, _points_of(found, path.name))


def _points_of(found: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    points = found.reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if not len(points):
        raise BadScan(f"run: {name} has no finite point among {found.size // 3}, expected at least two places")
    # In float64: map coordinates such as 4e6 m are half a metre apart in float32.
    near = points - points.min(axis=0)
    with np.errstate(over="ignore"):
        narrow = near.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise BadScan(f"run: {name} extends over {near.max():g} m, expected less than float32 holds")
    if not narrow.any():
        raise BadScan(f"run: {name} has all of its {len(points)} points in one place, expected at least two places")
    return np.ascontiguousarray(narrow)
