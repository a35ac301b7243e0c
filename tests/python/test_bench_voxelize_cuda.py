"""What the benchmark suite times of voxelize on CUDA, checked on the CPU: results of graphs, and what torch writes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from robocache_bench import operators, run_cpu, run_cuda  # noqa: E402
from robocache_bench.operators.voxelize import oracle  # noqa: E402
from robocache_bench.operators.voxelize.cases import Case, Shape  # noqa: E402
from robocache_bench.operators.voxelize.inputs import Inputs  # noqa: E402
from robocache_bench.operators.voxelize.peers import ours, torch_cuda  # noqa: E402
from robocache_bench.peers import Bound, Peer  # noqa: E402
from robocache_bench.results import Log  # noqa: E402

VOXELIZE = operators.every()["voxelize"]
DENSE = ("count", "occupancy", "occupancy_bits", "mean", "max")


def cuda_like(work: str, random: np.random.Generator) -> Inputs:
    """Inputs of a small batch on the CPU, as torch tensors, with the output that the CUDA peers write."""
    shape = Shape("tiny", 2, 900, 3, 16)
    x = Inputs(Case("cpu", shape, work), random)
    x.points = torch.from_numpy(x.points)
    rows = shape.voxels // 8 if work == "occupancy_bits" else shape.voxels
    size = (rows + 1,) if x.features is None else (rows + 1, shape.columns)
    dtypes = {"count": torch.int32, "occupancy": torch.bool, "occupancy_bits": torch.uint8}
    if x.features is not None:
        x.features = torch.from_numpy(x.features)
    x.out = torch.zeros(size, dtype=dtypes.get(work, torch.float32))
    return x


class EagerGraph:
    """Stands for a CUDA graph of one call: `once` makes the call and puts what is new where the first one put it."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.first = run()

    def once(self) -> None:
        result = self._run()
        if self.first is not None:
            self.first.copy_(result)


@pytest.mark.parametrize("work", DENSE)
@pytest.mark.parametrize("way", ["out given", "fresh"])
def test_a_graph_that_leaves_its_output_unwritten_is_found(work: str, way: str) -> None:
    case = Case("cpu", Shape("tiny", 1, 900, 3, 16), work)
    x = Inputs(case, np.random.default_rng())
    (peer,) = ours.peers(case)
    bound = peer.bind(x)

    def fresh() -> Any:
        return torch.from_numpy(bound.runs["fresh"]())

    x.out = torch.zeros_like(fresh())

    def given() -> None:
        x.out.copy_(fresh())

    runs = {"fresh": fresh, "out given": given}
    torch_bound = Bound({way: runs[way]}, lambda result: x.out if result is None else result)
    graph = EagerGraph(runs[way])

    def error() -> float:
        replay = partial(run_cuda.replayed, torch_bound, graph)
        limit = oracle.tolerance(case)
        return run_cpu.checked(peer, torch_bound, replay, oracle.Oracle(x), x, limit, ", graph, cold,")

    assert error() <= oracle.tolerance(case)
    graph.once = lambda: None  # right answers of the capture are still where they were
    with pytest.raises(run_cpu.WrongResult, match="robocache, graph, cold, is off by"):
        error()


def test_a_peer_whose_graph_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("cpu", Shape("tiny", 1, 900, 3, 16), "mean")
    x = Inputs(case, np.random.default_rng())
    (numpy_peer,) = ours.peers(case)

    def bind(x: Inputs) -> Bound:
        run = numpy_peer.bind(x).runs["fresh"]
        return Bound({"fresh": lambda: torch.from_numpy(run())}, lambda result: result)

    peer, log = Peer("robocache", "points", bind), Log()
    action = partial(run_cuda._prepared, VOXELIZE, case, peer, [x, x], oracle.Oracle(x))
    monkeypatch.setattr(run_cuda, "Replay", lambda runs: EagerGraph(runs[0]))
    found = run_cpu.attempted(case, peer, log, action)
    assert found is not None
    assert 0 < found[1]["error"] <= oracle.TOLERANCE
    assert set(found[2]) == {"graph, cold", "graph, warm"}
    monkeypatch.setattr(EagerGraph, "once", lambda self: None)
    assert run_cpu.attempted(case, peer, log, action) is None
    assert "WRONG RESULT: robocache, graph, cold, is off by" in log.skipped[0]["why"]


@pytest.mark.filterwarnings("ignore:index_reduce:UserWarning")
@pytest.mark.parametrize("work", DENSE)
def test_torch_peers_write_what_they_are_given(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = cuda_like(work, np.random.default_rng())
    judge, limit = oracle.Oracle(x), oracle.tolerance(x.case)
    steps = {f.__name__: torch_cuda._step(x.case.shape, f) for f in (*torch_cuda.HOW[work], torch_cuda.sum_bits)}
    if work != "occupancy_bits":
        del steps["sum_bits"]
    for name, step in steps.items():
        bound = torch_cuda.Calls(work, {name: step}).bind(x)
        run = bound.runs["out given"]
        assert run_cpu.checked(Peer(name, "points", torch_cuda.Calls), bound, run, judge, x, limit) <= limit
        x.poison()
        assert judge.error("points", bound.read(None)) > limit

    class Stopwatch:
        """Each way is faster than the one before."""

        us_of_next = 100.0

        def __init__(self, runs: Any) -> None:
            Stopwatch.us_of_next -= 1
            self.us = lambda us=Stopwatch.us_of_next: us

    monkeypatch.setattr(torch_cuda, "Replay", Stopwatch)
    calls = torch_cuda.Calls(work, steps)
    assert calls.tune([calls.bind(x)]) == f"{list(steps)[-1]}, of {', '.join(steps)}"
    assert calls._step is list(steps.values())[-1]
    monkeypatch.setattr("torch.compile", lambda f, dynamic: f)
    eager, compiled = torch_cuda.peers(Case("cuda", x.case.shape, work))
    assert eager.tune is not None
    assert compiled.tune is not None
    assert set(torch_cuda._compiled(x.case.shape, work)) == set(steps)
