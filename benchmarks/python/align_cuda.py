"""align on CUDA beside what a user would pick instead: torch eager, torch.compile, Triton; one protocol, one run.

Device time is the time of one call inside a CUDA graph that walks through sets of buffers larger than the L2, replayed.
Call time is the host time of one call that nobody waits for. bf16 values; ours reads int64 ns stamps, the peers f32
seconds. ``align`` also writes valid and age.

    python benchmarks/python/align_cuda.py [--json FILE] [--shape TEXT] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import robocache as rc
import torch

sys.path.insert(0, str(Path(__file__).parent))

from peers.align_triton import triton_peer

WORKING_SET = 160e6  # bytes; the H200's L2 holds 60 MB
SPAN_NS = 1_000_000_000
EPOCH_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Shape:
    name: str
    batch: int
    targets: int
    sources: tuple[tuple[int, int], ...]  # samples, columns

    @property
    def columns(self) -> int:
        return sum(columns for _, columns in self.sources)

    @property
    def bytes(self) -> int:
        stamps = sum(samples * (2 * columns + 8) for samples, columns in self.sources)
        return self.batch * (stamps + self.targets * (2 * self.columns + 8))


FUSION = ((30, 512), (100, 64), (200, 12))
SHAPES = [
    Shape("32x500->256x256", 32, 256, ((500, 256),)),
    Shape("256x500->250x32", 256, 250, ((500, 32),)),
    Shape("64x4096->1024x32", 64, 1024, ((4096, 32),)),
    Shape("64x1000->512x512", 64, 512, ((1000, 512),)),
    Shape("8x250->128x128", 8, 128, ((250, 128),)),
    Shape("fusion B=4", 4, 50, FUSION),
    Shape("fusion B=64", 64, 50, FUSION),
    Shape("fusion B=256", 256, 50, FUSION),
]


class Buffers:
    """Inputs and outputs of one call."""

    def __init__(self, shape: Shape) -> None:
        def stamps(count: int) -> torch.Tensor:
            return torch.randint(SPAN_NS, (shape.batch, count), device="cuda").sort(dim=1).values

        self.values = [torch.randn(shape.batch, s, d, device="cuda").bfloat16() for s, d in shape.sources]
        relative = [stamps(s) for s, _ in shape.sources]
        at = stamps(shape.targets)
        self.stamps_ns = [s + EPOCH_NS for s in relative]
        self.at_ns = at + EPOCH_NS
        self.stamps_s = [(s.double() / 1e9).float() for s in relative]
        self.at_s = (at.double() / 1e9).float()
        rows = (shape.batch, shape.targets)
        self.out = torch.full((*rows, shape.columns), math.nan, device="cuda", dtype=torch.bfloat16)
        self.valid = torch.zeros(*rows, len(shape.sources), device="cuda", dtype=torch.bool)
        self.age = torch.zeros(*rows, len(shape.sources), device="cuda", dtype=torch.float32)


# --- torch -----------------------------------------------------------------------------------------------------------


def resample_torch(values: torch.Tensor, stamps: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Linear, the end samples held outside; valid and age beside it."""
    last = stamps.shape[1] - 1
    i = (torch.searchsorted(stamps, at, right=True, out_int32=True) - 1).clamp(0, last - 1).long()
    s0, s1 = stamps.gather(1, i), stamps.gather(1, i + 1)
    w = ((at - s0) / (s1 - s0)).clamp(0, 1).nan_to_num(0).unsqueeze(-1)
    index = i.unsqueeze(-1).expand(-1, -1, values.shape[2])
    a, b = values.gather(1, index).float(), values.gather(1, index + 1).float()
    valid = (at >= stamps[:, :1]) & (at <= stamps[:, -1:])
    return (a + w * (b - a)).bfloat16(), valid, at - torch.where(at >= s1, s1, s0)


def fuse_torch(values: list[torch.Tensor], stamps: list[torch.Tensor], at: torch.Tensor, out: torch.Tensor) -> None:
    rows = [resample_torch(v, s, at)[0] for v, s in zip(values, stamps, strict=True)]
    out.copy_(torch.cat(rows, dim=-1) if len(rows) > 1 else rows[0])


def align_torch(
    values: list[torch.Tensor],
    stamps: list[torch.Tensor],
    at: torch.Tensor,
    out: torch.Tensor,
    valid: torch.Tensor,
    age: torch.Tensor,
) -> None:
    rows = [resample_torch(v, s, at) for v, s in zip(values, stamps, strict=True)]
    out.copy_(torch.cat([r[0] for r in rows], dim=-1) if len(rows) > 1 else rows[0][0])
    valid.copy_(torch.stack([r[1] for r in rows], dim=-1))
    age.copy_(torch.stack([r[2] for r in rows], dim=-1))


