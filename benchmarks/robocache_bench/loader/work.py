"""What everybody has to do, and one who does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import robocache as rc
import torch

from robocache_bench.results import BadResults, Row
from robocache_bench.timing import Samples

STEPS = {"observation.state": list(range(-9, 1)), "action": list(range(50))}
AT_50_HZ = {"observation.state": rc.past(ms=200, hz=50), "action": rc.future(ms=1000, hz=50)}
NATIVE, INTERPOLATED = "frames as recorded", "interpolated to 50 Hz"
BATCH = 256
SAMPLE = "sample"  # the time of one, in microseconds

Batch = Mapping[str, Any]
Turn = Callable[[], float]


class Work:
    """The data, resident, and the windows of a sample.

    Raises
    ------
    BadResults
        The data is not one of frames, with a state and an action.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        opened = rc.open(data)
        if missing := [key for key in STEPS if key not in opened.streams]:
            raise BadResults(f"loader: {data} has no {missing[0]!r}, expected {', '.join(STEPS)}")
        self.store = rc.Store.load(opened, list(STEPS))
        rates = [self.store.frame_rate_hz(key) for key in STEPS]
        if rates[0] is None or rates[0] != rates[1]:
            raise BadResults(f"loader: {data} has {rates} frames a second, expected one fixed rate")
        self.hz = rates[0]
        self.deltas = {key: [step / self.hz for step in steps] for key, steps in STEPS.items()}
        self.window = {key: rc.offsets(seconds) for key, seconds in self.deltas.items()}

    @property
    def samples(self) -> int:
        return int(self.store.offsets("action")[-1])


@dataclass
class Contestant:
    """One setting of a peer: what a turn of it gives, in samples a second."""

    case: str
    peer: str
    setting: str
    checked: int  # samples that were right
    turn: Turn
    rounds: int | None = None  # at most
    times: Samples = field(default_factory=Samples)

    def row(self) -> Row:
        """Its numbers, in the shape of all rows: times of one sample."""
        facts = {"case": self.case, "peer": self.peer, "setting": self.setting, "checked": self.checked}
        times = {SAMPLE: self.times.summary()}
        return {**facts, "samples_per_s": round(1e6 / times[SAMPLE]["median_us"]), "times": times}


def loop(batches: Iterator[Batch], seconds: float, ahead: int, threads: int = 1) -> Turn:
    """Turns over batches that never end, each timed once what was made ahead is used up. `threads` are torch's."""

    def turn() -> float:
        torch.set_num_threads(threads)
        for _ in range(ahead):
            next(batches)
        samples, begin = 0, time.perf_counter()
        while (now := time.perf_counter()) < begin + seconds or not samples:
            samples += len(next(batches)["action"])
        return samples / (now - begin)

    return turn
