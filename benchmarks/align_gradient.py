"""Gradients of alignment beside autograd of the same in torch's operators, and what robocache.torch adds to a call.

    python benchmarks/align_gradient.py [--device cuda] [--json FILE]

Times are medians; on CUDA of graph replays of the backward pass alone, on warm buffers, by events. The rate counts
grad_out read once and grad_values written once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import robocache as rc
import robocache.torch as rt
import torch

SHAPES = ((8, 250, 128, 128), (32, 500, 256, 256), (256, 500, 250, 32), (64, 1000, 512, 512))  # B, S, T, D
UNITS = {"slerp": 4, "se3": 7, "screw": 7}
MODES = ("hold", "linear", "angle", "pchip", *UNITS)
REPEATS = 20  # of the work in one graph


def on_cuda(run: Callable[[], object]) -> Callable[[], float]:
    """Seconds of one run inside of a graph of many."""
    run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        for _ in range(REPEATS):
            run()

    def measure() -> float:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e-3 / REPEATS

    return measure


def on_cpu(run: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return measure


def median(measure: Callable[[], float], rounds: int) -> float:
    return sorted(measure() for _ in range(rounds))[rounds // 2]


def plain_linear(values: torch.Tensor, stamps: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Linear interpolation of a batch in torch's operators; targets are in range."""
    i = torch.searchsorted(stamps, at, right=True).clamp(1, stamps.shape[1] - 1)
    s0, s1 = stamps.gather(1, i - 1), stamps.gather(1, i)
    w = ((at - s0) / (s1 - s0)).to(values.dtype)[..., None]
    rows = i[..., None].expand(-1, -1, values.shape[2])
    a, b = values.gather(1, rows - 1), values.gather(1, rows)
    return a + w * (b - a)


def inputs(device: str, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    B, S, T, D = shape
    stamps = torch.cumsum(torch.randint(1, 4_000_000, (B, S), device=device), dim=1)
    at = torch.sort((torch.rand(B, T, device=device, dtype=torch.float64) * stamps[:, -1:]).long(), dim=1).values
    return torch.randn(B, S, D, device=device).to(dtype).requires_grad_(), stamps, at


def backward(device: str, shape: tuple[int, ...], dtype: torch.dtype, mode: str) -> dict[str, Any]:
    """One gradient of one mode, or of linear in torch's own operators."""
    B, S, T, D = shape
    shape = (B, S, T, D - D % UNITS.get(mode, 1))
    values, stamps, at = inputs(device, shape, dtype)
    out = plain_linear(values, stamps, at) if mode == "torch" else rt.resample(values, stamps, at, interp=mode)
    upstream = torch.randn_like(out)
    measure = on_cuda if device == "cuda" else on_cpu
    run = measure(lambda: torch.autograd.grad(out, values, upstream, retain_graph=True))
    took = median(run, 15 if device == "cuda" else 3)
    moved = (out.numel() + values.numel()) * values.element_size()
    what = "torch's operators, linear" if mode == "torch" else mode
    return {"shape": f"{B}x{S}->{T}x{shape[3]}", "what": what, "us": took * 1e6, "GB/s": moved / took * 1e-9}


def overhead(device: str) -> list[dict[str, Any]]:
    """A call with three tiny streams."""
    values, stamps, at = inputs(device, (2, 10, 4, 3), torch.float32)
    plain = [rc.Stream(values.detach(), stamps) for _ in range(3)]
    traceable = [rt.Stream(values.detach(), stamps) for _ in range(3)]
    tracked = [rc.Stream(values, stamps) for _ in range(3)]
    calls: dict[str, Callable[[], object]] = {
        "robocache.align": lambda: rc.align(plain, at),
        "robocache.torch.align": lambda: rt.align(plain, at),
        "robocache.torch.align of its own Stream": lambda: rt.align(traceable, at),
        "robocache.torch.align, gradient wanted": lambda: rt.align(tracked, at),
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(40):  # in turns, so that all meet the same machine
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(100):
                call()
            best[name] = min(best[name], (time.perf_counter() - start) / 100)
            if device == "cuda":
                torch.cuda.synchronize()
    return [{"shape": "3 x 2x10->4x3", "what": name, "us": took * 1e6} for name, took in best.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if rc.is_cuda_available() else "cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.device == "cuda":  # a graph cannot hold a backward pass whose forward pass ran on the default stream
        torch.cuda.set_stream(torch.cuda.Stream())
    rows = overhead(options.device)
    for shape in SHAPES if options.device == "cuda" else SHAPES[:2]:
        for dtype in (torch.bfloat16, torch.float32) if options.device == "cuda" else (torch.float32,):
            for mode in ("torch", *MODES):
                row = backward(options.device, shape, dtype, mode)
                rows.append(row | {"dtype": str(dtype).removeprefix("torch.")})
    for row in rows:
        rate = f"{row['GB/s']:8.1f} GB/s" if "GB/s" in row else ""
        print(f"{row['shape']:18} {row.get('dtype', ''):9} {row['what']:40} {row['us']:10.1f} us {rate}")
    if options.json:
        options.json.write_text(json.dumps({"device": options.device, "results": rows}, indent=1))


if __name__ == "__main__":
    main()
