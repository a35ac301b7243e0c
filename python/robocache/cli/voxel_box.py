"""Where the grid of `robocache voxelize` lies: as asked, or the tight box of the points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.errors import DataError, InvalidArgument

Three = tuple[float, float, float]

_MOST_VOXELS = 1 << 30  # of a box that nobody asked for
_SMALLEST, _LARGEST = 1.2e-38, 8.5e37  # metres that float32 can count voxels with


@dataclass(frozen=True)
class Box:
    """The options of `rc.voxelize` that say where the grid lies."""

    voxel_m: Three
    origin: Three
    shape: tuple[int, int, int]

    @property
    def voxels(self) -> int:
        """Voxels of one cloud's grid."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Bounds:
    """What the user says of the box; None where the points say it."""

    voxel_m: Three
    origin: Three | None
    shape: tuple[int, int, int] | None


def parse_bounds(voxel: str, origin: str | None, shape: str | None) -> Bounds:
    """Reads `--voxel`, `--origin` and `--shape`."""
    sizes = _numbers(voxel)
    if len(sizes) not in (1, 3) or not all(_SMALLEST <= size <= _LARGEST for size in sizes):
        raise InvalidArgument(f"voxelize: --voxel is {voxel!r}, expected metres above 0: one number, or three as X,Y,Z")
    x, y, z = sizes * (3 // len(sizes))
    return Bounds((x, y, z), None if origin is None else _origin(origin), None if shape is None else _shape(shape))


def _numbers(text: str) -> list[float]:
    """Numbers between commas; none where one is no number."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        return []


def _origin(text: str) -> Three:
    match _numbers(text):
        case [x, y, z] if all(map(math.isfinite, (x, y, z))):
            return x, y, z
    raise InvalidArgument(f"voxelize: --origin is {text!r}, expected three numbers of metres as X,Y,Z")


def _shape(text: str) -> tuple[int, int, int]:
    match [int(word) if word.strip().isdecimal() else 0 for word in text.split(",")]:
        case [x, y, z] if min(x, y, z) > 0:
            return x, y, z
    raise InvalidArgument(f"voxelize: --shape is {text!r}, expected three whole numbers above 0 as X,Y,Z")


def fit(bounds: Bounds, points: npt.NDArray[Any]) -> Box:
    """The box as asked; what is not said comes from `points` [N, 3], all finite.

    Raises
    ------
    DataError
        Nothing can be said, because there is no point.
    InvalidArgument
        No point is above the origin, or the box would be absurdly large.
    """
    if bounds.origin is not None and bounds.shape is not None:
        return Box(bounds.voxel_m, bounds.origin, bounds.shape)
    if len(points) == 0:
        raise DataError("voxelize: no file has a finite point, expected one, or both --origin and --shape")
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(all="ignore"):
        at = [_index(voxel, points.dtype.type) for voxel in bounds.voxel_m]
        origin = bounds.origin or _three([_below(float(low[i]), bounds.voxel_m[i], at[i]) for i in range(3)])
        cells = [at[i](high[i], origin[i]) + 1 for i in range(3)]
    if bounds.shape is not None:
        return Box(bounds.voxel_m, origin, bounds.shape)
    if min(cells) < 1:
        raise InvalidArgument(
            f"voxelize: --origin is {_listed(origin)}, expected at most {_listed(high)}, the largest coordinates"
        )
    if not math.prod(cells) <= _MOST_VOXELS:
        raise InvalidArgument(
            f"voxelize: box of all points is {'x'.join(f'{n:.10g}' for n in cells)} voxels, expected 2^30 or less; "
            "hint: a larger --voxel, or --origin and --shape"
        )
    return Box(bounds.voxel_m, origin, (int(cells[0]), int(cells[1]), int(cells[2])))


Index = Callable[[Any, float], float]


def _index(voxel_m: float, real: Any) -> Index:
    """The voxel of a coordinate as docs/voxelization.md says it, rounding included: the box has every point in it."""
    return lambda p, origin: float(np.floor((real(p) - real(origin)) * (real(1) / real(voxel_m))))


def _below(low: float, voxel_m: float, at: Index) -> float:
    """The multiple of the voxel below the lowest coordinate; a little less where rounding puts that above it."""
    multiple, step = float(np.floor(low / voxel_m)), 0
    while at(low, (multiple - step) * voxel_m) < 0:
        step = max(1, 2 * step)
    return (multiple - step) * voxel_m


def _three(numbers: Sequence[float]) -> Three:
    x, y, z = numbers
    return x, y, z


def _listed(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)
