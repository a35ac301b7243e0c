"""torch on the CPU: bincount, index_add, scatter_reduce. It is given the voxel of each point: its part is less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from robocache_bench.operators.voxelize.cases import Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer


def peers(case: Case) -> list[Peer]:
    makers = {"count": _count, "mean": _mean, "max": _max}
    if case.work not in makers:
        raise NoPeer(f"no {case.work} in torch is written here")
    make = makers[case.work]
    return [Peer("torch eager", "voxels of the points", lambda x: Bound({"fresh": make(x)}, lambda result: result))]


def _count(x: Inputs) -> Callable[[], Any]:
    voxels, size = torch.from_numpy(x.voxels), x.case.shape.voxels
    return lambda: torch.bincount(voxels, minlength=size)


def _given(x: Inputs) -> tuple[Any, Any]:
    return torch.from_numpy(x.voxels), torch.from_numpy(x.features).view(-1, x.case.shape.columns)


def _mean(x: Inputs) -> Callable[[], Any]:
    (voxels, features), shape = _given(x), x.case.shape
    ones = torch.ones(shape.points)

    def fresh() -> Any:
        total = torch.zeros(shape.voxels, shape.columns).index_add_(0, voxels, features)
        count = torch.zeros(shape.voxels).index_add_(0, voxels, ones)
        return total / count.clamp(min=1)[:, None]

    return fresh


def _max(x: Inputs) -> Callable[[], Any]:
    (voxels, features), shape = _given(x), x.case.shape
    index = voxels[:, None].expand(-1, shape.columns)

    def fresh() -> Any:
        most = torch.full((shape.voxels, shape.columns), -torch.inf).scatter_reduce_(0, index, features, "amax")
        return torch.where(most.isinf(), 0, most)

    return fresh
