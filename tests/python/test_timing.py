"""Rate, jitter, gaps and drops of stamp arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from robocache.timing import Timing, measure

MS = 1_000_000


def ms(*stamps: float) -> np.ndarray:
    return np.array([round(s * MS) for s in stamps], np.int64)


@pytest.mark.parametrize(("episodes", "samples"), [([], 0), ([ms()], 0), ([ms(5)], 1), ([ms(5), ms(9)], 2)])
def test_too_few_samples_to_say(episodes, samples):
    assert measure(episodes) == Timing(samples)


def test_a_steady_stream():
    timing = measure([ms(0, 10, 20, 30, 40)])
    assert timing == Timing(5, 100.0, 10.0, 0.0, 0.0, 10.0, 0)


def test_drops_and_gaps():
    timing = measure([ms(0, 10, 20, 50, 60, 80, 90, 100)])
    assert timing.drops == 3
    assert timing.largest_gap_ms == 30
    assert timing.period_ms == 10
    assert timing.rate_hz == pytest.approx(7 / 0.1)


def test_episodes_are_not_joined():
    timing = measure([ms(0, 10, 20), ms(1000, 1010)])
    assert (timing.samples, timing.drops, timing.largest_gap_ms) == (5, 0, 10)
    assert timing.rate_hz == pytest.approx(100)


def test_events_have_no_steady_rate():
    timing = measure([ms(0, 3, 50, 51, 400, 900, 903)])
    assert timing.drops is None
    assert timing.largest_gap_ms == 500


def test_all_stamps_equal():
    assert measure([ms(7, 7, 7)]) == Timing(3, None, 0.0, 0.0, 0.0, 0.0, None)


def test_stamps_that_only_decrease_have_no_gap():
    assert measure([np.array([2, 1, 0])]).largest_gap_ms is None
    assert measure([ms(5, 9, 3)]).largest_gap_ms == 4


@given(st.lists(st.integers(0, 10**10), min_size=2, max_size=50), st.integers(0, 2 * 10**18))
def test_percentiles_are_numpy_s_and_epoch_stamps_lose_nothing(steps, start):
    stamps = start + np.concatenate(([0], np.cumsum(steps)))
    timing = measure([stamps])
    off = np.abs(np.array(steps) - np.median(steps)) / MS
    assert timing.samples == len(steps) + 1
    assert timing.largest_gap_ms == pytest.approx(max(steps) / MS)
    assert timing.jitter_p50_ms == pytest.approx(np.percentile(off, 50))
    assert timing.jitter_p99_ms == pytest.approx(np.percentile(off, 99))
    if sum(steps):
        assert timing.rate_hz == pytest.approx(len(steps) * 1e9 / sum(steps))
