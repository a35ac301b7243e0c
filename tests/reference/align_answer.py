"""The answer of the oracle, and how an output is compared with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

INT64_MAX = 2**63 - 1
Real = np.longdouble

# name: (bits of the significand, smallest normal exponent, largest exponent)
FLOATS = {
    "float64": (53, -1022, 1023),
    "float32": (24, -126, 127),
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
}


# The error of a unit quaternion's components by dtype: of the values or of the output, whichever is coarser.
TURN = {"float64": 2e-13, "float32": 2e-9, "float16": 6e-6, "bfloat16": 6e-6}


@dataclass
class Expected:
    """The answer for one stream. ``bound`` is the allowed error before the rounding to the output's dtype; 0: exact."""

    values: np.ndarray  # [B, T, D] extended precision; NaN: no value
    bound: np.ndarray  # [B, T, D]
    valid: np.ndarray  # [B, T] bool
    age_ns: np.ndarray  # [B, T] int64
    refused: list[tuple[int, int]]  # targets outside a stream whose policy is "error"
    bits: np.ndarray  # [D] significand of the arithmetic
    circular: np.ndarray  # [D] bool: values are equal modulo 2 pi
    turn: np.ndarray  # [D] the error of a unit quaternion's components that `bound` is made of; 0: no quaternion's
    # From target t on, these columns of row b may be of either sign: the products that decide are 0 but for rounding.
    either_sign: list[tuple[int, int, slice]] = field(default_factory=list)


def ulp(x: np.ndarray, dtype: str) -> np.ndarray:
    """The spacing of `dtype` at x."""
    bits, lowest, highest = FLOATS[dtype]
    _, exponent = np.frexp(np.abs(np.where(np.isfinite(x), x, 0)).astype(Real))
    return np.ldexp(Real(1), np.clip(exponent - 1, lowest, highest) - (bits - 1))


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """x in `dtype`, rounded once (to nearest, ties to even); integers: towards zero, saturated, NaN is 0."""
    x = np.asarray(x, Real)
    if dtype in FLOATS:
        bits, _, highest = FLOATS[dtype]
        step = ulp(x, dtype)
        near = np.where(np.isfinite(x), np.rint(x / step) * step, x)
        largest = np.ldexp(Real(2) - np.ldexp(Real(1), 1 - bits), highest)
        return np.where(np.abs(near) > largest, np.copysign(Real(np.inf), near), near)
    if dtype == "bool":
        return ((x != 0) & ~np.isnan(x)).astype(Real)
    x = np.trunc(np.where(np.isnan(x), Real(0), x))
    info = np.iinfo(dtype)
    return np.clip(x, Real(info.min), Real(info.max))


def _same(expected: Expected, got: np.ndarray, dtype: str) -> np.ndarray:
    want = rounded(expected.values, dtype)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if dtype not in FLOATS:
        return same
    narrower = FLOATS[dtype][0] < expected.bits
    coarser = np.where(expected.turn > 0, TURN[dtype] / np.maximum(expected.turn, TURN["float64"]), Real(1))
    bound = expected.bound * np.maximum(coarser, Real(1))
    half = np.where(narrower, ulp(np.abs(expected.values) + bound, dtype) / 2, Real(0))
    bounded = (bound > 0) & np.isfinite(bound)
    with np.errstate(invalid="ignore"):
        error = np.abs(got - expected.values)
        turns = np.where(expected.circular, np.rint(error / (2 * np.pi)), Real(0))
        return same | (bounded & (np.abs(error - turns * (2 * np.pi)) <= bound + half))


def _with_signs_of(expected: Expected, got: np.ndarray) -> Expected:
    """The answer with the signs of ``got`` from where rounding alone decides about them."""
    values = expected.values.copy()
    for b, t, columns in expected.either_sign:
        if np.sum(values[b, t, columns] * got[b, t, columns]) < 0:
            values[b, t:, columns] *= np.where(expected.bound[b, t:, columns] > 0, -1, 1)  # fills keep theirs
    return replace(expected, values=values)


def disagreement(expected: Expected, got: np.ndarray, dtype: str) -> str:
    """Where ``got`` (the numbers of an output of ``dtype``) is not the answer; "" if nowhere.

    Exact where the bound is 0; else within the bound, plus half an ulp where the output is narrower than the
    arithmetic.
    """
    got = np.asarray(got).astype(Real)
    if got.shape != expected.values.shape:
        return f"shape {got.shape}, expected {expected.values.shape}"
    same = _same(_with_signs_of(expected, got), got, dtype)
    if same.all():
        return ""
    where = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"at {where}: {got[where]!r}, expected {expected.values[where]!r} +- {expected.bound[where]!r} as {dtype}"
