"""What a benchmark's numbers depend on: commit, processor, GPU, driver and library versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import robocache as rc

LIBRARIES = ("robocache", "numpy", "scipy", "torch", "triton", "jax", "jaxlib", "cupy-cuda13x", "open3d")


def facts() -> dict[str, Any]:
    """Machine facts of a result, ready for JSON."""
    gpus = _output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    installation = rc.check_installation()
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": installation["cpu_threads"],
        "load": round(os.getloadavg()[0], 2),  # of everything else, before the run
        "isa": installation["cpu_isa"],
        "gpus": gpus.splitlines() if gpus else [],
        "nvcc": (_output("nvcc", "--version") or "").rpartition("release ")[2].split(",")[0] or None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _installed(name))},
    }
    if found["libraries"].get("torch"):
        import torch

        found["torch_threads"] = torch.get_num_threads()
        found["torch_cuda"] = torch.version.cuda
    return found


def commit(folder: Path | None = None) -> str | None:
    """The commit that prebuilt binaries in use came from, or that of a checkout (default: the working directory's)."""
    prebuilt = os.environ.get("ROBOCACHE_PREBUILT")
    if prebuilt is not None and (carried := Path(prebuilt) / "commit").exists():
        return carried.read_text().strip().replace("\n", " ")
    folder = folder or Path.cwd()
    head = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    if head is None:
        return None
    changed = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return head + (" with local changes" if changed else "")


def _output(*command: str) -> str | None:
    """What a command prints; None where it is missing or fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    match = re.search(r"^model name\s*:\s*(.*)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return match[1] if match else platform.machine()


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
