"""torch on CUDA, eager and compiled: the voxel of each point, then atomics on a result that was cleared just before.

Results exist beforehand, with a row more than voxels, which the points outside go to, and are cleared by a memset or
fill. Where torch has several operators for one thing, each case takes the one that is fastest there. Replayed from a
CUDA graph, as every device time here is, the compiled one is "torch.compile + CUDA graph".

The mean of the occupied voxels alone takes `unique`, which waits for the device: no graph, and its time is that of
calls back to back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from robocache_bench.cuda_timing import Replay
from robocache_bench.operators.voxelize.cases import SPARSE, Case, Shape
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.operators.voxelize.oracle import Voxels
from robocache_bench.peers import Bound, Peer

Tensor = Any  # torch is optional, so its types are unknown here
Step = Callable[..., None]  # (points, features, grid, out, scratch)

# The byte of eight ones or zeros in a 64-bit word, the first one its lowest bit: the product moves each to its bit of
# the top byte.
PACK, TOP = 0x0102040810204080, 56


def peers(case: Case) -> list[Peer]:
    if case.work == SPARSE:
        return [Peer("torch eager", "points", _sparse, capturable=False)]
    eager = Calls(case.work, [_step(case.shape, how) for how in HOW[case.work]])
    compiled = Calls(case.work, [_compiled(case.shape, COMPILED.get(case.work, HOW[case.work][0]))])
    return [
        Peer("torch eager", "points", eager.bind, tune=eager.tune),
        Peer("torch.compile", "points", compiled.bind),
    ]


def _grid(x: Inputs) -> tuple[Tensor, Tensor]:
    """Origin and voxels in a metre, on the device: as numbers they would be compiled in, anew for each grid."""
    scale = np.float32(1) / np.float32(x.voxel_m)
    return torch.tensor(x.origin, dtype=torch.float32, device=x.points.device), torch.tensor(
        scale, device=x.points.device
    )


def voxels_of(shape: Shape, points: Tensor, grid: tuple[Tensor, Tensor]) -> Tensor:
    """The flat voxel of each point; the row behind all voxels for those outside."""
    origin, scale = grid
    at = ((points - origin) * scale).floor()
    inside = ((at >= 0) & (at < shape.side)).all(-1)
    x, y, z = at.long().unbind(-1)
    flat = (x * shape.side + y) * shape.side + z
    if shape.clouds > 1:
        flat = flat + torch.arange(shape.clouds, device=points.device)[:, None] * shape.side**3
    return torch.where(inside, flat, shape.voxels).view(-1)


def add_ones(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    out.index_add_(0, flat, scratch[0])


def scatter_ones(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    out.scatter_add_(0, flat, scratch[0])


def put_true(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    out.index_put_((flat,), scratch[0])


def scatter_true(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    out.scatter_(0, flat, True)


def _pack(out: Tensor, occupied: Tensor) -> None:
    words = occupied[:-8].view(torch.int64)
    out[:-1].copy_(words * PACK >> TOP)  # to uint8 modulo 256


def sum_bits(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    """One kernel when it is compiled, and slow when not."""
    put_true(scratch[1], flat, scratch, features)
    bits = scratch[1][:-8].view(-1, 8) << torch.arange(8, dtype=torch.uint8, device=out.device)
    out[:-1].copy_(bits.sum(-1, dtype=torch.uint8))


def put_bits(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    put_true(scratch[1], flat, scratch, features)
    _pack(out, scratch[1])


def scatter_bits(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    scatter_true(scratch[1], flat, scratch, features)
    _pack(out, scratch[1])


def add_features(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    ones, count = scratch
    out.index_add_(0, flat, features)
    count.index_add_(0, flat, ones)
    out.div_(count.clamp(min=1)[:, None])


def scatter_features(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    ones, count = scratch
    out.scatter_add_(0, flat[:, None].expand_as(features), features)
    count.scatter_add_(0, flat, ones)
    out.div_(count.clamp(min=1)[:, None])


def scatter_maxima(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    out.scatter_reduce_(0, flat[:, None].expand_as(features), features, "amax")
    out.masked_fill_(out == -torch.inf, 0)


def reduce_maxima(out: Tensor, flat: Tensor, scratch: list[Tensor], features: Tensor) -> None:
    out.index_reduce_(0, flat, features, "amax")
    out.masked_fill_(out == -torch.inf, 0)


# For each result the ways to write it; the first one is compiled, unless there is one for that.
HOW: dict[str, tuple[Callable[..., None], ...]] = {
    "count": (add_ones, scatter_ones),
    "occupancy": (put_true, scatter_true),
    "occupancy_bits": (put_bits, scatter_bits),
    "mean": (add_features, scatter_features),
    "max": (scatter_maxima, reduce_maxima),
}
COMPILED = {"occupancy_bits": sum_bits}


def _step(shape: Shape, how: Callable[..., None]) -> Step:
    def step(points: Tensor, features: Tensor, grid: tuple[Tensor, Tensor], out: Tensor, scratch: Any) -> None:
        how(out, voxels_of(shape, points, grid), scratch, features)

    step.__name__ = how.__name__
    return step


@functools.lru_cache(maxsize=1)
def _compiled(shape: Shape, how: Callable[..., None]) -> Step:
    """Compiled once for all clouds of a shape, which are measured one behind the other."""
    torch._dynamo.reset()
    compiled: Step = torch.compile(_step(shape, how), dynamic=False)
    return compiled


def _scratch(x: Inputs) -> list[Tensor]:
    """Arrays that a call needs beside its inputs and its result; the first one never changes."""
    shape, device = x.case.shape, x.points.device
    if x.case.work == "count":
        return [torch.ones(shape.points, dtype=torch.int32, device=device)]
    if x.case.work == "occupancy":
        return [torch.ones((), dtype=torch.bool, device=device)]
    if x.case.work == "occupancy_bits":
        bytes_of_bits = torch.zeros(shape.voxels + 8, dtype=torch.uint8, device=device)
        return [torch.ones((), dtype=torch.uint8, device=device), bytes_of_bits]
    if x.case.work == "mean":
        return [torch.ones(shape.points, device=device), torch.zeros(shape.voxels + 1, device=device)]
    return []


class Calls:
    """The calls of one case, by the first of `steps` or the one that `tune` found fastest."""

    def __init__(self, work: str, steps: Sequence[Step]) -> None:
        self._work, self._steps, self._step = work, steps, steps[0]

    def bind(self, x: Inputs) -> Bound:
        scratch, grid = _scratch(x), _grid(x)
        cleared = [x.out] if self._work != "occupancy_bits" else []
        cleared += scratch[1:]
        features = None if x.features is None else x.features.view(-1, x.case.shape.columns)

        def given() -> None:
            for each in cleared:
                if self._work == "max":
                    each.fill_(-torch.inf)
                else:
                    each.zero_()
            self._step(x.points, features, grid, x.out, scratch)

        return Bound({"out given": given}, lambda _: x.out[:-1])

    def tune(self, bounds: list[Bound]) -> str:
        runs = [b.runs["out given"] for b in bounds]
        times: dict[str, float] = {}
        for step in self._steps:
            self._step = step
            replay = Replay(runs)
            times[step.__name__] = min(replay.us() for _ in range(4))
        best = min(times, key=lambda name: times[name])
        self._step = next(step for step in self._steps if step.__name__ == best)
        return f"{best}, of {', '.join(times)}"


def _sparse(x: Inputs) -> Bound:
    shape, grid = x.case.shape, _grid(x)
    features = x.features.view(-1, shape.columns)

    def fresh() -> Voxels:
        voxels, row, counts = voxels_of(shape, x.points, grid).unique(return_inverse=True, return_counts=True)
        total = torch.zeros(len(voxels), shape.columns, device=features.device).index_add_(0, row, features)
        inside = int((voxels < shape.voxels).sum())  # those outside are the last
        coords = torch.stack(torch.unravel_index(voxels[:inside], (shape.clouds, *(shape.side,) * 3)), -1)
        return Voxels(coords, counts[:inside], total[:inside].div_(counts[:inside, None]))

    return Bound({"fresh": fresh}, lambda result: result)
