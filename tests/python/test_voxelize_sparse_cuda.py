"""voxelize_sparse on CUDA: the bits of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, numbers
from reference.voxelize_oracle import Grid
from test_voxelize import FEATURES, assert_same_bits, options, scene, stored
from test_voxelize_sparse import on_host


@pytest.mark.parametrize("limits", [{}, {"max_points": 300}, {"max_points": 7, "max_voxels": 900}])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 16, 33])
def test_cuda_has_the_bits_of_the_cpu(cuda: Home, columns: int, dtype: str, limits: dict[str, int]) -> None:
    made = np.random.default_rng([columns, FLOATS.index(dtype)])
    grid = Grid((0.1, 0.05, 0.2), (-2.0, 0.0, 1.0), (41, 37, 23))
    points = scene(made, 100_000, grid)
    features = stored(made.normal(size=(100_000, columns)), dtype)
    ends = [10, 30_000, 30_000, 99_000]
    results, lists = [], []
    for home in (Home("torch", "cpu"), cuda):
        arrays = home.array(points), home.array(features, dtype)
        found = rc.voxelize_sparse(
            *arrays,
            **options(grid),
            reduce=FEATURES,
            inverse=True,
            point_lists="max_voxels" in limits,
            offsets=home.times(ends),
            **limits,
        )
        lists.append(found.points)
        results.append(on_host(found))
    on_cpu, on_cuda = results
    for name in ("coords", "counts", "inverse", "offsets", "dropped"):
        np.testing.assert_array_equal(getattr(on_cuda, name), getattr(on_cpu, name))
    for reduce in FEATURES:
        assert_same_bits(on_cuda.reduced[reduce], on_cpu.reduced[reduce])
    if "max_voxels" in limits:
        assert_same_bits(*(numbers(listed) for listed in lists))
