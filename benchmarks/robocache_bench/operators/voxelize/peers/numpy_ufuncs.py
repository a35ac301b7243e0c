"""numpy: bincount, add.at, maximum.at, unique. It is given the voxel of each point: its part is less than ours.

"numpy" writes rows of features at rows of the grid, as people do; "numpy, flat" works on single numbers, for which
its loops are many times faster, and is given their places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robocache_bench.operators.voxelize.cases import DOWNSAMPLE, Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer


def peers(case: Case) -> list[Peer]:
    if case.work == DOWNSAMPLE:
        return [_peer("numpy", "points", _downsample)]
    if case.work not in MAKERS:
        raise NoPeer(f"no {case.work} in numpy is written here")
    return [_peer(name, "voxels of the points", make) for name, make in MAKERS[case.work].items()]


def _peer(name: str, reads: str, make: Callable[[Inputs], Callable[[], Any]]) -> Peer:
    return Peer(name, reads, lambda x: Bound({"fresh": make(x)}, lambda result: result))


def _count(x: Inputs) -> Callable[[], Any]:
    voxels, size = x.voxels, x.case.shape.voxels
    return lambda: np.bincount(voxels, minlength=size)


def _mean(x: Inputs) -> Callable[[], Any]:
    voxels, features, shape = x.voxels, x.features.reshape(-1, x.case.shape.columns), x.case.shape

    def fresh() -> Any:
        total = np.zeros((shape.voxels, shape.columns), np.float32)
        np.add.at(total, voxels, features)
        count = np.bincount(voxels, minlength=shape.voxels)
        return total / np.maximum(count, 1)[:, None].astype(np.float32)

    return fresh


def _max(x: Inputs) -> Callable[[], Any]:
    voxels, features, shape = x.voxels, x.features.reshape(-1, x.case.shape.columns), x.case.shape

    def fresh() -> Any:
        most = np.full((shape.voxels, shape.columns), -np.inf, np.float32)
        np.maximum.at(most, voxels, features)
        return np.where(np.isinf(most), 0, most)

    return fresh


def _flat(x: Inputs) -> tuple[Any, Any]:
    """The place of each number in the result, and the numbers."""
    columns = x.case.shape.columns
    return (x.voxels[:, None] * columns + np.arange(columns)).ravel(), x.features.ravel()


def _mean_flat(x: Inputs) -> Callable[[], Any]:
    (places, numbers), voxels, shape = _flat(x), x.voxels, x.case.shape

    def fresh() -> Any:
        total: Any = np.bincount(places, numbers, shape.voxels * shape.columns).reshape(-1, shape.columns)
        count = np.bincount(voxels, minlength=shape.voxels)
        total /= np.maximum(count, 1)[:, None]
        return total.astype(np.float32)

    return fresh


def _max_flat(x: Inputs) -> Callable[[], Any]:
    (places, numbers), shape = _flat(x), x.case.shape

    def fresh() -> Any:
        most = np.full(shape.voxels * shape.columns, -np.inf, np.float32)
        np.maximum.at(most, places, numbers)
        most[np.isinf(most)] = 0
        return most.reshape(shape.voxels, shape.columns)

    return fresh


def _downsample(x: Inputs) -> Callable[[], Any]:
    points, scale = x.points, np.float32(1) / np.float32(x.voxel_m)

    def fresh() -> Any:
        at = np.floor(points * scale).astype(np.int64)
        at -= at.min(axis=0)
        size = at.max(axis=0) + 1
        key = (at[:, 0] * size[1] + at[:, 1]) * size[2] + at[:, 2]  # many times faster to sort than rows
        _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
        total = np.stack([np.bincount(inverse, points[:, i]) for i in range(3)], axis=1)
        return (total / count[:, None]).astype(np.float32)

    return fresh


MAKERS: dict[str, dict[str, Callable[[Inputs], Callable[[], Any]]]] = {
    "count": {"numpy": _count},
    "mean": {"numpy": _mean, "numpy, flat": _mean_flat},
    "max": {"numpy": _max, "numpy, flat": _max_flat},
}
