"""The C++ benchmark: run it, and take the table that it prints into the same results.

Its points are its own, uniform or all in one voxel. Its call leaves `dropped` out, as the peers do, and its outputs
exist beforehand.
"""

from __future__ import annotations

import re
import statistics
import subprocess
from pathlib import Path
from typing import Any

from robocache_bench.bars import COLD
from robocache_bench.operators.voxelize.cases import ONE_VOXEL, SPARSE, UNIFORM, Case, cuda_cases
from robocache_bench.operators.voxelize.needs import bytes_moved
from robocache_bench.results import CPP, OURS, Log, Row

PLAIN = "plain atomics (CUDA)"
LINE = re.compile(
    r"(?P<shape>\S+) +(?P<work>\w+|mean, sparse) +(?P<cloud>even|one voxel) +asked +[\d.]+ +(met|MORE)"
    r" +(?P<us>[\d.]+) +(?P<again>[\d.]+) us"
    r" +(naive +(?P<naive>[\d.]+) \(.*\) +(?P<wrong>\d+) wrong|(?P<voxels>\d+) voxels)"
)


def run(folder: Path, device: str, seed: int, log: Log) -> list[Row]:
    """Rows of bench_voxelize_cuda in `folder`; it checks its answers against plain kernels."""
    if device == "cpu":
        return []
    binary = folder / "bench_voxelize_cuda"
    if not binary.exists():
        log.skip("cuda voxelize C++", OURS, f"{binary} is not there")
        return []
    printed = subprocess.run([str(binary), "--seed", str(seed)], check=True, stdout=subprocess.PIPE, text=True).stdout
    print(printed, flush=True)
    return rows(printed)


def rows(printed: str) -> list[Row]:
    """The rows in what the benchmark printed; lines without "asked" are of what no other peer does.

    Raises
    ------
    ValueError
        A line is not understood, or elements differ from the plain kernel's: the times mean nothing.
    """
    out: list[Row] = []
    for line in printed.splitlines():
        if " asked " not in line:
            continue
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"bench_voxelize_cuda: line is {line!r}, expected shape, result, points, asked, times")
        if int(found["wrong"] or 0):
            raise ValueError(f"{line.strip()}: elements are wrong, expected none")
        out += _rows_of(found)
    return out


def _rows_of(found: re.Match[str]) -> list[Row]:
    work = SPARSE if found["work"] == "mean, sparse" else found["work"]
    cloud = UNIFORM if found["cloud"] == "even" else ONE_VOXEL
    known = {(case.shape.name, case.work, case.cloud): case for case in cuda_cases(None)}
    case = known.get((found["shape"], work, cloud))
    if case is None:
        return []
    found_rows = [_row(case, CPP, [float(found["us"]), float(found["again"])], int(found["voxels"] or 0))]
    if found["naive"] is not None and cloud == UNIFORM:  # in one voxel it is timed otherwise
        found_rows.append(_row(case, PLAIN, [float(found["naive"])], 0))
    return found_rows


def _row(case: Case, peer: str, rounds_us: list[float], occupied: int) -> Row:
    time: dict[str, Any] = {"median_us": statistics.median(rounds_us), "rounds_us": rounds_us}
    time |= {"p10_us": min(rounds_us), "p90_us": max(rounds_us)}
    return {
        "operator": "voxelize",
        "case": case.name,
        "device": case.device,
        "peer": peer,
        **case.facts,
        "reads": "points",
        "error": None,
        "bytes": bytes_moved(case, occupied),
        "times": {COLD: time},
        "bars": [],
    }
