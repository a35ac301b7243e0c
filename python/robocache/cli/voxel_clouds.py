"""The clouds that `robocache voxelize` puts into a grid: files, transform and features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.cli.progress import progress
from robocache.errors import DataError, InvalidArgument
from robocache.points import PointCloud, read_points

Array = npt.NDArray[Any]

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Clouds:
    """B clouds, one behind the other. N points of all, F features.

    `points` [N, 3], in the frame of the grid; `features` [N, F] and their names; `finite` [N] says which points have
    three finite coordinates; `offsets` [B + 1] says where each cloud begins.
    """

    points: Array
    features: Array
    names: tuple[str, ...]
    finite: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """B."""
        return len(self.offsets) - 1


def read_clouds(paths: Sequence[Path], features: Sequence[str], T_grid_points: Array | None) -> Clouds:
    """Reads all files; `features` are fields of theirs, or axes of the transformed points.

    Raises
    ------
    OSError, InvalidArgument, Unsupported
        As `rc.read_points`; a field has more numbers a point in one file than in the first.
    """
    parts: list[tuple[Array, Array]] = []
    names: list[str] = []
    for path in progress(paths, len(paths), "reading"):
        cloud = read_points(path, fields=[name for name in features if name not in AXES])
        points = _transformed(cloud.points.reshape(-1, 3), T_grid_points)
        columns = {name: _columns(name, cloud, points) for name in features}
        found = [one for name, values in columns.items() for one in _names(name, values)]
        if parts and found != names:
            raise InvalidArgument(f"voxelize: features of {path} are {', '.join(found)}, expected {', '.join(names)}")
        names = found
        parts.append((points, np.concatenate([np.empty((len(points), 0), np.float32), *columns.values()], axis=1)))
    points = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts])
    offsets = np.cumsum([0, *(len(part[0]) for part in parts)], dtype=np.int64)
    finite = np.asarray(np.isfinite(points).all(axis=1))
    return Clouds(points, values, tuple(names), finite, offsets)


def _columns(name: str, cloud: PointCloud, points: Array) -> Array:
    return points[:, [AXES.index(name)]] if name in AXES else cloud.features(name)


def _names(name: str, values: Array) -> list[str]:
    return [name] if values.shape[1] == 1 else [f"{name}_{i}" for i in range(values.shape[1])]


def _transformed(points: Array, T_grid_points: Array | None) -> Array:
    """In the points' type, step by step as `rc.voxelize` does it: the box and the features need the same points."""
    if T_grid_points is None:
        return points
    m = T_grid_points.astype(points.dtype)
    x, y, z = points.T
    with np.errstate(all="ignore"):
        return np.stack([m[i, 0] * x + m[i, 1] * y + m[i, 2] * z + m[i, 3] for i in range(3)], axis=1)


def read_transform(path: Path) -> Array:
    """T_grid_points: [4, 4] from a .npy file, or from text of four rows of four numbers.

    Raises
    ------
    FileNotFoundError, DataError
        No such file, or not a rigid or affine transform.
    """
    if not path.is_file():
        raise FileNotFoundError(f"voxelize: --transform is {path}, expected a file; there is none")
    try:
        if path.suffix.lower() == ".npy":
            matrix: Array = np.load(path, allow_pickle=False).astype(np.float64, casting="safe")
        else:
            rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
            matrix = np.array([[float(word) for word in row] for row in rows])
    except (ValueError, TypeError, EOFError) as error:
        raise DataError(f"voxelize: {path}: cannot be read as a matrix: {error}") from error
    if matrix.shape != (4, 4):
        raise DataError(f"voxelize: {path}: matrix is {list(matrix.shape)}, expected [4, 4]")
    if not np.isfinite(matrix).all():
        raise DataError(f"voxelize: {path}: matrix has numbers that are not finite")
    if matrix[3].tolist() != [0, 0, 0, 1]:
        raise DataError(f"voxelize: {path}: last row is {matrix[3].tolist()}, expected [0, 0, 0, 1]")
    return matrix
