"""Runs of columns: one stream with several modes is, bit for bit, several streams on one clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, INTEGERS, Home, bits, numbers
from calls import check, rows, run
from hypothesis import given
from random_calls import MODES, calls, examples
from reference.align_answer import INT64_MAX, rounded
from reference.align_cases import Case
from reference.align_oracle import UNIT, Stream


@rows("runs")
def test_table(home: Home, case: Case) -> None:
    check(home, case)


def separate(stream: Stream) -> list[Stream]:
    """A stream for each run."""
    options = vars(stream)
    return [
        Stream(**{**options, "values": stream.values[..., columns], "interp": mode}) for mode, columns in stream.runs
    ]


@examples(400)
@given(case=calls(None, *MODES, runs=5, gaps=True))
def test_runs_are_separate_streams(device: Home, case: Case) -> None:
    """The same bytes, whatever the layout; valid where all are, as old as the oldest."""
    result = run(device, case, check="now")
    for i, stream in enumerate(case.streams):
        many = separate(stream)
        apart = Case("", "", many, case.at, None, case.dtype, True, ["plain"] * len(many))
        parts = run(device, apart, check="now")
        joined = np.concatenate([numbers(part) for part in parts.split()], axis=-1)
        np.testing.assert_array_equal(bits(numbers(result.split()[i])), bits(joined))
        np.testing.assert_array_equal(numbers(result.valid)[..., i], numbers(parts.valid).all(axis=-1))
        np.testing.assert_array_equal(numbers(result.age_ns)[..., i], numbers(parts.age_ns).max(axis=-1))


WIDTHS = {"hold": 3, "nearest": 1, "linear": 5, "slerp": 8, "se3": 7, "screw": 14, "pchip": 2, "angle": 3}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("T", [1, 63, 64, 65, 700])
def test_long_runs_of_every_mode_are_separate_streams(device: Home, dtype: str, T: int) -> None:
    """Every mode twice in one row of 86 columns, over several tiles of targets."""
    rng = np.random.default_rng(T)
    interp = [(mode, WIDTHS[mode]) for mode in [*MODES, *reversed(MODES)]]
    D = sum(width for _, width in interp)
    values = device.array(rounded(rng.normal(size=(2, 300, D)), dtype).astype(np.float64), dtype)
    stamps = device.times(np.cumsum(rng.integers(0, 30, (2, 300)), axis=1))
    at = device.times(np.sort(rng.integers(-50, 4700, (2, T)), axis=1))
    options: dict[str, Any] = {"outside": ("nan", "extrapolate"), "max_gap_ns": 25, "quaternion": "wxyz"}
    result = rc.align([rc.Stream(values, stamps, interp=interp, **options)], at, check="now")
    ends = np.cumsum([width for _, width in interp])
    streams = [
        rc.Stream(values[..., end - width : end], stamps, interp=mode, **options)
        for (mode, width), end in zip(interp, ends, strict=True)
    ]
    apart = rc.align(streams, at, check="now")
    two_kernels = ("slerp", "se3", "pchip") if device.device == "cuda" and dtype != "float64" else ()
    same = np.repeat([mode not in two_kernels for mode, _ in interp], [width for _, width in interp])
    np.testing.assert_array_equal(bits(numbers(result.values))[..., same], bits(numbers(apart.values))[..., same])
    np.testing.assert_array_equal(numbers(result.valid)[..., 0], numbers(apart.valid).all(-1))
    np.testing.assert_array_equal(numbers(result.age_ns)[..., 0], numbers(apart.age_ns)[..., 0])


def test_a_robot_state_is_one_stream(device: Home) -> None:
    """Joints linear, gripper hold, orientation slerp, at 14 columns: the modes by hand."""
    rng = np.random.default_rng(1)
    stamps = np.arange(50) * 10
    joints, gripper = rng.normal(size=(50, 9)), rng.integers(0, 2, (50, 1)).astype(float)
    half = np.linspace(0, 3, 50) / 2
    turn = np.stack([0 * half, 0 * half, np.sin(half), np.cos(half)], axis=1)
    at = np.sort(rng.integers(0, 490, 200))
    values = device.array(np.concatenate([joints, gripper, turn], axis=1), "float64")
    interp = [("linear", 9), ("hold", 1), ("slerp", 4)]
    got = numbers(rc.resample(values, device.times(stamps), device.times(at), interp=interp))
    exact = np.stack([np.interp(at, stamps, column) for column in joints.T], axis=1)
    np.testing.assert_allclose(got[:, :9], exact, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(got[:, 9], gripper[at // 10, 0])
    angle = np.interp(at, stamps, half)
    np.testing.assert_allclose(got[:, 12:], np.stack([np.sin(angle), np.cos(angle)], axis=1), atol=1e-14)


def test_one_run_is_the_mode_itself(device: Home) -> None:
    rng = np.random.default_rng(3)
    values, stamps = device.array(rng.normal(size=(20, 28)), "float64"), device.times(np.arange(20) * 10)
    at = device.times(rng.integers(-20, 220, 90))
    for mode in MODES:
        whole = rc.resample(values, stamps, at, interp=mode, outside="extrapolate")
        run = rc.resample(values, stamps, at, interp=[(mode, 28)], outside="extrapolate")
        pair = rc.resample(
            values,
            stamps,
            at,
            interp=((mode, 0 + UNIT.get(mode, 1)), (mode, 28 - UNIT.get(mode, 1))),
            outside="extrapolate",
        )
        np.testing.assert_array_equal(bits(numbers(whole)), bits(numbers(run)), mode)
        np.testing.assert_array_equal(bits(numbers(whole)), bits(numbers(pair)), mode)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_have_hold_and_nearest_runs(device: Home, dtype: str) -> None:
    values, stamps = device.array([[0, 0, 0], [1, 1, 1]], dtype), device.times([0, 10])
    interp = [("nearest", 1), ("hold", 1), (None, 1)]
    result = rc.align([rc.Stream(values, stamps, interp=interp)], device.times([7, 12]))
    np.testing.assert_array_equal(numbers(result.values), [[1, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(numbers(result.valid), [[True], [False]])


def test_behind_the_end_only_hold_goes_on(device: Home) -> None:
    values, stamps = device.array([[1.0, 1.0], [2.0, 2.0]]), device.times([0, 10])
    for interp, valid in [
        ([("hold", 2)], True),
        ([("hold", 1), ("hold", 1)], True),
        ([("hold", 1), ("linear", 1)], False),
    ]:
        result = rc.align([rc.Stream(values, stamps, interp=interp)], device.times([15]))
        np.testing.assert_array_equal(numbers(result.values), [[2, 2]])
        assert numbers(result.valid).item() is valid


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty(device: Home, shape: tuple[int, int, int]) -> None:
    B, S, T = shape
    stamps = device.times(np.arange(S)[None].repeat(B, 0))
    stream = rc.Stream(device.array(np.zeros((B, S, 5))), stamps, interp=[("slerp", 4), ("hold", 1)])
    result = rc.align([stream], device.times(np.zeros((B, T))), check="now")
    assert tuple(result.values.shape) == (B, T, 5)
    if S == 0:
        assert np.isnan(numbers(result.values)).all()
        assert not numbers(result.valid).any()
        assert (numbers(result.age_ns) == INT64_MAX).all()


BAD: list[tuple[Any, str, type[Exception], str]] = [
    ([("linear", 3)], "float32", ValueError, r"3.*D=4|3 columns.*4"),
    ([("linear", 3), ("hold", 2)], "float32", ValueError, r"5.*D=4|5 columns.*4"),
    ([("linear", 4), ("cubic", 4)], "float32", ValueError, r"'cubic'.*'pchip'"),
    ([("linear", -1), ("hold", 5)], "float32", ValueError, r"-1"),
    ([("hold", 2**63 - 1), ("linear", 2**63 - 1), ("hold", 6)], "float32", ValueError, r"1 to D in each run"),
    ([], "float32", ValueError, r"interp is .*expected"),
    ([("linear",)], "float32", (ValueError, TypeError), r"interp.*\(mode, columns\)"),
    (["linear", "hold"], "float32", (ValueError, TypeError), r"interp.*\(mode, columns\)"),
    ([("linear", 1), ("slerp", 3)], "float32", ValueError, r"multiple of 4 columns for slerp"),
    ([("se3", 4)], "float32", ValueError, r"multiple of 7 columns for se3"),
    ([("screw", 4)], "float32", ValueError, r"multiple of 7 columns for screw"),
    ([("hold", 1), ("linear", 3)], "int32", NotImplementedError, r"linear.*int32|int32.*linear"),
    ([("angle", 4)], "uint8", NotImplementedError, r"angle.*uint8|uint8.*angle"),
]


@pytest.mark.parametrize(("interp", "dtype", "error", "says"), BAD, ids=[str(bad[0]) for bad in BAD])
def test_runs_that_are_refused(interp: Any, dtype: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        rc.resample(np.zeros((2, 4), dtype), np.array([0, 1]), np.array([0]), interp=interp)


@pytest.mark.parametrize(("interp", "columns"), [("se3", 6), ("screw", 8), ("slerp", 7)])
def test_whole_streams_of_the_wrong_width_are_refused(interp: str, columns: int) -> None:
    with pytest.raises(ValueError, match=rf"\[1, 2, {columns}\], expected a multiple of . columns for {interp}"):
        rc.resample(np.zeros((2, columns)), np.array([0, 1]), np.array([0]), interp=interp)
