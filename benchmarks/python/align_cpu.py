"""align on the CPU beside what a user would pick instead, in one process, interleaved.

Peers: torch eager and torch.compile (searchsorted + gather + lerp), each with a fresh output and with an output
given, and numpy.interp for each column. Values are float32; stamps are int64 ns on our side, float32 s on torch's
(its fastest) and float64 s on numpy's. Times are medians of all calls. A ratio is the median over the rounds of the
ratio within a round, so that what else the machine does at times hits both sides or neither.

    python -m benchmarks.python.align_cpu [--json FILE] [--rounds N] [--shape TEXT]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import robocache as rc
import torch

SPAN_NS = 1_000_000_000
EPOCH_NS = 1_700_000_000_000_000_000
Run = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """B batches, T targets, and (S samples, D columns) for each stream."""

    name: str
    batch: int
    targets: int
    streams: tuple[tuple[int, int], ...]
    bars: dict[str, float]  # ratio that the project asks for, by the name of the comparison


FUSION = ((30, 512), (100, 64), (200, 12))
SHAPES = [
    Shape("32x500 -> 256x256", 32, 256, ((500, 256),), {"out given": 1.2, "fresh": 1.2, "numpy": 20}),
    Shape("256x500 -> 250x32", 256, 250, ((500, 32),), {"out given": 2, "fresh": 2, "numpy": 20}),
    Shape("64x1000 -> 512x512", 64, 512, ((1000, 512),), {"out given": 1.3, "fresh": 2.5, "numpy": 20}),
    Shape("fusion 588 columns, B=64", 64, 50, FUSION, {"out given": 1.2, "fresh": 1.2, "numpy": 20}),
]


def sorted_ns(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
    return np.sort(random.integers(0, SPAN_NS, (rows, count)), axis=1)


class Call:
    """The data of one shape and every way to compute it."""

    def __init__(self, shape: Shape, random: np.random.Generator) -> None:
        self.values = [
            torch.from_numpy(random.standard_normal((shape.batch, s, d), dtype=np.float32)) for s, d in shape.streams
        ]
        clocks = [sorted_ns(random, shape.batch, s) for s, _ in shape.streams]
        targets = sorted_ns(random, shape.batch, shape.targets)
        self.stamps_ns = [torch.from_numpy(c + EPOCH_NS) for c in clocks]
        self.at_ns = torch.from_numpy(targets + EPOCH_NS)
        self.stamps_f32 = [torch.from_numpy((c / 1e9).astype(np.float32)) for c in clocks]
        self.at_f32 = torch.from_numpy((targets / 1e9).astype(np.float32))
        self.stamps_f64 = [c / 1e9 for c in clocks]
        self.at_f64 = targets / 1e9
        columns = sum(d for _, d in shape.streams)
        # Written once, so that no run pays for the first touch of its pages.
        self.out, self.torch_out = (torch.zeros(shape.batch, shape.targets, columns) for _ in range(2))

    def ours(self, out: torch.Tensor | None) -> torch.Tensor:
        if len(self.values) == 1:
            return rc.resample(self.values[0], self.stamps_ns[0], self.at_ns, out=out)
        streams = [rc.Stream(v, s) for v, s in zip(self.values, self.stamps_ns, strict=True)]
        return rc.align(streams, self.at_ns, out=out).values

    def numpy_interp(self) -> np.ndarray:
        batch, targets = self.at_f64.shape
        out = np.empty((batch, targets, self.out.shape[2]), np.float32)
        first = 0
        for values, stamps in zip(self.values, self.stamps_f64, strict=True):
            source = values.numpy()
            for b in range(batch):
                for d in range(source.shape[2]):
                    out[b, :, first + d] = np.interp(self.at_f64[b], stamps[b], source[b, :, d])
            first += source.shape[2]
        return out


def torch_resample(values: torch.Tensor, stamps: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    after = torch.searchsorted(stamps, at, right=True).clamp(1, stamps.shape[1] - 1)
    start = stamps.gather(1, after - 1)
    weight = ((at - start) / (stamps.gather(1, after) - start)).clamp(0, 1)
    row = torch.arange(values.shape[0])[:, None]
    return torch.lerp(values[row, after - 1], values[row, after], weight[..., None])


def torch_fresh(values: list[torch.Tensor], stamps: list[torch.Tensor], at: torch.Tensor) -> torch.Tensor:
    parts = [torch_resample(v, s, at) for v, s in zip(values, stamps, strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def torch_given(values: list[torch.Tensor], stamps: list[torch.Tensor], at: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(torch_fresh(values, stamps, at))  # Faster than a copy of each stream into its columns.


def runs(call: Call) -> dict[str, Run]:
    """Every way by its name; those with the same ending do the same work."""
    compiled_fresh = torch.compile(torch_fresh, dynamic=False)
    compiled_given = torch.compile(torch_given, dynamic=False)
    data = call.values, call.stamps_f32, call.at_f32
    return {
        "ours, out given": lambda: call.ours(call.out),
        "torch.compile, out given": lambda: compiled_given(*data, call.torch_out),
        "torch eager, out given": lambda: torch_given(*data, call.torch_out),
        "ours, fresh": lambda: call.ours(None),
        "torch.compile, fresh": lambda: compiled_fresh(*data),
        "torch eager, fresh": lambda: torch_fresh(*data),
        "numpy.interp": call.numpy_interp,
    }


def check_results(call: Call) -> float:
    """The largest difference from numpy.interp in float64 stamps, for our result and torch's."""
    want = call.numpy_interp()
    ours = float(np.abs(call.ours(None).numpy() - want).max())
    theirs = float(np.abs(torch_fresh(call.values, call.stamps_f32, call.at_f32).numpy() - want).max())
    # f32 stamps misplace a target by up to 6e-8 s of intervals that can be as short as that.
    if ours > 1e-4 * float(np.abs(want).max()) or theirs > 2 * float(np.abs(want).max()):
        raise SystemExit(f"wrong results: ours off by {ours}, torch's by {theirs}")
    return ours


