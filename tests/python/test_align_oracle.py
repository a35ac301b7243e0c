"""The oracle against scipy, which defines the same curves; no engine here."""

from __future__ import annotations

import numpy as np
import pytest
from reference import align_curves as curves
from reference.align_answer import INT64_MAX, Real
from reference.align_oracle import Stream, align

interpolate = pytest.importorskip("scipy.interpolate")
linalg = pytest.importorskip("scipy.linalg")
rotations = pytest.importorskip("scipy.spatial.transform")


def ask(values: np.ndarray, stamps: np.ndarray, at: np.ndarray, interp: str, **options: object) -> np.ndarray:
    """The oracle's float64 answer for one log."""
    stream = Stream(values[None], stamps[None], "float64", interp, **options)
    return align([stream], at[None])[0].values[0].astype(np.float64)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 40])
@pytest.mark.parametrize("rough", [False, True])
def test_pchip_is_scipys(n: int, rough: bool) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        stamps = np.cumsum(rng.integers(1, 1000, n)).astype(np.int64)
        values = rng.normal(size=(n, 6)) if rough else np.cumsum(rng.normal(size=(n, 6)) + 0.3, axis=0)
        values[rng.integers(0, n), :3] = values[0, :3]  # flat intervals
        at = np.sort(rng.integers(stamps[0] - 50, stamps[-1] + 50, 60))
        got = ask(values, stamps, at, "pchip", outside="extrapolate")
        exact = interpolate.PchipInterpolator(stamps, values)(at)
        size = np.abs(values).max() * (1 + 50 / np.diff(stamps).min()) ** 3  # of the outermost cubics, 50 ns further
        outside = (at < stamps[0]) | (at > stamps[-1])
        assert np.abs(got - exact)[~outside].max(initial=0) <= 1e-13 * np.abs(values).max()
        assert np.abs(got - exact).max() <= 1e-13 * size


def test_pchip_of_each_run_between_duplicates() -> None:
    stamps = np.array([0, 10, 25, 25, 25, 30, 50, 60, 60, 90, 99, 99])
    values = np.random.default_rng(1).normal(size=(12, 3))
    for run in ([0, 1, 2], [4, 5, 6, 7], [8, 9, 10]):
        at = np.arange(stamps[run[0]], stamps[run[-1]])[1:]
        exact = interpolate.PchipInterpolator(stamps[run], values[run])(at)
        np.testing.assert_allclose(ask(values, stamps, at, "pchip"), exact, rtol=0, atol=1e-14)
    before, after = np.array([-30, -1]), np.array([100, 130])
    got = ask(values, stamps, np.concatenate([before, after]), "pchip", outside="extrapolate")
    exact = [
        interpolate.PchipInterpolator(stamps[r], values[r])(t) for r, t in (([0, 1, 2], before), ([8, 9, 10], after))
    ]
    np.testing.assert_allclose(got, np.concatenate(exact), rtol=1e-13)


@pytest.mark.parametrize("spread", [3.0, 1e-2, 1e-5, 1e-9])
def test_slerp_is_scipys(spread: float) -> None:
    rng = np.random.default_rng(2)
    stamps = np.cumsum(rng.integers(1, 90, 30))
    walk = np.cumsum(rng.normal(size=(30, 4)) * spread, axis=0) + rng.normal(size=4)
    at = np.sort(rng.integers(stamps[0], stamps[-1] + 1, 300))
    got = ask(walk * rng.choice([-1, 1], (30, 1)), stamps, at, "slerp")
    exact = rotations.Slerp(stamps, rotations.Rotation.from_quat(walk))(at).as_quat()
    chord = np.minimum(np.linalg.norm(got - exact, axis=1), np.linalg.norm(got + exact, axis=1))
    assert (4 * np.arcsin(chord / 2)).max() < 2e-15 * 10
    assert (np.sum(got[1:] * got[:-1], axis=1) > 0).all()


