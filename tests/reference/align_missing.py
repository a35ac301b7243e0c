"""What the policies for missing samples make of a log, for the oracle: one unit of columns (or one run) at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Real = np.longdouble


@dataclass(frozen=True)
class Samples:
    """The samples that one unit interpolates between: n of them, values [n, D]."""

    stamps: list[Any]
    values: np.ndarray
    taken_at: list[Any]  # the stamp that each value really has
    lost: list[bool]  # a row that uses such a sample is not valid
    aged: list[Any]  # the stamps that age counts from


def present(values: np.ndarray, mask: np.ndarray, nan_is_missing: bool) -> list[bool]:
    """Whether each sample is there in this unit."""
    return [bool(m) and not (nan_is_missing and np.isnan(row).any()) for row, m in zip(values, mask, strict=True)]


def propagate(stamps: list[Any], values: np.ndarray, there: list[bool]) -> Samples:
    """A sample that is not there is NaN in every column."""
    kept = values.copy()
    kept[~np.array(there, bool)] = np.nan
    return Samples(stamps, kept, stamps, [not x for x in there], stamps)


def skip(stamps: list[Any], values: np.ndarray, there: list[bool]) -> Samples:
    """As if the missing samples did not exist."""
    kept = [s for s, x in zip(stamps, there, strict=True) if x]
    return Samples(kept, values[np.array(there, bool)], kept, [False] * len(kept), kept)


def hold(stamps: list[Any], values: np.ndarray, there: list[bool]) -> Samples:
    """A missing sample has the value of the last one before it that is there."""
    filled, taken_at, lost = values.copy(), list(stamps), [False] * len(stamps)
    last = None
    for i, here in enumerate(there):
        last = i if here else last
        lost[i] = last is None
        filled[i] = np.nan if last is None else values[last]
        taken_at[i] = stamps[i] if last is None else stamps[last]
    return Samples(stamps, filled, taken_at, lost, [s for s, x in zip(stamps, there, strict=True) if x])


POLICIES = {"propagate": propagate, "skip": skip, "hold": hold}
