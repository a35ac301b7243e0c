"""A writer of robomimic files, by h5py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

ENV_ARGS = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}


def demo(rows: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    quat = rng.standard_normal((rows, 4))
    return {
        "actions": rng.standard_normal((rows, 7)),
        "rewards": rng.standard_normal(rows).astype(np.float32),
        "dones": (np.arange(rows) == rows - 1).astype(np.int64),
        "obs/robot0_eef_quat": quat / np.linalg.norm(quat, axis=1, keepdims=True),
        "obs/agentview_image": rng.integers(0, 256, (rows, 4, 4, 3)).astype(np.uint8),
        "obs/robot0/gripper/qpos": rng.standard_normal((rows, 2)).astype(np.float32),
    }


def write(path: Path, demos: dict[int, dict[str, Any]], **changes: Any) -> Path:
    """`changes` are attributes of `data`; of None, the attribute is left out."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        total = sum(len(columns["actions"]) for columns in demos.values())
        for name, value in ({"total": total, "env_args": json.dumps(ENV_ARGS)} | changes).items():
            if value is not None:
                data.attrs[name] = value
        for index, columns in demos.items():
            group = data.create_group(f"demo_{index}")
            group.attrs["num_samples"] = len(columns["actions"])
            for name, values in columns.items():
                group.create_dataset(name, data=values)
    return path
