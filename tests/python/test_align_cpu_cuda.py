"""One answer everywhere: the CPU's instruction sets, any number of threads, and CUDA agree bit for bit.

On CUDA hold, nearest, linear and angle only: in the other modes the devices differ within the bounds that the oracle
holds each of them to. On the CPU every mode.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, bits, numbers
from calls import run
from hypothesis import given
from random_calls import MODES, calls, examples
from reference.align_answer import rounded
from reference.align_cases import Case, generate, load
from reference.align_oracle import Stream

EXACT_MODES = {"hold", "nearest", "linear", "angle"}
CASES = [case for case in load() if not case.engine_only and case.error is None]
ISAS = ("baseline", "avx2", "avx512")


def outputs(home: Home, case: Case) -> list[np.ndarray]:
    result = run(home, case, check="now")
    return [bits(numbers(a)) for a in (*result.split(), result.valid, result.age_ns)]


def exact_columns(stream: Stream) -> np.ndarray:
    """Which columns the devices agree about bit for bit."""
    return np.concatenate(
        [np.full(columns.stop - columns.start, mode in EXACT_MODES, bool) for mode, columns in stream.runs]
    )


def assert_cuda_is_the_cpu(cuda: Home, case: Case) -> None:
    want, got = outputs(Home("torch", "cpu"), case), outputs(cuda, case)
    for stream, a, b in zip(case.streams, want, got, strict=False):
        exact = exact_columns(stream)
        np.testing.assert_array_equal(b[..., exact], a[..., exact])
    for a, b in zip(want[-2:], got[-2:], strict=True):  # valid, age_ns
        np.testing.assert_array_equal(b, a)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_cuda_gives_the_bits_of_the_cpu(cuda: Home, case: Case) -> None:
    assert_cuda_is_the_cpu(cuda, case)


@examples(400)
@given(case=calls(None, *MODES, runs=4, gaps=True))
def test_cuda_gives_the_bits_of_the_cpu_on_random_calls(cuda: Home, case: Case) -> None:
    assert_cuda_is_the_cpu(cuda, case)


@pytest.mark.parametrize("time", ["int64", "float64", "float32"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_cuda_gives_the_bits_of_the_cpu_on_random_logs(cuda: Home, dtype: str, time: str) -> None:
    """Long enough for every path of the search; odd widths, so that no row is aligned; values of all sizes."""
    rng = np.random.default_rng(23)
    for S, T, D in [(2000, 700, 3), (300, 900, 131), (50, 40, 588)]:
        case = random_case(rng, dtype, time, S, T, D)
        assert_cuda_is_the_cpu(cuda, case)


def random_case(rng: np.random.Generator, dtype: str, time: str, S: int, T: int, D: int) -> Case:
    streams = []
    for interp in ("linear", "nearest", "hold", "angle", [("hold", 1), ("linear", 1), ("nearest", D - 2)]):
        ticks = np.sort(rng.integers(0, 2 * S, (2, S)), axis=1)
        values = rounded(rng.normal(size=(2, S, D)) * 2.0 ** rng.integers(-10, 11, (2, S, D)), dtype).astype(float)
        missing = str(rng.choice(["propagate", "skip", "hold"]))
        mask = rng.random((2, S)) < 0.9 if rng.random() < 0.5 else None
        options: dict[str, Any] = {"outside": ("extrapolate", "hold"), "mask": mask, "missing": missing}
        streams.append(Stream(values, in_time(ticks, time), dtype, interp, **options))
    at = in_time(rng.integers(-40, 2 * S + 40, (2, T)), time)
    return Case("random", "", streams, at, layouts=["plain"] * 5)


def in_time(ticks: np.ndarray, time: str) -> np.ndarray:
    """Ticks of 10 ms, on the epoch where the dtype can hold it."""
    ns = ticks * 10_000_000
    return ns + 1_700_000_000_000_000_000 if time == "int64" else ((time == "float64") * 1.7e9 + ns / 1e9).astype(time)


def digest() -> str:
    """A fingerprint of the answers to every case of the table and to two benchmark shapes."""
    sha = hashlib.sha256()
    for case in [*CASES, generate("fusion_588", 5), generate("resample_256x500_250x32", 3)]:
        for part in outputs(Home("numpy", "cpu"), case):
            sha.update(part.tobytes())
    return sha.hexdigest()


def test_every_instruction_set_gives_the_same_bits() -> None:
    """ROBOCACHE_ISA lowers the level; a level that the processor lacks runs as the best it has."""
    pytest.importorskip("ml_dtypes", reason="numpy has bfloat16 only with ml_dtypes")
    found = {}
    for isa in ISAS:
        code = "import sys; sys.path[:0] = sys.argv[1:]; import test_align_cpu_cuda as t, robocache as rc; "
        code += "print(rc.check_installation()['cpu_isa'], t.digest())"
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
        env = {**os.environ, "ROBOCACHE_ISA": isa}
        ran = subprocess.run(
            [sys.executable, "-c", code, *paths], env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
        level, sha = ran.stdout.split()
        found[level] = sha
    assert "baseline" in found
    assert len(set(found.values())) == 1, found


def test_linear_is_the_formula_of_the_contract(device: Home) -> None:
    """a + w * (b - a) in float32 with w rounded once from float64: the very bits, so no fused multiply-add."""
    rng = np.random.default_rng(29)
    a, b = (rng.normal(size=4096).astype(np.float32) * np.float32(10) ** rng.integers(-3, 4, 4096) for _ in "ab")
    a, b = a.astype(np.float32), b.astype(np.float32)
    for t in (1, 3, 7):
        w = np.float32(t / 10)
        got = rc.resample(device.array(np.stack([a, b])), device.times([0, 10]), device.times([t]))
        np.testing.assert_array_equal(bits(numbers(got)[0]), bits(a + w * (b - a)))


def test_a_pose_on_a_sample_keeps_an_infinite_position(device: Home) -> None:
    poses = np.full((3, 14), 0.5, np.float32)
    poses[0, 0], poses[1, 8], poses[2, 2] = np.inf, -np.inf, -0.0
    stamps = device.times([0, 10, 20])
    got = numbers(rc.resample(device.array(poses), stamps, stamps, interp="se3"))
    positions = [0, 1, 2, 7, 8, 9]
    np.testing.assert_array_equal(bits(got[:, positions]), bits(poses[:, positions]))
