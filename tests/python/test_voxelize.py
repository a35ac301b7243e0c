"""voxelize: against the oracle, and what users of other voxelizers stumbled over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, dtype_name, numbers
from reference.voxelize_oracle import COUNTS, Grid, compute_type, voxelize

FEATURES = ("sum", "mean", "min", "max", "first", "last")
UNIT = Grid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (3, 2, 5))


def options(grid: Grid) -> dict[str, Any]:
    return {"voxel_m": grid.voxel_m, "origin": grid.origin, "shape": grid.shape}


def stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as `dtype` holds them, in its compute type."""
    if dtype == "bfloat16":
        return (np.asarray(array, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    return np.asarray(array).astype(dtype).astype(compute_type(dtype))


def assert_same_bits(got: np.ndarray, want: np.ndarray) -> None:
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    same = got.view(f"u{got.itemsize}") == want.view(f"u{want.itemsize}")
    both_nan = np.isnan(got) & np.isnan(want) if got.dtype.kind == "f" else np.zeros(got.shape, bool)
    assert (same | both_nan).all()


def cloud(seed: int, n: int, grid: Grid, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in and around a grid, many on faces and some not finite, with features of both signs and NaN."""
    made = np.random.default_rng(seed)
    size = np.multiply(grid.voxel_m, grid.shape)
    points = made.uniform(-0.2, 1.2, (n, 3)) * size + grid.origin
    faces = made.random((n, 3)) < 0.2
    snapped = grid.origin + np.round((points - grid.origin) / grid.voxel_m) * grid.voxel_m
    points = np.where(faces, snapped, points)
    points[made.random((n, 3)) < 0.01] = made.choice([np.nan, np.inf, -np.inf, -0.0, 3e4])
    features = np.round(made.normal(size=(n, columns)) * 64) / 16
    features[made.random((n, columns)) < 0.02] = made.choice([np.nan, np.inf, -0.0, 0.0])
    return points, features


def scene(made: np.random.Generator, n: int, grid: Grid) -> np.ndarray:
    """Points of a room: an even part, walls, and voxels that hold many thousands."""
    size = np.multiply(grid.voxel_m, grid.shape)
    points = made.uniform(-0.02, 1.02, (n, 3)) * size + grid.origin
    points[: n // 4, 2] = grid.origin[2] + 0.3 * size[2]
    full = made.random(n) < 0.3
    points[full] = points[made.integers(0, 3, n)][full]
    return points[made.permutation(n)]


@pytest.mark.parametrize("columns", [0, 1, 3, 4, 16, 33])
@pytest.mark.parametrize("n", [0, 1, 50, 700])
def test_answers_like_the_oracle(device: Home, columns: int, n: int) -> None:
    """1,080 clouds, each in every reduction."""
    for seed in range(30 if n == 700 else 50):
        assert_oracle(device, seed, columns, n)


def assert_oracle(home: Home, seed: int, columns: int, n: int) -> None:
    made = np.random.default_rng([seed, columns, n])
    grid = Grid(
        tuple(made.choice([0.05, 0.1, 1.0, 0.37], 3)),
        tuple(made.choice([-3.0, 0.0, 0.7, -1.25], 3)),
        tuple(int(s) for s in made.choice([1, 2, 7, 9, 16], 3)),
    )
    points, features = cloud(seed, n, grid, columns)
    p_dtype, f_dtype = made.choice(["float32", "float64", "float16"], 2)
    transform = made.normal(size=(4, 4)) if seed % 3 == 0 else None
    reductions = (*COUNTS, *FEATURES)
    empty = float(made.choice([0.0, -1.5, np.inf]))
    got = rc.voxelize(
        home.array(points, p_dtype),
        home.array(features, f_dtype),
        **options(grid),
        reduce=reductions,
        empty=empty,
        transform=None if transform is None else home.array(transform, "float64"),
    )
    for reduce in reductions:
        want, dropped = voxelize(stored(points, p_dtype), stored(features, f_dtype), grid, reduce, empty, transform)
        if reduce in FEATURES:
            want = want.astype(f_dtype)
        assert_same_bits(numbers(got[reduce]), want)
        assert int(numbers(got.dropped)) == dropped


@pytest.mark.parametrize("reduce", COUNTS)
def test_counts_on_every_device(device: Home, reduce: str) -> None:
    for seed, n in enumerate((0, 1, 5, 4000)):
        grid = Grid((0.5, 0.25, 0.1), (-1.0, 0.0, -0.3), (5, 8, 13))
        points, _ = cloud(seed, n, grid, 0)
        got = rc.voxelize(device.array(points.tolist() or np.zeros((0, 3)), "float32"), **options(grid), reduce=reduce)
        want, dropped = voxelize(stored(points, "float32"), np.zeros((n, 0), "f"), grid, reduce, 0)
        assert_same_bits(numbers(got.values).astype(want.dtype), want)
        assert int(numbers(got.dropped)) == dropped
        assert dtype_name(got.values) == str(want.dtype)


def test_axes_are_x_y_z(device: Home) -> None:
    """The predecessor transposed cubic grids and scrambled the others."""
    points = device.array([[5.5, 1.5, 0.5]])
    got = numbers(rc.voxelize(points, voxel_m=1, origin=(0, 0, 0), shape=(8, 4, 2)).values)
    assert np.argwhere(got).tolist() == [[5, 1, 0]]


def test_faces_belong_to_the_voxel_above(device: Home) -> None:
    at = [-1e-30, -0.0, 0.0, 1.0, np.nextafter(np.float32(2), np.float32(0)), 2.0, 3.0]
    points = device.array([[float(x), 0.5, 0.5] for x in at])
    got = rc.voxelize(points, voxel_m=1, origin=(0, 0, 0), shape=(3, 1, 1))
    assert numbers(got.values).ravel().tolist() == [2, 2, 1]
    assert int(numbers(got.dropped)) == 2


def test_what_is_not_finite_is_dropped_and_counted(device: Home) -> None:
    points = device.array([[np.nan, 0, 0], [np.inf, 0, 0], [0, -np.inf, 0], [9, 9, 9], [0.5, 0.5, 0.5]])
    got = rc.voxelize(points, **options(UNIT))
    assert int(numbers(got.values).sum()) == 1
    assert int(numbers(got.dropped)) == 4


def test_max_of_negative_features(device: Home) -> None:
    """The predecessor's maximum over a grid of zeros was 0."""
    points, features = device.array(np.full((2, 3), 0.5)), device.array([[-3.0], [-1.0]])
    got = rc.voxelize(points, features, **options(UNIT), reduce=("min", "max"), empty=np.nan)
    assert (numbers(got["min"])[0, 0, 0, 0], numbers(got["max"])[0, 0, 0, 0]) == (-3, -1)
    assert np.isnan(numbers(got["max"])).sum() == 3 * 2 * 5 - 1


def test_without_features_the_points_are_reduced(device: Home) -> None:
    points = device.array([[0.2, 0.5, 0.5], [0.4, 0.5, 0.5]], "float64")
    got = rc.voxelize(points, **options(UNIT), reduce="mean").values
    np.testing.assert_allclose(numbers(got)[0, 0, 0], [0.3, 0.5, 0.5])
    assert dtype_name(got) == "float64"


@pytest.mark.parametrize("n", [255, 256, 257, 512, 5000])
def test_a_full_voxel_is_summed_in_chunks(device: Home, n: int) -> None:
    features = np.random.default_rng(n).normal(size=(n, 5)).astype("f")
    points = np.full((n, 3), 0.5, "f")
    points[::7, 2] = 3.5  # beside a voxel with fewer
    got = rc.voxelize(device.array(points), device.array(features), **options(UNIT), reduce=FEATURES)
    for reduce in FEATURES:
        want, _ = voxelize(points, features, UNIT, reduce, 0)
        assert_same_bits(numbers(got[reduce]), want)


@pytest.mark.parametrize("dtype", FLOATS)
def test_features_keep_their_dtype(device: Home, dtype: str) -> None:
    pytest.importorskip("torch")
    home = device
    features = [[1.5, -2.0], [2.5, 4.0], [0.25, 0.0]]
    points = home.array([[0.5, 0.5, 0.5]] * 3)
    got = rc.voxelize(points, home.array(features, dtype), **options(UNIT), reduce=FEATURES)
    want = {"sum": [4.25, 2], "min": [0.25, -2], "max": [2.5, 4], "first": [1.5, -2], "last": [0.25, 0]}
    for reduce, row in want.items():
        assert dtype_name(got[reduce]) == dtype
        assert numbers(got[reduce])[0, 0, 0].tolist() == row


def test_batches(device: Home) -> None:
    made = np.random.default_rng(1)
    points = made.uniform(-1, 6, (3, 50, 3)).astype("f")
    lengths = [50, 0, 17]
    alone = [rc.voxelize(points[b, :n], **options(UNIT)) for b, n in enumerate(lengths)]
    padded = points.copy()
    padded[2, 17:] = 0.5  # never read
    got = rc.voxelize(device.array(padded.tolist()), **options(UNIT), lengths=device.times(lengths))
    packed = np.concatenate([points[b, :n] for b, n in enumerate(lengths)])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    ragged = rc.voxelize(device.array(packed.tolist()), **options(UNIT), offsets=device.times(offsets))
    for result in (got, ragged):
        np.testing.assert_array_equal(numbers(result.values), [a.values for a in alone])
        np.testing.assert_array_equal(numbers(result.dropped), [a.dropped for a in alone])


def test_a_transform_for_each_cloud(device: Home) -> None:
    transform = np.tile(np.eye(4), (2, 1, 1))
    transform[1, :3, 3] = [1, 0, 2]
    points = np.full((2, 1, 3), 0.5)
    got = rc.voxelize(device.array(points.tolist()), **options(UNIT), transform=device.array(transform.tolist()))
    assert np.argwhere(numbers(got.values)).tolist() == [[0, 0, 0, 0], [1, 1, 0, 2]]


@pytest.mark.parametrize("layout", ["columns", "pitched", "repeated"])
@pytest.mark.parametrize("columns", [4, 5])
def test_strides_on_every_device(device: Home, layout: str, columns: int) -> None:
    made = np.random.default_rng(3)
    points, features = made.uniform(0, 5, (2, 60, 3)).astype("f"), made.normal(size=(2, 60, columns)).astype("f")
    if layout == "repeated":
        points[1], features[1] = points[0], features[0]
    want = rc.voxelize(points, features, **options(UNIT), reduce=FEATURES)
    arrays = device.array(points, layout=layout), device.array(features, layout=layout)
    got = rc.voxelize(*arrays, **options(UNIT), reduce=FEATURES)
    for reduce in FEATURES:
        assert_same_bits(numbers(got[reduce]), want[reduce])


@pytest.mark.parametrize("layout", ["columns", "every second", "reversed"])
def test_strides(layout: str) -> None:
    made = np.random.default_rng(3)
    points, features = made.uniform(0, 5, (60, 3)).astype("f"), made.normal(size=(60, 4)).astype("f")
    want = rc.voxelize(points, features, **options(UNIT), reduce=FEATURES)
    if layout == "columns":
        points, features = np.asfortranarray(points), np.asfortranarray(features)
    elif layout == "every second":
        points, features = points.repeat(2, axis=0)[::2], features.repeat(2, axis=1)[:, ::2]
    else:
        points, features = points[::-1].copy()[::-1], features[::-1].copy()[::-1]
    got = rc.voxelize(points, features, **options(UNIT), reduce=FEATURES)
    for reduce in FEATURES:
        assert_same_bits(got[reduce], want[reduce])


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_empty_grids_drop_everything(device: Home, shape: tuple[int, int, int]) -> None:
    points = device.array([[0.5, 0.5, 0.5]] * 4)
    for reduce in (*COUNTS, "mean"):
        got = rc.voxelize(points, voxel_m=1, origin=(0, 0, 0), shape=shape, reduce=reduce)
        assert tuple(got.values.shape)[:2] == shape[:2]
        assert int(numbers(got.dropped)) == 4


def test_many_tiles_and_chunks(device: Home) -> None:
    made = np.random.default_rng(4)
    points = made.normal(0.5, 0.2, (120_000, 3)).astype("f")
    features = made.normal(size=(120_000, 2)).astype("f")
    grid = Grid((0.01, 0.01, 0.01), (0, 0, 0), (100, 90, 110))
    got = rc.voxelize(device.array(points), device.array(features), **options(grid), reduce=("count", "mean", "last"))
    for reduce in got.reductions:
        want, dropped = voxelize(points, features, grid, reduce, 0)
        assert_same_bits(numbers(got[reduce]), want)
        assert int(numbers(got.dropped)) == dropped


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"points": np.zeros((4, 2), "f")}, r"points is \[4, 2\], expected \[N, 3\] or \[B, N, 3\]"),
        ({"points": np.zeros((4, 3), int)}, "points is int64, expected float32 or"),
        ({"features": np.zeros((5, 2), "f"), "reduce": "mean"}, r"features is \[5, 2\], expected \[N=4, F"),
        ({"voxel_m": 0}, "voxel_m is 0 along x, expected 1.2e-38 to 8.5e37 metres"),
        ({"voxel_m": (1, 1, np.nan)}, "voxel_m is nan along z"),
        ({"voxel_m": np.array(0.0)}, "voxel_m is 0 along x"),
        ({"voxel_m": "a"}, "voxel_m is 'a', expected a number or 3"),
        ({"origin": (0, 0)}, r"origin is \(0, 0\), expected 3 numbers"),
        ({"origin": (0, np.inf, 0)}, "origin is inf along y"),
        ({"shape": (2, 2.5, 2)}, r"shape is \(2, 2.5, 2\), expected 3 whole numbers"),
        ({"shape": (2, -1, 2)}, "shape is -1 along y, expected 0 to 16777216"),
        ({"reduce": "median"}, "reduce is 'median', expected one of 'count', 'occupancy'"),
        ({"reduce": ()}, r"reduce is \(\), expected the name"),
        ({"empty": "x", "features": np.zeros((4, 1), "f"), "reduce": "max"}, "empty is 'x', expected a number"),
        ({"empty": {"maximum": 1}}, "reduce is 'maximum'"),
        ({"lengths": np.array([4])}, r"lengths is given with points \[N, 3\], expected points \[B, N, 3\]"),
        ({"offsets": np.array([0, 5])}, "offsets is 0 to 5 of cloud 0, expected non-decreasing numbers of 0 to N=4"),
        ({"offsets": np.array([0, 3, 2])}, "offsets is 3 to 2 of cloud 1"),
        ({"transform": np.zeros((3, 4))}, r"transform is \[3, 4\], expected \[4, 4\]"),
        ({"transform": np.eye(4), "reduce": "mean"}, "features is None beside a transform"),
        ({"voxel_m": 1e-40}, "voxel_m is 1e-40 along x, expected 1.2e-38 to"),
        ({"origin": {1, 2, 3}}, r"origin is \{1, 2, 3\}, expected 3 numbers"),
        (
            {"shape": (1, 1, 2**63 - 1), "reduce": "occupancy_bits"},
            "shape is 9223372036854775807 along z, expected 0 to",
        ),
        ({"shape": (2**40, 2**40, 1)}, "shape is 1099511627776 along x"),
        ({"shape": (-5, 2**62, 2**62)}, "shape is -5 along x"),
        ({"reduce": "max\ud800"}, r"reduce is 'max\\ud800', expected the name"),
        ({"empty": {"\ud800": 1}, "reduce": "max"}, r"empty is \{'\\ud800': 1\}, expected a number"),
        ({"empty": {"min": "x"}, "reduce": "max"}, "empty is"),
    ],
)
def test_errors_name_what_is_wrong(wrong: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"points": np.zeros((4, 3), "f"), "voxel_m": 1, "origin": (0, 0, 0), "shape": (2, 2, 2)}
    with pytest.raises(rc.InvalidArgument, match=f"voxelize: {text}"):
        rc.voxelize(**{**good, **wrong})


