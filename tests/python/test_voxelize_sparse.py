"""voxelize_sparse and voxel_downsample: against the oracle, and sparse against dense bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, dtype_name, numbers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real_data import real
from reference.voxelize_oracle import Grid, downsampled, reduced, sparse, voxel_of
from test_voxelize import FEATURES, assert_same_bits, cloud, options, stored

UNIT = Grid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (3, 2, 5))
LIMITS = st.sampled_from([None, 1, 2, 5, 300])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    def three(values: list[Any]) -> Any:
        return tuple(draw(st.sampled_from(values)) for _ in range(3))

    return Grid(three([0.05, 0.1, 1.0, 0.37]), three([-3.0, 0.0, 0.7, -1.25]), three([1, 2, 7, 9, 16, 4000]))


@dataclass(frozen=True)
class OnHost:
    """A result's arrays in numpy."""

    coords: np.ndarray
    counts: np.ndarray
    inverse: np.ndarray
    offsets: np.ndarray
    dropped: np.ndarray
    reduced: dict[str, np.ndarray]


def on_host(result: rc.VoxelizeSparseResult) -> OnHost:
    arrays = (result.coords, result.counts, result.inverse, result.offsets, result.dropped)
    return OnHost(*(numbers(array) for array in arrays), {name: numbers(result[name]) for name in result.reductions})


def cut(made: np.random.Generator, n: int, clouds: int) -> np.ndarray:
    return np.concatenate([[0], np.sort(made.integers(0, n + 1, clouds - 1)), [n]])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 2, 30, 700]),
    columns=st.sampled_from([0, 1, 3, 4, 16, 33]),
    grid=grids(),
    dtypes=st.tuples(*[st.sampled_from(["float32", "float64", "float16"])] * 2),
    limits=st.tuples(LIMITS, LIMITS),
    clouds=st.sampled_from([1, 1, 3]),
)
def test_answers_like_the_oracle(
    device: Home,
    seed: int,
    n: int,
    columns: int,
    grid: Grid,
    dtypes: tuple[str, str],
    limits: tuple[int | None, int | None],
    clouds: int,
) -> None:
    points, features = cloud(seed, n, grid, columns)
    points, features = points.astype(dtypes[0]), features.astype(dtypes[1])
    ends = cut(np.random.default_rng(seed), n, clouds)
    result = rc.voxelize_sparse(
        device.array(points, dtypes[0]),
        device.array(features, dtypes[1]),
        **options(grid),
        reduce=FEATURES,
        inverse=True,
        max_points=limits[0],
        max_voxels=limits[1],
        offsets=device.times(ends) if clouds > 1 else None,
    )
    got = on_host(result)
    flat, rows = voxel_of(stored(points, dtypes[0]), grid), stored(features, dtypes[1])
    for b in range(clouds):
        mine = slice(ends[b], ends[b + 1])
        want = sparse(flat[mine], *limits)
        first, last = got.offsets[b], got.offsets[b + 1]
        coords = np.stack(np.unravel_index(want.voxels, grid.shape), axis=1)
        np.testing.assert_array_equal(got.coords[first:last, 1:], coords)
        assert (got.coords[first:last, 0] == b).all()
        assert got.counts[first:last].tolist() == [len(members) for members in want.rows]
        np.testing.assert_array_equal(got.inverse[mine], np.where(want.inverse < 0, -1, want.inverse + first))
        assert got.dropped.reshape(-1)[b] == want.dropped
        for reduce in FEATURES:
            values = [reduced(rows[mine][members], reduce) for members in want.rows]
            assert_same_bits(
                got.reduced[reduce][first:last],
                np.array(values, rows.dtype).reshape(len(want.rows), columns).astype(dtypes[1]),
            )
    assert len(got.counts) == got.offsets[-1]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 2, 700]),
    columns=st.sampled_from([0, 1, 3, 16]),
    grid=grids(),
    dtypes=st.tuples(*[st.sampled_from(["float32", "float64", "float16"])] * 2),
)
def test_downsamples_like_the_oracle(
    device: Home, seed: int, n: int, columns: int, grid: Grid, dtypes: tuple[str, str]
) -> None:
    points, features = cloud(seed, n, grid, columns)
    points, features = points.astype(dtypes[0]), features.astype(dtypes[1])
    arrays = device.array(points, dtypes[0]), device.array(features, dtypes[1])
    got = rc.voxel_downsample(arrays[0], grid.voxel_m, arrays[1], origin=grid.origin)
    means, feature_means, counts = downsampled(stored(points, dtypes[0]), stored(features, dtypes[1]), grid)
    assert_same_bits(numbers(got.points), means.astype(dtypes[0]))
    assert_same_bits(numbers(got.features), feature_means.astype(dtypes[1]))
    assert_same_bits(numbers(got.counts), counts)
    assert got.offsets.tolist() == [0, len(counts)]
    assert got.dropped == (~np.isfinite(points).all(axis=1)).sum()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("transformed", [False, True])
