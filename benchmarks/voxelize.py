"""voxelize on the CPU beside what a user would write with numpy and torch.

    python benchmarks/voxelize.py [--json FILE] [--points CLOUD.ply]

Every peer's answer is held against ours first; peers take turns, and a ratio is the median of the rounds' ratios.
Points are random and all in range; --points takes a real scan instead, tiled to a million points, and adds
voxel_downsample of the scan as it is, beside numpy and, where it is installed, Open3D.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import robocache as rc
import torch
from in_turn import Peers, timed

N, F, SIZE, VOXEL_M = 1_000_000, 4, 128, 0.05


def cloud(path: Path | None, random: np.random.Generator) -> tuple[np.ndarray, tuple[float, float, float]]:
    """N points and the origin of a grid that holds them all, or what of a real scan lies around its middle."""
    if path is None:
        return random.uniform(0, SIZE * VOXEL_M, (N, 3)).astype(np.float32), (0.0, 0.0, 0.0)
    scan = rc.read_points(path).points.astype(np.float32)
    middle = np.median(scan, axis=0)
    return np.resize(scan, (N, 3)), tuple(float(x) for x in middle - SIZE * VOXEL_M / 2)


def flat_voxels(points: np.ndarray, origin: tuple[float, float, float]) -> np.ndarray:
    """The flat voxel of each point; SIZE**3 for those outside."""
    at = np.floor((points - np.float32(origin)) * (np.float32(1) / np.float32(VOXEL_M)))
    inside = ((at >= 0) & (at < SIZE)).all(axis=1)
    index = np.where(inside[:, None], at, 0).astype(np.int64)
    return np.where(inside, (index[:, 0] * SIZE + index[:, 1]) * SIZE + index[:, 2], SIZE**3)


def peers(points: np.ndarray, origin: tuple[float, float, float], features: np.ndarray) -> dict[str, Peers]:
    """For each reduction, ways to compute it. numpy and torch are given the voxel of each point: their part is less."""
    flat = flat_voxels(points, origin)
    index, given = torch.from_numpy(flat), torch.from_numpy(features)
    ones = torch.ones(N)

    def ours(reduce: str) -> Callable[[], Any]:
        options = {"voxel_m": VOXEL_M, "origin": origin, "shape": (SIZE,) * 3, "reduce": reduce}
        return lambda: rc.voxelize(points, features, **options).values

    def numpy_mean() -> np.ndarray:
        total = np.zeros((SIZE**3 + 1, F), np.float32)
        np.add.at(total, flat, features)
        count = np.bincount(flat, minlength=SIZE**3 + 1)
        return (total / np.maximum(count, 1)[:, None].astype(np.float32))[:-1]

    def torch_mean() -> Any:
        total = torch.zeros(SIZE**3 + 1, F).index_add_(0, index, given)
        count = torch.zeros(SIZE**3 + 1).index_add_(0, index, ones)
        return (total / count.clamp(min=1)[:, None])[:-1]

    def numpy_max() -> np.ndarray:
        most = np.full((SIZE**3 + 1, F), -np.inf, np.float32)
        np.maximum.at(most, flat, features)
        return np.where(np.isinf(most), 0, most)[:-1]

    def torch_max() -> Any:
        most = torch.full((SIZE**3 + 1, F), -torch.inf)
        most.scatter_reduce_(0, index[:, None].expand(-1, F), given, "amax")
        return torch.where(most.isinf(), 0, most)[:-1]

    return {
        "count": {
            "robocache": ours("count"),
            "numpy bincount": lambda: np.bincount(flat, minlength=SIZE**3 + 1)[:-1],
            "torch bincount": lambda: torch.bincount(index, minlength=SIZE**3 + 1)[:-1],
        },
        "mean": {"robocache": ours("mean"), "numpy add.at": numpy_mean, "torch index_add": torch_mean},
        "max": {"robocache": ours("max"), "numpy maximum.at": numpy_max, "torch scatter_reduce": torch_max},
    }


def measured(reduce: str, runs: Peers) -> list[dict[str, Any]]:
    """A row for each peer.

    Raises
    ------
    ValueError
        A peer does not give our answer.
    """
    want = np.asarray(runs["robocache"]()).reshape(SIZE**3, -1)
    for name, run in runs.items():
        if not np.allclose(np.asarray(run()).reshape(SIZE**3, -1), want, rtol=1e-5, atol=1e-5):
            raise ValueError(f"{reduce}: {name} differs from robocache")
    return timed(reduce, runs)


def downsamplers(scan: np.ndarray, voxel_m: float) -> Peers:
    """Ways to replace the points of each voxel by their mean. Open3D's voxels start elsewhere."""

    def numpy_unique() -> np.ndarray:
        at = np.floor(scan * (np.float32(1) / np.float32(voxel_m))).astype(np.int64)
        _, inverse, count = np.unique(at, axis=0, return_inverse=True, return_counts=True)
        total = np.stack([np.bincount(inverse.ravel(), scan[:, i]) for i in range(3)], axis=1)
        return (total / count[:, None]).astype(np.float32)

    runs: Peers = {
        "robocache": lambda: rc.voxel_downsample(scan, voxel_m).points,
        "numpy unique": numpy_unique,
    }
    if importlib.util.find_spec("open3d") is not None:
        import open3d

        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(scan.astype(np.float64)))
        runs["open3d voxel_down_sample"] = lambda: cloud.voxel_down_sample(voxel_m)
    return runs


def measured_downsamplers(scan: np.ndarray, voxel_m: float) -> list[dict[str, Any]]:
    """A row for each peer, numpy's answer held against ours."""
    runs = downsamplers(scan, voxel_m)
    if not np.allclose(runs["numpy unique"](), runs["robocache"](), rtol=1e-4, atol=1e-4):
        raise ValueError(f"voxel_downsample {voxel_m} m: numpy differs from robocache")
    return timed(f"downsample {voxel_m} m", runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=Path)
    arguments = parser.parse_args()
    random = np.random.default_rng()
    points, origin = cloud(arguments.points, random)
    features = random.normal(size=(N, F)).astype(np.float32)
    inside = float((flat_voxels(points, origin) < SIZE**3).mean())
    print(f"{N} points x {F} features -> {SIZE}^3, {inside:.1%} in range, {torch.get_num_threads()} threads")
    rows: list[dict[str, Any]] = []
    for reduce, runs in peers(points, origin, features).items():
        rows += measured(reduce, runs)
    if arguments.points:
        scan = rc.read_points(arguments.points).points.astype(np.float32)
        for voxel_m in (0.05, 0.2, 0.5):
            rows += measured_downsamplers(scan[np.isfinite(scan).all(axis=1)], voxel_m)
    for row in rows:
        print(f"{row['case']:17} {row['peer']:25} {row['median_ms']:8.2f} ms  {row['times_ours']:6.2f} x ours")
    if arguments.json:
        facts = {"threads": torch.get_num_threads(), "in_range": inside, "installation": rc.check_installation()}
        arguments.json.write_text(json.dumps({**facts, "rows": rows}, indent=1, default=str))


if __name__ == "__main__":
    main()
