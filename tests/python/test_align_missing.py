"""Missing samples: NaN and masks under each policy, on each device. Random calls are in test_align_properties.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, bits, exact_dtype, numbers
from calls import check, rows
from random_calls import MODES
from reference.align_answer import INT64_MAX
from reference.align_cases import Case

POLICIES = ("propagate", "skip", "hold")
LIMITS: dict[str, Any] = {"max_gap_ns": 60, "max_age_ns": 25, "outside": ("extrapolate", "nan")}


@rows("missing")
def test_table(home: Home, case: Case) -> None:
    check(home, case)


def outputs(result: rc.AlignResult) -> list[np.ndarray]:
    return [bits(numbers(a)) for a in (*result.split(), result.valid, result.age_ns)]


def assert_same(first: rc.AlignResult, second: rc.AlignResult) -> None:
    for a, b in zip(outputs(first), outputs(second), strict=True):
        np.testing.assert_array_equal(a, b)


def random_log(rng: np.random.Generator, S: int, D: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and stamps with duplicates."""
    return rng.normal(size=(S, D)), np.cumsum(rng.integers(0, 12, S))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_mask_that_leaves_nothing_out_changes_nothing(device: Home, mode: str, policy: str) -> None:
    rng = np.random.default_rng(1)
    values, stamps = random_log(rng, 150, 28)
    at = device.times(rng.integers(-50, 950, 200))
    sent = (device.array(values, "float64"), device.times(stamps))
    plain = rc.align([rc.Stream(*sent, interp=mode, **LIMITS)], at)
    masked = rc.Stream(*sent, interp=mode, mask=device.array(np.ones(150), "bool"), missing=policy, **LIMITS)
    assert_same(rc.align([masked], at), plain)
    assert_same(rc.align([rc.Stream(*sent, interp=mode, missing=policy, **LIMITS)], at), plain)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("share", [0.2, 0.9, 0.995])
def test_skip_is_a_log_without_the_masked_samples(device: Home, mode: str, share: float) -> None:
    """Bit for bit; the log is long, and so are the stretches where nothing is there."""
    dtype = exact_dtype(device)
    rng = np.random.default_rng(2)
    values, stamps = random_log(rng, 1500, 28)
    there = rng.random(1500) >= share
    at = device.times(np.sort(rng.integers(-50, stamps[-1] + 50, 300)))
    options: dict[str, Any] = {"interp": mode, "max_gap_ns": 800, "max_age_ns": 300, "outside": ("extrapolate", "hold")}
    masked = rc.Stream(
        device.array(values, dtype), device.times(stamps), mask=device.array(there, "bool"), missing="skip", **options
    )
    without = rc.Stream(device.array(values[there], dtype), device.times(stamps[there]), **options)
    assert_same(rc.align([masked], at), rc.align([without], at))