def timed(run: Run, seconds: float) -> list[float]:
    """Milliseconds of the calls in a slice of time, at least one, after one that does not count."""
    run()
    samples = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        samples.append((time.perf_counter() - begin) * 1e3)
    return samples


def ratios(rounds: list[dict[str, list[float]]]) -> dict[str, float]:
    """How many times faster we are than the best of torch, and than numpy.

    Where we are given an output, torch may choose: a fresh one is sometimes faster for it.
    """

    def ratio(peers: list[str], ours: str) -> float:
        medians = [{name: statistics.median(samples) for name, samples in r.items()} for r in rounds]
        return statistics.median(min(m[p] for p in peers) / m[ours] for m in medians if peers[0] in m)

    fresh = ["torch.compile, fresh", "torch eager, fresh"]
    given = ["torch.compile, out given", "torch eager, out given"]
    return {
        "out given": ratio(given + fresh, "ours, out given"),
        "fresh": ratio(fresh, "ours, fresh"),
        "numpy": ratio(["numpy.interp"], "ours, out given"),
    }


def measure(shape: Shape, count: int, random: np.random.Generator) -> dict[str, object]:
    call = Call(shape, random)
    error = check_results(call)
    ways = runs(call)
    for run in ways.values():
        run()  # Compiles.
    rounds: list[dict[str, list[float]]] = []
    for i in range(count):
        rounds.append({})
        for name, run in ways.items():
            if name == "numpy.interp" and i >= 3:
                continue  # Slow, and far from its bar.
            time.sleep(0.01)  # The threads of the one before stop spinning.
            rounds[i][name] = timed(run, 0.03)
    samples = {name: [s for r in rounds for s in r.get(name, [])] for name in ways}
    return {
        "shape": shape.name,
        "median_ms": {name: statistics.median(s) for name, s in samples.items()},
        "p10_p90_ms": {name: [float(np.quantile(s, q)) for q in (0.1, 0.9)] for name, s in samples.items()},
        "ratios": ratios(rounds),
        "bars": shape.bars,
        "error": error,
    }


def table(results: list[dict[str, object]]) -> str:
    names = list(results[0]["median_ms"])
    lines = ["| ms, median | " + " | ".join(names) + " | given: x | fresh: x | numpy: x |"]
    lines.append("|---" * (len(names) + 4) + "|")
    for r in results:
        cells = [f"{r['median_ms'][n]:.3g}" for n in names]
        for kind, bar in r["bars"].items():
            ratio = r["ratios"][kind]
            cells.append(f"{ratio:.2f} ({'' if ratio >= bar else 'BELOW '}{bar})")
        lines.append(f"| {r['shape']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--shape", default="", help="only shapes that contain this text")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    results = [measure(s, options.rounds, random) for s in SHAPES if options.shape in s.name]
    print(table(results))
    if options.json:
        machine = {
            "processors": len(os.sched_getaffinity(0)),
            "isa": rc.check_installation()["cpu_isa"],
            "torch": torch.__version__,
            "torch_threads": torch.get_num_threads(),
            "numpy": np.__version__,
            "python": platform.python_version(),
            "robocache": rc.__version__,
        }
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
