"""Exact stamps of data with one rate."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robocache.formats.frame_clock import derive_stamps, exact_fps, frame_stamps_ns


@given(
    st.lists(st.integers(-(10**6), 10**9), min_size=1, max_size=20),
    st.one_of(st.integers(1, 1000), st.floats(0.1, 1000), st.sampled_from([29.97, 59.94, 30000 / 1001, 23.976])),
)
def test_frame_stamps_are_exact(frames, fps):
    rate = exact_fps(float(fps))
    assert abs(float(rate) - fps) <= 1e-9 * fps
    expected = [round(Fraction(k) * 10**9 / rate) for k in frames]
    if max(map(abs, expected)) < 2**63:
        assert frame_stamps_ns(np.array(frames), rate).tolist() == expected


def test_exact_fps_is_the_rate_that_was_meant():
    assert exact_fps(29.97) == Fraction(2997, 100)
    assert exact_fps(30000 / 1001) == Fraction(30000, 1001)
    assert exact_fps(12.5) == Fraction(25, 2)


def test_float32_stamps_of_a_long_episode_still_count_as_frames():
    frames = np.arange(30 * 3600 * 8)  # eight hours: float32 resolves 2 ms at the end
    clock = derive_stamps((frames / 30).astype(np.float32), frames, Fraction(30), len(frames))
    assert clock.faults == ()
    assert clock.stamps_ns[-1] == round(Fraction(int(frames[-1]) * 10**9, 30))


def test_epoch_stamps_in_float64_keep_what_they_have():
    clock = derive_stamps(np.array([1432235498.25, 1432235498.5]), None, None, 2)
    assert clock.stamps_ns.tolist() == [1432235498250000000, 1432235498500000000]
