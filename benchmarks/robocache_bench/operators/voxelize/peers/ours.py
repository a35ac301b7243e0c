"""RoboCache. Its results are new arrays, which in a graph are the graph's: a replay writes them where they are.

Each call also counts the points outside (`dropped`), which the C++ call can leave out.
"""

from __future__ import annotations

from typing import Any

import robocache as rc

from robocache_bench.operators.voxelize.cases import DOWNSAMPLE, SPARSE, Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.operators.voxelize.oracle import Voxels
from robocache_bench.peers import Bound, Peer
from robocache_bench.results import OURS


def peers(case: Case) -> list[Peer]:
    bind = {SPARSE: _sparse, DOWNSAMPLE: _downsample}.get(case.work, _dense)
    return [Peer(OURS, "points", bind, capturable=case.is_dense)]  # the others wait for the number of voxels


def _grid(x: Inputs) -> dict[str, Any]:
    return {"voxel_m": x.voxel_m, "origin": x.origin, "shape": (x.case.shape.side,) * 3}


def _dense(x: Inputs) -> Bound:
    options = {**_grid(x), "reduce": x.case.work}
    kept: list[Any] = [None]  # until the next call on these inputs: calls on others do not get its memory

    def fresh() -> Any:
        kept[0] = rc.voxelize(x.points, x.features, **options).values
        return kept[0]

    return Bound({"fresh": fresh}, lambda result: result)


def _sparse(x: Inputs) -> Bound:
    options = {**_grid(x), "reduce": "mean"}
    return Bound(
        {"fresh": lambda: rc.voxelize_sparse(x.points, x.features, **options)},
        lambda result: Voxels(result.coords, result.counts, result["mean"]),
    )


def _downsample(x: Inputs) -> Bound:
    return Bound({"fresh": lambda: rc.voxel_downsample(x.points, x.voxel_m)}, lambda result: result.points)
