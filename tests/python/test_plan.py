"""rc.plan: what placement says, against the contract; and apply, against resample, bit for bit, on each device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, INTEGERS, Home, bits, dtype_name, numbers
from hypothesis import given
from random_calls import MODES, calls, examples
from reference.align_answer import INT64_MAX, rounded
from reference.align_cases import Case
from reference.align_oracle import CURVES, Stream, align, last_at

OPTIONS = ("outside", "max_gap_ns", "max_age_ns", "offset_ns")


def make_plan(device: Home, stream: Stream, at: np.ndarray, interp: Any) -> Any:
    lists = {k: getattr(stream, k) for k in ("lengths", "offsets") if getattr(stream, k) is not None}
    return rc.plan(
        device.array(stream.stamps, str(stream.stamps.dtype)),
        device.array(at, str(at.dtype)),
        interp=interp,
        check="now",
        **{k: device.array(v, str(v.dtype)) for k, v in lists.items()},
        **{k: getattr(stream, k) for k in OPTIONS},
    )


def placed(stream: Stream, b: int, t: Any) -> tuple[int, float]:
    """Sample and weight for one target, by the words of the contract. `stream` has one mode."""
    (mode,) = stream.modes
    stamps, _, _ = stream.segment(b)
    t = int(t) if isinstance(t, np.integer) else t
    if not stamps or t != t:
        return -1, math.nan
    i, n = last_at(stamps, t), len(stamps)
    if i >= 0 and (t == stamps[i] or (i + 1 == n and mode == "hold")):
        return i, 0.0
    side = "before" if i < 0 else "after"
    if 0 <= i < n - 1:
        if mode == "nearest" and t - stamps[i] > stamps[i + 1] - t:
            return last_at(stamps, stamps[i + 1]), 0.0
        if mode not in CURVES:
            return i, 0.0
        return i, float(t - stamps[i]) / float(stamps[i + 1] - stamps[i])
    policy = stream.policy(side)
    if policy == "nan" or isinstance(policy, (int, float)):
        return -1, math.nan if policy == "nan" else float(policy)
    steps = [k for k in range(n - 1) if stamps[k] < stamps[k + 1]]
    if policy == "extrapolate" and mode in CURVES and steps:
        k = steps[0] if side == "before" else steps[-1]
        return k, float(t - stamps[k]) / float(stamps[k + 1] - stamps[k])
    return (0 if side == "before" else n - 1), 0.0


@examples(500)
@given(case=calls("hold", "nearest", *CURVES))
def test_index_weight_valid_and_age(device: Home, case: Case) -> None:
    for stream in case.streams:
        plan = make_plan(device, stream, case.at, stream.interp)
        shared = case.at.ndim == stream.stamps.ndim == 1 and stream.offsets is None and stream.lengths is None
        batch = 1 if shared else case.batch
        at = np.broadcast_to(case.at, (batch, case.at.shape[-1]))
        want = [[placed(stream, b, t) for t in at[b]] for b in range(batch)]
        shape = at.shape[1:] if shared else at.shape
        index, weight = np.array(want, float).reshape(*at.shape, 2).transpose(2, 0, 1).reshape(2, *shape)
        assert dtype_name(plan.index) == dtype_name(plan.age_ns) == "int64"
        assert (dtype_name(plan.weight), dtype_name(plan.valid)) == ("float64", "bool")
        np.testing.assert_array_equal(numbers(plan.index), index)
        np.testing.assert_allclose(numbers(plan.weight), weight, rtol=1e-15, atol=0)
        ones = Stream(**{**vars(stream), "values": np.ones_like(stream.values)})  # no rotation is without a length
        (oracle,) = align([ones], at)
        np.testing.assert_array_equal(numbers(plan.valid), oracle.valid.reshape(shape))
        np.testing.assert_array_equal(numbers(plan.age_ns), oracle.age_ns.reshape(shape))


def resample(device: Home, stream: Stream, values: Any, at: np.ndarray, **options: Any) -> Any:
    lists = {k: getattr(stream, k) for k in ("lengths", "offsets") if getattr(stream, k) is not None}
    return rc.resample(
        values,
        device.array(stream.stamps, str(stream.stamps.dtype)),
        device.array(at, str(at.dtype)),
        interp=stream.interp,
        check="now",
        **{k: device.array(v, str(v.dtype)) for k, v in lists.items()},
        **{k: getattr(stream, k) for k in OPTIONS},
        **options,
    )


@examples(500)
@given(case=calls(*MODES, runs=4))
def test_apply_is_resample(device: Home, case: Case) -> None:
    for stream, layout in zip(case.streams, case.layouts, strict=True):
        stream = Stream(**{**vars(stream), "quaternion": "xyzw"})
        plan = make_plan(device, stream, case.at, stream.interp)
        values = device.array(stream.values, stream.dtype, layout)
        want = resample(device, stream, values, case.at)
        got = plan.apply(values)
        assert dtype_name(got) == dtype_name(want)
        assert tuple(got.shape) == tuple(want.shape)
        np.testing.assert_array_equal(bits(numbers(got)), bits(numbers(want)))
        if case.dtype is not None:
            out = device.empty(tuple(want.shape), case.dtype)
            resample(device, stream, values, case.at, out=out)
            got = plan.apply(values, dtype=case.dtype)
            assert dtype_name(got) == case.dtype
            np.testing.assert_array_equal(bits(numbers(got)), bits(numbers(out)))
            again = device.empty(tuple(want.shape), case.dtype)
            plan.apply(values, out=again)
            np.testing.assert_array_equal(bits(numbers(again)), bits(numbers(out)))


def clock(rng: np.random.Generator, B: int, S: int, T: int) -> tuple[np.ndarray, np.ndarray]:
    stamps = np.cumsum(rng.integers(0, 20, (B, S)), axis=1)
    return stamps, rng.integers(-50, 10 * S + 50, (B, T))


@pytest.mark.parametrize("mode", ["hold", "nearest", "linear"])
def test_one_plan_serves_many_streams(device: Home, mode: str) -> None:
    """Of every width and dtype, and again in a second epoch."""
    rng = np.random.default_rng(1)
    stamps, at = (device.times(x) for x in clock(rng, 4, 200, 300))
    plan = rc.plan(stamps, at, interp=mode, outside=("nan", "hold"), max_gap_ns=15)
    for _ in range(2):
        for dtype in FLOATS if mode == "linear" else FLOATS + INTEGERS:
            for D in (0, 1, 3, 64, 131):
                numbers_ = rng.normal(size=(4, 200, D)) if dtype in FLOATS else rng.integers(0, 2, (4, 200, D))
                values = device.array(rounded(numbers_, dtype).astype(np.float64), dtype)
                want = rc.resample(values, stamps, at, interp=mode, outside=("nan", "hold"), max_gap_ns=15)
                np.testing.assert_array_equal(bits(numbers(plan.apply(values))), bits(numbers(want)))


@pytest.mark.parametrize("mode", CURVES)
def test_a_plan_serves_every_mode_that_places_alike(device: Home, mode: str) -> None:
    rng = np.random.default_rng(2)
    stamps, at = (device.times(x) for x in clock(rng, 2, 90, 150))
    values = device.array(rng.normal(size=(2, 90, 28)))
    plan = rc.plan(stamps, at, interp="linear", outside="extrapolate")
    want = rc.resample(values, stamps, at, interp=mode, outside="extrapolate")
    np.testing.assert_array_equal(bits(numbers(plan.apply(values, interp=mode))), bits(numbers(want)))


def test_a_plan_without_a_batch_serves_a_batch(device: Home) -> None:
    rng = np.random.default_rng(3)
    stamps, at = device.times(np.arange(50) * 10), device.times(rng.integers(-20, 520, 70))
    plan = rc.plan(stamps, at)
    assert tuple(plan.index.shape) == tuple(plan.weight.shape) == tuple(plan.valid.shape) == (70,)
    for shape in [(50,), (50, 3), (5, 50, 3), (1, 50, 2)]:
        values = device.array(rng.normal(size=shape))
        want = rc.resample(values, stamps, at)
        got = plan.apply(values)
        assert tuple(got.shape) == tuple(want.shape)
        np.testing.assert_array_equal(bits(numbers(got)), bits(numbers(want)))


def test_runs_are_planned_and_the_marks_are_those_of_all(device: Home) -> None:
    rng = np.random.default_rng(4)
    stamps, at = (device.times(x) for x in clock(rng, 2, 60, 100))
    interp = [("linear", 9), ("hold", 1), ("slerp", 4), ("nearest", 2), ("pchip", 1)]
    values = device.array(rng.normal(size=(2, 60, 17)))
    options: dict[str, Any] = {"outside": (2.5, "extrapolate"), "max_age_ns": 6}
    plan = rc.plan(stamps, at, interp=interp, **options)
    result = rc.align([rc.Stream(values, stamps, interp=interp, **options)], at)
    np.testing.assert_array_equal(bits(numbers(plan.apply(values))), bits(numbers(result.values)))
    np.testing.assert_array_equal(numbers(plan.valid), numbers(result.valid)[..., 0])
    np.testing.assert_array_equal(numbers(plan.age_ns), numbers(result.age_ns)[..., 0])
    first = rc.plan(stamps, at, interp="hold", **options)  # index and weight are those of hold where runs have it
    np.testing.assert_array_equal(numbers(plan.index), numbers(first.index))
    np.testing.assert_array_equal(bits(numbers(plan.weight)), bits(numbers(first.weight)))


@pytest.mark.parametrize("mode", ["slerp", "se3", "screw", "pchip"])
@pytest.mark.parametrize("T", [1, 64, 65, 1000])
def test_long_plans(device: Home, mode: str, T: int) -> None:
    """Signs go on from one tile of targets to the next in apply, too."""
    rng = np.random.default_rng(T)
    stamps, at = (device.times(x) for x in clock(rng, 2, 300, T))
    values = rng.normal(size=(2, 300, 28))
    values[rng.random((2, 300)) < 0.05] = 0
    sent = device.array(values)
    want = rc.resample(sent, stamps, at, interp=mode, outside=("nan", "extrapolate"))
    plan = rc.plan(stamps, at, interp=mode, outside=("nan", "extrapolate"))
    np.testing.assert_array_equal(bits(numbers(plan.apply(sent))), bits(numbers(want)))


@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (2, 0, 2, 4), (2, 3, 0, 4), (2, 3, 2, 0)])
def test_empty(device: Home, shape: tuple[int, int, int, int]) -> None:
    B, S, D, T = shape
    plan = rc.plan(device.times(np.arange(S)[None].repeat(B, 0)), device.times(np.zeros((B, T))))
    assert tuple(plan.index.shape) == (B, T)
    assert (numbers(plan.index) == (0 if S else -1)).all()
    if S == 0:
        assert np.isnan(numbers(plan.weight)).all()
        assert (numbers(plan.age_ns) == INT64_MAX).all()
    got = plan.apply(device.array(np.zeros((B, S, D))))
    assert tuple(got.shape) == (B, T, D)
    assert np.isnan(numbers(got)).all() if S == 0 else not numbers(got).any()


def test_unsorted_stamps_are_reported(device: Home) -> None:
    with pytest.raises(ValueError, match=r"stamps is decreasing"):
        rc.plan(device.times([10, 0]), device.times([5]), check="now")
    with pytest.raises(ValueError, match=r"at is outside.*target 1"):
        rc.plan(device.times([0, 10]), device.times([5, 11]), outside="error", check="now")
    rc.plan(device.times([0, 10]), device.times([5])).check()


def test_apply_can_be_captured_in_a_graph(cuda: Home) -> None:
    import torch

    rng = np.random.default_rng(5)
    stamps, at = (cuda.times(x) for x in clock(rng, 2, 60, 100))
    values, out = cuda.array(np.zeros((2, 60, 7))), cuda.empty((2, 100, 7))
    plan = rc.plan(stamps, at, interp="se3")
    plan.apply(values, out=out)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        plan.apply(values, out=out)
    for _ in range(3):
        values.copy_(cuda.array(rng.normal(size=(2, 60, 7))))
        graph.replay()
        want = rc.resample(values, stamps, at, interp="se3")
        np.testing.assert_array_equal(bits(numbers(out)), bits(numbers(want)))


@pytest.mark.parametrize("mode", ["hold", "linear", "pchip", "slerp"])
def test_steps_for_more_samples_have_no_value(device: Home, mode: str) -> None:
    """Nothing outside the values is read, whatever happened to the plan's arrays since."""
    if device.library == "jax":
        pytest.skip("jax arrays are not written to")
    n = 4096
    offsets = device.times([0, 8, n])
    stamps = device.times(np.concatenate([np.arange(8), np.arange(n - 8)]) * 10)
    at = device.times(np.arange(0, (n - 9) * 10, 35))
    plan = rc.plan(stamps, at, interp=mode, offsets=offsets, check="now")
    offsets[1] = n - 1
    out = numbers(plan.apply(device.array(np.ones((n, 4)))))
    assert np.isnan(out[1, 1:]).all()
    assert np.isfinite(out[0]).all()


