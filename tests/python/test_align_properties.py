"""Randomised cases against the oracle: 5,900 calls a device, many duplicates among them, the same ones in every run."""

from __future__ import annotations

import numpy as np
from arrays import Home, dtype_name, numbers
from calls import assert_oracle, run
from hypothesis import given
from hypothesis import strategies as st
from random_calls import MODES, calls, examples
from reference.align_cases import Case


@examples(700)
@given(case=calls("hold", "nearest"))
def test_hold_and_nearest_are_exact(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(900)
@given(case=calls("linear"))
def test_linear_keeps_its_bound(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(700)
@given(case=calls("pchip", "angle"))
def test_curves_keep_their_bounds(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(700)
@given(case=calls("slerp", "se3", "screw"))
def test_rotations_keep_their_bounds(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(600)
@given(case=calls(None, *MODES))
def test_streams_of_every_mode_in_one_call(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(600)
@given(case=calls(None, *MODES, runs=4))
def test_runs_of_columns(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(500)
@given(case=calls("hold", "nearest", "linear", gaps=True))
def test_missing_samples(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(500)
@given(case=calls("pchip", "angle", "slerp", "se3", "screw", gaps=True))
def test_missing_samples_of_curves(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(500)
@given(case=calls(None, *MODES, runs=4, gaps=True))
def test_missing_samples_in_runs(device: Home, case: Case) -> None:
    assert_oracle(device, case)


@examples(200)
@given(case=calls("linear", "hold", "pchip", "angle", gaps=True), data=st.data())
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