def poses(rng: np.random.Generator, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Two poses `turn` rad apart, [7] each, scalar last."""
    first = rotations.Rotation.random(random_state=int(rng.integers(1 << 30)))
    axis = rng.normal(size=3)
    second = first * rotations.Rotation.from_rotvec(axis / np.linalg.norm(axis) * turn)
    return tuple(np.concatenate([rng.normal(size=3), r.as_quat()]) for r in (first, second))  # type: ignore[return-value]


def matrix(pose: np.ndarray) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotations.Rotation.from_quat(pose[3:]).as_matrix(), pose[:3]
    return out


@pytest.mark.parametrize("turn", [0.0, 1e-7, 1e-3, 1.0, 3.0, np.pi - 1e-4])
@pytest.mark.parametrize("w", [-0.7, 0.0, 0.3, 1.0, 1.9])
def test_screw_is_the_matrix_exponential(turn: float, w: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        a, b = poses(rng, turn)
        relative = np.linalg.inv(matrix(a)) @ matrix(b)
        step = relative - np.eye(4)
        twist = np.real(linalg.logm(relative)) if turn > 1e-6 else step - step @ step / 2
        exact = matrix(a) @ linalg.expm(w * twist)
        tolerance = 1e-9 if turn > 3.1 else 1e-12
        for order in ("xyzw", "wxyz"):
            sent = [np.concatenate([p[:3], np.roll(p[3:], order == "wxyz")]).astype(Real) for p in (a, -0.5 * b)]
            sent[1][:3] = b[:3]  # any sign and length of the quaternion is the same pose
            got = curves.screw(*sent, Real(w), order).astype(np.float64)
            got[3:] = np.roll(got[3:], -(order == "wxyz"))
            np.testing.assert_allclose(matrix(got), exact, rtol=0, atol=tolerance)


def test_screw_of_half_a_turn_and_of_no_turn() -> None:
    a = np.array([1, 0, 0, 0, 0, 0, 1], Real)
    turned = curves.screw(a, np.array([-1, 0, 2, 0, 0, 1, 0], Real), Real(0.5), "xyzw")
    np.testing.assert_allclose(turned.astype(float), [0, 1, 1, 0, 0, 0.5**0.5, 0.5**0.5], atol=1e-15)
    moved = curves.screw(a, np.array([3, -4, 2, 0, 0, 0, -1], Real), Real(0.25), "xyzw")
    np.testing.assert_allclose(moved.astype(float), [1.5, -1, 0.5, 0, 0, 0, 1], atol=1e-15)


def test_angle_goes_the_shorter_way_round() -> None:
    stamps, at = np.array([0, 10]), np.array([0, 5, 10])
    got = ask(np.array([[3.0, 0.0, 7.0], [-3.0, 1.0, 20.0]]), stamps, at, "angle")
    middle = [-np.pi, 0.5, 7 - 2 * np.pi + (13 - 4 * np.pi) / 2]
    np.testing.assert_allclose(got, [[3, 0, 7 - 2 * np.pi], middle, [-3, 1, 20 - 6 * np.pi]], rtol=0, atol=1e-14)


def test_missing_samples_by_hand() -> None:
    nan = np.nan
    values = np.array([[0.0, nan], [10.0, 1.0], [nan, 2.0], [30.0, nan]])
    stamps, at = np.array([0, 10, 20, 30]), np.array([5, 15, 20, 25, 30])
    expected = {
        "propagate": ([[5, nan], [nan, 1.5], [nan, 2], [nan, nan], [30, nan]], [1, 1, 1, 1, 1], [5, 5, 0, 5, 0]),
        "skip": ([[5, 1], [15, 1.5], [20, 2], [25, 2], [30, 2]], [0, 1, 1, 0, 0], [5, 5, 10, 15, 10]),
        "hold": ([[5, nan], [10, 1.5], [10, 2], [20, 2], [30, 2]], [0, 1, 1, 1, 1], [5, 5, 10, 15, 10]),
    }
    for missing, (want, valid, age) in expected.items():
        stream = Stream(values[None], stamps[None], "float64", "linear", missing=missing)
        (got,) = align([stream], at[None])
        np.testing.assert_array_equal(got.values[0].astype(float), want, missing)
        np.testing.assert_array_equal(got.valid[0], valid, missing)
        np.testing.assert_array_equal(got.age_ns[0], age, missing)


def test_samples_that_the_mask_leaves_out_by_hand() -> None:
    values, stamps, at = np.array([[1], [2], [3]]), np.array([0, 10, 20]), np.array([-1, 0, 4, 10, 16, 20])
    mask = np.array([[False, True, False]])
    expected = {
        "propagate": ([0, 0, 0, 2, 0, 0], [0, 0, 0, 1, 0, 0], [-1, 0, 4, 0, 6, 0]),
        "skip": ([2, 2, 2, 2, 2, 2], [0, 0, 0, 1, 0, 0], [-11, -10, -6, 0, 6, 10]),
        "hold": ([0, 0, 0, 2, 2, 2], [0, 0, 0, 1, 1, 1], [-11, -10, -6, 0, 6, 10]),
    }
    for missing, (want, valid, age) in expected.items():
        stream = Stream(values[None], stamps[None], "int32", "nearest", mask=mask, missing=missing)
        (got,) = align([stream], at[None])
        np.testing.assert_array_equal(np.nan_to_num(got.values[0, :, 0].astype(float)), want, missing)
        np.testing.assert_array_equal(got.valid[0], valid, missing)
        np.testing.assert_array_equal(got.age_ns[0], age, missing)
    nothing = Stream(values[None], stamps[None], "int32", mask=np.zeros(3, bool), missing="skip")
    assert (align([nothing], at[None])[0].age_ns == INT64_MAX).all()


def test_signs_follow_one_another_and_rows_without_a_value_stand_aside() -> None:
    turns = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    values = np.stack([0 * turns, 0 * turns, np.sin(turns), np.cos(turns)], axis=1) * [[1], [-1], [0], [1], [-1]]
    stamps, at = np.arange(5) * 10, np.array([0, 10, 15, 30, -1, 40, 0, 99])
    got = ask(values, stamps, at, "slerp", outside="nan")
    # Row 1 is turned; rows 3 and 5, behind rows without a value, keep what is in force; row 6 is near row 5 as it is.
    cosines = [1, np.cos(0.5), np.nan, -np.cos(1.5), np.nan, np.cos(2.0), -1, np.nan]
    np.testing.assert_allclose(got[:, 3], cosines, atol=1e-15)
