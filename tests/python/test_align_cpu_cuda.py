"""One answer everywhere: the CPU's instruction sets, any number of threads, and CUDA agree bit for bit.

hold, nearest and linear only: slerp calls the math library, which differs between devices by an ulp of float64.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import robocache as rc
from arrays import Home, numbers
from calls import run
from reference.align_cases import Case, generate, load
from reference.align_oracle import Stream, rounded

EXACT = [
    case
    for case in load()
    if not case.engine_only and case.error is None and all(s.mode != "slerp" for s in case.streams)
]
ISAS = ("baseline", "avx2", "avx512")


def bits(array: np.ndarray) -> np.ndarray:
    """The bits of an array, with one NaN: which of them arithmetic makes is the processor's choice."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.asarray(np.nan, array.dtype), array)
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def outputs(home: Home, case: Case) -> list[np.ndarray]:
    result = run(home, case, check="now")
    return [bits(numbers(a)) for a in (*result.split(), result.valid, result.age_ns)]


@pytest.mark.parametrize("case", EXACT, ids=[case.name for case in EXACT])
def test_cuda_gives_the_bits_of_the_cpu(cuda: Home, case: Case) -> None:
    for want, got in zip(outputs(Home("torch", "cpu"), case), outputs(cuda, case), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("time", ["int64", "float64", "float32"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_cuda_gives_the_bits_of_the_cpu_on_random_logs(cuda: Home, dtype: str, time: str) -> None:
    """Long enough for every path of the search; odd widths, so that no row is aligned; values of all sizes."""
    rng = np.random.default_rng(23)
    for S, T, D in [(2000, 700, 3), (300, 900, 131), (50, 40, 588)]:
        case = random_case(rng, dtype, time, S, T, D)
        for want, got in zip(outputs(Home("torch", "cpu"), case), outputs(cuda, case), strict=True):
            np.testing.assert_array_equal(got, want)


def random_case(rng: np.random.Generator, dtype: str, time: str, S: int, T: int, D: int) -> Case:
    streams = []
    for interp in ("linear", "nearest", "hold"):
        ticks = np.sort(rng.integers(0, 2 * S, (2, S)), axis=1)
        values = rounded(rng.normal(size=(2, S, D)) * 2.0 ** rng.integers(-10, 11, (2, S, D)), dtype).astype(float)
        streams.append(Stream(values, in_time(ticks, time), dtype, interp, outside=("extrapolate", "hold")))
    at = in_time(rng.integers(-40, 2 * S + 40, (2, T)), time)
    return Case("random", "", streams, at, layouts=["plain"] * 3)


def in_time(ticks: np.ndarray, time: str) -> np.ndarray:
    """Ticks of 10 ms, on the epoch where the dtype can hold it."""
    ns = ticks * 10_000_000
    return ns + 1_700_000_000_000_000_000 if time == "int64" else ((time == "float64") * 1.7e9 + ns / 1e9).astype(time)


def digest() -> str:
    """A fingerprint of the answers to every exact case of the table and to two benchmark shapes."""
    sha = hashlib.sha256()
    for case in [*EXACT, generate("fusion_588", 5), generate("resample_256x500_250x32", 3)]:
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
