"""rc.grid: targets over the union of the streams, k-th at start + round(k * 10^9 / hz), end included."""

from __future__ import annotations

import array
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, dtype_name, numbers
from hypothesis import given, settings
from hypothesis import strategies as st

START = 1_700_000_000_000_000_123
# Rates that no short decimal is, and what they stand for.
NOT_DECIMAL = {
    1 / 0.03: Fraction(100, 3),
    100 / 3: Fraction(100, 3),
    30000 / 1001: Fraction(30000, 1001),
    0.1 + 0.2: Fraction(3, 10),
}


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
    hz=st.one_of(st.integers(1, 2000), st.sampled_from([29.97, 59.94, 23.976, 0.1, 0.3, 1024, *NOT_DECIMAL])),
    duration=st.integers(0, 3_000_000_000),
    start=st.sampled_from([0, -5, START]),
)
def test_every_target_is_rounded_from_the_start(hz: float, duration: int, start: int) -> None:
    """No error accumulates: 30 Hz for a day stays within half a nanosecond."""
    got = rc.grid([rc.Stream(np.zeros((2, 1), np.float32), np.array([start, start + duration]))], hz=hz)
    period = 10**9 / NOT_DECIMAL.get(hz, Fraction(str(hz)))
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


@pytest.mark.parametrize("hz", [*NOT_DECIMAL, 29.970029123456787, 1e-5, Fraction(30000, 1001)])
def test_every_rate_gives_a_grid(home: Home, hz: float) -> None:
    """An hour: products of stamps and such rates leave int64."""
    hour = 3_600 * 10**9
    got = numbers(rc.grid([stream(home, [START, START + hour])], hz=hz))
    rate = NOT_DECIMAL.get(hz, Fraction(str(hz)))
    assert len(got) == hour * rate // 10**9 + 1
    for k in (0, 1, len(got) // 2, len(got) - 1):
        if k < len(got):
            assert got[k] == START + round(k * 10**9 / rate)


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


def test_a_stream_alone_is_a_list_of_one() -> None:
    alone = rc.Stream(np.zeros((2, 1), np.float32), np.array([0, 30]))
    np.testing.assert_array_equal(rc.grid(alone, hz=1e8), [0, 10, 20, 30])


def test_any_dlpack_array_and_any_buffer_are_stamps() -> None:
    values = np.zeros((3, 1), np.float32)
    for stamps in (array.array("q", [0, 10, 30]), memoryview(array.array("q", [0, 10, 30])), OnlyDLPack([0, 10, 30])):
        got = rc.grid(rc.Stream(values, stamps), hz=1e8)
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, [0, 10, 20, 30])


class OnlyDLPack:
    """An array of a library that nobody has heard of."""

    def __init__(self, numbers: list[int]) -> None:
        self._numbers = np.array(numbers)

    def __dlpack__(self, **options: Any) -> Any:
        return self._numbers.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._numbers.__dlpack_device__()


def of(stamps: Any, **options: Any) -> rc.Stream:
    return rc.Stream(np.zeros((2, 1), np.float32), stamps, **options)


@pytest.mark.parametrize(
    ("streams", "hz", "says"),
    [
        (5, 50, "streams is int, expected robocache.Stream or a list of them"),
        ([of(np.arange(2)), "imu"], 50, "streams[1] is str, expected robocache.Stream"),
        (of([0, 1]), 50, "streams[0].stamps is list, expected an array"),
        (of(np.array(3)), 50, "streams[0].stamps has 0 axes, expected [S] or [B, S]"),
        (of(np.arange(2, dtype=np.int32)), 50, "streams[0].stamps is int32, expected int64 ns, float64 s or float32 s"),
        (of(np.array([0, np.nan])), 50, "streams[0].stamps go from nan to nan, expected finite times"),
        (of(np.array([0, np.inf]), name="imu"), 50, "streams['imu'].stamps go from 0.0 to inf, expected finite times"),
        (of(np.arange(2)), "10", "hz is '10', expected a number"),
        (of(np.arange(2)), None, "hz is None, expected a number"),
        (of(np.arange(2)), True, "hz is True, expected a number"),
    ],
)  # fmt: skip
def test_messages(streams: Any, hz: Any, says: str) -> None:
    with pytest.raises(rc.InvalidArgument) as raised:
        rc.grid(streams, hz=hz)
    assert str(raised.value) == f"grid: {says}"


@pytest.mark.parametrize(("end", "hz"), [(10**18, 1e9), (10**9, 1e300), (1e9, 1e30)])
def test_more_targets_than_memory(end: float, hz: float) -> None:
    with pytest.raises(rc.OutOfMemory, match=r"hz is 1e.*|hz is 1000000000.0, which gives 1\.000e\+18 targets"):
        rc.grid(of(np.array([0, end])), hz=hz)
