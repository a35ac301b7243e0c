"""numpy.interp for each batch row and column: what most robotics code calls today. float64 seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer


def peers(case: Case) -> list[Peer]:
    if case.interp not in ("linear", "angle"):
        raise NoPeer(f"numpy has no {case.interp}")
    return [Peer("numpy.interp", "float64 s", _bind)]


def _bind(x: Inputs) -> Bound:
    clocks, at = x.times("float64 s")
    wraps = x.case.interp == "angle"

    def fresh() -> Any:
        out = np.empty(x.out.shape, np.float32)
        for b in range(len(at)):
            first = 0
            for values, stamps in zip(x.values, clocks, strict=True):
                source = np.unwrap(values[b], axis=0) if wraps else values[b]
                for d in range(source.shape[1]):
                    out[b, :, first + d] = np.interp(at[b], stamps[b], source[:, d])
                first += source.shape[1]
        return out

    return Bound({"fresh": fresh}, lambda result: (result, None, None))
