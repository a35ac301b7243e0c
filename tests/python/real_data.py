"""Where the real logs are, and the text of a dataset's problems."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from robocache.dataset import Dataset

DATA = Path(os.environ.get("ROBOCACHE_TEST_DATA", Path(__file__).parents[3] / "shared/data"))


def real(name: str) -> Path:
    """A folder of the shared data; skips the test where it is absent."""
    if not (DATA / name).is_dir():
        pytest.skip(f"real data {name} is not at {DATA} (set ROBOCACHE_TEST_DATA)")
    return DATA / name


def problems(data: Dataset) -> list[str]:
    return [str(problem) for problem in data.problems]


def only_problem(data: Dataset) -> str:
    assert len(data.problems) == 1, problems(data)
    return str(data.problems[0])


def read_all(data: Dataset) -> Dataset:
    """Reads every episode, so that `problems` is complete."""
    for episode in data.episodes:
        episode.load()
    return data
