"""transform_points, crop and depth_to_points: against the oracle, and with the functions that take their results."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, bits, dtype_name, numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.point_operators_oracle import clouds_of, crop, depth_to_points, transform_points
from reference.voxelize_oracle import compute_type

CASES = json.loads((Path(__file__).parents[1] / "cases" / "point_operators.json").read_text())
INF3 = (np.inf,) * 3
K = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])
T_EXAMPLE = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, -2], [0, 0, 1, 0.25], [0, 0, 0, 1]])


def cases(operator: str) -> Any:
    return pytest.mark.parametrize("case", CASES[operator], ids=[c["name"] for c in CASES[operator]])


def floats(numbers_: Any) -> np.ndarray:
    return np.array(numbers_, dtype=float)


def optional(device: Home, case: dict[str, Any], *names: str) -> dict[str, Any]:
    """The named arguments that a case has."""
    make = {"transform": lambda v: device.array(floats(v)), "features": lambda v: device.array(floats(v))}
    return {n: make.get(n, device.times)(case[n]) for n in names if n in case}


def assert_same(got: Any, want: np.ndarray) -> None:
    got = numbers(got)
    assert got.shape == want.shape
    np.testing.assert_array_equal(bits(got), bits(want.astype(got.dtype)))


@cases("transform_points")
def test_transform_points_of_the_table(home: Home, case: dict[str, Any]) -> None:
    points = home.array(floats(case["points"]).reshape(-1, 3) if not case["points"] else floats(case["points"]))
    got = rc.transform_points(points, **optional(home, case, "transform", "lengths", "offsets"))
    assert home.owns(got)
    assert_same(got, floats(case["expect"]).reshape(points.shape))


@cases("crop")
def test_crop_of_the_table(home: Home, case: dict[str, Any]) -> None:
    options = optional(home, case, "transform", "lengths", "offsets", "features")
    got = rc.crop(home.array(floats(case["points"])), floats(case["low"]), floats(case["high"]), **options)
    for name, want in case["expect"].items():
        result = getattr(got, name)
        assert home.owns(result)
        assert numbers(result).tolist() == want
    assert dtype_name(got.index) == dtype_name(got.offsets) == "int64"


@cases("depth_to_points")
def test_depth_to_points_of_the_table(home: Home, case: dict[str, Any]) -> None:
    options = {n: case[n] for n in ("depth_scale", "max_depth_m") if n in case}
    depth = home.array(floats(case["depth"]), case.get("dtype", "float32"))
    got = rc.depth_to_points(depth, home.array(case["intrinsics"]), **options, **optional(home, case, "transform"))
    want = floats(case["expect"])
    np.testing.assert_allclose(numbers(got.points), want, rtol=3e-7)
    np.testing.assert_array_equal(numbers(got.valid), ~np.isnan(want[..., 0]))


# --- Against the oracle -----------------------------------------------------------------------------------------------


def stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as `dtype` holds them, in its compute type."""
    with np.errstate(over="ignore"):
        if dtype == "bfloat16":
            return (np.asarray(array, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        return np.asarray(array).astype(dtype).astype(compute_type(dtype))


class Scene:
    """Random clouds in one of the four ways to say where they lie, many points on the faces of a box."""

    def __init__(self, seed: int, points: int) -> None:
        made = np.random.default_rng([seed, points])
        self.kind = str(made.choice(["single", "padded", "lengths", "packed"]))
        self.dtype = str(made.choice(FLOATS[:3]))
        self.layout = str(made.choice(["plain", "pitched", "columns", "reversed"]))
        batch = int(made.integers(0, 5)) if self.kind != "single" else None
        shape = (points, 3) if self.kind in ("single", "packed") else (batch or 0, points, 3)
        self.low, self.high = np.sort(np.round(made.normal(size=(2, 3)) * 2, 1), axis=0)
        numbers_ = np.round(made.normal(size=shape) * 2, 1)
        numbers_ = np.where(made.random(shape) < 0.1, self.low, np.where(made.random(shape) < 0.1, self.high, numbers_))
        numbers_[made.random(shape) < 0.02] = made.choice([np.nan, np.inf, -np.inf, -0.0])
        self.points = stored(numbers_, self.dtype)
        self.features = made.normal(size=(*shape[:-1], int(made.integers(0, 5)))).astype("f")
        self.options: dict[str, Any] = {}
        if self.kind == "lengths":
            self.options["lengths"] = made.integers(0, points + 1, batch)
        if self.kind == "packed":
            self.options["offsets"] = np.sort(made.integers(0, points + 1, (batch or 0) + 1)).astype(np.int32)
        known = {k: v.tolist() for k, v in self.options.items()}
        self.clouds = clouds_of(points, known.get("lengths"), known.get("offsets"), batch)
        each = batch is not None and made.random() < 0.5
        self.transform = made.normal(size=(batch, 4, 4) if each else (4, 4)).astype(made.choice(["f4", "f8"]))

    def array(self) -> np.ndarray:
        if self.points.size == 0:
            return self.points.astype(self.dtype)
        return Home("numpy", "cpu").array(self.points, self.dtype, self.layout)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), points=st.sampled_from([0, 1, 2, 37, 255, 257, 5000]))