@pytest.mark.parametrize("mode", MODES)
def test_hold_is_a_log_filled_forward(device: Home, mode: str) -> None:
    """Values are those of the filled log; validity too, where age is not limited."""
    dtype = exact_dtype(device)
    rng = np.random.default_rng(3)
    values, stamps = random_log(rng, 700, 28)
    there = rng.random(700) >= 0.6
    there[0] = True
    last = np.maximum.accumulate(np.where(there, np.arange(700), 0))
    at = device.times(rng.integers(-50, stamps[-1] + 50, 300))
    options: dict[str, Any] = {"interp": mode, "max_gap_ns": 8, "outside": ("extrapolate", "nan")}
    masked = rc.Stream(
        device.array(values, dtype), device.times(stamps), mask=device.array(there, "bool"), missing="hold", **options
    )
    filled = rc.Stream(device.array(values[last], dtype), device.times(stamps), **options)
    got, want = rc.align([masked], at), rc.align([filled], at)
    for a, b in zip(outputs(got)[:2], outputs(want)[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    taken = np.searchsorted(stamps[there], numbers(at), side="right") - 1
    age = numbers(at) - stamps[there][np.maximum(taken, 0)]
    np.testing.assert_array_equal(numbers(got.age_ns)[:, 0], age)


@pytest.mark.parametrize("mode", MODES)
def test_propagate_is_a_log_with_nan_in_it(device: Home, mode: str) -> None:
    """The same values; and not valid where the mask, rather than the data, says so."""
    dtype = exact_dtype(device)
    rng = np.random.default_rng(4)
    values, stamps = random_log(rng, 300, 28)
    there = rng.random(300) >= 0.2
    at = device.times(rng.integers(-20, stamps[-1] + 20, 300))
    options: dict[str, Any] = {"interp": mode, "outside": ("extrapolate", "hold")}
    masked = rc.Stream(device.array(values, dtype), device.times(stamps), mask=device.array(there, "bool"), **options)
    damaged = rc.Stream(device.array(np.where(there[:, None], values, np.nan), dtype), device.times(stamps), **options)
    got, want = rc.align([masked], at), rc.align([damaged], at)
    np.testing.assert_array_equal(outputs(got)[0], outputs(want)[0])
    np.testing.assert_array_equal(outputs(got)[2], outputs(want)[2])
    lost = np.isnan(numbers(want.values)).any(axis=1)
    assert 0 < lost.sum() < 300
    np.testing.assert_array_equal(numbers(got.valid)[:, 0], numbers(want.valid)[:, 0] & ~lost)


@pytest.mark.parametrize("T", [1, 63, 64, 65, 2000])
def test_nan_is_skipped_column_by_column(device: Home, T: int) -> None:
    """numpy.interp over what each column has."""
    rng = np.random.default_rng(T)
    S, D = 800, 33
    values, stamps = rng.normal(size=(S, D)), np.cumsum(rng.integers(1, 12, S))
    values[rng.random((S, D)) < rng.choice([0.01, 0.3, 0.95], D)] = np.nan
    values[[0, -1]] = 0.0
    at = np.sort(rng.integers(0, stamps[-1] + 1, T))
    at = np.maximum(at, stamps[0])
    stream = rc.Stream(device.array(values, "float64"), device.times(stamps), missing="skip")
    result = rc.align([stream], device.times(at), check="now")
    columns = [(~np.isnan(column), column) for column in values.T]
    exact = np.stack([np.interp(at, stamps[there], column[there]) for there, column in columns], axis=1)
    np.testing.assert_allclose(numbers(result.values), exact, rtol=0, atol=1e-13)
    assert numbers(result.valid).all()
    oldest = [at - stamps[there][np.searchsorted(stamps[there], at, side="right") - 1] for there, _ in columns]
    np.testing.assert_array_equal(numbers(result.age_ns)[:, 0], np.max(oldest, axis=0))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("policy", ["skip", "hold"])
def test_each_column_stands_alone(device: Home, dtype: str, policy: str) -> None:
    """A column of a wide stream has the bits of the same column by itself."""
    rng = np.random.default_rng(5)
    values = np.round(rng.normal(size=(2, 90, 19)) * 64) / 64
    values[rng.random(values.shape) < 0.3] = np.nan
    stamps, at = np.cumsum(rng.integers(0, 12, (2, 90)), axis=1), device.times(rng.integers(-20, 560, (2, 140)))
    mask = device.array(rng.random((2, 90)) < 0.8, "bool")
    for mode in ("hold", "nearest", "linear", "pchip", "angle"):
        options: dict[str, Any] = {"interp": mode, "mask": mask, "missing": policy, **LIMITS}
        wide = rc.align([rc.Stream(device.array(values, dtype), device.times(stamps), **options)], at)
        streams = [
            rc.Stream(device.array(values[..., d : d + 1], dtype), device.times(stamps), **options) for d in range(19)
        ]
        apart = rc.align(streams, at)
        np.testing.assert_array_equal(bits(numbers(wide.values)), bits(numbers(apart.values)))
        np.testing.assert_array_equal(numbers(wide.valid)[..., 0], numbers(apart.valid).all(axis=-1))
        np.testing.assert_array_equal(numbers(wide.age_ns)[..., 0], numbers(apart.age_ns).max(axis=-1))


@pytest.mark.parametrize("interp", ["slerp", "se3", "screw"])
def test_one_nan_makes_a_whole_pose_missing(device: Home, interp: str) -> None:
    dtype = exact_dtype(device)
    rng = np.random.default_rng(6)
    D = 4 if interp == "slerp" else 7
    values, stamps = rng.normal(size=(60, D)), np.arange(60) * 10
    lost = rng.choice(np.arange(1, 59), 20, replace=False)
    damaged = values.copy()
    damaged[lost, rng.integers(0, D, 20)] = np.nan
    kept = np.setdiff1d(np.arange(60), lost)
    at = device.times(np.sort(rng.integers(0, 591, 300)))
    got = rc.align([rc.Stream(device.array(damaged, dtype), device.times(stamps), interp=interp, missing="skip")], at)
    want = rc.align([rc.Stream(device.array(values[kept], dtype), device.times(stamps[kept]), interp=interp)], at)
    assert_same(got, want)


@pytest.mark.parametrize("policy", POLICIES)
def test_nan_alone_is_valid_and_a_mask_is_not(device: Home, policy: str) -> None:
    """Under propagate. Skip and hold find a value in both."""
    values, stamps, at = [[0.0], [np.nan], [2.0]], device.times([0, 10, 20]), device.times([5, 10, 15])
    nan = rc.Stream(device.array(values), stamps, missing=policy)
    mask = rc.Stream(
        device.array([[0.0], [1.0], [2.0]]), stamps, mask=device.array([True, False, True], "bool"), missing=policy
    )
    result = rc.align([nan, mask], at)
    valid = numbers(result.valid)
    assert valid[:, 0].all()
    assert (valid[:, 1] == (policy != "propagate")).all()
    assert np.isnan(numbers(result.values)).all() == (policy == "propagate")


def test_held_values_age(device: Home) -> None:
    """max_age_ns counts from the sample whose value is used, not from the one that is missing."""
    stamps, at = device.times([0, 10, 20, 30]), device.times([10, 14, 20, 25, 30, 40])
    values, mask = device.array([[1.0], [2.0], [3.0], [4.0]]), device.array([True, False, False, True], "bool")
    for mode, valid in {
        "hold": [True, True, False, False, True, True],
        "nearest": [True, True, False, False, True, False],
        "linear": [True, True, False, True, True, False],
    }.items():
        stream = rc.Stream(values, stamps, interp=mode, mask=mask, missing="hold", max_age_ns=15)
        result = rc.align([stream], at)
        np.testing.assert_array_equal(numbers(result.valid)[:, 0], valid, mode)
        np.testing.assert_array_equal(numbers(result.age_ns)[:, 0], [10, 14, 20, 25, 0, 10])


def test_skip_limits_count_between_samples_that_are_there(device: Home) -> None:
    stamps, at = device.times([0, 10, 20, 30]), device.times([5, 15, 20, 25])
    values, mask = device.array([[0.0], [0.0], [0.0], [3.0]]), device.array([True, False, False, True], "bool")
    for limits, valid in [({"max_gap_ns": 29}, [0, 0, 0, 0]), ({"max_gap_ns": 30}, [1, 1, 1, 1])]:
        result = rc.align([rc.Stream(values, stamps, mask=mask, missing="skip", **limits)], at)
        np.testing.assert_array_equal(numbers(result.values)[:, 0], [0.5, 1.5, 2, 2.5])
        np.testing.assert_array_equal(numbers(result.valid)[:, 0], valid)
    result = rc.align([rc.Stream(values, stamps, mask=mask, missing="skip", max_age_ns=9)], at)
    np.testing.assert_array_equal(numbers(result.valid)[:, 0], [1, 0, 0, 1])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dtype", ["int64", "int16", "uint8", "bool"])
def test_integers_with_a_mask(device: Home, dtype: str, policy: str) -> None:
    values, stamps = device.array([[1], [1], [1]], dtype), device.times([0, 10, 20])
    mask = device.array([False, True, False], "bool")
    stream = rc.Stream(values, stamps, mask=mask, missing=policy)
    result = rc.align([stream], device.times([0, 10, 25]))
    want = {"propagate": [0, 1, 0], "skip": [1, 1, 1], "hold": [0, 1, 1]}[policy]
    valid = {"propagate": [False, True, False], "skip": [False, True, True], "hold": [False, True, True]}[policy]
    np.testing.assert_array_equal(numbers(result.values)[:, 0], want)
    np.testing.assert_array_equal(numbers(result.valid)[:, 0], valid)


@pytest.mark.parametrize("policy", ["skip", "hold"])
def test_nothing_is_there(device: Home, policy: str) -> None:
    """One column of NaN spoils the row; the columns beside it have their values."""
    values = np.array([[0.0, np.nan], [10.0, np.nan]])
    result = rc.align([rc.Stream(device.array(values), device.times([0, 10]), missing=policy)], device.times([0, 5]))
    np.testing.assert_array_equal(numbers(result.values), [[0, np.nan], [5, np.nan]])
    assert not numbers(result.valid).any()
    assert (numbers(result.age_ns) == INT64_MAX).all()


def test_a_value_that_pchip_cannot_have_is_not_valid(device: Home) -> None:
    """Held values begin with the first sample that is there: what needs the one before has no value, and says so."""
    stream = rc.Stream(
        device.array([[np.nan], [1.0], [4.0], [9.0], [16.0]]),
        device.times([0, 10, 20, 30, 40]),
        interp="pchip",
        missing="hold",
    )
    result = rc.align([stream], device.times([5, 10, 15, 25]))
    np.testing.assert_array_equal(np.isnan(numbers(result.values))[:, 0], [True, False, True, False])
    np.testing.assert_array_equal(numbers(result.valid)[:, 0], [False, True, False, True])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("layout", ["batch", "shared", "packed", "lengths", "strided"])
def test_masks_of_every_shape(device: Home, layout: str, policy: str) -> None:
    """Each row of the batch is what it is by itself."""
    rng = np.random.default_rng(7)
    B, S = 3, 40
    values, stamps = rng.normal(size=(B, S, 5)), np.cumsum(rng.integers(0, 9, (B, S)), axis=1)
    mask = rng.random((B, S)) < 0.6
    n = np.array([S, 7, 0])
    if layout == "shared":
        mask = np.broadcast_to(mask[0], (B, S)).copy()
    options: dict[str, Any] = {"missing": policy, **LIMITS}
    lengths = np.full(B, S)
    at = rng.integers(-30, 200, (B, 50))
    sent: dict[str, Any] = {"mask": mask[0] if layout == "shared" else mask}
    arrays: tuple[np.ndarray, np.ndarray] = (values, stamps)
    if layout in ("packed", "lengths"):
        lengths = n
    if layout == "lengths":
        sent["lengths"] = device.times(n)
        mask[np.arange(S) >= n[:, None]] = rng.integers(0, 2)
    if layout == "packed":
        kept = np.arange(S) < n[:, None]
        arrays, sent = (values[kept], stamps[kept]), {"mask": mask[kept]}
        sent["offsets"] = device.times(np.concatenate([[0], np.cumsum(n)]))
    if layout == "strided":
        wide = device.array(np.repeat(mask, 3, axis=1), "bool")
        sent["mask"] = wide[:, ::3]
    else:
        sent["mask"] = device.array(sent["mask"], "bool")
    stream = rc.Stream(device.array(arrays[0]), device.times(arrays[1]), **sent, **options)
    result = rc.align([stream], device.times(at), check="now")
    for b in range(B):
        one = rc.Stream(
            device.array(values[b, : lengths[b]]),
            device.times(stamps[b, : lengths[b]]),
            mask=device.array(mask[b, : lengths[b]], "bool"),
            **options,
        )
        alone = rc.align([one], device.times(at[b]), check="now")
        np.testing.assert_array_equal(bits(numbers(result.values)[b]), bits(numbers(alone.values)))
        np.testing.assert_array_equal(numbers(result.valid)[b], numbers(alone.valid))
        np.testing.assert_array_equal(numbers(result.age_ns)[b], numbers(alone.age_ns))


@pytest.mark.parametrize("policy", ["skip", "hold"])
@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (2, 0, 2, 4), (2, 3, 0, 4), (2, 3, 2, 0)])
def test_empty(device: Home, policy: str, shape: tuple[int, int, int, int]) -> None:
    B, S, D, T = shape
    stream = rc.Stream(
        device.array(np.zeros((B, S, D))),
        device.times(np.arange(S)[None].repeat(B, 0)),
        mask=device.array(np.ones((B, S)), "bool"),
        missing=policy,
    )
    result = rc.align([stream], device.times(np.zeros((B, T))), check="now")
    assert tuple(result.values.shape) == (B, T, D)
    assert (numbers(result.valid) == (S > 0)).all()


