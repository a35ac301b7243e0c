"""Point clouds on disk: what `rc.read_points` returns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robocache.errors import InvalidArgument

if TYPE_CHECKING:
    from robocache.formats.points_file import PointsFile, PointTable, Values

_AXES = ("x", "y", "z")
_LARGEST_EXACT = 2**53


@dataclass(frozen=True, eq=False, repr=False)
class PointCloud:
    """A point cloud: coordinates, and what the file says about each point. N points, F features, H x W if organised.

    Attributes
    ----------
    points : numpy array [N, 3], or [H, W, 3] of an organised cloud
        x, y, z in the file's unit and frame; float32, or float64 where the file has doubles or integers. Missing points
        of an organised cloud are NaN, as they are in the file.
    fields : dict of str to numpy array
        Every other field by name, in the file's own dtype: [N] or [H, W], with one more axis where a point has several
        numbers.
    viewpoint : tuple of 7 floats, or None
        PCD only: where the sensor was, position x, y, z, then quaternion w, x, y, z.
    """

    points: npt.NDArray[Any]
    fields: Mapping[str, npt.NDArray[Any]]
    viewpoint: tuple[float, ...] | None = None

    def features(self, *names: str) -> npt.NDArray[np.float32]:
        """The named fields side by side, one row a point in the order of `points.reshape(-1, 3)`.

        Parameters
        ----------
        *names : str
            Names in `fields`.

        Returns
        -------
        float32 array [N, F]
            Rounded to float32: integers beyond 2**24 lose their last digits. A field of several numbers gives as many
            columns.

        Raises
        ------
        InvalidArgument
            A name that `fields` does not have.
        """
        unknown = [name for name in names if name not in self.fields]
        if unknown:
            raise InvalidArgument(f"features: name is {unknown[0]!r}, expected one of {_listed(self.fields)}")
        rows, leading = self.points[..., 0].size, self.points.ndim - 1
        columns = [self.fields[name] for name in names]
        columns = [values.reshape(rows, math.prod(values.shape[leading:])) for values in columns]
        out = np.empty((rows, sum(values.shape[1] for values in columns)), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.concatenate(columns, axis=1, out=out, casting="unsafe") if columns else out

    def __repr__(self) -> str:
        points = "x".join(map(str, self.points.shape[:-1]))
        return f"PointCloud({points} points {self.points.dtype}, fields {_listed(self.fields)})"


def read_points(path: str | Path, *, fields: Iterable[str] | None = None) -> PointCloud:
    """Reads a point cloud: PLY, PCD or a velodyne scan of KITTI.

    Parameters
    ----------
    path : str or Path
        PLY (text, binary of either byte order) and PCD 0.5 to 0.7 (ascii, binary, binary_compressed) are known by how
        they begin; only `.bin` is KITTI (float32 x, y, z, intensity).
    fields : iterable of str, optional
        Loads these fields only, besides x, y and z, which are always in `points`. Default: all.

    Returns
    -------
    PointCloud
        Arrays of its own, writable, contiguous, in the machine's byte order. NaN stays where it is.

    Raises
    ------
    FileNotFoundError
        No such file.
    DataError
        Nothing that can be read, a damaged file, or one shorter or longer than its header says; the text names the
        file and, where known, the line or the byte.
    InvalidArgument
        `fields` names one that the file does not have.
    Unsupported
        Vertices of a PLY file have a list.
    """
    if isinstance(fields, str):
        raise InvalidArgument(f"read_points: fields is {fields!r}, expected a list of names")
    from robocache.formats.points_file import PointsFile

    file = PointsFile(Path(path))
    return _cloud(file, _read(file), fields)


def _read(file: PointsFile) -> PointTable:
    from robocache.formats import points_kitti, points_pcd, points_ply

    suffix = file.path.suffix.lower()
    begins = file.data.startswith
    if begins(points_ply.MAGIC) or (suffix == ".ply" and not begins(points_pcd.MAGIC)):
        return points_ply.read(file)
    if begins(points_pcd.MAGIC) or suffix == ".pcd":
        return points_pcd.read(file)
    if suffix == ".bin":
        return points_kitti.read(file)
    raise file.fail(f"begins with {file.data[:8]!r}, expected PLY, PCD, or a scan of KITTI named .bin")


def _cloud(file: PointsFile, table: PointTable, wanted: Iterable[str] | None) -> PointCloud:
    columns = {name: values for name, values in table.columns.items() if name not in _AXES}
    names = list(columns) if wanted is None else list(dict.fromkeys(wanted))
    unknown = [name for name in names if name not in columns]
    points = _points(file, table)
    if unknown:
        raise InvalidArgument(
            f"read_points: fields has {unknown[0]!r}, expected names of {file.path}: {_listed(columns)}; "
            "hint: x, y, z are always there, as points"
        )
    loaded = {name: _own(columns[name]).reshape(*table.shape, *columns[name].shape[1:]) for name in names}
    return PointCloud(points.reshape(*table.shape, 3), loaded, table.viewpoint)


def _points(file: PointsFile, table: PointTable) -> Values:
    """x, y, z as [N, 3]."""
    if any(name not in table.columns for name in _AXES):
        raise file.fail(f"fields are {_listed(table.columns)}, expected x, y and z")
    axes = [table.columns[name] for name in _AXES]
    for name, values in zip(_AXES, axes, strict=True):
        if values.ndim > 1:
            raise file.fail(f"field {name} has {values.shape[1]} numbers a point, expected one")
        if values.dtype.kind != "f" and values.dtype.itemsize == 8 and _is_beyond_float64(values):
            raise file.fail(f"field {name} has integers beyond 2**53, expected what float64 can hold")
    single = all(values.dtype.kind == "f" and values.dtype.itemsize == 4 for values in axes)
    points = np.empty((len(axes[0]), 3), np.float32 if single else np.float64)
    with np.errstate(invalid="ignore"):  # a signalling NaN made wider
        for i, values in enumerate(axes):
            points[:, i] = values
    return points


def _is_beyond_float64(integers: Values) -> bool:
    return len(integers) > 0 and bool(integers.max() > _LARGEST_EXACT or integers.min() < -_LARGEST_EXACT)


def _own(values: Values) -> Values:
    """A contiguous copy in the machine's byte order."""
    return values.astype(values.dtype.newbyteorder("="), order="C")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
