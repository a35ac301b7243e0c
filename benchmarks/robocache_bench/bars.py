"""What the project asks of its rows, and whether it holds: computed from the rows of a result alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from robocache_bench.results import CPP, OURS, TORCH_OP, WITH_MARKS, Results, Row, median_us, of_case, share_of_copy

Bar = dict[str, Any]
COLD = "graph, cold"
TORCH = ("torch.compile", "torch.compile, two steps", "torch eager")
COMPILED = ("Triton", "torch.compile", "torch.compile, two steps")

AT_COPY_SPEED = 0.80  # a peer that moves its bytes at this share of a copy can hardly be beaten
BIG_BYTES = 64e6
CURVE_BYTES = 8e6


def judge(results: Results) -> None:
    """Writes the bars of each of our rows, `{"asked", "value", "limit", "holds"}`, into the rows."""
    rows: list[Row] = results["rows"]
    for row in rows:
        row["bars"] = []
    for case in dict.fromkeys(row["case"] for row in rows):
        peers = of_case(rows, case)
        ours = next((peers[name] for name in (OURS, CPP, WITH_MARKS) if name in peers), None)
        if ours is not None:
            rule = _cpu_bars if ours["device"] == "cpu" else _cuda_bars
            ours["bars"] = rule(results, ours, peers)


def _bar(asked: str, value: float, limit: float, at_least: bool) -> Bar:
    return {
        "asked": asked,
        "value": round(value, 4),
        "limit": limit,
        "holds": value >= limit if at_least else value <= limit,
    }


def _rounds(row: Row, name: str) -> list[float]:
    time = row["times"][name]
    return list(time.get("rounds_us") or [time["median_us"]])


def _per_round(pairs: list[tuple[Row, str]], ours: tuple[Row, str], best: Callable[[list[float]], float]) -> float:
    """Median over the rounds of (best of the pairs) / ours within a round."""
    columns = [_rounds(row, name) for row, name in pairs]
    mine = _rounds(*ours)
    rounds = min(len(mine), *(len(c) for c in columns))
    return float(statistics.median(best([c[k] for c in columns]) / mine[k] for k in range(rounds)))


def _cpu_bars(results: Results, ours: Row, peers: dict[str, Row]) -> list[Bar]:
    """How many times faster we are. Where we are given an output torch may choose: a fresh one can be faster for it."""
    bars = []
    for kind, limit in ours["asked"].items():
        if kind in ("out given", "fresh"):
            names = ("out given", "fresh") if kind == "out given" else ("fresh",)
            theirs = [(peers[p], n) for p in TORCH if p in peers for n in names if n in peers[p]["times"]]
            who, mine = "the best of torch", kind
        else:
            theirs = [(row, "fresh") for name, row in peers.items() if name.startswith(kind)]
            who, mine = kind, "out given"
        if theirs:
            value = _per_round(theirs, (ours, mine), min)
            bars.append(_bar(f"{kind}: >= {limit:g}x faster than {who}", value, limit, at_least=True))
    return bars


def _cuda_bars(results: Results, ours: Row, peers: dict[str, Row]) -> list[Bar]:
    if COLD not in ours["times"]:
        return []
    bars = []
    rivals = [peers[p] for p in COMPILED if p in peers and COLD in peers[p]["times"]]
    if rivals and ours["interp"] == "linear":
        best = min(rivals, key=lambda row: median_us(row, COLD) or 0)
        near = (share_of_copy(results, best, COLD) or 0) >= AT_COPY_SPEED
        limit = 1.0 if near else 0.85
        value = 1 / _per_round([(row, COLD) for row in rivals], (ours, COLD), min)
        moves = f", which moves its bytes at >= {AT_COPY_SPEED:.0%} of a copy" if near else ""
        bars.append(_bar(f"<= {limit:g}x {best['peer']}{moves}", value, limit, at_least=False))
    share = share_of_copy(results, ours, COLD)
    if (ours["bytes"] or 0) >= BIG_BYTES and ours["interp"] == "linear" and share is not None:
        bars.append(_bar(">= 85% of the copy bandwidth", share, 0.85, at_least=True))
    for other, bar in ((_linear_twin(results, ours), 1.3), (peers.get(f"{ours['peer']}, f32 stamps"), 1.1)):
        if other is not None and COLD in other["times"]:
            what = "linear on the same shape" if bar == 1.3 else "float32 stamps"
            value = (median_us(ours, COLD) or 0) / (median_us(other, COLD) or 1)
            bars.append(_bar(f"<= {bar:g}x {what}", value, bar, at_least=False))
    return bars + _call_bars(ours, peers.get(TORCH_OP))


def _call_bars(ours: Row, op: Row | None) -> list[Bar]:
    """A Python call of three streams, back to back, over its kernel."""
    if not ours["marks"] or not ours["shape"].startswith("fusion") or "stream" not in ours["times"]:
        return []
    kernel = median_us(ours, COLD) or 0
    over = (median_us(ours, "stream") or 0) - kernel
    bars = [_bar("Python call: <= 10 us over the kernel", over, 10, at_least=False)]
    if op is not None and median_us(op, "stream") is not None:
        bars.append(
            _bar(f"{TORCH_OP}: <= 15 us over the kernel", (median_us(op, "stream") or 0) - kernel, 15, at_least=False)
        )
    return bars


def _linear_twin(results: Results, ours: Row) -> Row | None:
    """Our row of the linear case with the same bytes, where there are enough of them."""
    if ours["interp"] == "linear" or ours["bytes"] < CURVE_BYTES:
        return None
    return next((r for r in results["rows"] if r["interp"] == "linear" and _same_work(r, ours)), None)


def _same_work(a: Row, b: Row) -> bool:
    return all(a[key] == b[key] for key in ("device", "peer", "shape", "dtype", "marks"))
