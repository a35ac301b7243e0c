"""The right answer in float64, written naively and apart from every peer, and how far an answer is from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache_bench.operators.voxelize.cases import COUNTS, DOWNSAMPLE, Case
from robocache_bench.operators.voxelize.inputs import Inputs, voxel_indices

Array = npt.NDArray[Any]
WRONG = float("inf")
TOLERANCE = 1e-5  # of means in units of the largest feature or coordinate: float32 sums in any order
OWN_GRID = "points, in a grid of its own"  # of Open3D: voxels begin half a voxel below the lowest coordinates


@dataclass(frozen=True)
class Voxels:
    """The occupied voxels of all clouds, in their order, of a case that has those alone."""

    coords: Any  # int array [M, 4]: cloud, x, y, z
    counts: Any  # [M]
    means: Any  # [M, F]


class Groups:
    """The points of each occupied voxel, by sorting: `voxels` are the occupied ones, ascending."""

    def __init__(self, voxels: npt.NDArray[np.int64]) -> None:
        self.order = np.argsort(voxels, kind="stable")
        ordered = voxels[self.order]
        self.first = np.flatnonzero(np.diff(ordered, prepend=-1))
        self.voxels = ordered[self.first]
        self.counts = np.diff(self.first, append=len(ordered))

    def means(self, values: Array) -> Array:
        sums = np.add.reduceat(values[self.order].astype(np.float64), self.first, axis=0)
        return np.asarray(sums / self.counts[:, None])

    def maxima(self, values: Array) -> Array:
        return np.asarray(np.maximum.reduceat(values[self.order], self.first, axis=0))

    def bits(self) -> tuple[Array, Array]:
        """Bytes that are not zero: which, and what they hold."""
        byte, first = np.unique(self.voxels // 8, return_index=True)
        return byte, np.add.reduceat(1 << (self.voxels % 8), first)


class Oracle:
    """The right answer of one call."""

    def __init__(self, x: Inputs) -> None:
        self._x = x
        self._work = x.case.work

    @cached_property
    def _features(self) -> Array:
        return np.asarray(to_host(self._x.features)).reshape(-1, self._x.case.shape.columns)

    @cached_property
    def _groups(self) -> Groups:
        return Groups(self._x.voxels)

    @cached_property
    def _want(self) -> tuple[Array, Array]:
        """The rows of a dense result that are not zero: which, and what they hold."""
        groups = self._groups
        if self._work == "occupancy_bits":
            return groups.bits()
        if self._work in COUNTS:
            return groups.voxels, groups.counts if self._work == "count" else np.ones(len(groups.voxels))
        values = groups.means(self._features) if self._work == "mean" else groups.maxima(self._features)
        return groups.voxels, values

    def error(self, reads: str, answer: Any) -> float:
        """The largest difference, in units of the largest feature; infinity where anything else is wrong."""
        if self._work == DOWNSAMPLE:
            return self._downsample_error(reads, np.asarray(to_host(answer)))
        if isinstance(answer, Voxels):
            return self._sparse_error(answer)
        return self._dense_error(answer)

    def _dense_error(self, answer: Any) -> float:
        """`answer` is a numpy or torch array of all voxels in their order, with the features of each behind."""
        rows, want = self._want
        answer = answer.reshape(-1, *want.shape[1:])
        got = np.asarray(to_host(answer[self._index(answer, rows)]))
        # The others are zero when there are no more numbers than in these; NaN is one.
        if int((answer != 0).sum()) != int((got != 0).sum()):
            return WRONG
        if self._work in COUNTS:
            return 0.0 if np.array_equal(got, want) else WRONG
        return _difference(got, want, self._features)

    @staticmethod
    def _index(answer: Any, rows: Array) -> Any:
        if isinstance(answer, np.ndarray):
            return rows
        import torch

        return torch.from_numpy(rows).to(answer.device)

    def _sparse_error(self, answer: Voxels) -> float:
        groups, side = self._groups, self._x.case.shape.side
        cloud, x, y, z = np.asarray(to_host(answer.coords)).astype(np.int64).T
        voxels = ((cloud * side + x) * side + y) * side + z
        counts, means = np.asarray(to_host(answer.counts)), np.asarray(to_host(answer.means))
        if not np.array_equal(voxels, groups.voxels) or not np.array_equal(counts, groups.counts):
            return WRONG
        return _difference(means, groups.means(self._features), self._features)

    def _downsample_error(self, reads: str, means: Array) -> float:
        """A mean lies in its voxel, and so says which it is of: peers have orders of their own."""
        points = self._x.host_points
        groups = Groups(_boxed_voxels(self._x, points, reads))
        order = np.argsort(_boxed_voxels(self._x, means, reads), kind="stable")
        if len(order) != len(groups.voxels):
            return WRONG
        return _difference(means[order], groups.means(points), points)


def _boxed_voxels(x: Inputs, of: Array, reads: str) -> npt.NDArray[np.int64]:
    """The flat voxel of each of some places, in the box around all points."""
    points, origin = x.host_points, x.origin
    if reads == OWN_GRID:
        points = points.astype(np.float64)
        origin = tuple(points.min(axis=0) - x.voxel_m / 2)
    box = voxel_indices(points, x.voxel_m, origin)
    low, size = box.min(axis=0), np.ptp(box, axis=0) + 1
    i, j, k = (voxel_indices(of.astype(points.dtype), x.voxel_m, origin) - low).T
    return np.asarray((i * size[1] + j) * size[2] + k)


def occupied(x: Inputs) -> int:
    """How many voxels have points."""
    return len(np.unique(_boxed_voxels(x, x.host_points, "points") if x.case.work == DOWNSAMPLE else x.voxels))


def _difference(got: Array, want: Array, values: Array) -> float:
    if got.shape != want.shape or np.isnan(got).any():
        return WRONG
    return float(np.abs(got - want).max() / np.abs(values).max())


def to_host(array: Any) -> Any:
    return array.cpu().numpy() if hasattr(array, "cpu") else array


def tolerance(case: Case) -> float:
    """What `Oracle.error` may be."""
    return 0.0 if case.work in COUNTS or case.work == "max" else TOLERANCE
