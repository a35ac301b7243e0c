"""torch on the CPU: bincount, index_add, scatter_reduce. It is given the voxel of each point: its part is less.

"torch eager" writes rows of features at rows of the grid, as people do; "torch eager, flat" works on single numbers,
is given their places, and counts by bincount.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from robocache_bench.operators.voxelize.cases import Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer


def peers(case: Case) -> list[Peer]:
    if case.work not in MAKERS:
        raise NoPeer(f"no {case.work} in torch is written here")
    return [_peer(name, make) for name, make in MAKERS[case.work].items()]


def _peer(name: str, make: Callable[[Inputs], Callable[[], Any]]) -> Peer:
    return Peer(name, "voxels of the points", lambda x: Bound({"fresh": make(x)}, lambda result: result))


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


def _flat(x: Inputs) -> tuple[Any, Any]:
    """The place of each number in the result, and the numbers."""
    voxels, features = _given(x)
    columns = x.case.shape.columns
    return (voxels[:, None] * columns + torch.arange(columns)).view(-1), features.view(-1)


def _mean_flat(x: Inputs) -> Callable[[], Any]:
    (places, numbers), (voxels, _), shape = _flat(x), _given(x), x.case.shape

    def fresh() -> Any:
        total = torch.zeros(shape.voxels * shape.columns).index_add_(0, places, numbers)
        count = torch.bincount(voxels, minlength=shape.voxels).clamp_(min=1)
        return total.view(shape.voxels, shape.columns).div_(count[:, None])

    return fresh


def _max_flat(x: Inputs) -> Callable[[], Any]:
    (places, numbers), shape = _flat(x), x.case.shape

    def fresh() -> Any:
        most = torch.full((shape.voxels * shape.columns,), -torch.inf).scatter_reduce_(0, places, numbers, "amax")
        return most.masked_fill_(most.isinf(), 0).view(shape.voxels, shape.columns)

    return fresh


MAKERS: dict[str, dict[str, Callable[[Inputs], Callable[[], Any]]]] = {
    "count": {"torch eager": _count},
    "mean": {"torch eager": _mean, "torch eager, flat": _mean_flat},
    "max": {"torch eager": _max, "torch eager, flat": _max_flat},
}
