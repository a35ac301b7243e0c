"""A naive voxelizer: one point after the other, in numpy, as docs/voxelization.md says it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 256
COUNTS = ("count", "occupancy", "occupancy_bits")


@dataclass(frozen=True)
class Grid:
    voxel_m: tuple[float, float, float]
    origin: tuple[float, float, float]
    shape: tuple[int, int, int]


def compute_type(dtype: str) -> type:
    return np.float64 if dtype == "float64" else np.float32


def transformed(points: np.ndarray, transform: np.ndarray | None) -> np.ndarray:
    """`points` in their compute type; each product and sum is rounded, from left to right."""
    if transform is None:
        return points
    m = transform.astype(points.dtype)
    x, y, z = points.T
    with np.errstate(all="ignore"):
        return np.stack([m[i, 0] * x + m[i, 1] * y + m[i, 2] * z + m[i, 3] for i in range(3)], axis=1)


def voxel_of(points: np.ndarray, grid: Grid) -> np.ndarray:
    """The flat voxel of each point, in C order; -1 for none. `points` are in their compute type, which this keeps."""
    C = points.dtype.type
    inside = np.ones(len(points), bool)
    flat = np.zeros(len(points), np.int64)
    with np.errstate(all="ignore"):
        for i in range(3):
            at = np.floor((points[:, i] - C(grid.origin[i])) * (C(1) / C(grid.voxel_m[i])))
            inside &= (at >= 0) & (at < grid.shape[i])
            flat = flat * grid.shape[i] + np.where(inside, at, 0).astype(np.int64)
    return np.where(inside, flat, -1)


def _sum(rows: np.ndarray) -> np.ndarray:
    total = np.zeros(rows.shape[1], rows.dtype)
    for first in range(0, len(rows), CHUNK):
        chunk = np.zeros(rows.shape[1], rows.dtype)
        for row in rows[first : first + CHUNK]:
            chunk = chunk + row
        total = chunk if first == 0 else total + chunk
    return total


def _extreme(rows: np.ndarray, sign: int) -> np.ndarray:
    best = rows[0]
    for row in rows[1:]:
        best = np.where(np.isnan(best), best, np.where((sign * row > sign * best) | np.isnan(row), row, best))
    return best


def reduced(rows: np.ndarray, reduce: str) -> np.ndarray:
    """What becomes of the features `rows` of one voxel, in their order."""
    with np.errstate(all="ignore"):
        if reduce == "sum":
            return _sum(rows)
        if reduce == "mean":
            return _sum(rows) / rows.dtype.type(len(rows))
        if reduce in ("min", "max"):
            return _extreme(rows, 1 if reduce == "max" else -1)
    return rows[0] if reduce == "first" else rows[-1]


def _chosen(rows: np.ndarray, reduce: str) -> np.ndarray:
    """Which of the rows has the result, for each feature."""
    if reduce in ("first", "last"):
        return np.full(rows.shape[1], 0 if reduce == "first" else len(rows) - 1)
    missing = np.isnan(rows)
    best = rows.max(axis=0) if reduce == "max" else rows.min(axis=0)
    return np.where(missing.any(axis=0), missing.argmax(axis=0), (rows == best).argmax(axis=0))


def gradient(rows: np.ndarray, grads: dict[str, np.ndarray]) -> np.ndarray:
    """By each of the features `rows` of one voxel, where the gradient by each result [F] is in `grads`."""
    total = np.zeros(rows.shape, rows.dtype)
    with np.errstate(all="ignore"):
        for reduce, grad in grads.items():
            if reduce in ("sum", "mean"):
                total = total + (grad / rows.dtype.type(len(rows)) if reduce == "mean" else grad)
            else:
                taken = np.arange(len(rows))[:, None] == _chosen(rows, reduce)
                total = total + np.where(taken, grad, rows.dtype.type(0))
    return total


def voxelize(
    points: np.ndarray, features: np.ndarray, grid: Grid, reduce: str, empty: float, transform: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """One cloud: (result, dropped). Results of features are in the dtype of `features`, their compute type."""
    flat = voxel_of(transformed(points, transform), grid)
    voxels = int(np.prod(grid.shape))
    count = np.bincount(flat[flat >= 0], minlength=voxels)
    dropped = int((flat < 0).sum())
    if reduce == "count":
        return count.astype(np.int32).reshape(grid.shape), dropped
    if reduce == "occupancy":
        return (count > 0).reshape(grid.shape), dropped
    if reduce == "occupancy_bits":
        return np.packbits((count > 0).reshape(grid.shape), axis=-1, bitorder="little"), dropped
    out = np.full((voxels, features.shape[1]), empty, features.dtype)
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] >= 0]
    for rows in np.split(order, np.flatnonzero(np.diff(flat[order])) + 1) if len(order) else []:
        out[flat[rows[0]]] = reduced(features[rows], reduce)
    return out.reshape(*grid.shape, -1), dropped


@dataclass(frozen=True)
class SparseAnswer:
    """The occupied voxels of one cloud: flat voxels in order, the points that each keeps, and the row of each point."""

    voxels: np.ndarray
    rows: list[np.ndarray]
    inverse: np.ndarray

    @property
    def dropped(self) -> int:
        return int((self.inverse < 0).sum())


def sparse(flat: np.ndarray, max_points: int | None = None, max_voxels: int | None = None) -> SparseAnswer:
    """One cloud, of which `flat` is the voxel of each point (-1 for none); by a dict in the order of the points."""
    points: dict[int, list[int]] = {}
    for n, voxel in enumerate(flat.tolist()):
        if voxel >= 0:
            points.setdefault(voxel, []).append(n)
    kept = sorted(list(points)[:max_voxels])
    rows = [np.array(points[voxel][:max_points], np.int64) for voxel in kept]
    inverse = np.full(len(flat), -1, np.int64)
    for row, members in enumerate(rows):
        inverse[members] = row
    return SparseAnswer(np.array(kept, np.int64), rows, inverse)


def downsampled(points: np.ndarray, features: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(means of points, of features, counts) of the voxels of a grid without bounds: its shape is not looked at."""
    C = points.dtype.type
    finite = np.isfinite(points).all(axis=1)
    points, features = points[finite], features[finite]
    at = np.floor((points - np.array(grid.origin, C)) * (C(1) / np.array(grid.voxel_m, C))).astype(np.int64)
    _, inverse = np.unique(at, axis=0, return_inverse=True)
    answer = sparse(inverse.ravel())
    means = [
        np.array([reduced(rows[members], "mean") for members in answer.rows], rows.dtype).reshape(
            len(answer.rows), rows.shape[1]
        )
        for rows in (points, features)
    ]
    return means[0], means[1], np.array([len(members) for members in answer.rows], np.int32)
