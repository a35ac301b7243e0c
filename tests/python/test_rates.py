"""Exact rates and the instants of their ticks, against Python's fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from robocache.rates import exact_rate, tick_count, ticks_ns

RATES = st.one_of(
    st.integers(1, 1000),
    st.floats(0.1, 1000),
    st.sampled_from([29.97, 59.94, 30000 / 1001, 23.976, 1 / 0.03, 100 / 3, 0.1 + 0.2, 29.970029, 4e8, 2e9]),
)


def test_a_rate_is_what_was_meant():
    assert exact_rate(29.97) == exact_rate(np.float32(29.97)) == Fraction(2997, 100)
    assert exact_rate(30000 / 1001) == exact_rate(29.97002997) == Fraction(30000, 1001)
    assert exact_rate(1 / 0.03) == Fraction(100, 3)
    assert exact_rate(0.1 + 0.2) == Fraction(3, 10)
    assert exact_rate(12.5) == Fraction(25, 2)
    assert exact_rate(60) == exact_rate(Fraction(60)) == 60
    assert exact_rate(1e-5) == Fraction(1, 10**5)
    assert exact_rate(29.970029) == Fraction(29970029, 10**6)


@given(RATES, st.lists(st.integers(-(10**6), 10**9), min_size=1, max_size=20))
def test_ticks_are_exact(hz, ticks):
    rate = exact_rate(hz)
    assert abs(rate - Fraction(hz)) <= Fraction(hz) / 10**9
    expected = [round(k * 10**9 / rate) for k in ticks]
    if max(map(abs, expected)) < 2**63 - 1:
        got = ticks_ns(np.array(ticks), rate)
        assert got.dtype == np.int64
        assert got.tolist() == expected


def test_ticks_round_half_to_even():
    assert ticks_ns(np.arange(-3, 4), Fraction(2 * 10**9)).tolist() == [-2, -1, 0, 0, 0, 1, 2]


def test_ticks_of_a_rate_of_many_digits_leave_int64():
    rate = exact_rate(29.970029123456787)
    assert rate.denominator > 10**12
    k = 123_456_789
    assert ticks_ns(np.array([k, -k]), rate).tolist() == [round(k * 10**9 / rate), -round(k * 10**9 / rate)]


@pytest.mark.parametrize("tick", [2**60, -(2**60)])
def test_ticks_beyond_int64_ns_are_refused(tick):
    with pytest.raises(ValueError, match="does not fit into int64 ns"):
        ticks_ns(np.array([0, tick]), Fraction(30))


@given(RATES, st.integers(0, 5000))
def test_the_count_is_of_the_ticks_up_to_the_end(hz, ticks):
    rate = exact_rate(hz)
    near = round(ticks * 10**9 / rate)
    for span in (max(near - 1, 0), near, near + 1):
        count = tick_count(span, rate)
        assert round((count - 1) * 10**9 / rate) <= span < round(count * 10**9 / rate)
