"""Times of RoboCache and its peers on the CPU, which take turns: a ratio is the median of the rounds' ratios."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROUNDS = 15

Peers = dict[str, Callable[[], Any]]


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def timed(case: str, runs: Peers) -> list[dict[str, Any]]:
    """Median and spread of each peer, of which "robocache" is one."""
    rounds = [{name: milliseconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    return [
        {
            "case": case,
            "peer": name,
            "median_ms": float(np.median([r[name] for r in rounds])),
            "p10_ms": float(np.quantile([r[name] for r in rounds], 0.1)),
            "p90_ms": float(np.quantile([r[name] for r in rounds], 0.9)),
            "times_ours": float(np.median([r[name] / r["robocache"] for r in rounds])),
        }
        for name in runs
    ]
