"""What ``align_gradient`` must answer: differences of the alignment oracle in extended precision. No engine here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from reference.align_answer import Real
from reference.align_oracle import Stream, align

STEP = Real(1e-6)


@dataclass(frozen=True)
class Slope:
    """The derivative by one element of ``values``."""

    index: tuple[int, ...]
    value: float
    smooth: bool  # false at a kink, where the slopes on either side differ: any number in between is an answer


def written(stream: Stream, at: np.ndarray) -> np.ndarray:
    """What align writes, [B, T, D]."""
    return align([stream], at)[0].values


def usable(out: np.ndarray, grad_out: np.ndarray) -> np.ndarray:
    """``grad_out`` without what is asked of outputs that have no value."""
    return np.where(np.isfinite(out), grad_out, 0)


def slopes(stream: Stream, at: np.ndarray, grad_out: np.ndarray, indices: list[tuple[int, ...]]) -> list[Slope]:
    """The derivatives of sum(grad_out * out) by some elements of the values."""
    base = written(stream, at)
    used = np.isfinite(base)

    def change(index: tuple[int, ...], step: Real) -> Real:
        values = stream.values.astype(Real)
        values[index] += step
        difference = written(replace(stream, values=values), at) - base
        return np.sum(np.where(used, difference, 0) * np.where(used, grad_out, 0)) / step

    answer = []
    for index in indices:
        step = STEP * max(Real(1), abs(Real(stream.values[index])))
        ahead, behind = change(index, step), change(index, -step)
        size = max(abs(ahead), abs(behind), Real(np.max(np.abs(grad_out), initial=0)))
        answer.append(Slope(index, float((ahead + behind) / 2), bool(abs(ahead - behind) <= 1e-3 * size)))
    return answer
