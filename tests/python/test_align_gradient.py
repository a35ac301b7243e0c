"""align_gradient against differences of the alignment oracle, on every device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, dtype_name, numbers
from calls import to_stream
from hypothesis import assume, given
from hypothesis import strategies as st
from random_calls import calls, examples
from reference.align_answer import FLOATS as FORMATS
from reference.align_answer import rounded
from reference.align_cases import Case
from reference.align_gradient_oracle import slopes, usable, written
from reference.align_oracle import Stream

TABLE = Path(__file__).parents[1] / "cases" / "align_gradient.json"
ELEMENTS = 8  # that a random stream is asked about


def wide(stream: Stream) -> bool:
    """Whether the engine adds up in float64."""
    return stream.dtype == "float64" or stream.modes <= {"slerp", "se3", "screw", "angle"}


def ask(home: Home, case: Case, grad_out: list[np.ndarray], dtype: str) -> list[np.ndarray | None]:
    """The engine's gradients of all streams of a call, one grad_out a stream."""
    streams = [to_stream(home, s, layout) for s, layout in zip(case.streams, case.layouts, strict=True)]
    at = np.broadcast_to(case.at, (case.batch, case.at.shape[-1]))
    out = [rounded(written(s, at), dtype) for s in case.streams]
    found = rc.align_gradient(
        streams,
        home.array(case.at, str(case.at.dtype)),
        [home.array(g, dtype) for g in grad_out],
        out=[home.array(o, dtype) for o in out],
        check="now",
    )
    for stream, gradient in zip(case.streams, found, strict=True):
        if gradient is not None:
            assert home.owns(gradient)
            assert dtype_name(gradient) == stream.dtype
            assert gradient.shape == stream.values.shape
    return [None if g is None else numbers(g) for g in found]


def assert_slopes(stream: Stream, at: np.ndarray, grad_out: np.ndarray, gradient: np.ndarray, rng: Any) -> None:
    """Some elements of a gradient are the oracle's, kinks left out."""
    flat = rng.permutation(stream.values.size)[:ELEMENTS]
    indices = [np.unravel_index(k, stream.values.shape) for k in flat]
    unit = 2.0 ** -FORMATS[stream.dtype][0]
    for slope in slopes(stream, at, grad_out, [i for i in indices if np.isfinite(stream.values[i])]):
        if not slope.smooth:
            continue
        size = np.abs(grad_out).sum()
        bound = 2 * unit * abs(slope.value) + (1e-7 if wide(stream) else 1e-4) * size
        assert abs(gradient[slope.index] - slope.value) <= bound, (slope, gradient[slope.index])