def test_transform_points_answers_like_the_oracle(seed: int, points: int) -> None:
    scene = Scene(seed, points)
    got = rc.transform_points(scene.array(), scene.transform, **scene.options)
    assert got.dtype == scene.dtype
    want = transform_points(scene.points, scene.transform, scene.clouds, scene.dtype)
    np.testing.assert_array_equal(bits(got), bits(want.astype(scene.dtype)))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), points=st.sampled_from([0, 1, 2, 37, 255, 257, 5000]), moves=st.booleans())
def test_crop_answers_like_the_oracle(seed: int, points: int, moves: bool) -> None:
    scene = Scene(seed, points)
    transform = scene.transform if moves else None
    got = rc.crop(scene.array(), scene.low, scene.high, features=scene.features, transform=transform, **scene.options)
    want, index, offsets = crop(scene.points, scene.low, scene.high, scene.clouds, transform)
    np.testing.assert_array_equal(got.index, index)
    np.testing.assert_array_equal(got.offsets, offsets)
    np.testing.assert_array_equal(bits(got.points), bits(want.astype(scene.dtype)))
    rows = scene.features.reshape(-1, scene.features.shape[-1]) if scene.features.size else scene.features
    np.testing.assert_array_equal(got.features, rows[index] if scene.features.size else np.zeros(got.features.shape))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), batch=st.sampled_from([None, 0, 1, 3]), moves=st.booleans())
def test_depth_to_points_answers_like_the_oracle(seed: int, batch: int | None, moves: bool) -> None:
    made = np.random.default_rng(seed)
    dtype = str(made.choice(["uint16", "float16", "float32", "float64"]))
    shape = (*(() if batch is None else (batch,)), int(made.integers(0, 9)), int(made.choice([0, 1, 7, 256, 640])))
    depth = made.integers(0, 4000, shape) if dtype == "uint16" else made.normal(1, 1, shape)
    depth = depth.astype(dtype)
    if dtype != "uint16":
        depth[made.random(shape) < 0.1] = made.choice([np.nan, np.inf, -np.inf, 0.0])
    if made.random() < 0.5:
        depth = depth[..., ::-1]
    each = batch is not None and made.random() < 0.5
    cameras = np.zeros((batch or 0, 3, 3) if each else (3, 3))
    cameras[..., 0, 0], cameras[..., 1, 1] = made.uniform(1, 900, 2)
    cameras[..., :2, 2] = made.uniform(0, 300, 2)
    cameras[..., 2, 2] = 1
    transform = made.normal(size=(batch, 4, 4) if each else (4, 4)) if moves else None
    options: dict[str, float] = {}
    if made.random() < 0.5:
        options = {"depth_scale": 0.37, "max_depth_m": 1.25}
    got = rc.depth_to_points(depth, cameras, transform=transform, **options)
    scale = options.get("depth_scale", 0.001 if dtype == "uint16" else 1)
    assert got.points.shape == (*shape, 3)
    for b, image in enumerate(depth if batch is not None else [depth]):
        T = transform[b] if transform is not None and each else transform
        camera = cameras[b] if each else cameras
        points, valid = depth_to_points(image, camera, scale, options.get("max_depth_m", np.inf), T, dtype)
        at = b if batch is not None else ...
        np.testing.assert_array_equal(got.valid[at], valid)
        np.testing.assert_array_equal(bits(got.points[at]), bits(points))
        assert got.points.dtype == points.dtype