def torch_peer(compiled: bool, marks: bool) -> Callable[[Buffers], None]:
    function: Any = align_torch if marks else fuse_torch
    if compiled:
        torch._dynamo.reset()
        function = torch.compile(function, dynamic=False)

    def call(x: Buffers) -> None:
        if marks:
            function(x.values, x.stamps_s, x.at_s, x.out, x.valid, x.age)
        else:
            function(x.values, x.stamps_s, x.at_s, x.out)

    return call


# --- ours ------------------------------------------------------------------------------------------------------------


def resample_ours(x: Buffers) -> None:
    rc.resample(x.values[0], x.stamps_ns[0], x.at_ns, out=x.out)


def align_ours(x: Buffers) -> None:
    """valid and age_ns are allocated by the call."""
    rc.align([rc.Stream(v, s) for v, s in zip(x.values, x.stamps_ns, strict=True)], x.at_ns, out=x.out)


def align_ours_fresh(x: Buffers) -> None:
    """All outputs are allocated by the call."""
    rc.align([rc.Stream(v, s) for v, s in zip(x.values, x.stamps_ns, strict=True)], x.at_ns)


# --- measuring -------------------------------------------------------------------------------------------------------


def device_time_us(call: Callable[[Buffers], None], sets: list[Buffers]) -> dict[str, float]:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for x in sets[:3]:
            call(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    rounds = math.ceil(24 / len(sets))
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(rounds):
            for x in sets:
                call(x)
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    samples = []
    with torch.cuda.stream(stream):
        for _ in range(40):
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            samples.append(1000 * begin.elapsed_time(end) / (rounds * len(sets)))
    return summary(samples[5:])


def call_time_us(call: Callable[[Buffers], None], sets: list[Buffers]) -> dict[str, float]:
    samples = []
    for round_number in range(20):
        begin = time.perf_counter()
        for k in range(50):
            call(sets[k % len(sets)])
        if round_number >= 5:
            samples.append((time.perf_counter() - begin) / 50 * 1e6)
        torch.cuda.synchronize()
    return summary(samples)


def summary(samples: list[float]) -> dict[str, float]:
    deciles = statistics.quantiles(samples, n=10)
    return {"median_us": statistics.median(samples), "p10_us": deciles[0], "p90_us": deciles[-1]}


def largest_error(call: Callable[[Buffers], None], x: Buffers) -> float:
    """Against float64 on the same inputs, in units of the largest value."""
    want = []
    for values, stamps in zip(x.values, x.stamps_ns, strict=True):
        s = (stamps - EPOCH_NS).double()
        t = (x.at_ns - EPOCH_NS).double()
        i = (torch.searchsorted(s, t, right=True) - 1).clamp(0, s.shape[1] - 2)
        s0, s1 = s.gather(1, i), s.gather(1, i + 1)
        w = ((t - s0) / (s1 - s0)).clamp(0, 1).nan_to_num(0).unsqueeze(-1)
        index = i.unsqueeze(-1).expand(-1, -1, values.shape[2])
        a, b = values.double().gather(1, index), values.double().gather(1, index + 1)
        want.append(a + w * (b - a))
    expected = torch.cat(want, dim=-1)
    x.out.fill_(math.nan)
    call(x)
    torch.cuda.synchronize()
    return ((x.out.double() - expected).abs().max() / expected.abs().max()).item()


def contestants(shape: Shape, marks: bool) -> dict[str, Callable[[Buffers], None]]:
    found = {"torch eager": torch_peer(False, marks), "torch.compile": torch_peer(True, marks)}
    found["Triton"] = triton_peer([d for _, d in shape.sources], marks)
    if marks:
        found["robocache"] = align_ours
    elif len(shape.sources) == 1:
        found["robocache"] = resample_ours
    return found


def measured(shape: Shape, sets: list[Buffers], marks: bool) -> list[dict[str, Any]]:
    rows = []
    for name, call in contestants(shape, marks).items():
        row: dict[str, Any] = {"shape": shape.name, "mode": "align" if marks else "resample", "name": name}
        row["error"] = largest_error(call, sets[0])
        row["device"] = device_time_us(call, sets)
        row["call"] = call_time_us(call, sets)
        if name == "robocache" and marks:
            row["call_fresh"] = call_time_us(align_ours_fresh, sets)
        rows.append(row)
        times = f"{row['device']['median_us']:8.2f} us device {row['call']['median_us']:8.2f} us call"
        print(f"{shape.name:18} {row['mode']:9} {name:14} {times}  error {row['error']:.1e}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write every number")
    parser.add_argument("--shape", help="only this one")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**31)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rows = []
    for shape in SHAPES:
        if args.shape in (None, shape.name):
            sets = [Buffers(shape) for _ in range(max(3, math.ceil(WORKING_SET / shape.bytes)))]
            rows += measured(shape, sets, marks=False) + measured(shape, sets, marks=True)
    if args.json is not None:
        report = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "seed": args.seed, "rows": rows}
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
