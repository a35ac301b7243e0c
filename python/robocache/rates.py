"""Rates as exact fractions, and the instants of a clock that has one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

NS_PER_S = 1_000_000_000
_INT64 = 2**63
# Frame rates are fractions of small numbers, such as 30000/1001, and arrive as floats or cut after some digits.
_LARGEST_DENOMINATOR = 1001
_TOLERANCE = Fraction(1, 10**9)


def exact_rate(hz: float) -> Fraction:
    """The rate that a number stands for: 29.97 is 2997/100, and 29.97002997 is 30000/1001.

    The fraction of a denominator up to 1001 that is within 1e-9 of it, else the number as its shortest decimal says.
    """
    written = Fraction(str(hz))
    simple = written.limit_denominator(_LARGEST_DENOMINATOR)
    return simple if abs(simple - written) <= _TOLERANCE * written else written


def tick_count(span_ns: int, rate: Fraction) -> int:
    """How many ticks 0, 1, ... are at `span_ns` >= 0 or before it, where `ticks_ns` puts them."""
    end = (span_ns + Fraction(1, 2)) * rate / NS_PER_S  # a tick up to here is rounded to span_ns at most
    tie_goes_up = end.denominator == 1 and span_ns % 2 == 1
    return int(end) + (0 if tie_goes_up else 1)


def ticks_ns(ticks: npt.NDArray[np.int64], rate: Fraction) -> npt.NDArray[np.int64]:
    """round(tick * 1e9 / rate), half to even, in integers; `ticks` int64 [T] of any sign.

    Raises
    ------
    ValueError
        The time of a tick does not fit into int64 ns.
    """
    period = NS_PER_S / rate
    whole, part, per = period.numerator // period.denominator, period.numerator % period.denominator, period.denominator
    largest = max(-int(ticks.min()), int(ticks.max())) if len(ticks) else 0
    if largest * period >= _INT64 - 1:
        raise ValueError(f"tick {largest} of {float(rate):g} Hz does not fit into int64 ns")
    # The whole nanoseconds of a period apart: int64 then holds the rest for all but rates of very many digits.
    wide = 2 * (largest + 1) * per >= _INT64
    parts = (ticks.astype(object) if wide else ticks) * part
    down = ticks * whole + np.asarray(parts // per, np.int64)
    rest = 2 * (parts % per)
    up = (rest > per) | ((rest == per) & (down % 2 == 1))
    return np.asarray(down + up, np.int64)
