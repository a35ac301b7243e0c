"""The same sensors as training data: windows of all of them, batch after batch, and how long a step waits for one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import robocache as rc
from demo_sensors import Sensor

BATCH = 256
ALONE_S = 0.3
STEPS, STEP_S = 40, 0.005


def feed(sensors: Sequence[Sensor]) -> None:
    """Prints the loader's throughput, and the share of a step's time that goes by waiting for data."""
    builder = rc.StoreBuilder()
    for s in sensors:
        builder.add(s.name, s.values.shape[1:], s.values.dtype)
    builder.append(0, {s.name: (s.values, s.corrected_ns) for s in sensors})
    window = {s.name: rc.past(ms=200, hz=50, interp=s.interp, max_gap_ns=s.max_gap_ns) for s in sensors}
    with rc.Loader(builder.finish(), window, BATCH, valid=True, framework="numpy") as loader:
        batches = endless(loader)
        speed, share = windows_per_s(batches), data_wait(batches)
    columns = sum(s.values.shape[1] for s in sensors)
    print(f"\nFor training: windows of 10 rows x {columns} columns up to samples of {sensors[0].name}, {BATCH} a batch")
    print(f"  the loader alone: {speed:,.0f} windows/s on the CPU, values, padding and validity, shuffled")
    print(f"  waiting for data: {share:.1%} of a step whose work is a pause of {1e3 * STEP_S:g} ms, the CPU left idle")


def endless(loader: rc.Loader) -> Iterator[dict[str, Any]]:
    """Epoch after epoch."""
    while True:
        yield from loader


def windows_per_s(batches: Iterator[dict[str, Any]]) -> float:
    next(batches)  # warms up
    start, windows = time.perf_counter(), 0
    while time.perf_counter() < start + ALONE_S:
        windows += len(next(batches)["index"])
    return windows / (time.perf_counter() - start)


def data_wait(batches: Iterator[dict[str, Any]]) -> float:
    waited_s, start = 0.0, time.perf_counter()
    for _ in range(STEPS):
        asked = time.perf_counter()
        next(batches)
        waited_s += time.perf_counter() - asked
        time.sleep(STEP_S)
    return waited_s / (time.perf_counter() - start)
