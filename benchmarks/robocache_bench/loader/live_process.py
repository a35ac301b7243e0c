"""LeRobot's own loader, live: a process of the environment that `lerobot_env.sh` makes, which `loader.py` asks.

    .venv-lerobot/bin/python benchmarks/loader_lerobot.py DATASET DELTA_TIMESTAMPS BATCH_SIZE

Each line of stdin is a JSON request, and each line of stdout the answer to one:

    {"folder": F, "stride": S}                     every S-th sample in order, as arrays F/KEY.npy
    {"workers": W, "threads": T, "batches": N}     samples per second of N shuffled batches

An empty line ends it.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
# The operators of torchvision's wheel do not match a torch without CUDA; datasets without images need none of them.
sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")

import numpy as np  # noqa: E402 - behind what the imports depend on
import torch  # noqa: E402
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from torch.utils.data import DataLoader, Subset  # noqa: E402

PREFETCH_FACTOR = 2  # DataLoader's default


class Live:
    """The dataset, and what is asked of it."""

    def __init__(self, root: str, deltas: dict[str, list[float]], batch_size: int) -> None:
        self.dataset = LeRobotDataset("any/name", root=root, delta_timestamps=deltas)
        self.deltas = deltas
        self.batch_size = batch_size

    def write(self, folder: str, stride: int) -> dict[str, Any]:
        """Every `stride`-th sample as arrays in files."""
        chosen = Subset(self.dataset, range(0, len(self.dataset), stride))
        keys = ["index", *self.deltas, *(f"{key}_is_pad" for key in self.deltas)]
        batches: dict[str, list[np.ndarray]] = {key: [] for key in keys}
        for batch in DataLoader(chosen, self.batch_size, num_workers=2):
            for key in keys:
                batches[key].append(batch[key].numpy().copy())  # not a file of shared memory for each
        for key, parts in batches.items():
            np.save(Path(folder) / f"{key}.npy", np.concatenate(parts))
        return {"samples": len(chosen)}

    def rate(self, workers: int, threads: int, batches: int) -> dict[str, Any]:
        """Once what workers make ahead is used up. They end with this call, so that others have the processors."""
        torch.set_num_threads(threads)
        loader = DataLoader(self.dataset, self.batch_size, shuffle=True, num_workers=workers)
        turn = iter(loader)
        for _ in range(min(workers * PREFETCH_FACTOR or 1, len(loader) - 1)):
            next(turn)
        begin = time.perf_counter()
        samples = sum(len(batch["index"]) for batch in itertools.islice(turn, batches))
        return {"samples_per_s": samples / (time.perf_counter() - begin)}


def main() -> None:
    # What libraries print goes to stderr.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    root, deltas, batch_size = sys.argv[1:]
    live = Live(root, json.loads(deltas), int(batch_size))
    print(json.dumps({"samples": len(live.dataset)}), file=answers)
    for line in sys.stdin:
        if not line.strip():
            break
        request = json.loads(line)
        found = live.write(**request) if "folder" in request else live.rate(**request)
        print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main()
