"""What the project asks of voxelization."""

from __future__ import annotations

from collections.abc import Mapping

from robocache_bench.bars import COLD, Bar, bar, per_round
from robocache_bench.operators.voxelize.cases import UNIFORM
from robocache_bench.results import CPP, OURS, Results, Row, median_us

NO_CLIFF = 3.0  # times what points take that are spread evenly


def judge(results: Results, peers: Mapping[str, Row]) -> None:
    """Writes the bars of one case into our row of it; on CUDA that of the C++ call, which does the peers' work."""
    if (found := peers.get(OURS)) is not None and found["device"] == "cpu":
        found["bars"] = _cpu_bars(found, peers)
        return
    ours = next((peers[name] for name in (CPP, OURS) if name in peers and _time_of(peers[name])), None)
    if ours is not None:
        ours["bars"] = _cuda_bars(results, ours)


def _time_of(row: Row) -> str | None:
    """Device time, or that of calls back to back where there is no graph."""
    return next((name for name in (COLD, "stream") if name in row["times"]), None)


def _cpu_bars(ours: Row, peers: Mapping[str, Row]) -> list[Bar]:
    bars = []
    for who, limit in ours["asked"].items():
        if who in peers:
            value = per_round([(peers[who], "fresh")], (ours, "fresh"), min)
            bars.append(bar(f">= {limit:g}x faster than {who}", value, limit, at_least=True))
    return bars


def _cuda_bars(results: Results, ours: Row) -> list[Bar]:
    bars = []
    time = _time_of(ours) or ""
    us = median_us(ours, time) or 0
    limit = ours["asked"].get("us")
    if limit is not None and time == COLD:
        bars.append(bar(f"{ours['peer']}: <= {limit:g} us", us, limit, at_least=False))
    twin = None if ours["cloud"] == UNIFORM else _evenly_spread(results, ours)
    if twin is not None and (even := median_us(twin, time)) is not None:
        what = f"{ours['peer']}: <= {NO_CLIFF:g}x points spread evenly"
        bars.append(bar(what, us / even, NO_CLIFF, at_least=False))
    return bars


def _evenly_spread(results: Results, ours: Row) -> Row | None:
    """The row of the same work on a uniform cloud."""
    same = ("operator", "device", "peer", "shape", "work")
    rows = (row for row in results["rows"] if all(row.get(key) == ours[key] for key in same))
    return next((row for row in rows if row["cloud"] == UNIFORM), None)
