"""Triton, tuned for each case over tile, warps and search by the device time that is measured afterwards."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
import triton

from robocache_bench.cuda_timing import Replay
from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.operators.align.peers.triton_kernels import fuse, resample
from robocache_bench.peers import Bound, NoPeer, Peer

TILES = (1, 2, 4, 8, 16, 32, 64, 128)
WARPS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Config:
    """Targets of a program of the widest stream, its warps, and how it searches (`triton_kernels`)."""

    tile: int
    warps: int
    fine: int


def peers(case: Case) -> list[Peer]:
    if case.interp != "linear":
        raise NoPeer(f"no {case.interp} in Triton is written here")
    calls = Calls(case)
    return [Peer("Triton", "float32 s", calls.bind, tune=calls.tune)]


class Calls:
    """The launches of one case, with the configuration that `tune` found best."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.widths = [triton.next_power_of_2(s.columns) for s in case.shape.sources]
        item = 2 if case.dtype == "bfloat16" else 4
        vector = 16 // item
        root = math.isqrt(max(s.samples for s in case.shape.sources) - 1).bit_length()
        self.configs = [
            Config(tile, warps, fine)
            for tile, warps, fine in itertools.product(TILES, WARPS, (2 ** (root - 1), 2**root))
            # A thread has one to four full vectors of values.
            if vector <= tile * max(self.widths) // (32 * warps) <= 4 * vector
        ]
        self.use(self.configs[len(self.configs) // 2])

    def use(self, config: Config) -> None:
        shape = self.case.shape
        limit = triton.next_power_of_2(shape.targets)
        tiles = [min(limit, config.tile * max(self.widths) // width) for width in self.widths]
        self._grid = (sum(triton.cdiv(shape.targets, tile) for tile in tiles), shape.batch)
        self._constants = [shape.targets, self.case.marks, config.fine]
        for source, tile in zip(shape.sources, tiles, strict=True):
            self._constants += [source.samples, source.columns, tile]
        self._warps = config.warps

    def bind(self, x: Inputs) -> Bound:
        clocks, targets = x.times("float32 s")
        stamps, at = [torch.from_numpy(s).cuda() for s in clocks], torch.from_numpy(targets).cuda()
        # Without marks these two are never touched.
        marks = (x.valid, x.age) if x.case.marks else (x.out, x.out)
        arrays = [a for pair in zip(x.values, stamps, strict=True) for a in pair] + [at, x.out, *marks]
        kernel: Any = resample if len(stamps) == 1 else fuse

        def given() -> None:
            kernel[self._grid](*arrays, *self._constants, num_warps=self._warps)

        return Bound({"out given": given}, lambda _: (x.out, x.valid, x.age))

    def tune(self, bounds: list[Bound]) -> str:
        runs = [b.runs["out given"] for b in bounds]
        times: dict[Config, float] = {}
        for config in self.configs:
            self.use(config)
            replay = Replay(runs)
            times[config] = min(replay.us() for _ in range(4))
        best = min(times, key=lambda c: times[c])
        self.use(best)
        return f"{best}, of {len(times)}"
