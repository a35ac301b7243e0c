"""voxelize on CUDA: the bits of the CPU, graphs, streams, many clouds, what is out of range."""

from __future__ import annotations

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, numbers
from reference.voxelize_oracle import COUNTS, Grid, voxelize
from test_voxelize import FEATURES, UNIT, assert_same_bits, options, scene, stored


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 4, 16, 33])
def test_cuda_has_the_bits_of_the_cpu(cuda: Home, dtype: str, columns: int) -> None:
    made = np.random.default_rng([columns, FLOATS.index(dtype)])
    grid = Grid((0.1, 0.05, 0.2), (-2.0, 0.0, 1.0), (41, 37, 23))
    points = scene(made, 100_000, grid)
    features = made.normal(size=(100_000, columns))
    features[made.random(features.shape) < 0.01] = made.choice([np.nan, np.inf, -0.0])
    features = stored(features, dtype)
    ends = [0, 30_000, 30_000, 99_000]
    reductions = (*COUNTS, *FEATURES)
    on_cpu, on_cuda = (
        rc.voxelize(
            home.array(points),
            home.array(features, dtype),
            **options(grid),
            reduce=reductions,
            empty=-2,
            offsets=home.times(ends),
        )
        for home in (Home("torch", "cpu"), cuda)
    )
    for reduce in reductions:
        assert_same_bits(numbers(on_cuda[reduce]), numbers(on_cpu[reduce]))
    np.testing.assert_array_equal(numbers(on_cuda.dropped), numbers(on_cpu.dropped))


@pytest.mark.parametrize("reduce", ["occupancy_bits", "mean"])
def test_more_voxels_than_32_bits_number(cuda: Home, reduce: str) -> None:
    """2^33 voxels: a GiB of bits, or 16 of means."""
    made = np.random.default_rng(11)
    points = made.uniform(0, 2048, (50_000, 3)).astype("f")
    features = made.uniform(1, 2, (50_000, 1))
    got = rc.voxelize(
        cuda.array(points),
        cuda.array(features, "float16"),
        voxel_m=1,
        origin=(0, 0, 0),
        shape=(2048, 2048, 2048),
        reduce=reduce,
    ).values
    at, inverse = np.unique(np.floor(points).astype(np.int64), axis=0, return_inverse=True)
    x, y, z = (cuda.times(axis) for axis in at.T)
    if reduce == "occupancy_bits":
        assert int((got[x, y, z // 8].int() >> (z % 8).int() & 1).sum()) == len(at)
        return
    first = np.zeros(len(at))
    first[inverse.ravel()[::-1]] = features[::-1, 0]
    alone = np.bincount(inverse.ravel()) == 1
    np.testing.assert_array_equal(numbers(got[x, y, z, 0])[alone], first.astype("f2")[alone])
    assert sum(int((part != 0).sum()) for part in got.view(2048, -1)) == len(at)


SHAPES = [(30, 20, 25), (220, 230, 210)]  # a graph fills results of the second one while it sorts points


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduce", ["count", "mean", "max"])
def test_a_call_can_be_captured_in_a_cuda_graph(cuda: Home, reduce: str, shape: tuple[int, int, int]) -> None:
    import torch

    made = np.random.default_rng(5)
    grid = Grid((0.1, 0.1, 0.1), (0, 0, 0), shape)
    points, features = cuda.array(scene(made, 20_000, grid)), cuda.array(made.normal(size=(20_000, 4)))
    rc.voxelize(points, features, **options(grid), reduce=reduce)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = rc.voxelize(points, features, **options(grid), reduce=reduce)
    for _ in range(3):
        points.copy_(cuda.array(scene(made, 20_000, grid)))
        graph.replay()
        want = rc.voxelize(points, features, **options(grid), reduce=reduce)
        assert_same_bits(numbers(got.values), numbers(want.values))
        assert int(numbers(got.dropped)) == int(numbers(want.dropped))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduce", ["count", "mean"])
def test_another_cuda_stream_is_used(cuda: Home, reduce: str, shape: tuple[int, int, int]) -> None:
    """The points are written late on a side stream; kernels of a call that begin early must not read them before."""
    import torch

    made = np.random.default_rng(6)
    grid = Grid((0.1, 0.1, 0.1), (0, 0, 0), shape)
    late, features = cuda.array(scene(made, 20_000, grid)), cuda.array(made.normal(size=(20_000, 4)))
    want = rc.voxelize(late, features, **options(grid), reduce=reduce)
    points = torch.full_like(late, -1)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(200_000_000)
        points.copy_(late)
        got = rc.voxelize(points, features, **options(grid), reduce=reduce).values.clone()
    side.synchronize()
    assert_same_bits(numbers(got), numbers(want.values))


@pytest.mark.parametrize("reduce", ["count", "occupancy", "occupancy_bits", "mean"])
def test_many_clouds_on_every_device(device: Home, reduce: str) -> None:
    """Results of more clouds than are cleared at once, of odd sizes, on results that lie anywhere."""
    made = np.random.default_rng(8)
    grid = Grid((0.1, 0.1, 0.1), (0, 0, 0), (61, 67, 131))
    points = made.uniform(-0.1, 13.2, (23, 500, 3)).astype("f")
    got = rc.voxelize(device.array(points), **options(grid), reduce=reduce)
    for b in range(23):
        want, dropped = voxelize(points[b], points[b], grid, reduce, 0)
        assert_same_bits(numbers(got.values[b]), want)
        assert int(numbers(got.dropped)[b]) == dropped


def test_lengths_out_of_range_read_nothing_else_on_cuda(cuda: Home) -> None:
    points = cuda.array(np.full((2, 5, 3), 0.5))
    for reduce in ("count", "mean"):
        got = rc.voxelize(points, **options(UNIT), lengths=cuda.times([-3, 900]), reduce=reduce)
        assert float(numbers(got.values)[0].sum()) == 0
        assert float(numbers(got.values)[1].sum()) == (5 if reduce == "count" else 1.5)
    packed = cuda.array(np.full((5, 3), 0.5))
    for reduce in ("count", "mean"):
        rc.voxelize(packed, **options(UNIT), offsets=cuda.times([-7, 3, 2**40]), reduce=reduce)


def test_more_points_than_are_sorted_are_refused(cuda: Home) -> None:
    points = cuda.array([[[0.5, 0.5, 0.5]]]).expand(2**16, 2**16, 3)
    with pytest.raises(rc.Unsupported, match=r"voxelize: points is 65536 points in each of 65536 clouds, expected at"):
        rc.voxelize(points, voxel_m=1, origin=(0, 0, 0), shape=(1, 1, 1), reduce="mean")
