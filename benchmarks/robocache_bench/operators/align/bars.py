"""What the project asks of alignment."""

from __future__ import annotations

from collections.abc import Mapping

from robocache_bench.bars import COLD, Bar, bar, per_round
from robocache_bench.results import CPP, OURS, TORCH_OP, WITH_MARKS, Results, Row, median_us, share_of_copy

TORCH = ("torch.compile", "torch.compile, two steps", "torch eager")
COMPILED = ("Triton", "torch.compile", "torch.compile, two steps")

AT_COPY_SPEED = 0.80  # a peer that moves its bytes at this share of a copy can hardly be beaten
BIG_BYTES = 64e6
CURVE_BYTES = 8e6


def judge(results: Results, peers: Mapping[str, Row]) -> None:
    """Writes the bars of one case into our row of it."""
    ours = next((peers[name] for name in (OURS, CPP, WITH_MARKS) if name in peers), None)
    if ours is not None:
        ours["bars"] = _cpu_bars(ours, peers) if ours["device"] == "cpu" else _cuda_bars(results, ours, peers)


def _cpu_bars(ours: Row, peers: Mapping[str, Row]) -> list[Bar]:
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
            value = per_round(theirs, (ours, mine), min)
            bars.append(bar(f"{kind}: >= {limit:g}x faster than {who}", value, limit, at_least=True))
    return bars


def _cuda_bars(results: Results, ours: Row, peers: Mapping[str, Row]) -> list[Bar]:
    if COLD not in ours["times"]:
        return []
    bars = []
    rivals = [peers[p] for p in COMPILED if p in peers and COLD in peers[p]["times"]]
    if rivals and ours["interp"] == "linear":
        best = min(rivals, key=lambda row: median_us(row, COLD) or 0)
        near = (share_of_copy(results, best, COLD) or 0) >= AT_COPY_SPEED
        limit = 1.0 if near else 0.85
        value = 1 / per_round([(row, COLD) for row in rivals], (ours, COLD), min)
        moves = f", which moves its bytes at >= {AT_COPY_SPEED:.0%} of a copy" if near else ""
        bars.append(bar(f"<= {limit:g}x {best['peer']}{moves}", value, limit, at_least=False))
    share = share_of_copy(results, ours, COLD)
    if (ours["bytes"] or 0) >= BIG_BYTES and ours["interp"] == "linear" and share is not None:
        bars.append(bar(">= 85% of the copy bandwidth", share, 0.85, at_least=True))
    for other, limit in ((_linear_twin(results, ours), 1.3), (peers.get(f"{ours['peer']}, f32 stamps"), 1.1)):
        if other is not None and COLD in other["times"]:
            what = "linear on the same shape" if limit == 1.3 else "float32 stamps"
            value = (median_us(ours, COLD) or 0) / (median_us(other, COLD) or 1)
            bars.append(bar(f"<= {limit:g}x {what}", value, limit, at_least=False))
    return bars + _call_bars(ours, peers.get(TORCH_OP))


def _call_bars(ours: Row, op: Row | None) -> list[Bar]:
    """A Python call of three streams, back to back, over its kernel."""
    if not ours["marks"] or not ours["shape"].startswith("fusion") or "stream" not in ours["times"]:
        return []
    kernel = median_us(ours, COLD) or 0
    over = (median_us(ours, "stream") or 0) - kernel
    bars = [bar("Python call: <= 10 us over the kernel", over, 10, at_least=False)]
    if op is not None and median_us(op, "stream") is not None:
        bars.append(
            bar(f"{TORCH_OP}: <= 15 us over the kernel", (median_us(op, "stream") or 0) - kernel, 15, at_least=False)
        )
    return bars


def _linear_twin(results: Results, ours: Row) -> Row | None:
    """Our row of the linear case with the same bytes, where there are enough of them."""
    if ours["interp"] == "linear" or ours["bytes"] < CURVE_BYTES:
        return None
    return next((r for r in results["rows"] if r.get("interp") == "linear" and _same_work(r, ours)), None)


def _same_work(a: Row, b: Row) -> bool:
    return all(a[key] == b[key] for key in ("device", "peer", "shape", "dtype", "marks"))