def test_sparse_is_dense_at_its_coords(device: Home, seed: int, transformed: bool) -> None:
    made = np.random.default_rng(seed)
    grid = Grid((0.2, 0.1, 0.3), (-1.0, 0.5, 0.0), (9, 16, 7))
    points, features = (np.stack(each) for each in zip(*(cloud(seed + b, 900, grid, 5) for b in range(3)), strict=True))
    points, features = points.astype("f"), features.astype("f")
    transform = device.array(made.normal(size=(3, 4, 4))) if transformed else None
    given_ = {"lengths": device.times([900, 0, 400]), "transform": transform}
    arrays = device.array(points), device.array(features)
    dense = rc.voxelize(*arrays, **options(grid), reduce=("count", *FEATURES), **given_)
    got = rc.voxelize_sparse(*arrays, **options(grid), reduce=FEATURES, **given_)
    at = tuple(numbers(got.coords).T)
    counts = numbers(dense["count"])
    assert_same_bits(numbers(got.counts), counts[at])
    assert numbers(got.counts).sum() == counts.sum()
    np.testing.assert_array_equal(numbers(got.dropped), numbers(dense.dropped))
    for reduce in FEATURES:
        assert_same_bits(numbers(got[reduce]), numbers(dense[reduce])[at])


@pytest.mark.parametrize("max_points", [None, 256, 1000])
def test_a_full_voxel_and_many_chunks(device: Home, max_points: int | None) -> None:
    made = np.random.default_rng(4)
    points = made.normal(0.5, 0.2, (120_000, 3)).astype("f")
    points[::7] = 0.25
    features = made.normal(size=(120_000, 2)).astype("f")
    grid = Grid((0.01, 0.01, 0.01), (0, 0, 0), (100, 90, 110))
    got = on_host(
        rc.voxelize_sparse(
            device.array(points),
            device.array(features),
            **options(grid),
            reduce=FEATURES,
            inverse=True,
            max_points=max_points,
        )
    )
    want = sparse(voxel_of(points, grid), max_points)
    np.testing.assert_array_equal(np.ravel_multi_index(tuple(got.coords[:, 1:].T), grid.shape), want.voxels)
    for reduce in FEATURES:
        assert_same_bits(got.reduced[reduce], np.array([reduced(features[rows], reduce) for rows in want.rows]))
    np.testing.assert_array_equal(got.inverse, want.inverse)
    kept = got.inverse[got.inverse >= 0]
    np.testing.assert_array_equal(np.bincount(kept, minlength=len(got.counts)), got.counts)
    assert got.dropped == (got.inverse < 0).sum()


def test_a_grid_that_no_memory_holds(device: Home) -> None:
    """2^60 voxels: keys and points that do not fit into one word."""
    made = np.random.default_rng(5)
    points = made.uniform(0, 1000, (30_000, 3))
    points[::3] = points[0]
    array = device.array(points, "float64")
    got = rc.voxelize_sparse(array, voxel_m=1e-3, origin=(0, 0, 0), shape=(2**20,) * 3, inverse=True)
    at = np.floor(points * (1 / 1e-3)).astype(np.int64)
    voxels, inverse = np.unique(at, axis=0, return_inverse=True)
    np.testing.assert_array_equal(numbers(got.coords)[:, 1:], voxels)
    np.testing.assert_array_equal(numbers(got.inverse), inverse.ravel())


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 3), (60, 50, 70), (150, 140, 150)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ends", [None, [0, 9000, 9000, 12_345, 50_000]])
def test_ranking_a_small_box_is_sorting_it(shape: tuple[int, int, int], dtype: str, ends: list[int] | None) -> None:
    """A limit that nothing reaches: the points are sorted then, whatever the box."""
    made = np.random.default_rng(8)
    points = made.normal(0.5, 0.3, (50_000, 3)).astype(dtype)
    points[::11] = [0.4, 0.4, 0.4]
    points[::501, 1] = np.nan
    grid = Grid(tuple(1 / size for size in shape), (0, 0, 0), shape)
    given_ = {**options(grid), "reduce": FEATURES, "inverse": True, "offsets": None if ends is None else np.array(ends)}
    ranked = rc.voxelize_sparse(points, **given_)
    ordered = rc.voxelize_sparse(points, **given_, max_points=2**40)
    for name in ("coords", "counts", "inverse", "offsets", "dropped"):
        np.testing.assert_array_equal(getattr(ranked, name), getattr(ordered, name))
    for reduce in FEATURES:
        assert_same_bits(ranked[reduce], ordered[reduce])
    assert 0 < ranked.counts.sum() < len(points)