STAMPS, AT = np.array([0, 10, 20]), np.array([5])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mask": np.ones(3, bool)}, r"plan: mask .*expected.*values"),
        ({"missing": "skip"}, r"plan: missing is .*expected propagate.*values"),
        ({"interp": "cubic"}, r"interp is 'cubic', expected"),
        ({"max_gap_ns": -1}, r"max_gap_ns is -1, expected >= 0"),
    ],
)
def test_plans_that_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rc.plan(STAMPS, AT, **options)


@pytest.mark.parametrize(
    ("values", "options", "error", "says"),
    [
        (np.zeros((4, 1)), {}, ValueError, r"apply_plan: values.*4.*expected.*3"),
        (np.zeros((3, 1), np.int32), {}, ValueError, r"apply_plan: interp is a mode of hold"),
        (np.zeros((3, 1), np.int32), {"interp": "linear"}, NotImplementedError, r"linear.*int32"),
        (np.zeros((3, 5)), {"interp": "slerp"}, ValueError, r"multiple of 4 columns for slerp"),
        (np.zeros((3, 1)), {"interp": "hold"}, ValueError, r"apply_plan: interp is a mode of hold"),
        (
            np.zeros((3, 2)),
            {"interp": [("linear", 1), ("hold", 1)]},
            ValueError,
            r"apply_plan: interp is a mode of hold",
        ),
        (np.zeros((3, 3)), {"interp": [("linear", 2)]}, ValueError, r"interp is runs of together 2 .*D=3"),
        (np.zeros((3, 1)), {"out": np.zeros((2, 1))}, ValueError, r"out is \[.*2, 1\], expected"),
        (np.zeros((3, 1)), {"out": np.zeros((1, 1), np.int32)}, NotImplementedError, r"out is int32, expected float64"),
        (np.zeros((3, 1)), {"dtype": "float8"}, ValueError, r"dtype is float8"),
        ([[0.0]] * 3, {}, ValueError, r"values is list, expected"),
    ],
)
def test_values_that_are_refused(values: Any, options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        rc.plan(STAMPS, AT).apply(values, **options)
