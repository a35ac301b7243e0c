"""Host time of calls, and how samples become the numbers that a result keeps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Run = Callable[[], object]


@dataclass
class Samples:
    """Microseconds of one call, in rounds: what else the machine does falls into the same round of all peers."""

    rounds: list[list[float]] = field(default_factory=list)

    def add(self, samples: list[float]) -> None:
        self.rounds.append(samples)

    def summary(self) -> dict[str, Any]:
        """median, p10 and p90 of all samples, and the median of each round."""
        pooled = [s for r in self.rounds for s in r]
        p10, median, p90 = (float(np.quantile(pooled, q)) for q in (0.1, 0.5, 0.9))
        return {
            "median_us": round(median, 4),
            "p10_us": round(p10, 4),
            "p90_us": round(p90, 4),
            "samples": len(pooled),
            "rounds_us": [round(statistics.median(r), 4) for r in self.rounds],
        }


def slice_of_calls(run: Run, seconds: float, warm_up: bool = True) -> list[float]:
    """Microseconds of each call in a slice of time, at least one, after one that does not count."""
    if warm_up:
        run()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        samples.append((time.perf_counter() - begin) * 1e6)
    return samples


def interleaved(runs: dict[str, Run], rounds: int, seconds: float = 0.03) -> dict[str, Samples]:
    """Times every run in each round; one whose single call takes longer than ten slices, in the first three alone."""
    samples = {name: Samples() for name in runs}
    slow: set[str] = set()
    for k in range(rounds):
        for name, run in runs.items():
            if k >= 3 and name in slow:
                continue
            time.sleep(0.01)  # the threads of the one before stop spinning
            samples[name].add(slice_of_calls(run, seconds, warm_up=name not in slow))
            if samples[name].rounds[0][0] > 10e6 * seconds:
                slow.add(name)
    return samples
