"""Measured timing of a stream: rate, jitter, gaps and drops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Above this share of the median interval, half of all intervals are so far off that the stream has no steady rate
# (events, say), and a long interval is no evidence of a lost sample.
STEADY_JITTER = 0.25


@dataclass(frozen=True)
class Timing:
    """Timing of one stream, over one or many episodes. None where there are too few samples to say.

    Attributes
    ----------
    samples : int
    rate_hz : float or None
        Intervals over the time that they cover, so drops lower it.
    period_ms : float or None
        Median interval.
    jitter_p50_ms, jitter_p99_ms : float or None
        Percentiles of the distance of an interval from the median one.
    largest_gap_ms : float or None
        Longest interval; None where every stamp is before the last one.
    drops : int or None
        Samples missing from long intervals, sum of round(interval / period) - 1; None without a steady rate.
    """

    samples: int
    rate_hz: float | None = None
    period_ms: float | None = None
    jitter_p50_ms: float | None = None
    jitter_p99_ms: float | None = None
    largest_gap_ms: float | None = None
    drops: int | None = None


def measure(episodes: Iterable[npt.NDArray[np.int64]]) -> Timing:
    """Measures a stream from its stamps, int64 ns [S], one array an episode; no interval spans two episodes."""
    stamps = [np.asarray(s, np.int64) for s in episodes]
    samples = sum(len(s) for s in stamps)
    intervals = np.concatenate([np.diff(s) for s in stamps]) if stamps else np.empty(0, np.int64)
    if len(intervals) == 0:
        return Timing(samples)

    covered_ns = int(intervals.sum())
    largest = int(intervals.max())
    period = float(np.median(intervals))
    p50, p99 = np.percentile(np.abs(intervals - period), (50, 99))
    drops = None
    if period > 0 and p50 <= STEADY_JITTER * period:
        drops = int(np.maximum(np.rint(intervals / period) - 1, 0).sum())
    return Timing(
        samples=samples,
        rate_hz=len(intervals) / (covered_ns * 1e-9) if covered_ns > 0 else None,
        period_ms=period * 1e-6,
        jitter_p50_ms=float(p50) * 1e-6,
        jitter_p99_ms=float(p99) * 1e-6,
        largest_gap_ms=largest * 1e-6 if largest >= 0 else None,
        drops=drops,
    )
