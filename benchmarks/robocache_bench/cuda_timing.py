"""Device time by CUDA-graph replay, and the time of calls that nobody waits for."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from robocache_bench.timing import Run

LAUNCHES = 64  # in a graph, at least: what a replay itself costs is then small beside them
CALLS = 50  # back to back: fewer than the driver queues
LONG_MS = 30  # of a graph, or of calls back to back: slow calls need not be many


def _count(one_ms: float, most: int) -> int:
    return max(1, min(most, math.ceil(LONG_MS / one_ms)))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's collector: it would stop a timed loop, and a graph that it frees would break a capture."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Replay:
    """A CUDA graph of calls that walk through `runs`, until there are at least `LAUNCHES` or enough for `LONG_MS`."""

    def __init__(self, runs: Sequence[Run], launches: int = LAUNCHES) -> None:
        self._stream = torch.cuda.Stream()
        with torch.cuda.stream(self._stream):
            for run in runs[:3]:
                run()  # compiles, allocates
        torch.cuda.synchronize()
        self._begin, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.stream(self._stream):
            self._begin.record()
            runs[0]()
            self._end.record()
        self._end.synchronize()
        rounds = math.ceil(_count(self._begin.elapsed_time(self._end), launches) / len(runs))
        self.calls = rounds * len(runs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self._stream), _no_collection():
            # Other threads (of JAX, of the compiler) may go on with what a capture must not see.
            self._graph.capture_begin(capture_error_mode="thread_local")
            for _ in range(rounds):
                for run in runs:
                    run()
            self._graph.capture_end()

    def us(self) -> float:
        """Microseconds of device time of one call."""
        with torch.cuda.stream(self._stream):
            self._graph.replay()  # while it runs the host queues what is timed, so that no gap is
            self._begin.record()
            self._graph.replay()
            self._end.record()
        self._end.synchronize()
        return float(1000 * self._begin.elapsed_time(self._end) / self.calls)

    def repeat(self, seconds: float) -> int:
        """Replays for a time; returns how many calls that were."""
        end = time.perf_counter() + seconds
        count = 0
        with torch.cuda.stream(self._stream):
            while time.perf_counter() < end:
                for _ in range(16):
                    self._graph.replay()
                count += 16 * self.calls
                self._stream.synchronize()
        return count


def calls_us(runs: Sequence[Run], wait: Callable[[object], object]) -> tuple[float, float]:
    """Microseconds of (host time, wall time until the last is done) of a call among `CALLS` back to back, or fewer."""
    torch.cuda.synchronize()
    begin = time.perf_counter()
    result = runs[0]()
    wait(result)
    torch.cuda.synchronize()
    calls = _count((time.perf_counter() - begin) * 1e3, CALLS)
    turns = [runs[k % len(runs)] for k in range(calls)]
    with _no_collection():
        begin = time.perf_counter()
        for run in turns:
            result = run()
        queued = time.perf_counter()
        wait(result)
        torch.cuda.synchronize()
        done = time.perf_counter()
    return (queued - begin) / calls * 1e6, (done - begin) / calls * 1e6
