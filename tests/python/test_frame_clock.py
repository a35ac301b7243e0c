"""Exact stamps of data with one rate."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from robocache.formats.frame_clock import derive_stamps


def test_float32_stamps_of_a_long_episode_still_count_as_frames():
    frames = np.arange(30 * 3600 * 8)  # eight hours: float32 resolves 2 ms at the end
    clock = derive_stamps((frames / 30).astype(np.float32), frames, Fraction(30), len(frames))
    assert clock.faults == ()
    assert clock.stamps_ns[-1] == round(Fraction(int(frames[-1]) * 10**9, 30))


def test_epoch_stamps_in_float64_keep_what_they_have():
    clock = derive_stamps(np.array([1432235498.25, 1432235498.5]), None, None, 2)
    assert clock.stamps_ns.tolist() == [1432235498250000000, 1432235498500000000]


def test_frame_numbers_beyond_int64_ns_are_refused():
    with pytest.raises(ValueError, match=r"tick 1152921504606846976 of 30 Hz does not fit into int64 ns"):
        derive_stamps(None, np.array([0, 2**60]), Fraction(30), 2)