def test_depth_is_near_the_formula_in_float64() -> None:
    made = np.random.default_rng(0)
    depth = made.integers(1, 65536, (48, 64)).astype(np.uint16)
    camera = np.array([[525.3, 0, 31.7], [0, 524.1, 24.2], [0, 0, 1]])
    want, _ = depth_to_points(depth.astype(float), camera, 0.001, np.inf, None, "float64")
    np.testing.assert_allclose(rc.depth_to_points(depth, camera).points, want, rtol=5e-7, atol=1e-7)


# --- With what takes the results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_voxelize_of_transformed_points_is_voxelize_with_the_transform(dtype: str) -> None:
    made = np.random.default_rng(5)
    points = made.normal(size=(2, 3000, 3)).astype(dtype)
    transform = made.normal(size=(2, 4, 4))
    grid: dict[str, Any] = {"voxel_m": 0.3, "origin": (-3, -3, -3), "shape": (20, 21, 22), "reduce": "count"}
    lengths = np.array([3000, 17])
    fused = rc.voxelize(points, **grid, transform=transform, lengths=lengths)
    moved = rc.transform_points(points, transform, lengths=lengths)
    apart = rc.voxelize(moved, **grid, lengths=lengths)
    np.testing.assert_array_equal(fused.values, apart.values)
    np.testing.assert_array_equal(fused.dropped, apart.dropped)
    # The padding is NaN, which no voxel holds.
    np.testing.assert_array_equal(rc.voxelize(moved, **grid).values, fused.values)
    cropped = rc.crop(points, (-3, -3, -3), (3, 3, 3), transform=transform, lengths=lengths)
    again = rc.crop(moved, (-3, -3, -3), (3, 3, 3))
    for name in ("points", "index", "offsets"):
        np.testing.assert_array_equal(getattr(cropped, name), getattr(again, name))
    inside = rc.voxelize(cropped.points, **{**grid, "shape": (20, 20, 20)}, offsets=cropped.offsets)
    np.testing.assert_array_equal(inside.values, fused.values[:, :, :20, :20])


def test_points_of_depth_go_into_a_grid() -> None:
    depth = np.array([[0, 1000], [2000, np.nan], [-1, 500]], np.float32) / 1000
    cloud = rc.depth_to_points(depth, K)
    grid = rc.voxelize(cloud.points.reshape(-1, 3), voxel_m=1, origin=(-4, -4, 0), shape=(8, 8, 8))
    assert grid.values.sum() == cloud.valid.sum() == 3
    assert grid.dropped == 3


def test_the_example_of_the_document() -> None:
    document = Path(__file__).parents[2] / "docs" / "point_operators.md"
    failed, tried = doctest.testfile(str(document), module_relative=False)
    assert tried >= 8
    assert failed == 0


