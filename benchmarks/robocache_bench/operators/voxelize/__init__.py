"""Voxelization: clouds into dense grids, into their occupied voxels, and downsampling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import robocache as rc

from robocache_bench.operators import Operator
from robocache_bench.operators.voxelize import bars, cases, cpp
from robocache_bench.operators.voxelize.cases import UNIFORM, Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.operators.voxelize.needs import bytes_moved
from robocache_bench.operators.voxelize.oracle import Oracle, occupied, tolerance
from robocache_bench.peers import Peer
from robocache_bench.results import Log, Results, Row


class Voxelize(Operator):
    """Its clouds are uniform, a real scan, or all in one voxel."""

    name = "voxelize"
    modules: ClassVar = {
        "cpu": ("ours", "torch_cpu", "numpy_ufuncs", "open3d_downsample"),
        "cuda": ("ours", "torch_cuda", "cupy_scatter"),
    }
    takes_scan = True

    def cases(self, device: str, points: Path | None) -> list[Case]:
        scan = None if points is None else cases.points_of(rc.read_points(points).points)
        return cases.cpu_cases(scan) if device == "cpu" else cases.cuda_cases(scan)

    def inputs(self, case: Case, random: np.random.Generator) -> Inputs:
        return Inputs(case, random)

    def oracle(self, x: Inputs, random: np.random.Generator) -> Oracle:
        return Oracle(x)

    def tolerance(self, case: Case) -> float:
        return tolerance(case)

    def facts(self, case: Case, peer: Peer, x: Inputs) -> Row:
        return {**case.facts, "reads": peer.reads, "bytes": bytes_moved(case, 0 if case.is_dense else occupied(x))}

    def cpp_rows(self, folder: Path, device: str, seed: int, log: Log) -> list[Row]:
        return cpp.run(folder, device, seed, log)

    def judge(self, results: Results, peers: Mapping[str, Row]) -> None:
        bars.judge(results, peers)

    def label(self, row: Row) -> str:
        return f"{row['shape']} {row['work']}, {row['cloud']}"

    def curve(self, row: Row) -> str | None:
        return "uniform clouds" if row["cloud"] == UNIFORM else None


OPERATOR = Voxelize()
