"""The benchmark suite's CUDA part on one small case, and the energy meter on a counter of known power."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any

import pytest
from arrays import Home
from robocache_bench import cli, power, results
from robocache_bench.operators.align.cases import Case, fusion, resampling
from robocache_bench.operators.voxelize.cases import ONE_VOXEL, SPARSE, Shape
from robocache_bench.operators.voxelize.cases import Case as VoxelCase


def test_cuda_run(cuda: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    from robocache_bench import run_cuda

    cases = [
        Case("cuda", resampling(2, 20, 15, 8), dtype="bfloat16"),
        Case("cuda", fusion(2), dtype="float32", marks=True),
    ]
    monkeypatch.setattr("robocache_bench.operators.align.cases.cuda_cases", lambda: cases)
    monkeypatch.setattr("robocache_bench.operators.align.peers.triton_align.WARPS", (1, 4))
    monkeypatch.setattr(run_cuda, "WORKING_SET", 1e4)
    monkeypatch.setattr(run_cuda, "COPY_BYTES", 1 << 20)
    path = tmp_path / "cuda.json"
    options = ["--device=cuda", "--operator=align", "--rounds=2", "--peer=ours", "--peer=triton_align"]
    assert cli.main(["run", *options, "-o", str(path)]) == 0
    found = results.load(path)
    for case in cases:
        rows = results.of_case(found["rows"], case.name)
        assert {"robocache", "Triton"} <= set(rows)
        for row in rows.values():
            assert {"graph, cold", "graph, warm", "stream", "call"} <= set(row["times"])
            assert all(t["median_us"] > 0 for t in row["times"].values())
        assert any(bar["asked"].startswith("<=") for bar in rows["robocache"]["bars"])
    assert cli.main(["report", str(path), "-o", str(tmp_path / "cuda.html")]) == 0


def test_cuda_run_of_voxelize(cuda: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every result beside torch and, where it is installed, CuPy; the clouds of a batch, too."""
    from robocache_bench import run_cuda

    one, batch = Shape("tiny", 1, 5000, 3, 16), Shape("batch", 3, 2000, 3, 16)
    works = ("count", "occupancy", "occupancy_bits", "mean", "max", SPARSE)
    cases = [VoxelCase("cuda", shape, work) for shape in (one, batch) for work in works]
    cases.append(VoxelCase("cuda", one, "mean", ONE_VOXEL))
    monkeypatch.setattr("robocache_bench.operators.voxelize.cases.cuda_cases", lambda scan: cases)
    monkeypatch.setattr("torch.compile", lambda f, dynamic: f)  # seconds for each case
    monkeypatch.setattr(run_cuda, "WORKING_SET", 1e4)
    monkeypatch.setattr(run_cuda, "COPY_BYTES", 1 << 20)
    path = tmp_path / "cuda.json"
    assert cli.main(["run", "--device=cuda", "--operator=voxelize", "--rounds=2", "-o", str(path)]) == 0
    found = results.load(path)
    for case in cases:
        rows = results.of_case(found["rows"], case.name)
        assert {"robocache", "torch eager"} <= set(rows)
        for row in rows.values():
            assert {"stream", "call"} <= set(row["times"])
            assert ("graph, cold" in row["times"]) == case.is_dense


class Counter:
    """NVML as the meter uses it: `idle_w` all the time, and what `spend` adds."""

    def __init__(self, idle_w: float) -> None:
        self._begin = time.perf_counter()
        self._idle_w, self._spent_j = idle_w, 0.0

    def spend(self, joules: float) -> None:
        self._spent_j += joules

    def __getattr__(self, name: str) -> Any:
        if name.startswith("nvmlInit"):
            return lambda: 0
        raise AttributeError(name)

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:  # noqa: N802 - NVML's name
        return 0 if uuid == b"GPU-here" else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, value: Any) -> int:  # noqa: N802
        joules = (time.perf_counter() - self._begin) * self._idle_w + self._spent_j
        ctypes.cast(value, ctypes.POINTER(ctypes.c_ulonglong))[0] = int(joules * 1e3)
        return 0


def test_energy_is_what_is_spent_over_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(idle_w=100_000)
    monkeypatch.setattr(power.ctypes, "CDLL", lambda name: counter)
    monkeypatch.setattr(power, "IDLE_S", 0.05)

    def repeat(seconds: float) -> int:
        counter.spend(1000 * 0.5)
        time.sleep(0.02)
        return 1000

    found = power.Meter("GPU-here").energy(repeat)
    assert found["calls"] == 1000
    assert found["idle_watts"] == pytest.approx(100_000, rel=0.02)
    assert found["uj_per_call"] == pytest.approx(0.5e6, rel=0.2)
    assert found["watts"] > found["watts_over_idle"] > 0
    with pytest.raises(power.NoMeter, match="nvmlDeviceGetHandleByUUID returned 6, expected 0"):
        power.Meter("GPU-elsewhere")
