"""The C++ benchmarks: run them, and take their JSON into the same results."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from robocache_bench.operators.align.cases import Case, Shape
from robocache_bench.results import CPP, OURS, Log, Row

# What the C++ benchmarks call a mode; other modes of theirs stay in their own JSON.
CPU_MODES = {"f32": ("linear", "float32", False), "f32, valid and age": ("linear", "float32", True)}
CUDA_MODE = re.compile(r"(?P<f32>f32 )?(?P<op>resample|align)(?P<stamps>, f32 stamps)?")
PLAIN = "thread per element (CUDA)"


def run(folder: Path, device: str, seed: int, log: Log) -> list[Row]:
    """Rows of bench_align_cpu or bench_align_cuda in `folder`; it checks its answers itself and prints a table."""
    binary = folder / f"bench_align_{device}"
    if not binary.exists():
        log.skip(f"{device} C++", OURS, f"{binary} is not there")
        return []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "results.json"
        subprocess.run([str(binary), "--json", str(path), "--seed", str(seed)], check=True)
        return rows(device, json.loads(path.read_text()))


def rows(device: str, found: dict[str, Any]) -> list[Row]:
    """The rows in a C++ benchmark's JSON. Its `wrong` counts elements that differ from the plain kernel's.

    Raises
    ------
    ValueError
        Some do: the times mean nothing.
    """
    out: list[Row] = []
    for entry in found.get("results", found.get("rows", [])):
        if entry.get("wrong", 0):
            raise ValueError(f"{entry['shape']}, {entry['mode']}: {entry['wrong']} elements are wrong, expected none")
        out += (_cpu_rows if device == "cpu" else _cuda_rows)(entry)
    return out


def _cpu_rows(entry: dict[str, Any]) -> list[Row]:
    mode = CPU_MODES.get(entry.get("mode", ""))
    return [] if mode is None else [_row("cpu", entry, mode, CPP, "int64 ns", {"out given": entry})]


def _cuda_rows(entry: dict[str, Any]) -> list[Row]:
    found = CUDA_MODE.fullmatch(entry.get("mode", ""))
    if found is None:
        return []
    mode = ("linear", "float32" if found["f32"] else "bfloat16", found["op"] == "align")
    times = {"graph, cold": entry["device"], "call": entry["call"]}
    if found["stamps"]:
        return [_row("cuda", entry, mode, f"{CPP}, f32 stamps", "float32 s", times)]
    plain = _row("cuda", entry, mode, PLAIN, "int64 ns", {"graph, cold": entry["naive"]})
    return [_row("cuda", entry, mode, CPP, "int64 ns", times), plain]


def _row(
    device: str, entry: dict[str, Any], mode: tuple[str, str, bool], peer: str, stamps: str, times: dict[str, Any]
) -> Row:
    interp, dtype, marks = mode
    shape = entry["shape"].replace(" ", "") if "->" in entry["shape"] else entry["shape"]
    case = Case(device, Shape(shape, 0, 0, ()), interp, dtype, marks)
    kept = ("median_us", "p10_us", "p90_us")
    return {
        "operator": "align",
        "case": case.name,
        "device": device,
        "shape": case.shape.name,
        "interp": interp,
        "dtype": dtype,
        "marks": marks,
        "peer": peer,
        "stamps": stamps,
        "error": 0.0 if "wrong" in entry else None,
        "bytes": entry.get("bytes"),
        "operations": None,
        "asked": {},
        "times": {name: {k: found[k] for k in kept} for name, found in times.items()},
        "bars": [],
    }
