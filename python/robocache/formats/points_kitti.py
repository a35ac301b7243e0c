"""KITTI's velodyne scans: float32 x, y, z, intensity in little-endian order, and no header."""

from __future__ import annotations

import numpy as np

from robocache.formats.points_file import Field, PointsFile, PointTable, views

_FIELDS = [Field(name, np.dtype("<f4")) for name in ("x", "y", "z", "intensity")]
_POINT_BYTES = 16


def read(file: PointsFile) -> PointTable:
    """Reads a scan. Nothing in the file tells whether it is one, except that points are whole."""
    size = len(file.data)
    if size == 0 or size % _POINT_BYTES:
        raise file.fail(f"has {size} bytes, expected points of {_POINT_BYTES} (KITTI: float32 x y z intensity)")
    n = size // _POINT_BYTES
    return PointTable(views(file.data, 0, _FIELDS, _POINT_BYTES, n), (n,))
