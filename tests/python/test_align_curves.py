"""pchip is scipy's, angle goes the shorter way round: on each device. Random calls are in test_align_properties.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, numbers
from calls import check, rows
from reference.align_answer import rounded, ulp
from reference.align_cases import Case

# The error of pchip, in units of rounding of the arithmetic and of the largest sample that the cubic reads.
PCHIP_ROUNDINGS = 16


@rows("curves")
def test_table(home: Home, case: Case) -> None:
    check(home, case)


def resample(device: Home, values: np.ndarray, stamps: np.ndarray, at: np.ndarray, **options: Any) -> np.ndarray:
    dtype = options.pop("dtype", "float64")
    sent = device.array(values, dtype)
    return numbers(rc.resample(sent, device.times(stamps), device.times(at), check="now", **options)).astype(np.float64)


def pchip_bound(values: np.ndarray, dtype: str) -> float:
    """Of values inside the range; 16-bit outputs have half a unit in their last place more."""
    arithmetic = 2.0**-53 if dtype == "float64" else 2.0**-24
    largest = np.abs(values).max()
    half = 0.0 if dtype in ("float64", "float32") else float(ulp(largest, dtype)) / 2
    return PCHIP_ROUNDINGS * arithmetic * largest + half


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 60, 1000])
def test_pchip_is_scipys(device: Home, n: int, dtype: str) -> None:
    scipy = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(n)
    stamps = np.cumsum(rng.integers(1, 1_000_000, n)) + 1_700_000_000_000_000_000
    walk, noise = np.cumsum(rng.normal(size=(n, 20)), axis=0), rng.normal(size=(n, 20))
    values = rounded(np.concatenate([walk, noise, np.round(noise)], axis=1), dtype).astype(np.float64)
    at = np.sort(np.concatenate([rng.integers(stamps[0], stamps[-1] + 1, 2000), stamps]))
    got = resample(device, values, stamps, at, interp="pchip", dtype=dtype)
    if n == 1:
        np.testing.assert_array_equal(got, np.broadcast_to(values, got.shape))
        return
    first = stamps[0]  # scipy counts in float64
    exact = scipy.PchipInterpolator((stamps - first).astype(np.float64), values)((at - first).astype(np.float64))
    assert np.abs(got - exact).max() <= pchip_bound(values, dtype)
    assert dtype != "float64" or np.abs(got - exact).max() <= 1e-13 * np.abs(values).max()


def test_pchip_of_each_run_between_duplicates_is_scipys(device: Home) -> None:
    scipy = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(2)
    for _ in range(20):
        runs = [np.cumsum(rng.integers(1, 50, rng.integers(1, 6))) for _ in range(6)]
        ends = np.cumsum([run[-1] for run in runs])
        runs = [run + start - run[0] for run, start in zip(runs, np.concatenate([[0], ends[:-1]]), strict=True)]
        stamps = [runs[0]]
        for run in runs[1:]:  # each begins where the last one ended, on a third and a fourth sample now and then
            stamps += [stamps[-1][-1:]] * int(rng.integers(0, 3)) + [run - run[0] + stamps[-1][-1]]
        log = np.concatenate(stamps)
        values = rng.normal(size=(len(log), 3))
        edges = np.flatnonzero(np.diff(log) == 0)
        parts = np.split(np.arange(len(log)), edges + 1)
        at = np.arange(log[0], log[-1] + 1)
        got = resample(device, values, log, at, interp="pchip")
        checked = 0
        for part in parts:
            inside = (at > log[part[0]]) & (at < log[part[-1]])
            if inside.any():
                exact = scipy.PchipInterpolator(log[part], values[part])(at[inside])
                np.testing.assert_allclose(got[inside], exact, rtol=0, atol=1e-13)
                checked += inside.sum()
        assert checked > len(at) / 2


@pytest.mark.parametrize("n", [2, 3, 9])
def test_pchip_extrapolates_scipys_cubics(device: Home, n: int) -> None:
    scipy = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(n)
    stamps = np.cumsum(rng.integers(20, 90, n))
    values = rng.normal(size=(n, 50))
    at = np.concatenate([stamps[0] - np.arange(1, 60), stamps[-1] + np.arange(1, 60)])
    got = resample(device, values, stamps, at, interp="pchip", outside="extrapolate")
    exact = scipy.PchipInterpolator(stamps, values)(at)
    np.testing.assert_allclose(got, exact, rtol=0, atol=1e-13 * np.abs(exact).max())
    held = resample(device, values, stamps, at, interp="pchip")
    np.testing.assert_array_equal(held, np.repeat(values[[0, -1]], 59, axis=0))


def test_pchip_never_overshoots(device: Home) -> None:
    """Between two samples it stays between their values: what a spline does not promise."""
    rng = np.random.default_rng(5)
    stamps = np.cumsum(rng.integers(1, 10_000, 400))
    values = (rng.normal(size=(400, 8)) * 10.0 ** rng.integers(-6, 7, (400, 8))).astype(np.float32)
    at = np.sort(rng.integers(stamps[0], stamps[-1], 5000))
    got = resample(device, values, stamps, at, interp="pchip", dtype="float32")
    i = np.searchsorted(stamps, at, side="right") - 1
    low, high = np.minimum(values[i], values[i + 1]), np.maximum(values[i], values[i + 1])
    slack = PCHIP_ROUNDINGS * 2.0**-24 * np.maximum(np.abs(low), np.abs(high))
    assert (got >= low - slack).all()
    assert (got <= high + slack).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_angle_is_linear_interpolation_of_the_unwrapped_log(device: Home, dtype: str) -> None:
    rng = np.random.default_rng(6)
    turning = np.cumsum(rng.uniform(-2.9, 2.9, (80, 13)), axis=0)
    wrapped = rounded((turning + np.pi) % (2 * np.pi) - np.pi, dtype).astype(np.float64)
    stamps = np.cumsum(rng.integers(1, 1000, 80))
    at = np.sort(rng.integers(stamps[0], stamps[-1] + 1, 900))
    got = resample(device, wrapped, stamps, at, interp="angle", dtype=dtype)
    unwrapped = np.unwrap(wrapped, axis=0)
    exact = np.stack([np.interp(at, stamps, column) for column in unwrapped.T], axis=1)
    error = np.abs((got - exact + np.pi) % (2 * np.pi) - np.pi)
    assert error.max() <= {"float64": 1e-13, "float32": 2e-6}.get(dtype, float(ulp(3.0, dtype)) / 2 + 2e-6)
    assert np.abs(got).max() <= float(rounded(np.pi, dtype))


@pytest.mark.parametrize("turns", [-300, -2, -1, 1, 7])
def test_angle_knows_no_whole_turns(device: Home, turns: int) -> None:
    """Values that differ by whole turns are the same angle; what is stored lies in [-pi, pi)."""
    rng = np.random.default_rng(7)
    stamps, at = np.arange(40) * 10, np.sort(rng.integers(-20, 420, 200))
    angle = rng.uniform(-np.pi, np.pi, (40, 5))
    moved = angle + 2 * np.pi * turns * rng.integers(0, 2, (40, 5))
    first, second = (
        resample(device, x, stamps, at, interp="angle", outside=("hold", "extrapolate")) for x in (angle, moved)
    )
    error = np.abs((first - second + np.pi) % (2 * np.pi) - np.pi)
    assert error.max() <= 1e-11
    for x in (first, second):
        assert x.min() >= -np.pi
        assert x.max() < np.pi


def test_angle_across_the_seam_is_not_linear(device: Home) -> None:
    """From 170 to -170 degrees linear interpolation turns the long way, through zero."""
    degrees, stamps, at = np.array([[170.0], [-170.0]]), np.array([0, 10]), np.array([3, 7])
    got = np.degrees(resample(device, np.radians(degrees), stamps, at, interp="angle"))[:, 0]
    np.testing.assert_allclose(got, [176, -176], atol=1e-12)
    wrong = np.degrees(resample(device, np.radians(degrees), stamps, at, interp="linear"))[:, 0]
    np.testing.assert_allclose(wrong, [68, -68], atol=1e-12)


@pytest.mark.parametrize("interp", ["pchip", "angle"])
def test_one_sample_is_valid_only_on_it(device: Home, interp: str) -> None:
    stream = rc.Stream(device.array([[[1.0]]]), device.times([[5]]), interp=interp, outside="extrapolate")
    result = rc.align([stream], device.times([4, 5, 6]))
    np.testing.assert_array_equal(numbers(result.values), [[[1], [1], [1]]])
    np.testing.assert_array_equal(numbers(result.valid), [[[False], [True], [False]]])


@pytest.mark.parametrize("interp", ["pchip", "angle"])
@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (2, 0, 2, 4), (2, 3, 0, 4), (2, 3, 2, 0)])
def test_empty(device: Home, interp: str, shape: tuple[int, int, int, int]) -> None:
    B, S, D, T = shape
    stamps = device.times(np.arange(S)[None].repeat(B, 0))
    stream = rc.Stream(device.array(np.zeros((B, S, D))), stamps, interp=interp)
    result = rc.align([stream], device.times(np.zeros((B, T))), check="now")
    assert tuple(result.values.shape) == (B, T, D)
    assert (numbers(result.valid) == (S > 0)).all()