@pytest.mark.parametrize("name", ["transform_points", "crop", "depth_to_points"])
def test_the_examples_of_the_docstrings(name: str) -> None:
    example = doctest.DocTestParser().get_doctest(getattr(rc, name).__doc__, {}, name, None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def test_in_place_and_into_a_slice() -> None:
    made = np.random.default_rng(6)
    scan = made.normal(size=(1000, 4)).astype("f")
    want = rc.transform_points(scan[:, :3].copy(), T_EXAMPLE)
    intensity = scan[:, 3].copy()
    assert rc.transform_points(scan[:, :3], T_EXAMPLE, out=scan[:, :3]) is not None
    np.testing.assert_array_equal(scan[:, :3], want)
    np.testing.assert_array_equal(scan[:, 3], intensity)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_float_keeps_its_dtype(dtype: str) -> None:
    pytest.importorskip("torch")
    home = Home("torch", "cpu")
    points = home.array([[1.0, 2.0, 3.0], [-0.5, 8.0, 0.25]], dtype)
    moved = rc.transform_points(points, T_EXAMPLE)
    kept = rc.crop(points, (0, 0, 0), INF3, features=points, transform=np.eye(4, dtype="f"))
    assert dtype_name(moved) == dtype_name(kept.points) == dtype_name(kept.features) == dtype
    assert numbers(moved).tolist() == [[-1.5, -1.0, 3.25], [-7.5, -2.5, 0.5]]
    assert numbers(kept.points).tolist() == [[1.0, 2.0, 3.0]]


def test_bfloat16_is_rounded_once() -> None:
    pytest.importorskip("torch")
    import torch

    made = np.random.default_rng(7)
    points = torch.from_numpy(made.normal(size=(513, 3)).astype("f")).bfloat16()
    got = rc.transform_points(points, T_EXAMPLE * 1.001)
    want = transform_points(points.float().numpy(), T_EXAMPLE * 1.001, clouds_of(513, None, None, None), "float32")
    assert torch.equal(got, torch.from_numpy(want).bfloat16())


# --- Errors -----------------------------------------------------------------------------------------------------------

POINTS = np.zeros((4, 3), "f")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"points": np.zeros((4, 2), "f")}, r"points is \[4, 2\], expected \[N, 3\] or \[B, N, 3\]"),
        ({"points": np.zeros((4, 3), int)}, "points is int64, expected float32 or"),
        ({"points": None}, "points is NoneType, expected"),
        ({"transform": None}, r"transform is not given, expected \[4, 4\] or \[B, 4, 4\]"),
        ({"transform": np.zeros((3, 4))}, r"transform is \[3, 4\], expected \[4, 4\]"),
        ({"transform": np.zeros((2, 4, 4))}, r"transform is \[2, 4, 4\], expected \[4, 4\]"),
        ({"transform": np.eye(4, dtype=int)}, "transform is int64, expected float32 or float64"),
        ({"lengths": np.array([4])}, r"lengths is given with points \[N, 3\]"),
        ({"offsets": np.array([0, 5])}, "offsets is 0 to 5 of cloud 0, expected non-decreasing numbers of 0 to N=4"),
        ({"offsets": np.array([-1, 3])}, "offsets is -1 to 3 of cloud 0"),
        ({"out": np.zeros((3, 3), "f")}, r"out is \[3, 3\], expected \[4, 3\] as points"),
        ({"out": np.zeros((4, 3))}, "out is float64, expected float32"),
        ({"out": np.broadcast_to(np.zeros(3, "f"), (4, 3))}, "out is expanded"),
        ({"out": b"x"}, "out is "),
    ],
)
def test_errors_of_transform_points(wrong: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"points": POINTS, "transform": np.eye(4)}
    with pytest.raises(rc.InvalidArgument, match=f"^transform_points: {text}"):
        rc.transform_points(**{**good, **wrong})