def test_a_limit_on_memory_changes_no_result(device: Home) -> None:
    points = device.array(np.random.default_rng(3).uniform(0, 1, (6, 5000, 3)))
    given_ = {
        "voxel_m": 0.1,
        "origin": (0, 0, 0),
        "shape": (10, 10, 10),
        "lengths": device.times([5000, 0, 3, 5000, 70, 1]),
    }
    memory = rc.voxelize_plan_memory(points, **given_, reduce=("mean", "count"))
    assert memory.outputs == 6 * 1000 * (3 * 4 + 4) + 6 * 8
    least = memory.outputs + memory.least_scratch
    want = rc.voxelize(points, **given_, reduce=("mean", "count"))
    for max_bytes in (least, (least + memory.outputs + memory.scratch) // 2, 2**62):
        got = rc.voxelize(points, **given_, reduce=("mean", "count"), max_bytes=max_bytes)
        assert_same_bits(numbers(got["mean"]), numbers(want["mean"]))
        assert_same_bits(numbers(got["count"]), numbers(want["count"]))
        np.testing.assert_array_equal(numbers(got.dropped), numbers(want.dropped))
    text = f"voxelize: max_bytes is {least - 1}, expected at least {memory.outputs} for the results and "
    text += f"{memory.least_scratch} for scratch, the least that these clouds take"
    with pytest.raises(rc.OutOfMemory, match=text):
        rc.voxelize(points, **given_, reduce=("mean", "count"), max_bytes=least - 1)


def test_features_that_no_reduction_asks_for_take_no_memory() -> None:
    points = np.full((4, 3), 0.5, "f")
    grid = {"voxel_m": 1, "origin": (0, 0, 0), "shape": (2, 2, 4)}
    unused = np.broadcast_to(np.float32(1), (4, 2**50))
    assert int(rc.voxelize(points, unused, **grid, reduce="count").values.sum()) == 4
    with_, without = (rc.voxelize_plan_memory(points, f, **grid, reduce="count") for f in (unused, None))
    assert (with_.outputs, with_.scratch) == (without.outputs, without.scratch)
    assert rc.voxelize_plan_memory(points, unused, **grid, reduce="sum").scratch == 2**63 - 1


def test_goes_on_after_memory_ran_out(device: Home) -> None:
    """On CUDA torch makes the results, and has words of its own."""
    points = device.array(np.full((4, 3), 0.5))
    grid = {"voxel_m": 1, "origin": (0, 0, 0)}
    huge = {**grid, "shape": (2**20, 2**20, 2**10)}
    assert rc.voxelize_plan_memory(points, **huge).outputs == 2**52 + 8
    on_cpu = rf"free memory is \d+ bytes, expected {2**52} bytes"
    with pytest.raises(MemoryError, match=rf"Tried to allocate {2**22}" if device.device == "cuda" else on_cpu):
        rc.voxelize(points, **huge)
    assert rc.voxelize(points, **grid, shape=(1, 1, 1)).values.tolist() == [[[4]]]


def test_a_result_says_which_reductions_it_has() -> None:
    points = np.full((4, 3), 0.5)
    grid = {"voxel_m": 1, "origin": (0, 0, 0), "shape": (1, 1, 1)}
    for result in (rc.voxelize(points, **grid, reduce="mean"), rc.voxelize_sparse(points, **grid, reduce="mean")):
        assert "mean" in result
        assert "count" not in result
        assert 3 not in result
