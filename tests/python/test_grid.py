"""rc.grid: targets over the union of the streams, k-th at start + round(k * 10^9 / hz), end included."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import robocache as rc
from arrays import Home, dtype_name, numbers
from hypothesis import given, settings
from hypothesis import strategies as st

START = 1_700_000_000_000_000_123


def stream(home: Home, stamps: object, **options: object) -> rc.Stream:
    stamps = np.asarray(stamps)
    return rc.Stream(home.empty((*stamps.shape, 1)), home.times(stamps, str(stamps.dtype)), **options)


def test_union_start_and_end_included(home: Home) -> None:
    got = rc.grid([stream(home, [START + 40, START + 10**8]), stream(home, [START, START + 50])], hz=50)
    assert home.owns(got)
    assert dtype_name(got) == "int64"
    np.testing.assert_array_equal(numbers(got), START + np.arange(6) * 20_000_000)


def test_the_end_is_not_passed(home: Home) -> None:
    np.testing.assert_array_equal(numbers(rc.grid([stream(home, [0, 10**8 - 1])], hz=50)), np.arange(5) * 20_000_000)
    np.testing.assert_array_equal(numbers(rc.grid([stream(home, [7])], hz=50)), [7])


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(
    hz=st.one_of(st.integers(1, 2000), st.sampled_from([29.97, 59.94, 23.976, 0.1, 0.3, 1024])),
    duration=st.integers(0, 3_000_000_000),
    start=st.sampled_from([0, -5, START]),
)
def test_every_target_is_rounded_from_the_start(hz: float, duration: int, start: int) -> None:
    """No error accumulates: 30 Hz for a day stays within half a nanosecond."""
    got = rc.grid([rc.Stream(np.zeros((2, 1), np.float32), np.array([start, start + duration]))], hz=hz)
    period = Fraction(10**9) / Fraction(str(hz))
    want = [start + round(k * period) for k in range(int(duration / period) + 2)]
    np.testing.assert_array_equal(got, [t for t in want if t <= start + duration])


def test_a_long_recording_does_not_drift() -> None:
    day = 86_400 * 10**9
    got = rc.grid([rc.Stream(np.zeros((2, 1), np.float32), np.array([START, START + day]))], hz=30)
    assert len(got) == 86_400 * 30 + 1
    assert got[-1] == START + day
    assert abs(int(got[1_000_001]) - START - Fraction(1_000_001 * 10**9, 30)) <= Fraction(1, 2)


def test_clock_skew_and_padding_count(home: Home) -> None:
    padded = stream(home, [[0, 100, -999], [50, 9999, 9999]], lengths=home.times([2, 1]), offset_ns=7)
    np.testing.assert_array_equal(numbers(rc.grid([padded], hz=1e8)), 7 + np.arange(0, 101, 10))
    packed = rc.Stream(home.empty((4, 1)), home.times([0, 30, 10, 20]), offsets=home.times([0, 2, 4]))
    np.testing.assert_array_equal(numbers(rc.grid([packed], hz=1e8)), [0, 10, 20, 30])


def test_a_batch_is_covered_whole(home: Home) -> None:
    np.testing.assert_array_equal(numbers(rc.grid([stream(home, [[0, 30], [10, 60]])], hz=1e8)), np.arange(0, 61, 10))


def test_streams_without_samples_do_not_count(home: Home) -> None:
    empty = stream(home, np.zeros(0, np.int64))
    np.testing.assert_array_equal(numbers(rc.grid([empty, stream(home, [5, 25])], hz=1e8)), [5, 15, 25])
    assert numbers(rc.grid([empty], hz=50)).shape == (0,)


@pytest.mark.parametrize("time", ["float64", "float32"])
def test_seconds_stay_seconds(home: Home, time: str) -> None:
    got = rc.grid([stream(home, np.array([1.5, 2.5], time))], hz=4)
    assert dtype_name(got) == time
    np.testing.assert_array_equal(numbers(got), [1.5, 1.75, 2, 2.25, 2.5])


def test_seconds_include_their_end() -> None:
    """0.1 has no exact double: 1.0 s at 10 Hz are 11 targets all the same."""
    for end, hz in [(1.0, 10), (0.3, 10), (0.7, 10), (1.7e9 + 1.0, 10)]:
        start = 1.7e9 if end > 1e9 else 0.0
        got = rc.grid([rc.Stream(np.zeros((2, 1), np.float32), np.array([start, end]))], hz=hz)
        assert len(got) == round((end - start) * hz) + 1


def test_the_grid_is_a_target_list(device: Home) -> None:
    streams = [stream(device, [0, 10**9])]
    assert numbers(rc.align(streams, rc.grid(streams, hz=50), check="now").valid).all()


@pytest.mark.parametrize("hz", [0, -1, float("nan"), float("inf")])
def test_rate_must_be_positive(hz: float) -> None:
    with pytest.raises(ValueError, match=r"hz is .*expected a positive"):
        rc.grid([rc.Stream(np.zeros((1, 1), np.float32), np.array([0]))], hz=hz)


def test_streams_must_be_there_and_share_a_time() -> None:
    with pytest.raises(ValueError, match="streams is empty"):
        rc.grid([], hz=50)
    ns, s = (rc.Stream(np.zeros((1, 1), np.float32), np.array([0], t)) for t in ("int64", "float64"))
    with pytest.raises(ValueError, match=r"float64.*int64|int64.*float64"):
        rc.grid([ns, s], hz=50)