def test_which_points_and_voxels_are_kept(device: Home) -> None:
    x = [2.5, 0.5, 2.5, 1.5, 0.5, 2.5]
    points = np.array([[v, 0.5, 0.5] for v in x], "f")
    limits = {"max_points": 2, "max_voxels": 2}
    got = on_host(
        rc.voxelize_sparse(device.array(points), **options(UNIT), reduce=("first", "last"), inverse=True, **limits)
    )
    assert got.coords[:, 1].tolist() == [0, 2]
    assert got.counts.tolist() == [2, 2]
    assert got.inverse.tolist() == [1, 0, 1, -1, 0, -1]
    assert int(got.dropped) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("columns", [0, 1, 4, 7])
@pytest.mark.parametrize(("max_points", "max_voxels"), [(1, None), (5, 40), (300, None)])
def test_lists_the_points_of_each_voxel(
    device: Home, dtype: str, columns: int, max_points: int, max_voxels: int | None
) -> None:
    grid = Grid((0.37, 0.1, 1.0), (-1.25, 0.0, -3.0), (7, 16, 9))
    points, features = (np.stack(each) for each in zip(*(cloud(b, 800, grid, columns) for b in range(2)), strict=True))
    features = features.astype(dtype)
    limits = {"max_points": max_points, "max_voxels": max_voxels}
    lengths = [800, 350]
    got = rc.voxelize_sparse(
        device.array(points),
        device.array(features, dtype, "columns"),
        **options(grid),
        reduce=(),
        point_lists=True,
        lengths=device.times(lengths),
        **limits,
    )
    want = []
    for b, length in enumerate(lengths):
        for members in sparse(voxel_of(points[b, :length].astype("f"), grid), max_points, max_voxels).rows:
            want.append(np.zeros((max_points, columns), dtype))
            want[-1][: len(members)] = features[b][members]
    assert_same_bits(numbers(got.points), np.array(want))
    assert len(want) == len(got.counts) > 30


def test_point_lists_take_the_points_themselves_and_need_a_limit() -> None:
    points = np.array([[0.5, 0.5, 0.5], [0.75, 0.5, 0.5], [2.5, 0.5, 0.5]], "f")
    got = rc.voxelize_sparse(points, **options(UNIT), reduce=(), point_lists=True, max_points=3)
    assert got.points.tolist() == [[*points[:2].tolist(), [0.0] * 3], [points[2].tolist(), [0.0] * 3, [0.0] * 3]]
    assert rc.voxelize_sparse(points, **options(UNIT), max_points=3).points is None
    with pytest.raises(rc.InvalidArgument, match="voxelize_sparse: max_points is not given, expected how many points"):
        rc.voxelize_sparse(points, **options(UNIT), point_lists=True)
    with pytest.raises(rc.InvalidArgument, match="voxelize_sparse: max_points is -1, expected at least 1"):
        rc.voxelize_sparse(points, **options(UNIT), point_lists=True, max_points=-1)
    with pytest.raises(rc.OutOfMemory):
        rc.voxelize_sparse(points, **options(UNIT), point_lists=True, max_points=2**62)
    empty = rc.voxelize_sparse(points[:0], **options(UNIT), point_lists=True, max_points=2)
    assert empty.points.shape == (0, 2, 3)


def test_no_reduction_and_no_inverse() -> None:
    got = rc.voxelize_sparse(np.full((4, 3), 0.5), **options(UNIT), reduce=())
    assert (got.counts.tolist(), got.inverse, got.reductions) == ([4], None, [])


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_empty_grids_drop_everything(device: Home, shape: tuple[int, int, int]) -> None:
    points = device.array(np.full((4, 3), 0.5))
    got = on_host(rc.voxelize_sparse(points, voxel_m=1, origin=(0, 0, 0), shape=shape, inverse=True))
    assert got.coords.shape == (0, 4)
    assert got.reduced["mean"].shape == (0, 3)
    assert (int(got.dropped), got.inverse.tolist()) == (4, [-1] * 4)


def test_no_clouds(device: Home) -> None:
    got = on_host(rc.voxelize_sparse(device.empty((0, 5, 3)), **options(UNIT), inverse=True))
    assert (got.coords.shape, got.offsets.tolist(), got.inverse.shape) == ((0, 4), [0], (0, 5))
    assert rc.voxel_downsample(np.zeros((0, 5, 3)), 1).offsets.tolist() == [0]


def test_padding_has_no_voxel(device: Home) -> None:
    points = device.array(np.full((2, 3, 3), 0.5))
    got = on_host(rc.voxelize_sparse(points, **options(UNIT), lengths=device.times([1, 2]), inverse=True))
    assert got.inverse.tolist() == [[0, -1, -1], [1, 1, -1]]
    assert got.dropped.tolist() == [0, 0]


