"""rc.Sampler beside torch.randperm and numpy's permutation, which keep a list: samples of an epoch each second.

    python benchmarks/sampler.py [--json FILE]

Ours asks for 10 million places; where an epoch has as many, the others make the whole list, which is all they can do.
They have no answer for 10^9 samples in the same memory. Peers take turns, and a ratio is the median of the rounds'.
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

READ = 10_000_000


def cases() -> dict[str, Peers]:
    random = np.random.default_rng(0)
    listed: Peers = {
        "torch.randperm": lambda: torch.randperm(READ),
        "numpy permutation": lambda: random.permutation(READ),
    }
    found: dict[str, Peers] = {}
    for name, sampler in {
        "10^7 samples": rc.Sampler(READ, 1),
        "10^9 samples": rc.Sampler(10**9, 1),
        "2^30 + 1 samples": rc.Sampler(2**30 + 1, 1),
        "mixture of 10^9, 10^6, 10^3": rc.Sampler([10**9, 10**6, 10**3], 1, weights=[6, 3, 1]),
    }.items():
        found[name] = {"robocache": lambda s=sampler: s.read(0, READ)}  # type: ignore[misc]
        if sampler.samples == READ:
            found[name] |= listed
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for case, peers in cases().items():
        for row in timed(case, peers):
            rows.append({**row, "samples_per_s": READ / row["median_ms"] * 1e3})
            print(
                f"{case:28} {row['peer']:18} {rows[-1]['samples_per_s'] / 1e6:8.1f} M/s  "
                f"{row['times_ours']:6.2f}x our time"
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
