"""robocache.torch: the same operator behind torch's dispatcher, with gradients; its outputs are always new."""

from __future__ import annotations

from typing import Any

import robocache as rc
import robocache.torch
import torch

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer
from robocache_bench.results import TORCH_OP


def peers(case: Case) -> list[Peer]:
    if not case.marks:
        raise NoPeer("measured where valid and age are written, too: its call always writes them")
    return [Peer(TORCH_OP, "int64 ns", _bind, capturable=False)]


def _bind(x: Inputs) -> Bound:
    clocks, targets = x.times("int64 ns")
    stamps, at = [torch.from_numpy(s).cuda() for s in clocks], torch.from_numpy(targets).cuda()

    def fresh() -> Any:
        return robocache.torch.align([rc.Stream(v, s) for v, s in zip(x.values, stamps, strict=True)], at)

    return Bound({"fresh": fresh}, lambda result: (result.values, result.valid, result.age_ns))