def test_downsampled_batches_are_their_clouds() -> None:
    made = np.random.default_rng(6)
    points = made.normal(0, 3, (900, 3))
    ends = [0, 300, 300, 900]
    got = rc.voxel_downsample(points, 0.7, offsets=np.array(ends))
    alone = [rc.voxel_downsample(points[a:b], 0.7) for a, b in pairwise(ends)]
    np.testing.assert_array_equal(got.points, np.concatenate([a.points for a in alone]))
    assert np.diff(got.offsets).tolist() == [len(a.points) for a in alone]


def test_many_tiny_clouds(device: Home) -> None:
    """What sorts is shared by all clouds: with counters for each, these would take 800 MB."""
    points = np.full((50_000, 2, 3), 0.5, "f")
    got = rc.voxelize_sparse(device.array(points), voxel_m=1e-6, origin=(0, 0, 0), shape=(2**20, 2**20, 4), reduce=())
    assert (len(got.counts), int(numbers(got.dropped).sum())) == (0, 100_000)
    less = rc.voxel_downsample(points, 0.001)
    assert less.offsets.tolist() == list(range(50_001))
    assert (less.counts == 2).all()


def test_far_from_the_origin_in_float64() -> None:
    """Coordinates of a map, in millimetre voxels."""
    points = np.array([[500_000.0004, 4.5e6, 30], [500_000.0006, 4.5e6, 30], [500_000.0014, 4.5e6, 30]])
    assert rc.voxel_downsample(points, 0.001).counts.tolist() == [2, 1]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_results_are_arrays_of_the_callers_library(library: str) -> None:
    pytest.importorskip(library)
    home = Home(library, "cpu")
    points = home.array(np.full((4, 3), 0.5))
    got = rc.voxelize_sparse(points, **options(UNIT), inverse=True)
    less = rc.voxel_downsample(points, 1.0, points)
    arrays = (got.coords, got.counts, got["mean"], got.inverse, got.dropped, less.points, less.features, less.offsets)
    assert all(home.owns(array) for array in arrays)
    assert dtype_name(got.coords) == "int32"
    assert numbers(less.points).tolist() == [[0.5, 0.5, 0.5]]


@pytest.mark.parametrize("voxel_m", [0.05, 0.2, 0.5])
def test_a_real_scan(voxel_m: float) -> None:
    points = rc.read_points(real("lidar_gicp_pair") / "source.ply").points
    got = rc.voxel_downsample(points, voxel_m)
    means, _, counts = downsampled(points, np.zeros((len(points), 0), "f"), Grid((voxel_m,) * 3, (0, 0, 0), (1, 1, 1)))
    assert_same_bits(got.points, means)
    assert_same_bits(got.counts, counts)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"max_points": 0}, "max_points is 0, expected at least 1"),
        ({"max_voxels": -3}, "max_voxels is -3, expected at least 1"),
        ({"reduce": "count"}, r"reductions\[0\].reduce is count, expected a reduction of features; counts are always"),
        ({"reduce": "median"}, "reduce is 'median', expected one of"),
        ({"points": np.zeros((4, 2))}, r"points is \[4, 2\], expected \[N, 3\]"),
        ({"shape": (2, -1, 2)}, "shape is -1 along y"),
        ({"transform": np.eye(4)}, "features is None beside a transform"),
        ({"offsets": np.array([0, 5])}, "offsets is 0 to 5 of cloud 0"),
    ],
)
def test_errors_name_what_is_wrong(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(rc.InvalidArgument, match=f"voxelize_sparse: {text}"):
        rc.voxelize_sparse(**{"points": np.zeros((4, 3), "f"), **options(UNIT), **wrong})


@pytest.mark.parametrize(
    ("points", "voxel_m", "text"),
    [
        (
            np.float32([[1e9, 0, 0]]),
            1,
            r"points is 1e\+09 voxels from the origin along x, expected at most 2\^24; a lar",
        ),
        (np.array([[0, 1e17, 0]]), 1, r"points is 1e\+17 voxels from the origin along y, expected at most 2\^53"),
        (np.array([[0, 0, 0], [0, 0, 3e7]]), 1, r"points is 3e\+07 voxels wide along z, expected at most 2\^24"),
        (
            np.array([[0, 0, 0], [1e7, 1e7, 1e7]]),
            1,
            r"points is in a box of \[10000001, .*\] voxels, expected less than",
        ),
        (np.zeros((1, 3)), 0, "voxel_m is 0 along x"),
        (np.zeros((1, 3)), "a", "voxel_m is 'a', expected a number or 3"),
    ],
)
def test_downsampling_names_what_is_too_far(points: np.ndarray, voxel_m: Any, text: str) -> None:
    with pytest.raises(rc.InvalidArgument, match=f"voxel_downsample: {text}"):
        rc.voxel_downsample(points, voxel_m)
