"""The CUDA part of a run: device time of every peer by graph replay, cold and L2-warm, and the time of its calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from robocache_bench.cuda_timing import Replay, calls_us
from robocache_bench.operators import Case, Inputs, Operator, Oracle
from robocache_bench.peers import Bound, Peer, contestants
from robocache_bench.power import Meter
from robocache_bench.results import OURS, Log, Row
from robocache_bench.run_cpu import attempted, entered
from robocache_bench.timing import Samples

COPY_BYTES = 2 << 30
WORKING_SET = 300e6  # bytes of arrays of a cold graph, of which calls touch half at least; the H200's L2 holds 60 MB
CALL_ROUNDS = 12
SLOW_US = 3e4  # a call that takes as long is replayed in the first three rounds alone


def input_sets(op: Operator, case: Case, random: np.random.Generator) -> list[Inputs]:
    """Inputs and outputs of as many calls as fill the working set, at least three."""
    first = op.inputs(case, random)
    return [first] + [op.inputs(case, random) for _ in range(1, max(3, math.ceil(WORKING_SET / first.nbytes)))]


def measure(
    op: Operator,
    case: Case,
    modules: Sequence[str],
    random: np.random.Generator,
    rounds: int,
    log: Log,
    meter: Meter | None,
) -> list[Row]:
    """Every peer on one case, checked, then timed in turn."""
    sets = input_sets(op, case, random)
    oracle = op.oracle(sets[0], random)
    rows: dict[str, Row] = {}
    peers: list[tuple[Peer, list[Bound]]] = []
    replays: dict[tuple[str, str], Replay] = {}
    for peer in contestants(op.peers_package, case, modules, log):
        if (found := attempted(case, peer, log, partial(_prepared, op, case, peer, sets, oracle))) is None:
            continue
        bounds, rows[peer.name], graphs = found
        peers.append((peer, bounds))
        replays |= {(peer.name, kind): replay for kind, replay in graphs.items()}
    measured = _device_times(replays, rounds) | _call_times(peers, min(rounds, CALL_ROUNDS))
    for (name, kind), samples in measured.items():
        rows[name]["times"][kind] = samples.summary()
    if meter is not None and case.takes_power:
        for (name, kind), replay in replays.items():
            if kind == "graph, cold":
                rows[name]["energy"] = meter.energy(replay.repeat)
    return list(rows.values())


def _prepared(
    op: Operator, case: Case, peer: Peer, sets: list[Inputs], oracle: Oracle
) -> tuple[list[Bound], Row, dict[str, Replay]]:
    """A peer on every set, tuned, then checked; its row; its graphs."""
    bounds = [peer.bind(x) for x in sets]
    tuned = None if peer.tune is None else peer.tune(bounds)
    bounds[0], row = entered(op, case, peer, sets[0], oracle)
    if tuned is not None:
        row["tuned"] = tuned
    if not peer.capturable:
        return bounds, row, {}
    runs = [b.runs[b.way] for b in bounds]
    return bounds, row, {"graph, cold": Replay(runs), "graph, warm": Replay(runs[:1])}


def _device_times(replays: dict[tuple[str, str], Replay], rounds: int) -> dict[tuple[str, str], Samples]:
    samples = {key: Samples() for key in replays}
    for replay in replays.values():
        replay.us()
    for k in range(rounds):
        for key, replay in replays.items():
            if k < 3 or samples[key].rounds[0][0] < SLOW_US:
                samples[key].add([replay.us()])
    return samples


def _call_times(peers: list[tuple[Peer, list[Bound]]], rounds: int) -> dict[tuple[str, str], Samples]:
    """'stream' and 'call' of the way with outputs given, where there is one, and of ours 'call, fresh'."""
    ways: list[tuple[str, str, list[Bound], str]] = []  # peer, its time, on what, how
    for peer, bounds in peers:
        ways.append((peer.name, "call", bounds, bounds[0].way))
        if peer.name == OURS and bounds[0].way != "fresh":
            ways.append((peer.name, "call, fresh", bounds, "fresh"))
    samples = {(peer, time): Samples() for peer, time, _, _ in ways}
    samples |= {(peer.name, "stream"): Samples() for peer, _ in peers}
    for k in range(rounds + 2):
        for name, time, bounds, way in ways:
            queued, done = calls_us([b.runs[way] for b in bounds], bounds[0].wait)
            if k < 2:
                continue
            samples[name, time].add([queued])
            if time == "call":
                samples[name, "stream"].add([done])
    return samples


def _copy_us(source: Any, target: Any) -> float:
    """Of one among five copies on a stream; a graph's copies take a slower way."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    target.copy_(source)
    begin.record()
    for _ in range(5):
        target.copy_(source)
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end) * 1000 / 5)


def roofs() -> dict[str, Any]:
    """In a second: bytes read and written by a device-to-device copy, operations of a float32 matrix product."""
    source = torch.randint(0, 255, (COPY_BYTES,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy_us = float(np.median([_copy_us(source, target) for _ in range(7)]))
    torch.backends.cuda.matmul.allow_tf32 = False
    a, b = (torch.randn(8192, 8192, device="cuda") for _ in range(2))
    product = Replay([lambda: torch.matmul(a, b)], launches=2)
    product_us = float(np.median([product.us() for _ in range(3)]))
    return {
        "bytes": COPY_BYTES,
        "bytes_per_s": 2 * COPY_BYTES / copy_us * 1e6,
        "operations_per_s": 2 * 8192**3 / product_us * 1e6,
    }
