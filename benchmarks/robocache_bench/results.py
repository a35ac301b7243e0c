"""The JSON of a run: written here, read by `report` and `compare`.

    {"format", "machine", "options", "copy": {device: bytes per second}, "rows", "skipped"}

A row is one peer on one case: {"operator", "case", "device", "peer", "error", "bytes", "operations", "asked",
"times": {name: {"median_us", "p10_us", "p90_us", "samples", "rounds_us"}}, "bars"} and what the operator says of its
cases. A row without "operator" is of alignment: files from before there was another. Its times:

    out given, fresh          a call on the CPU, into arrays of the caller or new ones
    graph, cold; graph, warm  device time: CUDA-graph replay over buffers larger than the L2, or over one
    stream                    wall time of a call among calls back to back, without a graph
    call                      host time of a call that nobody waits for; call, fresh: with new outputs
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FORMAT = "robocache-bench 1"
OURS = "robocache"
CPP = f"{OURS}, C++"
TORCH_OP = f"{OURS}.torch"
WITH_MARKS = f"{OURS}, also valid and age"

Row = dict[str, Any]
Results = dict[str, Any]


class BadResults(ValueError):  # noqa: N818 - named for what is bad, as our errors are
    """A file that is not the JSON of a run."""


class Log:
    """Who does not take part in a run, and why: said there, and kept in its results."""

    def __init__(self) -> None:
        self.skipped: list[dict[str, str]] = []
        self.failures = 0

    def skip(self, case: str, peer: str, why: str) -> None:
        print(f"SKIPPED: {case}: {peer}: {why}", flush=True)
        self.skipped.append({"case": case, "peer": peer, "why": why})

    def fail(self, case: str, peer: str, what: str) -> None:
        """A wrong answer of anybody, or an exception of ours: not timed, and the run fails in the end."""
        self.failures += 1
        self.skip(case, peer, what)


def load(path: Path) -> Results:
    """The results in a file.

    Raises
    ------
    BadResults
        It cannot be read, or is something else.
    """
    try:
        results = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadResults(f"{path}: {error}") from error
    found = results.get("format") if isinstance(results, dict) else type(results).__name__
    if found != FORMAT:
        raise BadResults(f"{path}: format is {found!r}, expected {FORMAT!r}; hint: robocache-bench run -o {path.name}")
    for row in results["rows"]:
        row.setdefault("operator", "align")
    return dict(results)


def save(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def is_ours(row: Row) -> bool:
    return str(row["peer"]).startswith(OURS)


def median_us(row: Row, name: str) -> float | None:
    """The median of one of a row's times; None where it was not measured."""
    found = row["times"].get(name)
    return None if found is None else float(found["median_us"])


def of_case(rows: list[Row], case: str) -> dict[str, Row]:
    """The rows of a case by the name of the peer."""
    return {row["peer"]: row for row in rows if row["case"] == case}


def share_of_copy(results: Results, row: Row, name: str) -> float | None:
    """Bytes that must move over the time, as a share of what a copy moves in a second on the same device."""
    us, copy = median_us(row, name), results["copy"].get(row["device"])
    if us is None or copy is None or row.get("bytes") is None:
        return None
    return float(row["bytes"] / (us * 1e-6) / copy["bytes_per_s"])


def of_operator(results: Results, name: str) -> Results:
    """The results with the rows of one operator alone."""
    return {**results, "rows": [row for row in results["rows"] if row["operator"] == name]}


def merged(runs: list[Results]) -> Results:
    """One set of results of several runs on one machine; of a case that two of them have, the last one's rows stay.

    Raises
    ------
    BadResults
        The runs are of different machines.
    """
    first = runs[0]
    out: Results = {
        **first,
        "rows": list(first["rows"]),
        "copy": dict(first["copy"]),
        "skipped": list(first["skipped"]),
    }
    for run in runs[1:]:
        check_one_machine(first, run)
        cases = {row["case"] for row in run["rows"]}
        out["rows"] = [row for row in out["rows"] if row["case"] not in cases] + run["rows"]
        out["copy"].update(run["copy"])
        out["skipped"] += [s for s in run["skipped"] if s not in out["skipped"]]
    return out


def check_one_machine(a: Results, b: Results) -> None:
    """Raises BadResults where times of `a` and `b` say nothing about each other."""
    for what in ("processor", "cores", "gpus"):
        if a["machine"].get(what) != b["machine"].get(what):
            raise BadResults(f"machine: {what} is {b['machine'].get(what)!r}, expected {a['machine'].get(what)!r}")
