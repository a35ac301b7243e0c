"""transform_points, crop and depth_to_points on the CPU beside what a user would write with numpy and torch.

    python benchmarks/point_operators.py [--json FILE]

Every peer's answer is held against ours first; peers take turns, and a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import robocache as rc
import torch
from in_turn import Peers, timed

N, B, H, W = 1_000_000, 8, 480, 640


def transforms(points: np.ndarray, transform: np.ndarray) -> Peers:
    R, t = transform[:3, :3].T.copy(), transform[:3, 3]
    given, R_torch, t_torch = torch.from_numpy(points), torch.from_numpy(R), torch.from_numpy(t.copy())
    return {
        "robocache": lambda: rc.transform_points(points, transform),
        "numpy matmul": lambda: points @ R + t,
        "torch addmm": lambda: torch.addmm(t_torch, given, R_torch),
    }


def crops(points: np.ndarray, low: float, high: float) -> Peers:
    given = torch.from_numpy(points)
    return {
        "robocache": lambda: rc.crop(points, (low,) * 3, (high,) * 3).points,
        "numpy mask": lambda: points[((points >= low) & (points < high)).all(axis=1)],
        "torch mask": lambda: given[((given >= low) & (given < high)).all(dim=1)],
    }


def depths(depth: np.ndarray, intrinsics: np.ndarray) -> Peers:
    fx, fy, cx, cy = (np.float32(intrinsics[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    u, v = (np.arange(W, dtype=np.float32) - cx) / fx, ((np.arange(H, dtype=np.float32) - cy) / fy)[:, None]
    given, u_torch, v_torch = torch.from_numpy(depth.astype(np.int32)), torch.from_numpy(u), torch.from_numpy(v)

    def with_numpy() -> np.ndarray:
        z = depth * np.float32(0.001)
        z[depth == 0] = np.nan
        return np.stack([u * z, v * z, z], axis=-1)

    def with_torch() -> torch.Tensor:
        z = torch.where(given > 0, given * 0.001, torch.nan)
        return torch.stack([u_torch * z, v_torch * z, z], dim=-1)

    return {
        "robocache": lambda: rc.depth_to_points(depth, intrinsics).points,
        "numpy": with_numpy,
        "torch": with_torch,
    }


def measured(operator: str, runs: Peers) -> list[dict[str, Any]]:
    """A row for each peer.

    Raises
    ------
    ValueError
        A peer does not give our answer.
    """
    want = np.asarray(runs["robocache"]())
    for name, run in runs.items():
        if not np.allclose(np.asarray(run()), want, rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ValueError(f"{operator}: {name} differs from robocache")
    return timed(operator, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    random = np.random.default_rng()
    points = random.uniform(-1, 1, (N, 3)).astype(np.float32)
    depth = random.integers(0, 5000, (B, H, W)).astype(np.uint16)
    intrinsics = np.array([[525.0, 0, 319.5], [0, 525.0, 239.5], [0, 0, 1]])
    operators = {
        "transform_points": transforms(points, random.normal(size=(4, 4)).astype(np.float32)),
        "crop to 1/8": crops(points, -0.5, 0.5),
        "depth_to_points": depths(depth, intrinsics),
    }
    print(f"{N} points float32; {B} x {H} x {W} depth uint16; {torch.get_num_threads()} threads")
    rows: list[dict[str, Any]] = []
    for operator, runs in operators.items():
        for row in measured(operator, runs):
            rows.append(row)
            print(f"{operator:16} {row['peer']:14} {row['median_ms']:8.2f} ms  {row['times_ours']:6.2f} x ours")
    if arguments.json:
        facts = {"threads": torch.get_num_threads(), "installation": rc.check_installation()}
        arguments.json.write_text(json.dumps({**facts, "rows": rows}, indent=1, default=str))


if __name__ == "__main__":
    main()
