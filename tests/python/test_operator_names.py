"""An error begins with the name of the operator that was called, as C++ has it: Plan.apply is apply_plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc

VALUES, STAMPS, AT = np.zeros((3, 2), np.float32), np.array([0, 10, 20]), np.array([5, 15])


def align(values: Any = VALUES, at: Any = AT, dtype: Any = None, **options: Any) -> Any:
    return rc.align([rc.Stream(values, STAMPS, **options)], at, dtype=dtype)


def resample(values: Any = VALUES, at: Any = AT, **options: Any) -> Any:
    return rc.resample(values, STAMPS, at, **options)


def plan(at: Any = AT, **options: Any) -> Any:
    return rc.plan(STAMPS, at, **options)


def apply_plan(values: Any = VALUES, **options: Any) -> Any:
    return rc.plan(STAMPS, AT).apply(values, **options)


def align_gradient(values: Any = VALUES, at: Any = AT, **options: Any) -> Any:
    return rc.align_gradient([rc.Stream(values, STAMPS, **options)], at, VALUES[:2])


WIDE = np.broadcast_to(np.float32(0), (3, 2**31))
MANY = np.broadcast_to(np.int64(0), (2**31,))


@pytest.mark.parametrize("call", [align, resample, plan, align_gradient])
def test_errors_in_targets(call: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{call.__name__}: .*stamps.* is int64, expected float64 like at"):
        call(at=AT * 1.0)


@pytest.mark.parametrize("call", [align, resample, apply_plan, align_gradient])
def test_errors_in_values(call: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{call.__name__}: .*values is list, expected"):
        call([[0.0, 0.0]] * 3)
    with pytest.raises(ValueError, match=rf"^{call.__name__}: .*expected .*(3|S=4)"):
        call(np.zeros((4, 2), np.float32))


@pytest.mark.parametrize("call", [resample, plan])
@pytest.mark.parametrize(
    "options",
    [
        {"interp": "cubic"},
        {"interp": []},
        {"interp": [3]},
        {"outside": "zero"},
        {"outside": (1, 2, 3)},
        {"max_gap_ns": -1},
        {"missing": "maybe"},
    ],
)
def test_errors_in_options(call: Any, options: dict[str, Any]) -> None:
    (option,) = options
    with pytest.raises(ValueError, match=rf"^{call.__name__}: {option} .*expected"):
        call(**options)
    with pytest.raises(ValueError, match=rf"^Stream: {option} .*expected"):
        rc.Stream(VALUES, STAMPS, **options)


@pytest.mark.parametrize("call", [align, apply_plan])
def test_errors_in_dtypes(call: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{call.__name__}: dtype is float8, expected"):
        call(dtype="float8")


def test_errors_of_apply() -> None:
    with pytest.raises(ValueError, match=r"^apply_plan: interp is 'cubic', expected"):
        apply_plan(interp="cubic")
    with pytest.raises(ValueError, match=r"^apply_plan: out is float32, expected dtype=float64"):
        apply_plan(out=np.zeros((2, 2), np.float32), dtype="float64")
    with pytest.raises(NotImplementedError, match=r"^apply_plan: out is int32, expected"):
        apply_plan(out=np.zeros((2, 2), np.int32))


def test_results_larger_than_any_memory() -> None:
    with pytest.raises(rc.OutOfMemory, match=r"^align: the result is .* float32, expected less than 2\^63 bytes"):
        align(WIDE, MANY)
    with pytest.raises(rc.OutOfMemory, match=r"^resample: the result is .* float32, expected less than 2\^63 bytes"):
        resample(WIDE, MANY)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float32"])
@pytest.mark.parametrize("call", [align, resample, align_gradient])
def test_a_mask_is_bool(call: Any, dtype: str) -> None:
    with pytest.raises(ValueError, match=rf"^{call.__name__}: .*mask is {dtype}, expected bool"):
        call(mask=np.ones(3, dtype))
    call(mask=np.ones(3, "uint8").view(bool))
