"""What a call must move and compute, whoever makes it: counted from the stamps and targets of the call."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robocache_bench.operators.align.cases import GROUP, Case

# Floating-point operations for one element of output; of the rotations, for one group of columns (a sine, cosine or
# square root counts as one).
OPERATIONS = {
    "hold": 0,
    "nearest": 0,
    "linear": 3,  # a + w * (b - a)
    "angle": 8,  # the difference wrapped
    "pchip": 40,  # two slopes of a weighted harmonic mean each, and a cubic
    "slerp": 40,  # dot 7, angle and its sines 8, blend 12, normalise 12
    "se3": 49,
}


def intervals(stamps: npt.NDArray[Any], at: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The last sample at or before each target, -1 before the first: [B, T] from stamps [B, S] and at [B, T]."""
    return np.stack([np.searchsorted(s, t, side="right") - 1 for s, t in zip(stamps, at, strict=True)])


def rows_read(interp: str, stamps: npt.NDArray[Any], at: npt.NDArray[Any]) -> int:
    """Distinct samples that the targets need, each counted once however many targets need it."""
    return int(_marked(interp, stamps, at).sum())


def _marked(interp: str, stamps: npt.NDArray[Any], at: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    batch, samples = stamps.shape
    i = intervals(stamps, at)
    rows = np.arange(batch)[:, None]
    exact = (i >= 0) & (np.take_along_axis(stamps, i.clip(0), 1) == at)
    inside = (i >= 0) & (i < samples - 1) & ~exact
    read = np.zeros((batch, samples), bool)
    if interp == "nearest":
        after = (i + 1).clip(0, samples - 1)
        before = i.clip(0)
        nearer = np.take_along_axis(stamps, after, 1) - at < at - np.take_along_axis(stamps, before, 1)
        read[rows, np.where(inside & nearer, after, before)] = True
        return read
    read[rows, i.clip(0)] = True
    if interp == "hold":
        return read
    for step in (-1, 1, 2) if interp == "pchip" else (1,):
        j = i + step
        needed = inside & (j >= 0) & (j < samples)
        read[np.broadcast_to(rows, i.shape)[needed], j[needed]] = True
    return read


def stamps_read(stamps: npt.NDArray[Any], at: npt.NDArray[Any]) -> int:
    """Distinct stamps that say which interval holds each target: those at both its ends."""
    batch, samples = stamps.shape
    i = intervals(stamps, at)
    rows = np.broadcast_to(np.arange(batch)[:, None], i.shape)
    read = np.zeros((batch, samples), bool)
    read[rows, i.clip(0)] = True
    read[rows, (i + 1).clip(0, samples - 1)] = True
    return int(read.sum())


def bytes_moved(
    case: Case, stamps: list[npt.NDArray[Any]], at: npt.NDArray[Any], stamp_bytes: int, age_bytes: int
) -> int:
    """The fewest bytes that a call can move: distinct samples and stamps read once, targets, and what is written."""
    item = 2 if case.dtype in ("bfloat16", "float16") else 4
    targets = case.shape.batch * case.shape.targets
    total = targets * (case.shape.columns * item + stamp_bytes)
    for source, clock in zip(case.shape.sources, stamps, strict=True):
        total += rows_read(case.interp, clock, at) * source.columns * item + stamps_read(clock, at) * stamp_bytes
    if case.marks:
        total += targets * len(case.shape.sources) * (1 + age_bytes)
    return total


def operations(case: Case) -> int:
    """Floating-point operations of a call; those of the search are not counted."""
    elements = case.shape.batch * case.shape.targets * case.shape.columns
    return elements // GROUP.get(case.interp, 1) * OPERATIONS[case.interp]
