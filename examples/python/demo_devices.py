"""Where the demo computes: the CPU always, CUDA through torch where both are there."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import robocache as rc
from demo_checks import Bools
from demo_sensors import Sensor, Stamps, Values, row_dtype

ROUNDS = 15
ROUND_MS = 10  # calls are timed in rounds of about this long


@dataclass(frozen=True)
class Device:
    """`put` brings a numpy array there, `back` brings one home, `finish` waits for the work that was queued."""

    name: str
    detail: str
    put: Callable[[Values], Any]
    back: Callable[[Any], Values]
    finish: Callable[[], None]


@dataclass(frozen=True)
class Duration:
    """Of one call among calls made back to back: median and best of `ROUNDS` rounds."""

    median_ms: float
    best_ms: float


@dataclass(frozen=True)
class Aligned:
    """What `rc.align` answered: rows [T, sum D], valid and age_ns [T, N], the rows of each stream [T, D]; numpy."""

    rows: Values
    valid: Bools
    age_ns: Stamps
    parts: list[Values]


def has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def devices() -> tuple[list[Device], str]:
    """The devices that are present; and why there is no CUDA among them, or ""."""
    facts = rc.check_installation()
    threads = f"{facts['cpu_threads']} threads, {facts['cpu_isa']}"
    cpu = Device("cpu", threads, lambda array: array, lambda array: array, lambda: None)
    if not facts["cuda_device_available"]:
        return [cpu], facts["cuda_reason"]
    if not has_torch():
        return [cpu], f"{facts['gpu_name']} is there, but the demo reaches it through torch, which is not installed"
    import torch

    if not torch.cuda.is_available():
        return [cpu], f"{facts['gpu_name']} is there, but this torch ({torch.__version__}) cannot use it"
    cuda = Device(
        "cuda",
        str(facts["gpu_name"]),
        lambda array: torch.tensor(array, device="cuda"),
        lambda array: array.cpu().numpy(),
        torch.cuda.synchronize,
    )
    return [cpu, cuda], ""


def align_on(device: Device, sensors: Sequence[Sensor], at_ns: Stamps) -> tuple[Aligned, Duration]:
    """The answer, and the time of one call with inputs in place and fresh outputs."""
    streams, at, dtype = [s.stream(device.put) for s in sensors], device.put(at_ns), row_dtype(sensors)
    result = rc.align(streams, at, dtype=dtype, check="now")
    valid, age_ns = device.back(result.valid), device.back(result.age_ns)
    aligned = Aligned(device.back(result.values), valid, age_ns, [device.back(part) for part in result.split()])
    return aligned, timed(lambda: rc.align(streams, at, dtype=dtype), device.finish)


def torch_on(device: Device, sensors: Sequence[Sensor], at_ns: Stamps) -> tuple[Values, Duration]:
    """The rows of the torch baseline on the same device, and the time of one call. Needs torch."""
    import torch
    import torch_baseline

    def put(array: Values) -> torch.Tensor:
        return torch.tensor(array, device=device.name)

    streams = [torch_baseline.TorchStream(put(s.values), put(s.corrected_ns), s.interp) for s in sensors]
    at, dtype = put(at_ns), getattr(torch, row_dtype(sensors))
    rows = torch_baseline.align(streams, at, dtype).cpu().numpy()
    return rows, timed(lambda: torch_baseline.align(streams, at, dtype), device.finish)


def timed(call: Callable[[], Any], finish: Callable[[], None]) -> Duration:
    def one_call_ms(count: int) -> float:
        finish()
        start = time.perf_counter()
        for _ in range(count):
            call()
        finish()
        return 1e3 * (time.perf_counter() - start) / count

    one_call_ms(3)  # warms up
    count = max(1, round(ROUND_MS / max(one_call_ms(3), 1e-4)))
    rounds = [one_call_ms(count) for _ in range(ROUNDS)]
    return Duration(statistics.median(rounds), min(rounds))


def disagreement(a: Values, b: Values) -> int:
    """Rows [T, D] that are not the same bit for bit (NaN equals NaN)."""
    return int(np.sum(((a != b) & ~(np.isnan(a) & np.isnan(b))).any(axis=1)))
