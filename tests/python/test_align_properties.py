"""Randomised cases against the oracle: 2,600 calls a device, many duplicates among them, the same ones in every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, dtype_name, numbers
from calls import assert_answer, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.align_cases import Case
from reference.align_oracle import Stream, rounded

INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
LAYOUTS = ("plain", "pitched", "columns", "reversed")
# unit of time in ns or s: few distinct stamps a unit apart, so that duplicates and exact hits are common
UNITS = {"int64": (1, 7, 1_000_000), "float64": (1 / 64, 0.01), "float32": (1 / 32, 0.1)}
STARTS = {"int64": (0, -40, 1_700_000_000_000_000_000), "float64": (0.0, 1.7e9), "float32": (0.0,)}


def examples(count: int) -> Any:
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers of very different sizes, some equal; integers small enough to be exact in any float but 16-bit ones."""
    if dtype == "bool":
        return rng.integers(0, 2, shape)
    if dtype not in FLOATS:
        return rng.integers(0 if dtype == "uint8" else -100, 120, shape)
    size = 2.0 ** rng.integers(-8, 9, (*shape[:-2], 1, shape[-1]))
    return rounded(rng.normal(size=shape) * size, dtype).astype(np.float64)


@st.composite
def policies(draw: st.DrawFn) -> Any:
    one = st.sampled_from(["hold", "nan", "extrapolate", 2.5, -1, 0])
    return draw(st.one_of(one, st.tuples(one, one)))


