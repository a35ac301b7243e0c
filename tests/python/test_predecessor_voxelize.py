"""RoboCache 1.0.0's voxelizers: their argument order, and for each of their defects (D10 .. D16) a test."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import robocache as rc
from arrays import Home, dtype_name, numbers


def test_signatures_are_the_predecessors() -> None:
    cloud = inspect.signature(rc.voxelize_pointcloud).parameters
    assert list(cloud) == ["points", "features", "grid_min", "voxel_size", "grid_size", "mode", "backend"]
    assert [p.default for p in cloud.values()][1:] == [None, (-10.0,) * 3, 0.1, (128,) * 3, "occupancy", None]
    occupancy = inspect.signature(rc.voxelize_occupancy).parameters
    assert list(occupancy) == ["points", "grid_size", "voxel_size", "origin", "backend"]


def test_defaults(device: Home) -> None:
    got = rc.voxelize_pointcloud(device.array([[0.0, 0.0, 0.0], [2.85, 0.0, 0.0]]))
    assert tuple(got.shape) == (128, 128, 128)
    assert dtype_name(got) == "int32"
    assert np.argwhere(numbers(got)).tolist() == [[100, 100, 100]]  # the grid ends at 2.8 m


def test_d10_axes(device: Home) -> None:
    got = rc.voxelize_pointcloud(device.array([[5.5, 1.5, 0.5]]), None, (0, 0, 0), 1.0, (8, 4, 2), "count")
    assert np.argwhere(numbers(got)).tolist() == [[5, 1, 0]]


def test_d11_max_of_negatives(device: Home) -> None:
    points = device.array(np.full((2, 3), 0.5))
    got = rc.voxelize_pointcloud(points, device.array([[-3.0], [-1.0]]), (0, 0, 0), 1.0, (2, 1, 1), "max")
    assert numbers(got)[:, 0, 0, 0].tolist() == [-1, 0]
    got = rc.voxelize_pointcloud(points, device.array([[1.0], [np.nan]]), (0, 0, 0), 1.0, (1, 1, 1), "max")
    assert np.isnan(numbers(got)).all()


def test_d12_mean_has_one_order(device: Home) -> None:
    features = device.array(np.random.default_rng(0).normal(size=(1000, 1)))
    points = device.array(np.zeros((1000, 3)))
    results = [rc.voxelize_pointcloud(points, features, (0, 0, 0), 1.0, (1, 1, 1), "mean") for _ in range(20)]
    assert len({numbers(result).tobytes() for result in results}) == 1


def test_d13_nan_and_outside_are_in_no_voxel(device: Home) -> None:
    points = device.array([[np.nan, 0, 0], [-5, 0, 0], [9, 9, 9], [0, -1, 0]])
    assert not numbers(rc.voxelize_pointcloud(points, None, (0, 0, 0), 1.0, (2, 2, 2), "count")).any()


def test_d15_an_unknown_backend_or_mode() -> None:
    points = np.zeros((1, 3), "f")
    with pytest.raises(ValueError, match="voxelize_pointcloud: backend is 'invalid'"):
        rc.voxelize_pointcloud(points, backend="invalid")
    with pytest.raises(ValueError, match="voxelize_pointcloud: mode is 'density', expected 'occupancy'"):
        rc.voxelize_pointcloud(points, mode="density")
    with pytest.raises(ValueError, match="voxelize_pointcloud: features is None, expected an array"):
        rc.voxelize_pointcloud(points, mode="mean")


def test_d16_floor_not_truncation(device: Home) -> None:
    got = rc.voxelize_occupancy(device.array([[-0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]), (2, 1, 1), 1.0, (0.0, 0.0, 0.0))
    assert numbers(got).ravel().tolist() == [1, 0]


def test_errors_say_whose_arguments() -> None:
    with pytest.raises(ValueError, match=r"voxelize_pointcloud: voxelize: points is \[1, 2\].*origin is grid_min"):
        rc.voxelize_pointcloud(np.zeros((1, 2), "f"))
    with pytest.raises(ValueError, match=r"voxelize_occupancy: voxelize: origin is \(0, 0\).*\(voxel_m is voxel_size"):
        rc.voxelize_occupancy(np.zeros((1, 3), "f"), (2, 2, 2), 1.0, (0, 0))
    with pytest.raises(ValueError, match="voxelize_occupancy: backend is 'tpu'"):
        rc.voxelize_occupancy(np.zeros((1, 3), "f"), (2, 2, 2), 1.0, (0, 0, 0), "tpu")
