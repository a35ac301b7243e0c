"""Operators on points on CUDA: the bits of the CPU, graphs, streams, what is out of range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, bits, dtype_name, numbers

CPU = Home("torch", "cpu")
BOX = {"low": (-1, -1.5, -np.inf), "high": (1, 1.25, 2)}
CAMERA = np.array([[525.3, 0, 31.7], [0, 524.1, 24.2], [0, 0, 1]])


def cloud(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    made = np.random.default_rng(seed)
    points = np.round(8 * made.normal(size=shape)) / 8
    points[made.random(shape) < 0.01] = made.choice([np.nan, np.inf, -0.0])
    return points


def clouds(home: Home, kind: str, dtype: str, layout: str) -> tuple[Any, dict[str, Any]]:
    """Points and what says where the clouds lie in them."""
    shape = (40_000, 3) if kind in ("single", "packed") else (4, 10_001, 3)
    options: dict[str, Any] = {}
    if kind == "lengths":
        options["lengths"] = home.times([10_001, 0, 77, 5000])
    if kind == "packed":
        options["offsets"] = home.times([10, 10, 30_000, 39_000], "int32")
    return home.array(cloud(len(kind), shape), dtype, layout), options


def assert_same(on_cuda: Any, on_cpu: Any) -> None:
    assert on_cuda.is_cuda
    assert on_cuda.shape == on_cpu.shape
    assert on_cuda.dtype == on_cpu.dtype
    np.testing.assert_array_equal(bits(numbers(on_cuda)), bits(numbers(on_cpu)))


@pytest.mark.parametrize("layout", ["plain", "pitched", "columns"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["single", "padded", "lengths", "packed"])
def test_cuda_has_the_bits_of_the_cpu(cuda: Home, kind: str, dtype: str, layout: str) -> None:
    made = np.random.default_rng(3)
    transforms = made.normal(size=(4, 4) if kind == "single" else (3 if kind == "packed" else 4, 4, 4))
    features = cloud(13, (40_000, 5) if kind in ("single", "packed") else (4, 10_001, 5))
    moved, kept, less = [], [], []
    for home in (cuda, CPU):
        points, options = clouds(home, kind, dtype, layout)
        moved.append(rc.transform_points(points, home.array(transforms), **options))
        columns = home.array(features, dtype)
        kept.append(rc.crop(points, **BOX, features=columns, transform=home.array(transforms), **options))
        less.append(rc.voxel_downsample(points, (0.5, 0.25, 1), columns, origin=(0.1, 0, -0.2), **options))
    assert_same(*moved)
    for name in ("points", "features", "index", "offsets"):
        assert_same(*(getattr(result, name) for result in kept))
    for name in ("points", "features", "counts", "offsets", "dropped"):
        assert_same(*(getattr(result, name) for result in less))
    assert 1000 < len(kept[0].index) < 39_000
    assert 100 < len(less[0].counts) < 39_000


@pytest.mark.parametrize("dtype", ["uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("each", [False, True])
def test_depth_on_cuda_has_the_bits_of_the_cpu(cuda: Home, dtype: str, each: bool) -> None:
    import torch

    made = np.random.default_rng(4)
    depth = made.integers(0, 4000, (3, 120, 161))
    depth = depth.astype(dtype) if dtype == "uint16" else (depth / 1000).astype(dtype)
    cameras = np.stack([CAMERA * (1, 1, 1), CAMERA, CAMERA]) if each else CAMERA
    transform = made.normal(size=(3, 4, 4)) if each else None
    on_cpu = rc.depth_to_points(depth, cameras, transform=transform, max_depth_m=3.5)
    on_cuda = rc.depth_to_points(
        torch.from_numpy(depth).cuda(),
        torch.from_numpy(cameras).cuda(),
        transform=None if transform is None else torch.from_numpy(transform).cuda(),
        max_depth_m=3.5,
    )
    assert_same(on_cuda.points, torch.from_numpy(on_cpu.points))
    assert_same(on_cuda.valid, torch.from_numpy(on_cpu.valid))
    assert 10_000 < int(on_cuda.valid.sum()) < depth.size


def operators(cuda: Home) -> dict[str, Callable[[Any], list[Any]]]:
    transform, camera = cuda.array(np.random.default_rng(5).normal(size=(4, 4))), cuda.array(CAMERA)

    def downsample(points: Any) -> list[Any]:
        less = rc.voxel_downsample(points, 0.5)
        return [less.points, less.counts, less.offsets]

    def crop(points: Any) -> list[Any]:
        inside = rc.crop(points, **BOX)
        return [inside.points, inside.index, inside.offsets]

    return {
        "transform_points": lambda points: [rc.transform_points(points, transform)],
        "depth_to_points": lambda points: [rc.depth_to_points(points, camera).points],
        "crop": crop,
        "voxel_downsample": downsample,
    }


@pytest.mark.parametrize("name", ["transform_points", "depth_to_points"])
def test_what_does_not_wait_can_be_captured_in_a_cuda_graph(cuda: Home, name: str) -> None:
    import torch

    run = operators(cuda)[name]
    points = cuda.array(cloud(6, (20_000, 3)))
    run(points)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = run(points)
    for seed in (7, 8):
        points.copy_(cuda.array(cloud(seed, (20_000, 3))))
        graph.replay()
        for a, b in zip(got, run(points), strict=True):
            np.testing.assert_array_equal(bits(numbers(a)), bits(numbers(b)))


@pytest.mark.parametrize("name", ["transform_points", "depth_to_points", "crop", "voxel_downsample"])
def test_another_cuda_stream_is_used(cuda: Home, name: str) -> None:
    """The points are written late on a side stream."""
    import torch

    run = operators(cuda)[name]
    late = cuda.array(cloud(9, (20_000, 3)))
    want = run(late)
    points = torch.full_like(late, -1)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(200_000_000)
        points.copy_(late)
        got = [result.clone() for result in run(points)]
    side.synchronize()
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(bits(numbers(a)), bits(numbers(b)))


def test_in_place_and_into_a_slice_on_cuda(cuda: Home) -> None:
    scan = cuda.array(np.random.default_rng(10).normal(size=(1001, 4)))
    transform = cuda.array(np.random.default_rng(11).normal(size=(4, 4)))
    want, intensity = rc.transform_points(scan[:, :3].clone(), transform), scan[:, 3].clone()
    rc.transform_points(scan[:, :3], transform, out=scan[:, :3])
    assert bool((scan[:, :3] == want).all())
    assert bool((scan[:, 3] == intensity).all())


def test_nothing_is_kept_of_nothing_on_cuda(cuda: Home) -> None:
    for shape in ((0, 3), (2, 0, 3), (0, 5, 3)):
        points = cuda.array(np.zeros(shape))
        inside = rc.crop(points, **BOX)
        assert tuple(inside.points.shape) == (0, 3)
        assert not inside.offsets.any()
        assert tuple(rc.transform_points(points, cuda.array(np.eye(4))).shape) == shape
        assert len(rc.voxel_downsample(points, 1.0).counts) == 0
    nan = cuda.array(np.full((5, 3), np.nan))
    less = rc.voxel_downsample(nan, 1.0)
    assert len(less.counts) == 0
    assert int(less.dropped) == 5


def test_points_too_far_are_the_same_error_on_cuda(cuda: Home) -> None:
    far = np.array([[0, 0, 0], [1e9, 0, 0]])
    for home in (CPU, cuda):
        with pytest.raises(rc.InvalidArgument, match=r"^voxel_downsample: points is 1e\+09 voxels from the origin"):
            rc.voxel_downsample(home.array(far), 1.0)


def test_what_has_to_wait_says_that_it_cannot_be_captured(cuda: Home) -> None:
    import torch

    points = cuda.array(cloud(12, (100, 3)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), pytest.raises(rc.Unsupported, match="voxel_downsample: stream is being captured"):
        rc.voxel_downsample(points, 1.0)


def test_arrays_of_two_devices_are_refused(cuda: Home) -> None:
    with pytest.raises(rc.InvalidArgument, match="transform_points: transform is on cpu, expected cuda:0"):
        rc.transform_points(cuda.array(np.zeros((4, 3))), np.eye(4))
    with pytest.raises(rc.InvalidArgument, match="depth_to_points: intrinsics is on cpu, expected cuda:0"):
        rc.depth_to_points(cuda.array(np.ones((2, 2))), CAMERA)
    assert dtype_name(rc.crop(cuda.array(np.zeros((4, 3))), **BOX).index) == "int64"
