"""What the project asks of its rows, and whether it holds: computed from the rows of a result alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from robocache_bench import operators
from robocache_bench.results import Results, Row, of_case

Bar = dict[str, Any]
COLD = "graph, cold"


def judge(results: Results) -> None:
    """Writes the bars of each of our rows, `{"asked", "value", "limit", "holds"}`, into the rows."""
    rows: list[Row] = results["rows"]
    for row in rows:
        row["bars"] = []
    for case in dict.fromkeys(row["case"] for row in rows):
        peers = of_case(rows, case)
        operators.of(next(iter(peers.values()))).judge(results, peers)


def bar(asked: str, value: float, limit: float, at_least: bool) -> Bar:
    return {
        "asked": asked,
        "value": round(value, 4),
        "limit": limit,
        "holds": value >= limit if at_least else value <= limit,
    }


def per_round(pairs: list[tuple[Row, str]], ours: tuple[Row, str], best: Callable[[list[float]], float]) -> float:
    """Median over the rounds of (best of the pairs) / ours within a round."""
    columns = [_rounds(row, name) for row, name in pairs]
    mine = _rounds(*ours)
    rounds = min(len(mine), *(len(c) for c in columns))
    return float(statistics.median(best([c[k] for c in columns]) / mine[k] for k in range(rounds)))


def _rounds(row: Row, name: str) -> list[float]:
    time = row["times"][name]
    return list(time.get("rounds_us") or [time["median_us"]])
