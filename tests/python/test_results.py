"""Whose memory results are: each outlives the call, the call's other results, and whatever is allocated next."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, numbers

T = 40
PARTS = ("values", "valid", "age_ns")


def aligned(device: Home, columns: int) -> rc.AlignResult:
    values = np.arange(3.0 * columns).reshape(3, columns)
    return rc.align(
        [rc.Stream(device.array(values.tolist()), device.times([0, 10, 20]), interp="hold")],
        device.times(range(T)),
    )


@pytest.mark.parametrize("columns", [1, 7, 20_000])  # the last are large enough for memory of their own
@pytest.mark.parametrize("kept", PARTS)
def test_a_result_outlives_the_others(device: Home, columns: int, kept: str) -> None:
    result = aligned(device, columns)
    want = {part: numbers(getattr(result, part)).copy() for part in PARTS}
    survivor: Any = getattr(result, kept)
    del result
    gc.collect()
    others = [aligned(device, columns) for _ in range(20)]  # would be given the memory if it were free
    for other in others:
        for part in PARTS:
            getattr(other, part)[...] = 0
    np.testing.assert_array_equal(numbers(survivor), want[kept])


def test_results_do_not_overlap(device: Home) -> None:
    result = aligned(device, 7)
    for part in PARTS:
        want = {other: numbers(getattr(result, other)).copy() for other in PARTS if other != part}
        getattr(result, part)[...] = 1
        for other, numbers_of_it in want.items():
            np.testing.assert_array_equal(numbers(getattr(result, other)), numbers_of_it)


def test_results_are_aligned_for_wide_accesses(device: Home) -> None:
    torch = pytest.importorskip("torch")
    result = aligned(device, 7)
    for part in PARTS:
        array = getattr(result, part)
        assert isinstance(array, torch.Tensor)
        assert array.data_ptr() % 64 == 0
        assert array.is_contiguous()


def test_empty_results(device: Home) -> None:
    result = rc.align([rc.Stream(device.array([[1], [2]]), device.times([0, 10]))], device.times([]))
    assert [tuple(getattr(result, part).shape) for part in PARTS] == [(0, 1), (0, 1), (0, 1)]
