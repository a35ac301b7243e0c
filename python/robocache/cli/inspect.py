"""`robocache inspect`: what a dataset holds, how it is timed, and what is wrong with its files."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import robocache
from robocache.cli.doctor import Doctor
from robocache.cli.progress import count, progress
from robocache.dataset import Dataset
from robocache.episode import StreamInfo
from robocache.problems import Problem
from robocache.timing import Timing, measure


@dataclass(frozen=True)
class Report:
    """All that `inspect` says. `timings` has every stream that any episode has; `problems` has the doctor's, too."""

    data: Dataset
    episodes: int
    duration_s: float
    timings: dict[str, Timing]
    problems: list[Problem]


def run(arguments: argparse.Namespace) -> None:
    """Reads all episodes, damaged ones excepted, and prints the report."""
    data = robocache.open(arguments.path, on_bad_episode="skip", fps=arguments.fps)
    report = examine(data)
    print(json.dumps(_as_json(report), indent=2) if arguments.json else _as_text(report))


def examine(data: Dataset) -> Report:
    """Measures every stream over all episodes that can be read."""
    stamps: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in data.streams}
    doctor = Doctor()
    episodes, duration_s = 0, 0.0
    data.look_for_strays()
    for episode in progress(data.episodes, len(data.episodes), "reading"):
        episodes += 1
        duration_s += episode.duration_s
        doctor.add(episode)
        for name in episode.names:
            stamps[name].append(episode[name].stamps_ns)
    timings = {name: measure(arrays) for name, arrays in stamps.items()}
    return Report(data, episodes, duration_s, timings, [*data.problems, *doctor.problems()])


def _as_json(report: Report) -> dict[str, Any]:
    data = report.data
    return {
        "path": str(data.path),
        "format": data.format,
        "fps": data.fps,
        "episodes": report.episodes,
        "skipped_episodes": data.episodes.skipped,
        "duration_s": report.duration_s,
        "tasks": {str(index): text for index, text in data.tasks.items()},
        "streams": [asdict(info) | asdict(report.timings[name]) for name, info in data.streams.items()],
        "problems": [asdict(problem) for problem in report.problems],
    }


def _as_text(report: Report) -> str:
    data = report.data
    facts = [data.format, count(report.episodes, "episode"), f"{report.duration_s:.3f} s"]
    if data.fps is not None:
        facts.append(f"{data.fps:g} fps")
    if data.tasks:
        facts.append(count(len(data.tasks), "task"))
    lines = [f"{data.path}: {', '.join(facts)}", ""]
    header = [
        "stream",
        "kind",
        "dtype",
        "shape",
        "samples",
        "rate Hz",
        "jitter p50 ms",
        "p99 ms",
        "gap ms",
        "drops",
        "stamps",
    ]
    rows = [_row(info, report.timings[name]) for name, info in data.streams.items()]
    lines += format_table(header, rows, right_from=4, right_to=10)
    lines += ["", f"doctor: {count(len(report.problems), 'problem')}{':' if report.problems else ''}"]
    lines += [f"  {problem}" for problem in report.problems]
    return "\n".join(lines)


def _row(info: StreamInfo, timing: Timing) -> list[str]:
    return [
        info.name,
        info.kind,
        info.dtype,
        "x".join("?" if size < 0 else str(size) for size in info.shape),
        f"{timing.samples:,}",
        _number(timing.rate_hz),
        _number(timing.jitter_p50_ms),
        _number(timing.jitter_p99_ms),
        _number(timing.largest_gap_ms),
        "-" if timing.drops is None else f"{timing.drops:,}",
        info.clock or "-",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"


def format_table(header: list[str], rows: list[list[str]], *, right_from: int, right_to: int) -> list[str]:
    """Lines of a table; columns [right_from, right_to) are flushed right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if right_from <= i < right_to else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return [line(header), *(line(row) for row in rows)]
