"""slerp, se3 and screw against scipy, and the sign of successive quaternions, on each device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, bits, numbers
from calls import assert_oracle, check, rows
from reference.align_cases import Case
from reference.align_oracle import Stream

BOUND_RAD = {"float32": 2e-7, "float64": 1e-12}


@rows("rotations")
def test_table(home: Home, case: Case) -> None:
    check(home, case)


def resample(device: Home, values: np.ndarray, stamps: np.ndarray, at: np.ndarray, **options: Any) -> np.ndarray:
    dtype = options.pop("dtype", "float64")
    sent = device.array(values, dtype)
    return numbers(rc.resample(sent, device.times(stamps), device.times(at), check="now", **options)).astype(np.float64)


def angle_between(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The angle between rotations in rad, from the chord: the scalar product would lose everything below 1e-8."""
    p, q = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (p, q))
    chord = np.minimum(np.linalg.norm(p - q, axis=-1), np.linalg.norm(p + q, axis=-1))
    return 4 * np.arcsin(np.minimum(chord / 2, 1))


def random_unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    q = rng.normal(size=(*shape, 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def turned(rng: np.random.Generator, q: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """q turned by `angle` rad about random axes."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    axis = rng.normal(size=(len(q), 3))
    axis *= (angle / np.linalg.norm(axis, axis=1))[:, None]
    return (rotation.from_quat(q) * rotation.from_rotvec(axis)).as_quat()


def logs(kind: str) -> np.ndarray:
    """200 logs of 2 rotations [200, 2, 4], with a random sign each."""
    rng = np.random.default_rng(11)
    first = random_unit(rng, 200)
    turns = {
        "random": rng.uniform(0, np.pi - 1e-3, 200),
        "tiny": 10.0 ** rng.uniform(-9, -3, 200),
        "equal": np.zeros(200),
        "almost half a turn": np.pi - 10.0 ** rng.uniform(-4, -1, 200),
    }
    second = turned(rng, first, turns[kind])
    return np.stack([first, second], axis=1) * rng.choice([-1, 1], (200, 2, 1))


@pytest.mark.parametrize("kind", ["random", "tiny", "equal", "almost half a turn"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slerp_is_scipys(device: Home, dtype: str, kind: str) -> None:
    """A random sign on each sample: q against almost -q, and against what is almost half a turn away."""
    transform = pytest.importorskip("scipy.spatial.transform")
    pairs = logs(kind).astype(dtype)
    stamps, at = np.array([0, 1_000_003]), np.linspace(0, 1_000_003, 41).astype(np.int64)
    got = resample(device, pairs, stamps, at, interp="slerp", dtype=dtype)
    assert np.abs(np.linalg.norm(got, axis=-1) - 1).max() < (1e-7 if dtype == "float32" else 1e-15)
    for pair, mine in zip(pairs.astype(np.float64), got, strict=True):
        exact = transform.Slerp(stamps, transform.Rotation.from_quat(pair))(at).as_quat()
        assert angle_between(mine, exact).max() <= BOUND_RAD[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slerp_of_long_logs_is_scipys(device: Home, dtype: str) -> None:
    transform = pytest.importorskip("scipy.spatial.transform")
    rng = np.random.default_rng(17)
    for spread in (2.0, 0.3, 1e-3, 1e-6):
        walk = (rng.normal(size=(40, 1, 4)) + np.cumsum(rng.normal(size=(40, 12, 4)) * spread, axis=1)).astype(dtype)
        flips = rng.choice([-1, 1], (40, 12, 1))
        stamps = np.cumsum(rng.integers(1, 50, (40, 12)), axis=1)
        at = np.sort(rng.integers(stamps[:, :1], stamps[:, -1:] + 1, (40, 60)), axis=1)
        got = resample(device, walk * flips, stamps, at, interp="slerp", dtype=dtype)
        for b in range(40):
            exact = transform.Slerp(stamps[b], transform.Rotation.from_quat(walk[b].astype(np.float64)))(at[b])
            assert angle_between(got[b], exact.as_quat()).max() <= BOUND_RAD[dtype]


def test_what_interpolating_rotation_vectors_does_to_the_same_data(device: Home) -> None:
    """Linear interpolation of rotation vectors, which is what many pipelines do, is wrong by many degrees."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    worst = {}
    for kind in ("random", "almost half a turn"):
        pairs = logs(kind)
        stamps, at = np.array([0, 1000]), np.array([250, 500, 750])
        exact = resample(device, pairs, stamps, at, interp="slerp").reshape(-1, 4)
        vectors = rotation.from_quat(pairs.reshape(-1, 4)).as_rotvec().reshape(200, 2, 3)
        linear = resample(device, vectors, stamps, at, interp="linear").reshape(-1, 3)
        error = np.degrees(angle_between(rotation.from_rotvec(linear).as_quat(), exact))
        worst[kind] = (np.median(error), error.max())
    assert worst["random"][0] > 3, worst
    assert worst["random"][1] > 90, worst
    assert worst["almost half a turn"][0] > 10, worst
    assert worst["almost half a turn"][1] > 90, worst


def test_slerp_of_wxyz_is_slerp_of_xyzw(device: Home) -> None:
    rng = np.random.default_rng(3)
    xyzw, stamps, at = rng.normal(size=(20, 6, 4)), np.arange(6) * 10, rng.integers(0, 51, 30)
    first = resample(device, xyzw, stamps, at, interp="slerp")
    second = resample(device, np.roll(xyzw, 1, -1), stamps, at, interp="slerp")
    np.testing.assert_allclose(np.roll(first, 1, -1), second, rtol=0, atol=1e-15)


# Targets: the kernels work in tiles of up to 64 of them and hand the sign on from one to the next.
TARGETS = (1, 2, 63, 64, 65, 127, 128, 129, 1000, 4097)


def successive_products(got: np.ndarray) -> np.ndarray:
    """Products of each quaternion [..., T, 4] with the one before it; NaN where either has no value."""
    return np.sum(got[..., 1:, :] * got[..., :-1, :], axis=-1)


@pytest.mark.parametrize("T", TARGETS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("quaternions", [1, 3, 40])
def test_signs_never_jump(device: Home, dtype: str, T: int, quaternions: int) -> None:
    """Random rotations with random signs, sorted targets: successive rows lie in one hemisphere."""
    rng = np.random.default_rng(T + quaternions)
    values = random_unit(rng, 3, 200, quaternions).reshape(3, 200, -1).astype("float16")
    if dtype == "bfloat16":
        values = np.round(values.astype(np.float64) * 64) / 64
    stamps = np.cumsum(rng.integers(1, 40, (3, 200)), axis=1)
    at = np.sort(rng.integers(stamps[:, :1], stamps[:, -1:] + 1, (3, T)), axis=1)
    got = resample(device, values, stamps, at, interp="slerp", dtype=dtype).reshape(3, T, quaternions, 4)
    slack = {"float64": 1e-15, "float32": 1e-7, "float16": 1e-3}.get(dtype, 8e-3)
    assert np.nanmin(successive_products(got.swapaxes(1, 2)), initial=0) >= -slack
    nearest = np.array([np.searchsorted(stamps[b], at[b, 0], side="right") - 1 for b in range(3)])
    first = values.reshape(3, 200, quaternions, 4)[np.arange(3), nearest].astype(np.float64)
    assert (np.sum(got[:, 0] * first, axis=-1) > 0).all(), "the first row is in the hemisphere of its earlier sample"


@pytest.mark.parametrize("interp", ["slerp", "se3", "screw"])
@pytest.mark.parametrize("T", TARGETS)
@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_signs_are_the_oracles(device: Home, interp: str, T: int, order: str) -> None:
    """With fills at either end, quaternions of no length in between, in any order; some rows in runs beside others."""
    rng = np.random.default_rng(T)
    unit = 4 if interp == "slerp" else 7
    values = rng.normal(size=(2, 60, 2 * unit))
    values[rng.random((2, 60)) < 0.1, unit - 4 : unit] = 0
    values[rng.random((2, 60)) < 0.05, 2 * unit - 4] = np.nan
    stamps = np.cumsum(rng.integers(0, 9, (2, 60)), axis=1)
    at = rng.integers(-60, 330, (2, T))
    streams = [
        Stream(values, stamps, "float64", interp, outside=("nan", 0.5)),
        Stream(values.astype(np.float32), stamps, "float32", interp, outside=("extrapolate", "hold")),
        Stream(
            np.concatenate([values, values[..., :1]], axis=-1),
            stamps,
            "float64",
            [(interp, unit), (interp, unit), ("hold", 1)],
            missing="hold",
            outside=2,
        ),
    ]
    at = np.sort(at, axis=1) if order == "sorted" else at
    assert_oracle(device, Case("", "", streams, at, split=True, layouts=["plain", "pitched", "plain"]))


@pytest.mark.parametrize(("T", "poses"), [(65, 40), (1000, 9), (30_001, 3), (200_000, 1)])
@pytest.mark.parametrize("interp", ["slerp", "se3", "screw"])
@pytest.mark.parametrize("missing", ["propagate", "skip", "hold"])
@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_signs_are_the_chain_of_the_contract(
    device: Home, interp: str, missing: str, T: int, poses: int, order: str
) -> None:
    """Bit for bit, over tiles and threads: one target a batch row gives the rows before any sign is decided."""
    rng = np.random.default_rng(T)
    unit, S = (4 if interp == "slerp" else 7), 500
    values = rng.normal(size=(S, poses, unit))
    values[rng.random((S, poses)) < 0.05, -4:] = 0
    values[rng.random((S, poses)) < 0.05, -1] = np.nan
    stamps = np.cumsum(rng.integers(0, 200, S))
    at = rng.integers(-2000, stamps[-1] + 2000, T)
    at = np.sort(at) if order == "sorted" else at
    stream = rc.Stream(
        device.array(values.reshape(S, -1)),
        device.times(stamps),
        interp=interp,
        outside=("nan", "extrapolate"),
        missing=missing,
        mask=device.array(rng.random(S) < 0.9, "bool"),
    )
    raw = numbers(rc.align([stream], device.times(at[:, None]), check="now").values).reshape(T, poses, unit)
    got = numbers(rc.align([stream], device.times(at), check="now").values).reshape(T, poses, unit)
    jumps = np.sum(raw[1:, :, -4:] * raw[:-1, :, -4:], axis=-1) < 0
    assert jumps.any()
    signs = np.cumprod(np.concatenate([np.ones((1, poses)), np.where(jumps, -1, 1)]), axis=0)
    want = raw.copy()
    want[..., -4:] *= signs[..., None].astype(np.float32)
    np.testing.assert_array_equal(bits(got), bits(want))


def test_signs_continue_over_a_row_without_a_value(device: Home) -> None:
    """The 64th, 65th and 128th target are fills or no rotations: the sign in force before them goes on behind them."""
    samples = 200
    half = np.linspace(0, 3.0, samples) / 2
    clean = np.stack([0 * half, 0 * half, np.sin(half), np.cos(half)], axis=1)
    signs = np.where(np.arange(samples) < 3, 1, -1)  # one jump, right at the start
    values = clean * signs[:, None]
    for hole in (62, 63, 64, 65, 127, 128, 129):
        damaged = values.copy()
        damaged[hole] = 0
        got = resample(device, damaged, np.arange(samples) * 10, np.arange(samples) * 10, interp="slerp")
        assert np.isnan(got[hole]).all()
        np.testing.assert_allclose(np.delete(got, hole, 0), np.delete(clean, hole, 0), atol=1e-15)


@pytest.mark.parametrize("interp", ["slerp", "se3", "screw"])
@pytest.mark.parametrize("bad", [0.0, np.inf, -np.inf, np.nan])
def test_no_rotation_is_nan_and_not_valid(device: Home, interp: str, bad: float) -> None:
    """In the rows that use it, in its own unit only; the other unit and the position of se3 are computed."""
    unit = 4 if interp == "slerp" else 7
    values = np.random.default_rng(4).normal(size=(3, 2 * unit))
    values[1, unit - 4 : unit] = 0.0 if bad == 0 else [1, bad, 0, 0]
    at = np.array([0, 5, 10, 15, 20])
    stream = rc.Stream(device.array(values, "float64"), device.times([0, 10, 20]), interp=interp)
    result = rc.align([stream], device.times(at), check="now")
    got = numbers(result.values)
    np.testing.assert_array_equal(numbers(result.valid)[:, 0], [True, False, False, False, True])
    np.testing.assert_array_equal(np.isnan(got[:, unit - 4 : unit]).all(axis=1), [False, True, True, True, False])
    assert np.isfinite(got[:, unit:]).all()
    if interp == "se3":
        exact = np.stack([np.interp(at, [0, 10, 20], column) for column in values[:, :3].T], axis=1)
        np.testing.assert_allclose(got[:, :3], exact, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_se3_is_linear_beside_slerp(device: Home, dtype: str) -> None:
    rng = np.random.default_rng(8)
    poses = np.round(rng.normal(size=(2, 50, 2, 7)) * 64) / 64
    stamps, at = np.cumsum(rng.integers(0, 30, (2, 50)), axis=1), rng.integers(-40, 900, (2, 150))
    options: dict[str, Any] = {"outside": ("extrapolate", "nan"), "dtype": dtype}
    got = resample(device, poses.reshape(2, 50, 14), stamps, at, interp="se3", **options).reshape(2, 150, 2, 7)
    for k in range(2):
        turn = resample(device, poses[:, :, k, 3:], stamps, at, interp="slerp", **options)
        np.testing.assert_array_equal(got[:, :, k, 3:], turn)
        line = resample(device, poses[:, :, k, :3], stamps, at, interp="linear", **options)
        ulps = {"float64": 2.0**-48, "float32": 2.0**-20, "float16": 2.0**-9}.get(dtype, 2.0**-6)
        np.testing.assert_allclose(got[:, :, k, :3], line, rtol=0, atol=ulps * max(1, np.nanmax(np.abs(line))))


def matrices(poses: np.ndarray) -> np.ndarray:
    """[n, 7] poses, xyzw, as [n, 4, 4]."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    out = np.tile(np.eye(4), (len(poses), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = rotation.from_quat(poses[:, 3:]).as_matrix(), poses[:, :3]
    return out


def screw_log(kind: str, rng: np.random.Generator) -> np.ndarray:
    first = np.concatenate([rng.normal(size=3) * 3, random_unit(rng)])
    shift = first[:3] + (0 if kind == "pure rotation" else rng.normal(size=3))
    turn = {"pure translation": 0.0, "pure rotation": 1.2, "general": 2.0, "small turn": 1e-4, "almost half": 3.13}[
        kind
    ]
    return np.stack([first, np.concatenate([shift, turned(rng, first[None, 3:], np.array([turn]))[0]])])


KINDS = ["pure translation", "pure rotation", "general", "small turn", "almost half"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["xyzw", "wxyz"])
def test_screw_is_the_matrix_exponential(device: Home, kind: str, order: str) -> None:
    """Ta expm(w logm(Ta^-1 Tb)), inside and outside the interval."""
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(9)
    at = np.array([-700, 0, 250, 500, 900, 1000, 1900])
    for _ in range(10):
        log = screw_log(kind, rng)
        a, b = matrices(log)
        twist = np.real(linalg.logm(np.linalg.inv(a) @ b))
        exact = np.stack([a @ linalg.expm(w * twist) for w in at / 1000])
        sent = log * np.array(
            [1, 1, 1, *[rng.choice([-2.0, 3.0])] * 4]
        )  # length and sign of a quaternion do not matter
        if order == "wxyz":
            sent = sent[:, [0, 1, 2, 6, 3, 4, 5]]
        options: dict[str, Any] = {"interp": "screw", "quaternion": order, "outside": "extrapolate"}
        got = resample(device, sent, np.array([0, 1000]), at, **options)
        if order == "wxyz":
            got = got[:, [0, 1, 2, 4, 5, 6, 3]]
        np.testing.assert_allclose(matrices(got), exact, rtol=0, atol=1e-10 if kind == "almost half" else 2e-11)


def test_screw_of_half_a_turn(device: Home) -> None:
    """Half a turn about z through (0, 0), while rising: a helix. The quaternions are orthogonal."""
    poses = np.array([[1, 0, 0, 0, 0, 0, 1], [-1, 0, 2, 0, 0, 1, 0]], float)
    at = np.arange(0, 1001, 50)
    got = resample(device, poses, np.array([0, 1000]), at, interp="screw")
    angle = np.pi * at / 1000
    helix = np.stack([np.cos(angle), np.sin(angle), 2 * at / 1000], axis=1)
    np.testing.assert_allclose(got[:, :3], helix, atol=1e-14)
    straight = resample(device, poses, np.array([0, 1000]), at, interp="se3")
    assert np.abs(straight[:, :3] - helix).max() > 0.9, "se3 goes straight through the axis"
    np.testing.assert_array_equal(straight[:, 3:], got[:, 3:])


def test_screw_depends_on_the_order_and_the_others_do_not(device: Home) -> None:
    rng = np.random.default_rng(10)
    poses, stamps, at = rng.normal(size=(30, 7)), np.arange(30) * 10, rng.integers(0, 291, 100)
    for interp in ("slerp", "se3", "screw"):
        sent = poses[:, 3:] if interp == "slerp" else poses
        first, second = (
            resample(device, sent, stamps, at, interp=interp, quaternion=order) for order in ("xyzw", "wxyz")
        )
        assert (np.abs(first - second).max() > 0.1) == (interp == "screw")


def test_screw_does_not_care_where_the_world_is(device: Home) -> None:
    """Moving the world moves the answer: the motion is that of the body, not of the coordinates. se3 is not so."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    rng = np.random.default_rng(12)
    poses = np.concatenate([rng.normal(size=(20, 3)), random_unit(rng, 20)], axis=1)
    stamps, at = np.arange(20) * 10, np.sort(rng.integers(0, 191, 60))
    body = np.eye(4)
    body[:3, :3], body[:3, 3] = rotation.from_rotvec([0.3, -1, 0.4]).as_matrix(), [0.5, -0.2, 1]
    moved = matrices(poses) @ body  # another point of the same rigid body
    sent = np.concatenate([moved[:, :3, 3], rotation.from_matrix(moved[:, :3, :3]).as_quat()], axis=1)
    for interp, rigid in (("screw", True), ("se3", False)):
        first = matrices(resample(device, poses, stamps, at, interp=interp)) @ body
        second = matrices(resample(device, sent, stamps, at, interp=interp))
        error = np.abs(first - second).max()
        assert error < 1e-12 if rigid else error > 0.1


@pytest.mark.parametrize(("interp", "columns"), [("slerp", 8), ("se3", 14), ("screw", 7)])
@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (2, 3, 0), (2, 1, 2)])
def test_empty_and_one(device: Home, interp: str, columns: int, shape: tuple[int, int, int]) -> None:
    B, S, T = shape
    stamps = device.times(np.arange(S)[None].repeat(B, 0))
    stream = rc.Stream(device.array(np.full((B, S, columns), 2.0)), stamps, interp=interp)
    result = rc.align([stream], device.times(np.zeros((B, T))), check="now")
    assert tuple(result.values.shape) == (B, T, columns)
    assert (numbers(result.valid) == (S > 0)).all()
    got = numbers(result.values)[..., -4:]
    assert np.isnan(got).all() if S == 0 else (got == 0.5).all()


def test_poses_have_no_width_of_zero_by_accident(device: Home) -> None:
    """D = 0 is a multiple of four and of seven: no value, and time alone decides."""
    for interp in ("slerp", "se3", "screw"):
        stream = rc.Stream(device.array(np.zeros((1, 2, 0))), device.times([[0, 10]]), interp=interp)
        result = rc.align([stream], device.times([5, 11]))
        np.testing.assert_array_equal(numbers(result.valid).ravel(), [True, False])


@pytest.mark.parametrize("order", ["zyxw", "", "XYZW", 3, None])
def test_orders_that_are_refused(order: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"quaternion|incompatible"):
        rc.Stream(np.zeros((2, 7)), np.array([0, 1]), interp="screw", quaternion=order)
