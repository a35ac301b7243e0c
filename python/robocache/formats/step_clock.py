"""Stamps of data that counts steps and has no time: the rate comes from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from robocache.errors import InvalidArgument
from robocache.problems import ProblemLog
from robocache.rates import exact_rate, ticks_ns


@dataclass(frozen=True)
class StepClock:
    """Step k is at k / rate. Where nobody knows the rate, a second a step, as `source` then says."""

    rate: Fraction | None
    source: str

    @property
    def hz(self) -> float | None:
        """The rate as a number; None where nobody knows it."""
        return None if self.rate is None else float(self.rate)

    def stamps_ns(self, steps: int) -> npt.NDArray[np.int64]:
        """Stamps int64 ns of steps 0, 1, ...

        Raises
        ------
        ValueError
            The time of a step does not fit into int64 ns.
        """
        return ticks_ns(np.arange(steps, dtype=np.int64), Fraction(1) if self.rate is None else self.rate)


def is_rate(value: Any) -> TypeGuard[float]:
    """Whether this is a rate whose stamps are int64 ns that differ."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and bool(1e-9 <= value <= 1e9)


def choose_clock(asked: float | None, claimed: float | None, where: str, log: ProblemLog) -> StepClock:
    """The clock of a dataset: of the rate that the user gives, else of the one that `where` claims, else of none.

    Raises
    ------
    InvalidArgument
        `asked` is no rate.
    """
    if asked is not None and not is_rate(asked):
        raise InvalidArgument(f"open: fps is {asked!r:.40}, expected a positive number of Hz, from 1e-9 to 1e9")
    if asked is not None and claimed is not None and asked != claimed:
        log.add(where, f"the rate is {claimed:g} Hz, but fps is {asked:g} and is used")
    hz = claimed if asked is None else asked
    if hz is None:
        log.add(where, "has no time and no rate: stamps count a second a step; hint: open(path, fps=...)")
        return StepClock(None, "step, at 1 s each")
    return StepClock(exact_rate(hz), f"step / {hz:g} Hz")
