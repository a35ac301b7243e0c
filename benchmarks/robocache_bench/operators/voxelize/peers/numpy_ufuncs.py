"""numpy: bincount, add.at, maximum.at, unique. It is given the voxel of each point: its part is less than ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robocache_bench.operators.voxelize.cases import DOWNSAMPLE, Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer


def peers(case: Case) -> list[Peer]:
    makers = {"count": _count, "mean": _mean, "max": _max, DOWNSAMPLE: _downsample}
    if case.work not in makers:
        raise NoPeer(f"no {case.work} in numpy is written here")
    make = makers[case.work]
    reads = "points" if case.work == DOWNSAMPLE else "voxels of the points"
    return [Peer("numpy", reads, lambda x: Bound({"fresh": make(x)}, lambda result: result))]


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


def _downsample(x: Inputs) -> Callable[[], Any]:
    points, scale = x.points, np.float32(1) / np.float32(x.voxel_m)

    def fresh() -> Any:
        at = np.floor(points * scale).astype(np.int64)
        _, inverse, count = np.unique(at, axis=0, return_inverse=True, return_counts=True)
        total = np.stack([np.bincount(inverse.ravel(), points[:, i]) for i in range(3)], axis=1)
        return (total / count[:, None]).astype(np.float32)

    return fresh