@st.composite
def streams(draw: st.DrawFn, time: str, start: Any, unit: Any, B: int, interps: tuple[str | None, ...]) -> Stream:
    interp = draw(st.sampled_from(interps))
    smooth = interp in ("linear", "slerp")
    dtype = draw(st.sampled_from(FLOATS if smooth else FLOATS + INTEGERS))
    columns = draw(st.sampled_from([4, 8] if interp == "slerp" else [1, 2, 3, 5, 9, 17]))
    samples = draw(st.integers(0, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ragged = draw(st.sampled_from([None, None, "lengths", "offsets"]))
    shared = ragged is None and draw(st.booleans())
    ticks = [sorted(draw(st.lists(st.integers(0, 12), min_size=samples, max_size=samples))) for _ in range(B)]
    ticks = ticks[:1] * B if shared else ticks
    stamps = (start + np.array(ticks, np.int64).reshape(B, samples) * unit).astype(time)
    values = random_values(rng, (B, samples, columns), dtype)
    lists: dict[str, np.ndarray] = {}
    if ragged:
        lengths = np.array(draw(st.lists(st.integers(0, samples), min_size=B, max_size=B)), np.int64)
        padding = np.arange(samples) >= lengths[:, None]
        if ragged == "lengths":
            stamps[padding] = stamps[padding][::-1] - unit  # not sorted any more
            values[padding] = np.nan if dtype in FLOATS else 77
            lists["lengths"] = lengths.astype(draw(st.sampled_from(["int32", "int64"])))
        else:
            stamps, values = stamps[~padding], values[~padding]
            lists["offsets"] = np.concatenate([[0], np.cumsum(lengths)])
    ns = int(unit * 1e9) if time != "int64" else unit
    limit = st.one_of(st.none(), st.integers(0, 6).map(lambda k: k * ns))
    return Stream(
        values,
        stamps[0] if shared else stamps,
        dtype,
        interp,
        draw(policies()),
        draw(limit),
        draw(limit),
        draw(st.sampled_from([0, 0, ns, -3 * ns, 1])),
        **lists,
    )


@st.composite
def calls(draw: st.DrawFn, *interps: str | None) -> Case:
    time = draw(st.sampled_from(["int64", "int64", "float64", "float32"]))
    start, unit = draw(st.sampled_from(STARTS[time])), draw(st.sampled_from(UNITS[time]))
    B, T = draw(st.integers(1, 3)), draw(st.integers(0, 9))
    many = [draw(streams(time, start, unit, B, interps)) for _ in range(draw(st.integers(1, 3)))]
    half = max(1, unit // 2) if time == "int64" else unit / 2
    ticks = draw(st.lists(st.integers(-6, 30), min_size=B * T, max_size=B * T))
    at = (start + np.array(ticks, np.int64).reshape(B, T) * half).astype(time)
    split = draw(st.booleans())
    dtype = None if split else draw(st.sampled_from(FLOATS))
    layouts = [draw(st.sampled_from(LAYOUTS)) for _ in many]
    return Case("", "", many, at[0] if B > 1 and draw(st.booleans()) else at, None, dtype, split, layouts)


def answers(device: Home, case: Case) -> None:
    assert_answer(device, case, run(device, case, check="now"), case.answer())


@examples(700)
@given(case=calls("hold", "nearest"))
def test_hold_and_nearest_are_exact(device: Home, case: Case) -> None:
    answers(device, case)


@examples(900)
@given(case=calls("linear"))
def test_linear_keeps_its_bound(device: Home, case: Case) -> None:
    answers(device, case)


@examples(400)
@given(case=calls("slerp"))
def test_slerp_keeps_its_bound(device: Home, case: Case) -> None:
    answers(device, case)


@examples(600)
@given(case=calls(None, "hold", "nearest", "linear", "slerp"))
def test_streams_of_every_mode_in_one_call(device: Home, case: Case) -> None:
    answers(device, case)


@pytest.mark.parametrize(("dtype", "bound_rad"), [("float32", 2e-7), ("float64", 1e-12)])
def test_slerp_is_scipys(device: Home, dtype: str, bound_rad: float) -> None:
    """Random, nearly equal and nearly opposite rotations; order xyzw, as scipy's."""
    rotation = pytest.importorskip("scipy.spatial.transform")
    rng = np.random.default_rng(17)
    for spread in (2.0, 0.3, 1e-3, 1e-6):
        start = rng.normal(size=(40, 1, 4))
        walk = (start + np.cumsum(rng.normal(size=(40, 12, 4)) * spread, axis=1)).astype(dtype)
        flips = np.where(rng.integers(0, 2, (40, 12, 1)), 1, -1)
        stamps = np.cumsum(rng.integers(1, 50, (40, 12)), axis=1)
        at = np.sort(rng.integers(stamps[:, :1], stamps[:, -1:] + 1, (40, 60)), axis=1)
        got = numbers(
            rc.resample(
                device.array(walk * flips, dtype), device.times(stamps), device.times(at), interp="slerp", check="now"
            )
        ).astype(np.float64)
        assert np.abs(np.linalg.norm(got, axis=-1) - 1).max() < (1e-7 if dtype == "float32" else 1e-15)
        for b in range(40):
            exact = rotation.Slerp(stamps[b], rotation.Rotation.from_quat(walk[b].astype(np.float64)))(at[b]).as_quat()
            # The angle from the chord: exact where the scalar product would lose everything below 1e-8.
            chord = np.minimum(np.linalg.norm(got[b] - exact, axis=1), np.linalg.norm(got[b] + exact, axis=1))
            assert (4 * np.arcsin(chord / 2)).max() <= bound_rad


def test_slerp_of_wxyz_is_slerp_of_xyzw(device: Home) -> None:
    rng = np.random.default_rng(3)
    xyzw = rng.normal(size=(20, 6, 4))
    stamps, at = device.times(np.arange(6) * 10), device.times(rng.integers(0, 51, 30))
    first = numbers(rc.resample(device.array(xyzw, "float64"), stamps, at, interp="slerp"))
    second = numbers(rc.resample(device.array(np.roll(xyzw, 1, -1), "float64"), stamps, at, interp="slerp"))
    np.testing.assert_allclose(np.roll(first, 1, -1), second, rtol=0, atol=1e-15)


@examples(60)
@given(case=calls("linear", "hold"), data=st.data())
def test_layout_and_order_of_targets_do_not_matter(device: Home, case: Case, data: st.DataObject) -> None:
    """Shuffled targets give shuffled rows; any layout gives the same bytes."""
    T = case.at.shape[-1]
    order = np.array(data.draw(st.permutations(range(T))), np.int64)
    plain = Case(**{**vars(case), "layouts": ["plain"] * len(case.streams)})
    shuffled = Case(**{**vars(case), "at": case.at[..., order]})
    first, second = run(device, plain), run(device, shuffled)
    for a, b in zip(first.split(), second.split(), strict=True):
        assert dtype_name(a) == dtype_name(b)
        np.testing.assert_array_equal(numbers(a)[..., order, :], numbers(b))
    np.testing.assert_array_equal(numbers(first.valid)[..., order, :], numbers(second.valid))
    np.testing.assert_array_equal(numbers(first.age_ns)[..., order, :], numbers(second.age_ns))
