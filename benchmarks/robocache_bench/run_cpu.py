"""The CPU part of a run: every way to make a call, timed in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from robocache_bench.operators import Case, Inputs, Operator, Oracle
from robocache_bench.peers import Bound, Peer, contestants
from robocache_bench.results import OURS, Log, Row
from robocache_bench.timing import Run, interleaved, slice_of_calls

COPY_BYTES = 256 << 20
T = TypeVar("T")


class WrongResult(RuntimeError):  # noqa: N818 - named for what is wrong
    """A peer's answer is not the oracle's: its time would mean nothing."""


def checked(peer: Peer, bound: Bound, run: Run, oracle: Oracle, x: Inputs, tolerance: float) -> float:
    """The error of a call whose outputs were poisoned before.

    Raises
    ------
    WrongResult
        It is above the tolerance, or an output was not written.
    """
    x.poison()
    error = oracle.error(peer.reads, bound.read(run()))
    if not error <= tolerance:
        raise WrongResult(f"{peer.name} is off by {error}, expected at most {tolerance}")
    return error


def attempted(case: Case, peer: Peer, log: Log, action: Callable[[], T]) -> T | None:
    """What `action` returns; None, with a line in the log, where the peer fails. If ours does, so does the run."""
    try:
        return action()
    except WrongResult as error:
        log.fail(case.name, peer.name, f"WRONG RESULT: {error}")
    except Exception as error:  # whatever a peer's library raises here
        what = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        (log.fail if peer.name.startswith(OURS) else log.skip)(case.name, peer.name, what)
    return None


def entered(op: Operator, case: Case, peer: Peer, x: Inputs, oracle: Oracle) -> tuple[Bound, Row]:
    """A peer, with every way to make the call checked, and its row without the times."""
    bound = peer.bind(x)
    errors = [checked(peer, bound, run, oracle, x, op.tolerance(case)) for run in bound.runs.values()]
    return bound, {
        "operator": op.name,
        "case": case.name,
        "device": case.device,
        "peer": peer.name,
        **op.facts(case, peer, x),
        "error": max(errors),
        "times": {},
        "bars": [],
    }


def measure(
    op: Operator, case: Case, modules: Sequence[str], random: np.random.Generator, rounds: int, log: Log
) -> list[Row]:
    """Every peer on one case, checked, then timed in turn."""
    x = op.inputs(case, random)
    oracle = op.oracle(x, random)
    rows: dict[str, Row] = {}
    runs: dict[str, Run] = {}
    keys: dict[str, tuple[str, str]] = {}
    for peer in contestants(op.peers_package, case, modules, log):
        if (found := attempted(case, peer, log, partial(entered, op, case, peer, x, oracle))) is None:
            continue
        bound, rows[peer.name] = found
        for name, run in bound.runs.items():
            key = f"{peer.name}, {name}"
            runs[key], keys[key] = run, (peer.name, name)
    for key, samples in interleaved(runs, rounds).items():
        peer_name, name = keys[key]
        rows[peer_name]["times"][name] = samples.summary()
    return list(rows.values())


def roofs() -> dict[str, Any]:
    """In a second: bytes read and written by a copy on every processor, operations of a float32 matrix product."""
    from concurrent.futures import ThreadPoolExecutor

    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pieces = list(zip(np.array_split(source, count), np.array_split(target, count), strict=True))
    with ThreadPoolExecutor(count) as pool:
        us = float(np.median(slice_of_calls(lambda: list(pool.map(lambda p: np.copyto(p[1], p[0]), pieces)), 0.5)))
    a, b = (np.ones((2048, 2048), np.float32) for _ in range(2))
    product_us = float(np.median(slice_of_calls(lambda: a @ b, 0.5)))
    return {
        "bytes": COPY_BYTES,
        "threads": count,
        "bytes_per_s": 2 * COPY_BYTES / us * 1e6,
        "operations_per_s": 2 * 2048**3 / product_us * 1e6,
    }
