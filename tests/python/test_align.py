"""The alignment contract, row by row (DESIGN §3), on each device. Most of it is data: tests/cases/align.json."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, INTEGERS, Home, dtype_name, numbers
from calls import check, rows
from reference.align_answer import INT64_MAX
from reference.align_cases import Case

NS = 1_000_000_000


@rows("interval")
def test_interval(home: Home, case: Case) -> None:
    check(home, case)


@rows("outside")
def test_outside(home: Home, case: Case) -> None:
    check(home, case)


@rows("valid")
def test_valid(home: Home, case: Case) -> None:
    check(home, case)


@rows("age_ns")
def test_age_ns(home: Home, case: Case) -> None:
    check(home, case)


@rows("max_gap_ns")
def test_max_gap_ns(home: Home, case: Case) -> None:
    check(home, case)


@rows("max_age_ns")
def test_max_age_ns(home: Home, case: Case) -> None:
    check(home, case)


@rows("duplicates")
def test_duplicates(home: Home, case: Case) -> None:
    check(home, case)


@rows("unsorted")
def test_unsorted_and_nan_stamps(home: Home, case: Case) -> None:
    check(home, case)


@rows("empty")
def test_empty(home: Home, case: Case) -> None:
    check(home, case)


@rows("one_sample")
def test_one_sample(home: Home, case: Case) -> None:
    check(home, case)


@rows("ragged")
def test_ragged(home: Home, case: Case) -> None:
    check(home, case)


@rows("dtypes")
def test_dtypes_in_one_call(home: Home, case: Case) -> None:
    check(home, case)


@rows("clock_skew")
def test_clock_skew(home: Home, case: Case) -> None:
    check(home, case)


@rows("times")
def test_times(home: Home, case: Case) -> None:
    check(home, case)


@rows("outputs")
def test_outputs(home: Home, case: Case) -> None:
    check(home, case)


@rows("generated")
def test_generated(home: Home, case: Case) -> None:
    check(home, case)


def two_streams(home: Home, first: str, second: str, **options: object) -> rc.AlignResult:
    stamps = home.times([0, 10])
    streams = [rc.Stream(home.array([[0, 1], [1, 0]], dtype), stamps) for dtype in (first, second)]
    return rc.align(streams, home.times([0, 10]), **options)


def test_mixed_dtypes_have_no_values_but_split_keeps_each(home: Home) -> None:
    result = two_streams(home, "float32", "int16")
    with pytest.raises(ValueError, match=r"(?s)float32.*int16.*dtype=.*split") as raised:
        _ = result.values
    assert isinstance(raised.value, rc.InvalidArgument)
    first, second = result.split()
    assert (dtype_name(first), dtype_name(second)) == ("float32", "int16")
    np.testing.assert_array_equal(numbers(second), [[0, 1], [1, 0]])


def test_one_dtype_gives_joined_values(home: Home) -> None:
    result = two_streams(home, "int16", "int16")
    assert dtype_name(result.values) == "int16"
    np.testing.assert_array_equal(numbers(result.values), [[0, 1, 0, 1], [1, 0, 1, 0]])


@pytest.mark.parametrize("dtype", FLOATS)
def test_dtype_may_be_any_float(home: Home, dtype: str) -> None:
    home.array([0], dtype)  # skips where the library lacks it
    values = two_streams(home, "float32", "uint8", dtype=dtype).values
    assert dtype_name(values) == dtype
    np.testing.assert_array_equal(numbers(values), [[0, 1, 0, 1], [1, 0, 1, 0]])


def test_dtype_may_be_a_dtype_object(home: Home) -> None:
    kind = home.array([0], "float16").dtype
    assert dtype_name(two_streams(home, "float32", "int32", dtype=kind).values) == "float16"
    if home.library == "numpy":
        assert dtype_name(two_streams(home, "float32", "int32", dtype=np.float64).values) == "float64"


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_held_unless_asked_otherwise(home: Home, dtype: str) -> None:
    values = home.array([[0], [1]], dtype)
    stamps, at = home.times([0, 10]), home.times([9])
    assert numbers(rc.resample(values, stamps, at)).item() == 0
    assert numbers(rc.resample(values, stamps, at, interp="nearest")).item() == 1
    with pytest.raises(NotImplementedError, match=f"linear.*{dtype}"):
        rc.resample(values, stamps, at, interp="linear")
    assert numbers(rc.resample(home.array([[0], [10]], "float32"), stamps, at)).item() == 9


def test_stamps_and_targets_are_never_mixed_silently(home: Home) -> None:
    values = home.array([[0], [1]])
    with pytest.raises(ValueError, match=r"stamps.*float64.*int64"):
        rc.resample(values, home.times([0, 1], "float64"), home.times([0]))
    with pytest.raises(ValueError, match=r"stamps.*int64.*float32"):
        rc.resample(values, home.times([0, 1]), home.times([0], "float32"))
    with pytest.raises(ValueError, match=r"at.*int32"):
        rc.resample(values, home.times([0, 1]), home.times([0], "int32"))


def test_unsorted_check_modes(device: Home) -> None:
    """auto: CPU at once, CUDA by check() or in the next call; now: at once; off: never."""
    values, at = device.array([[0], [1]]), device.times([5])
    bad = rc.Stream(values, device.times([10, 0]))
    good = rc.Stream(values, device.times([0, 10]))
    rc.align([bad], at, check="off").check()
    with pytest.raises(ValueError, match="stamps"):
        rc.align([bad], at, check="now")
    rc.align([good], at).check()
    if device.device == "cpu":
        with pytest.raises(ValueError, match="stamps"):
            rc.align([bad], at)
        return
    import torch

    result = rc.align([bad], at)
    with pytest.raises(ValueError, match="stamps"):
        result.check()
    result.check()  # told once
    unheard = rc.align([bad], at)
    torch.cuda.synchronize()
    with pytest.raises(ValueError, match="stamps"):
        rc.align([good], at)
    unheard.check()
    rc.align([good], at).check()


def test_padding_is_never_looked_at(home: Home) -> None:
    """Unsorted and NaN padding is no fault."""
    values = home.array(np.array([[[0], [10], [np.nan]]]))
    stamps = home.array(np.array([[0.0, 1.0, np.nan]]), "float64")
    result = rc.align([rc.Stream(values, stamps, lengths=home.times([2]))], home.times([[0.5]], "float64"), check="now")
    assert numbers(result.values).item() == 5


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_lengths_and_offsets_may_be_int32_or_int64(home: Home, index: str) -> None:
    stamps, at = home.times([[0, 10], [0, 10]]), home.times([5])
    values = home.array(np.array([[[0], [10]], [[0], [20]]]))
    got = rc.resample(values, stamps, at, lengths=home.array([2, 2], index))
    np.testing.assert_array_equal(numbers(got).ravel(), [5, 10])
    got = rc.resample(home.array([[0], [10], [7]]), home.times([0, 10, 0]), at, offsets=home.array([0, 2, 3], index))
    np.testing.assert_array_equal(numbers(got).ravel(), [5, 7])


@pytest.mark.parametrize("time", ["int64", "float64"])
def test_epoch_stamps_at_1_khz_interpolate_to_a_microsecond(device: Home, time: str) -> None:
    """The signal is time itself: its error is the error in time."""
    ns = 1_700_000_000 * NS + np.arange(0, NS, NS // 1000)
    targets = 1_700_000_000 * NS + np.random.default_rng(5).integers(0, NS - NS // 1000, 500)
    values = (ns - ns[0])[:, None] / 1e9
    if time == "int64":
        stamps, at = ns, targets
    else:
        stamps, at = ns / 1e9, targets / 1e9
    got = rc.resample(device.array(values, "float64"), device.times(stamps, time), device.times(at, time))
    assert np.abs(numbers(got)[:, 0] - (targets - ns[0]) / 1e9).max() < 1e-6


def test_frameworks_the_first_stream_makes_the_outputs() -> None:
    torch = pytest.importorskip("torch")
    a = rc.Stream(np.zeros((2, 1), np.float32), np.array([0, 10]))
    b = rc.Stream(torch.ones(2, 1), torch.tensor([0, 10]))
    assert isinstance(rc.align([a, b], np.array([5])).values, np.ndarray)
    both = rc.align([b, a], np.array([5]))
    assert all(isinstance(x, torch.Tensor) for x in (both.values, both.valid, both.age_ns, *both.split()))
    np.testing.assert_array_equal(both.values.numpy(), [[1, 0]])


def test_frameworks_all_devices_must_match(cuda: Home) -> None:
    here = Home("numpy", "cpu")
    for values, stamps, at in [(cuda, here, cuda), (here, cuda, here), (cuda, cuda, here)]:
        with pytest.raises(ValueError, match=r"cuda:0.*cpu|cpu.*cuda:0"):
            rc.resample(values.array([[0], [1]]), stamps.times([0, 1]), at.times([0]))


def test_gradients_are_refused_not_dropped() -> None:
    torch = pytest.importorskip("torch")
    values = torch.zeros(2, 1, requires_grad=True)
    stamps, at = torch.tensor([0, 10]), torch.tensor([5])
    with pytest.raises(NotImplementedError, match=r"values.*grad.*detach"):
        rc.resample(values, stamps, at)
    with torch.no_grad():
        assert rc.resample(values, stamps, at).item() == 0
    assert rc.resample(values.detach(), stamps, at).item() == 0


@pytest.mark.parametrize("interp", ["hold", "nearest", "linear"])
def test_without_a_batch_axis(home: Home, interp: str) -> None:
    stamps, at = home.times([0, 10, 20]), home.times([0, 5, 20, 30])
    wide = rc.resample(home.array([[0, 1], [10, 2], [20, 3]]), stamps, at, interp=interp)
    flat = rc.resample(home.array([0, 10, 20]), stamps, at, interp=interp)
    batched = rc.resample(home.array([[[0], [10], [20]]]), home.times([[0, 10, 20]]), at, interp=interp)
    assert tuple(wide.shape) == (4, 2)
    assert tuple(flat.shape) == (4,)
    assert tuple(batched.shape) == (1, 4, 1)
    np.testing.assert_array_equal(numbers(wide)[:, 0], numbers(flat))
    np.testing.assert_array_equal(numbers(batched)[0, :, 0], numbers(flat))
    result = rc.align([rc.Stream(home.array([0, 10, 20]), stamps, interp=interp)], at)
    assert tuple(result.values.shape) == (4, 1)
    assert tuple(result.valid.shape) == tuple(result.age_ns.shape) == (4, 1)
    np.testing.assert_array_equal(numbers(result.values)[:, 0], numbers(flat))


def test_a_stream_without_a_batch_axis_is_shared_by_the_batch(home: Home) -> None:
    batched = rc.Stream(home.array(np.array([[[0], [10]], [[0], [20]]])), home.times([0, 10]))
    shared = rc.Stream(home.array([[0, 5], [10, 5]]), home.times([0, 10]))
    result = rc.align([batched, shared], home.times([[5], [10]]))
    np.testing.assert_array_equal(numbers(result.values), [[[5, 5, 5]], [[20, 10, 5]]])


def test_rows_without_samples_have_the_age_of_forever(device: Home) -> None:
    stream = rc.Stream(device.empty((2, 0, 3)), device.empty((2, 0), "int64"))
    result = rc.align([stream], device.times([1]))
    assert np.isnan(numbers(result.values)).all()
    assert (numbers(result.age_ns) == INT64_MAX).all()
    assert not numbers(result.valid).any()


def test_targets_are_not_taken_for_sorted_around_a_nan(device: Home) -> None:
    stamps = device.times(np.arange(20.0), "float64")
    at = [15.5, np.nan, 3.5, np.nan, 0.5]
    values = device.array(np.arange(20.0)[:, None])
    got = numbers(rc.resample(values, stamps, device.times(at, "float64"), interp="hold"))
    np.testing.assert_array_equal(got[:, 0], np.floor(at))


def test_streams_can_be_pickled() -> None:
    values, stamps = np.arange(14.0).reshape(2, 7), np.array([0, 10])
    options: dict[str, Any] = {
        "interp": [("linear", 3), ("slerp", 4)], "outside": (2.5, "extrapolate"), "max_gap_ns": 11, "max_age_ns": 12,
        "offset_ns": -3, "lengths": None, "offsets": None, "mask": np.array([True, True]), "missing": "hold",
        "quaternion": "wxyz", "name": "arm",
    }  # fmt: skip
    stream = pickle.loads(pickle.dumps(rc.Stream(values, stamps, **options)))
    np.testing.assert_array_equal(stream.values, values)
    np.testing.assert_array_equal(stream.stamps, stamps)
    np.testing.assert_array_equal(stream.mask, options.pop("mask"))
    assert {name: getattr(stream, name) for name in options} == options


class NamedStream(rc.Stream):
    pass


def test_subclasses_of_stream_keep_what_is_theirs() -> None:
    stream = NamedStream(np.zeros((2, 7)), np.array([0, 10]))
    stream.where = "left"  # type: ignore[attr-defined]
    got = copy.copy(stream)
    assert isinstance(got, NamedStream)
    assert got.where == "left"  # type: ignore[attr-defined]
