#!/usr/bin/env python3
"""Prints, as JSON, what a benchmark's numbers depend on: commit, processor, GPU, driver and library versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("robocache", "numpy", "torch", "triton", "jax", "cupy-cuda13x", "scipy")


def output(*command: str) -> str | None:
    """What a command prints; None where it is missing or fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def commit() -> str | None:
    """The commit of this checkout, or the one that prebuilt binaries came from."""
    carried = Path(os.environ.get("ROBOCACHE_PREBUILT", ROOT / "prebuilt")) / "commit"
    head = output("git", "rev-parse", "HEAD")
    if head is None:
        return carried.read_text().strip().replace("\n", " ") if carried.exists() else None
    return head + (" with local changes" if output("git", "status", "--porcelain", "--untracked-files=no") else "")


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    gpus = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    facts = {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "gpus": gpus.splitlines() if gpus else [],
        "nvcc": (output("nvcc", "--version") or "").rpartition("release ")[2].split(",")[0] or None,
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := installed(name))},
    }
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
