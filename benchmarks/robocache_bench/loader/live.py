"""LeRobot's loader in a process of its own environment."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robocache_bench.peers import NoPeer

PROCESS = Path(__file__).with_name("live_process.py")


class LeRobot:
    """A dataset that LeRobot opened.

    Raises
    ------
    NoPeer
        There is no such environment, or the process failed; what it said is on stderr.
    """

    def __init__(self, environment: Path, data: Path, deltas: Mapping[str, Sequence[float]], batch_size: int) -> None:
        python = environment / "bin/python"
        if not python.exists():
            raise NoPeer(f"{environment} has no LeRobot; hint: benchmarks/lerobot_env.sh")
        # Isolated: this process's PYTHONPATH is of other versions.
        command = [str(python), "-I", str(PROCESS), str(data.resolve()), json.dumps(deltas), str(batch_size)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.samples = int(self._answer()["samples"])

    def write(self, folder: Path, stride: int) -> None:
        """Every `stride`-th sample in order, as arrays folder/KEY.npy."""
        self._ask({"folder": str(folder), "stride": stride})

    def rate(self, workers: int, threads: int, batches: int) -> float:
        """Samples a second of so many batches."""
        return float(self._ask({"workers": workers, "threads": threads, "batches": batches})["samples_per_s"])

    def __enter__(self) -> LeRobot:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _end(self) -> None:
        """By an empty line, as forks of this process keep its stdin open."""
        if self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._say("")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # that it ended is seen where its answer is read
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._say(json.dumps(request))
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._end()
            raise NoPeer(f"its process ended with {self._process.returncode}")
        return dict(json.loads(line))
