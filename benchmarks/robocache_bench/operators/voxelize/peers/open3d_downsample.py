"""Open3D's voxel_down_sample. Its points are float64 and converted beforehand; its voxels begin elsewhere."""

from __future__ import annotations

import importlib.util

import numpy as np

from robocache_bench.operators.voxelize.cases import DOWNSAMPLE, Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.operators.voxelize.oracle import OWN_GRID
from robocache_bench.peers import Bound, NoPeer, Peer


def peers(case: Case) -> list[Peer]:
    if case.work != DOWNSAMPLE:
        raise NoPeer("voxel_down_sample alone is measured")
    if importlib.util.find_spec("open3d") is None:
        raise NoPeer("open3d is not installed")
    return [Peer("Open3D", OWN_GRID, _bind)]


def _bind(x: Inputs) -> Bound:
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(x.points.astype(np.float64)))
    return Bound({"fresh": lambda: cloud.voxel_down_sample(x.voxel_m)}, lambda result: np.asarray(result.points))
