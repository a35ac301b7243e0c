"""RoboCache: int64 ns stamps since the epoch, as logs have them; on CUDA also float32 s, to see what that costs."""

from __future__ import annotations

from typing import Any

import robocache as rc

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.operators.align.oracle import Answer
from robocache_bench.peers import Bound, NoPeer, Peer
from robocache_bench.results import OURS, WITH_MARKS


def peers(case: Case) -> list[Peer]:
    _check_interp(case)
    # The Python call of several streams has no way to leave valid and age out: its time is a bound on the C++ call's.
    more = len(case.shape.sources) > 1 and not case.marks
    found = [Peer(WITH_MARKS if more else OURS, "int64 ns", lambda x: _bind(x, "int64 ns"))]
    if more:
        return found
    if case.device == "cuda" and case.interp == "linear" and not case.marks:
        found.append(Peer(f"{OURS}, f32 stamps", "float32 s", lambda x: _bind(x, "float32 s")))
    return found


def _check_interp(case: Case) -> None:
    """Refuses, visibly, an interpolation that this build does not have."""
    import numpy as np

    try:
        rc.Stream(np.zeros((1, case.shape.columns), np.float32), np.zeros(1, np.int64), interp=case.interp)
    except (ValueError, NotImplementedError) as error:
        raise NoPeer(str(error)) from error


def _bind(x: Inputs, kind: str) -> Bound:
    case = x.case
    stamps, at = x.times(kind)
    if case.device == "cuda":
        import torch

        stamps, at = [torch.from_numpy(s).cuda() for s in stamps], torch.from_numpy(at).cuda()
    options: dict[str, Any] = {} if case.interp == "linear" else {"interp": case.interp}  # linear is what floats get

    def align(out: Any) -> object:
        streams = [rc.Stream(v, s, **options) for v, s in zip(x.values, stamps, strict=True)]
        return rc.align(streams, at, out=out)

    def resample(out: Any) -> object:
        return rc.resample(x.values[0], stamps[0], at, out=out, **options)

    several = case.marks or len(case.shape.sources) > 1

    def read(result: Any) -> Answer:
        return (result.values, result.valid, result.age_ns) if several else (result, None, None)

    call = align if several else resample
    return Bound({"out given": lambda: call(x.out), "fresh": lambda: call(None)}, read)
