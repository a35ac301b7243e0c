"""Who takes part: ours, and each peer in every setting that people use. All are right before they are timed."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import robocache as rc
import torch

from robocache_bench.loader import COMPILED, DATASET, LEROBOT, check, preloaded
from robocache_bench.loader.live import LeRobot
from robocache_bench.loader.work import AT_50_HZ, BATCH, INTERPOLATED, NATIVE, STEPS, Batch, Contestant, Work, loop
from robocache_bench.results import OURS

PREFETCH = 2
WORKERS_THREADS = ((0, 1), (0, 2), (1, 1), (2, 1))  # of DataLoader, and of torch, which in workers has one


@dataclass(frozen=True)
class Patience:
    """With LeRobot, which takes its time."""

    rounds: int
    batches: int  # of a turn, for each worker
    check_s: float  # of a check that would take longer, only every so many samples are looked at


LIVE = Patience(rounds=3, batches=4, check_s=110)
QUICK_LIVE = Patience(rounds=1, batches=1, check_s=2)


def forever(work: Work, window: Mapping[str, rc.Window]) -> Iterator[Batch]:
    """Epoch after epoch."""
    loader = rc.Loader(work.store, window, BATCH, prefetch=PREFETCH)
    while True:
        yield from loader


def ours(work: Work, seconds: float) -> list[Contestant]:
    """Windows of frames are held against the gather by hand, interpolated ones against numpy in float64."""
    data = preloaded.preload(work.store, STEPS)
    right = preloaded.in_order(data, preloaded.gather(data), BATCH)
    checked = check.same(check.ours_in_order(work.store, work.window), right)
    checked_at_50_hz = check.interpolated(work)
    native = loop(forever(work, work.window), seconds, PREFETCH)
    at_50_hz = loop(forever(work, AT_50_HZ), seconds, PREFETCH)
    return [
        Contestant(NATIVE, OURS, f"prefetch={PREFETCH}", checked, native),
        Contestant(INTERPOLATED, OURS, f"prefetch={PREFETCH}", checked_at_50_hz, at_50_hz),
    ]


def _setting(workers: int, threads: int) -> str:
    return f"num_workers={workers}" + ("" if workers else f", threads={threads}")


def torch_dataset(work: Work, seconds: float) -> list[Contestant]:
    """A Dataset over preloaded tensors, and DataLoader."""
    data = preloaded.preload(work.store, STEPS)
    checked = check.same(check.ours_in_order(work.store, work.window), preloaded.collated_in_order(data, BATCH))
    return [
        Contestant(
            NATIVE,
            DATASET,
            _setting(workers, threads),
            checked,
            loop(preloaded.collated(data, BATCH, workers), seconds, 2 * workers, threads),
        )
        for workers, threads in WORKERS_THREADS
    ]


def by_hand(work: Work, seconds: float, peer: str) -> list[Contestant]:
    """The gather of a whole batch over preloaded tensors."""
    data = preloaded.preload(work.store, STEPS)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        windows = preloaded.gather(data)
        if peer == COMPILED:
            windows = torch.compile(windows, fullgraph=True, dynamic=False)
        theirs = preloaded.in_order(data, windows, BATCH)
        checked = check.same(check.ours_in_order(work.store, work.window), theirs)
        turn = loop(preloaded.shuffled(data, windows, BATCH), seconds, 1, threads)
        found.append(Contestant(NATIVE, peer, f"threads={threads}", checked, turn))
    return found


def lerobot(work: Work, environment: Path, patience: Patience, ends: ExitStack) -> list[Contestant]:
    """LeRobotDataset and DataLoader, as they come, in a process that `ends` ends."""
    live = ends.enter_context(LeRobot(environment, work.data, work.deltas, BATCH))
    stride = math.ceil(live.samples / (patience.check_s * live.rate(workers=2, threads=1, batches=4)))
    with tempfile.TemporaryDirectory() as folder:
        live.write(Path(folder), stride)
        checked = check.written(work, Path(folder), stride)

    def contestant(workers: int, threads: int) -> Contestant:
        def turn() -> float:
            return live.rate(workers, threads, patience.batches * max(workers, 1))

        return Contestant(NATIVE, LEROBOT, _setting(workers, threads), checked, turn, patience.rounds)

    return [contestant(workers, threads) for workers, threads in WORKERS_THREADS]