def test_a_read_only_out_is_refused() -> None:
    out = np.zeros((4, 3), "f")
    out.flags.writeable = False
    with pytest.raises(ValueError, match="transform_points: out is read-only"):
        rc.transform_points(POINTS, np.eye(4), out=out)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"points": np.zeros(3, "f")}, r"points is \[3\], expected"),
        ({"low": 0}, "low is 0, expected 3 numbers"),
        ({"low": (0, "a", 0)}, r"low is \(0, 'a', 0\), expected 3 numbers"),
        ({"high": "abc"}, "high is 'abc', expected 3 numbers"),
        ({"high": {1, 2, 3}}, r"high is \{1, 2, 3\}, expected 3 numbers"),
        ({"high": np.array(1.0)}, r"high is array\(1.*\), expected 3 numbers"),
        ({"low": (0, np.nan, 0)}, "low is nan along y, expected a number"),
        ({"high": (1, np.nan, 1)}, "high is nan along y, expected at least low, which is 0"),
        ({"high": (1, 1, -1)}, "high is -1 along z, expected at least low, which is 0"),
        ({"features": np.zeros((3, 2), "f")}, r"features is \[3, 2\], expected \[N=4, F\]"),
        ({"features": np.zeros(4, "f")}, r"features is \[4\], expected \[N=4, F\]"),
        ({"features": np.zeros((4, 2), int)}, "features is int64"),
        ({"transform": np.zeros((4, 3))}, r"transform is \[4, 3\]"),
        ({"offsets": np.array(3)}, r"offsets is \[\], expected \[B\+1\]"),
        (
            {"points": np.zeros((2, 4, 3), "f"), "lengths": np.array([1, 5])},
            "lengths is 5 of cloud 1, expected 0 to N=4",
        ),
    ],
)
def test_errors_of_crop(wrong: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"points": POINTS, "low": (0, 0, 0), "high": (1, 1, 1)}
    with pytest.raises(rc.InvalidArgument, match=f"^crop: {text}"):
        rc.crop(**{**good, **wrong})


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"depth": np.zeros(3, "f")}, r"depth is \[3\], expected \[H, W\] or \[B, H, W\]"),
        ({"depth": np.zeros((1,) * 8, "f")}, r"depth is \[1, 1, 1, 1, 1, 1, 1, 1\], expected \[H, W\]"),
        ({"depth": np.zeros((2, 2), int)}, "depth is int64, expected uint16 or float32 or float64 or float16"),
        ({"intrinsics": np.zeros((3, 4))}, r"intrinsics is \[3, 4\], expected \[3, 3\]"),
        ({"intrinsics": np.zeros((2, 3, 3))}, r"intrinsics is \[2, 3, 3\], expected \[3, 3\]"),
        ({"intrinsics": K.T.copy()}, "intrinsics is no pinhole camera's, expected"),
        ({"intrinsics": K * 2}, "intrinsics is no pinhole camera's, expected"),
        ({"intrinsics": np.diag([2.0, 0, 1])}, "intrinsics is fx=2, fy=0, cx=0, cy=0, expected finite numbers"),
        ({"intrinsics": np.diag([2.0, np.nan, 1])}, "intrinsics is fx=2, fy=nan"),
        ({"intrinsics": None}, "intrinsics is NoneType, expected"),
        ({"depth_scale": 0}, "depth_scale is 0, expected metres of one unit"),
        ({"depth_scale": np.inf}, "depth_scale is inf"),
        ({"depth_scale": 1e-46}, "depth_scale is 1e-46, expected metres of one unit of depth, more than 0 in float32"),
        ({"depth_scale": 1e39}, r"depth_scale is 1e\+39, expected metres"),
        ({"depth_scale": "mm"}, "depth_scale is 'mm', expected a number"),
        ({"max_depth_m": -1}, "max_depth_m is -1, expected metres, more than 0"),
        ({"max_depth_m": np.nan}, "max_depth_m is nan"),
        ({"transform": np.zeros((1, 4, 4))}, r"transform is \[1, 4, 4\], expected \[4, 4\]"),
    ],
)
def test_errors_of_depth_to_points(wrong: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"depth": np.ones((2, 2), "f"), "intrinsics": K}
    with pytest.raises(rc.InvalidArgument, match=f"^depth_to_points: {text}"):
        rc.depth_to_points(**{**good, **wrong})