def check(home: Home, case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assume(not any(s.outside == "error" for s in case.streams))
    at = np.broadcast_to(case.at, (case.batch, case.at.shape[-1]))
    dtype = case.dtype or "float32"
    grad_out = [usable(written(s, at), rounded(rng.normal(size=written(s, at).shape), dtype)) for s in case.streams]
    found = ask(home, case, [g.astype(np.float64) for g in grad_out], dtype)
    for stream, upstream, gradient in zip(case.streams, grad_out, found, strict=True):
        if stream.dtype not in FLOATS:
            assert gradient is None
            continue
        assert gradient is not None
        assert_slopes(stream, at, upstream, gradient, rng)


@examples(30)
@given(case=calls("hold", "nearest", "linear", None), seed=st.integers(0, 2**32))
def test_weights(device: Home, case: Case, seed: int) -> None:
    check(device, case, seed)


@examples(40)
@given(case=calls("pchip", "angle"), seed=st.integers(0, 2**32))
def test_curves(device: Home, case: Case, seed: int) -> None:
    check(device, case, seed)


@examples(40)
@given(case=calls("slerp", "se3", "screw"), seed=st.integers(0, 2**32))
def test_rotations(device: Home, case: Case, seed: int) -> None:
    check(device, case, seed)


@examples(60)
@given(
    case=calls("hold", "nearest", "linear", "pchip", "angle", "slerp", "se3", "screw", runs=3, gaps=True),
    seed=st.integers(0, 2**32),
)
def test_column_runs_with_missing_samples(device: Home, case: Case, seed: int) -> None:
    check(device, case, seed)


@pytest.mark.parametrize("case", json.loads(TABLE.read_text())["explicit"], ids=lambda case: case["name"])
def test_by_hand(home: Home, case: dict[str, Any]) -> None:
    s = case["stream"]
    options = {k: v for k, v in s.items() if k not in ("values", "stamps", "mask", "lengths", "offsets")}
    lists = {k: home.array(s[k], "bool" if k == "mask" else "int64") for k in ("mask", "lengths", "offsets") if k in s}
    stream = rc.Stream(home.array(s["values"], "float64"), home.times(s["stamps"]), **options, **lists)
    out = home.array(case["out"], "float64") if "out" in case else None
    found = rc.align_gradient([stream], home.times(case["at"]), home.array(case["grad_out"], "float64"), out=out)
    np.testing.assert_allclose(numbers(found[0]), case["grad_values"], rtol=1e-12, atol=1e-12)


def test_a_shared_stream_gets_the_sum_over_the_batch(device: Home) -> None:
    rng = np.random.default_rng(3)
    values, stamps = rng.normal(size=(5, 3)), np.arange(5) * 10
    at, grad_out = rng.integers(-5, 50, (4, 7)), rng.normal(size=(4, 7, 3))
    whole = rc.align_gradient(
        rc.Stream(device.array(values, "float64"), device.times(stamps)),
        device.times(at),
        device.array(grad_out, "float64"),
    )[0]
    parts = [
        numbers(
            rc.align_gradient(
                rc.Stream(device.array(values, "float64"), device.times(stamps)),
                device.times(at[b]),
                device.array(grad_out[b], "float64"),
            )[0]
        )
        for b in range(4)
    ]
    np.testing.assert_allclose(numbers(whole), np.sum(parts, axis=0), rtol=1e-14)


def test_unsorted_targets_give_what_sorted_ones_do(device: Home) -> None:
    rng = np.random.default_rng(4)
    values, stamps = rng.normal(size=(2, 9, 3)), np.sort(rng.integers(0, 40, (2, 9)))
    at, grad_out = np.sort(rng.integers(-5, 50, (2, 12))), rng.normal(size=(2, 12, 3))
    order = rng.permutation(12)
    for interp in ("hold", "nearest", "linear", "pchip", "angle"):
        stream = rc.Stream(device.array(values, "float64"), device.times(stamps), interp=interp, outside="extrapolate")
        sort = rc.align_gradient(stream, device.times(at), device.array(grad_out, "float64"))[0]
        mixed = rc.align_gradient(stream, device.times(at[:, order]), device.array(grad_out[:, order], "float64"))[0]
        np.testing.assert_allclose(numbers(mixed), numbers(sort), rtol=1e-12, atol=1e-12)


def test_names_what_is_wrong(device: Home) -> None:
    floats = rc.Stream(device.array(np.ones((3, 4))), device.times([0, 1, 2]), interp="slerp")
    integers = rc.Stream(device.array(np.ones((3, 4)), "int64"), device.times([0, 1, 2]))
    at, grad = device.times([0, 1]), device.array(np.ones((2, 4)))
    with pytest.raises(rc.InvalidArgument, match=r"align_gradient: out is not given, expected what align wrote"):
        rc.align_gradient(floats, at, grad)
    with pytest.raises(rc.InvalidArgument, match=r"grad_out\[0\] is \[1, 2, 4\], expected \[B=1, T=2, sum D=8\]"):
        rc.align_gradient([floats, floats], at, grad)
    with pytest.raises(rc.InvalidArgument, match="only floats have a gradient"):
        rc.align_gradient(integers, at, grad, wanted=[True])
    assert rc.align_gradient(integers, at, grad) == [None]
    unsorted = rc.Stream(device.array(np.ones((3, 4))), device.times([0, 2, 1]))
    with pytest.raises(rc.InvalidArgument, match=r"align_gradient: streams\[0\].stamps is decreasing"):
        rc.align_gradient(unsorted, at, grad, check="now")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_traced_jax_array_is_named() -> None:
    jax = pytest.importorskip("jax")
    values, stamps, at = jax.numpy.ones((3, 2)), jax.numpy.arange(3.0), jax.numpy.arange(2.0)
    assert rc.resample(values, stamps, at).shape == (2, 2)
    with pytest.raises(rc.InvalidArgument, match="resample: values is a traced jax array, expected one with values"):
        jax.jit(lambda *arrays: rc.resample(*arrays))(values, stamps, at)
    with pytest.raises(rc.InvalidArgument, match=r"a traced jax array.*outside of jax\.jit, jax\.grad"):
        jax.grad(lambda v: rc.resample(v, stamps, at).sum())(values)
