"""Files that `robocache voxelize` writes: the dense arrays, or the occupied voxels as points."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.cli.outputs import ARRAY_SUFFIXES, array_saver
from robocache.cli.voxel_box import Box
from robocache.cli.voxel_clouds import AXES

Array = npt.NDArray[Any]

GRID_SUFFIXES = (*ARRAY_SUFFIXES, ".ply")

_PLY_TYPES = {"f4": "float", "f8": "double", "i4": "int"}


@dataclass(frozen=True)
class Grid:
    """What was made. X, Y, Z voxels, F features, B clouds; without B where `batch` is false.

    `count` is [B, X, Y, Z] and `dropped` [B]; `arrays` are what was asked for, as `rc.voxelize` returns them;
    `features` names the F columns, `real` is the type of the points.
    """

    box: Box
    batch: bool
    count: npt.NDArray[np.int32]
    dropped: npt.NDArray[np.int64]
    arrays: Mapping[str, Array]
    features: tuple[str, ...]
    real: np.dtype[Any]
    metadata: Mapping[str, Any]

    @property
    def clouds(self) -> Array:
        """`count` with an axis of clouds, whether there is one or not."""
        return self.count if self.batch else self.count[None]


def grid_saver(suffix: str) -> Callable[[Path, Grid], None]:
    """What writes a grid to a file of one of `GRID_SUFFIXES`."""
    if suffix == ".ply":
        return _save_ply
    save = array_saver(suffix, op="voxelize")

    def save_grid(path: Path, grid: Grid) -> None:
        where = {"origin": np.array(grid.box.origin), "voxel_m": np.array(grid.box.voxel_m), "dropped": grid.dropped}
        save(path, {**grid.arrays, **where}, json.dumps(grid.metadata))

    return save_grid


def _save_ply(path: Path, grid: Grid) -> None:
    """The centres of the occupied voxels in the order of the grid, with their counts and reduced features."""
    occupied = np.nonzero(grid.count)
    columns: dict[str, Array] = {}
    for i, axis in enumerate(AXES):
        centres = grid.box.origin[i] + (np.arange(grid.box.shape[i]) + 0.5) * grid.box.voxel_m[i]
        columns[axis] = centres.astype(grid.real)[occupied[i - 3]]
    if grid.batch:
        columns["cloud"] = occupied[0].astype(np.int32)
    columns["count"] = grid.count[occupied]
    for reduce, array in grid.arrays.items():
        if array.ndim > grid.count.ndim:
            reduced = array[occupied]
            columns |= {f"{reduce}_{name}": reduced[:, i] for i, name in enumerate(grid.features)}
    rows = np.empty(len(columns["x"]), [(name, values.dtype.newbyteorder("<")) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    kinds = {name: _PLY_TYPES[f"{values.dtype.kind}{values.dtype.itemsize}"] for name, values in columns.items()}
    properties = "".join(f"property {kind} {name}\n" for name, kind in kinds.items())
    comment = json.dumps(grid.metadata)
    header = f"ply\nformat binary_little_endian 1.0\ncomment robocache {comment}\nelement vertex {len(rows)}\n"
    with path.open("wb") as file:
        file.write(f"{header}{properties}end_header\n".encode())
        rows.tofile(file)