def test_error_policy_under_skip_counts_samples_that_are_there(device: Home) -> None:
    values, stamps = device.array([[0.0], [1.0], [2.0]]), device.times([0, 10, 20])
    mask = device.array([False, True, True], "bool")
    stream = rc.Stream(values, stamps, mask=mask, missing="skip", outside="error")
    rc.align([stream], device.times([10, 20]), check="now")
    with pytest.raises(ValueError, match=r"at is outside.*row 0, target 1"):
        rc.align([stream], device.times([10, 5]), check="now")
    held = rc.Stream(values, stamps, mask=mask, missing="hold", outside="error")
    rc.align([held], device.times([10, 5]), check="now")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"mask": np.ones((2, 4), bool)}, r"mask is \[2, 4\], expected \[B=2, S=3\]"),
    ({"mask": np.ones((3, 3), bool)}, r"mask is \[3, 3\], expected \[B=2, S=3\]"),
    ({"mask": np.ones(4, bool)}, r"mask is \[4\], expected \[S=3\]"),
    ({"mask": np.ones((2, 3, 1), bool)}, r"mask is \[2, 3, 1\], expected"),
    ({"mask": np.ones((2, 3), np.uint8)}, r"mask is uint8, expected bool"),
    ({"mask": np.ones((2, 3), np.float32)}, r"mask is float32, expected bool"),
    ({"mask": [[True] * 3] * 2}, r"mask is list, expected an array"),
    ({"missing": "drop"}, r"missing is 'drop', expected .*'propagate', 'skip'.*'hold'"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=[says for _, says in BAD])
def test_what_is_refused(options: dict[str, Any], says: str) -> None:
    values, stamps = np.zeros((2, 3, 1)), np.array([[0, 1, 2]] * 2)
    with pytest.raises(ValueError, match=says):
        rc.resample(values, stamps, np.array([0]), **options)


def test_masks_live_where_the_values_do(cuda: Home) -> None:
    with pytest.raises(ValueError, match=r"mask.*cpu"):
        rc.resample(cuda.array([[0.0], [1.0]]), cuda.times([0, 1]), cuda.times([0]), mask=np.ones(2, bool))
