"""A dataset as a list of samples, with the keys and shapes of LeRobotDataset."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from robocache.dataset import Dataset
from robocache.episode import OnBadEpisode
from robocache.errors import InvalidArgument
from robocache.loader import Framework, build_windows, prototype
from robocache.store import Store
from robocache.windows import offsets


class Samples(Sequence[dict[str, Any]]):
    """What `Dataset.samples` returns: a map-style dataset, for torch's DataLoader too. Safe to fork, not to pickle.

    ``samples[i]`` is a dict of all streams of numbers: [...shape], a scalar where the shape is [1]; for keys of
    `delta_timestamps` [K, ...shape] with ``key + "_is_pad"`` bool [K]; beside them `index`, `episode_index`,
    `frame_index`, `timestamp` (float32 s behind the episode's first sample), and `task` where the dataset has texts.
    `index` counts the samples that were loaded. Items that are asked for together share memory.
    """

    def __init__(
        self,
        data: Dataset,
        delta_timestamps: Mapping[str, Sequence[float]] | None,
        *,
        episodes: Iterable[SupportsIndex] | str | None,
        on_bad_episode: OnBadEpisode | None,
        anchor: str | None,
        framework: Framework | None,
    ) -> None:
        self._deltas = dict(delta_timestamps or {})
        self._store = Store.load(data, None, episodes, on_bad_episode)
        for name in self._deltas:
            if name in ("index", "episode_index", "frame_index", "timestamp", "task"):
                raise InvalidArgument(f"samples: delta_timestamps has {name!r}, expected streams; samples have it")
            if name not in self._store.streams:
                known = ", ".join(self._store.streams)
                raise InvalidArgument(f"samples: delta_timestamps has {name!r}, expected streams of numbers: {known}")
        self._anchor = next(iter(self._store.streams)) if anchor is None else anchor
        asked = {name: offsets(self._deltas.get(name, (0.0,))) for name in self._store.streams}
        self._windows = build_windows(self._store, asked, self._anchor, {}, None)
        self._like = prototype(framework)
        self._tasks = data.tasks
        self._task_of = self._tasks_of_samples()
        self._rate_hz = self._store.frame_rate_hz(self._anchor)
        self._ends = self._store.offsets(self._anchor)
        self._stamps = self._store.stamps_ns(self._anchor)

    def _tasks_of_samples(self) -> Any:
        """The task_index of each sample, where there is one for each."""
        if not self._tasks or "task_index" not in self._store.streams:
            return None
        of_samples = np.array_equal(self._store.offsets("task_index"), self._store.offsets(self._anchor))
        return self._store.values("task_index").reshape(-1) if of_samples else None

    def __len__(self) -> int:
        return self._windows.samples

    def __getitem__(self, index: Any) -> Any:
        """One sample; of a slice a list of them."""
        if isinstance(index, slice):
            return self.__getitems__(range(*index.indices(len(self))))
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"samples: index is {i}, expected less than {len(self)}")
        return self.__getitems__([i % len(self)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Many samples at once, which torch's DataLoader asks for: they are read together."""
        batch = self._windows.read(np.asarray(list(indices), np.int64), self._like)
        return [self._sample(batch, b) for b in range(len(indices))]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def _sample(self, batch: Mapping[str, Any], b: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, info in self._store.streams.items():
            values = batch[name][b] if name in self._deltas else batch[name][b, 0]
            out[name] = values[..., 0] if info.shape == (1,) else values
            if name in self._deltas:
                out[name + "_is_pad"] = batch[name + "_is_pad"][b]
        index, t_ns = int(batch["index"][b]), int(batch["t_ns"][b])
        first = int(self._ends[np.searchsorted(self._ends, index, "right") - 1])
        scalars = {"index": index, "episode_index": int(batch["episode_index"][b]), "frame_index": index - first}
        for name, number in scalars.items():
            out[name] = self._scalar(number, "int64")
        # Frames have their exact time, stamps are rounded to a nanosecond.
        since_ns = t_ns - int(self._stamps[first])
        seconds = since_ns / 1e9 if self._rate_hz is None else scalars["frame_index"] / self._rate_hz
        out["timestamp"] = self._scalar(seconds, "float32")
        if self._task_of is not None:
            out["task"] = self._tasks.get(int(self._task_of[index]), "")
        return out

    def _scalar(self, number: float, dtype: str) -> Any:
        if type(self._like).__module__ == "torch":
            import torch

            return torch.tensor(number, dtype=getattr(torch, dtype))
        return np.asarray(number, dtype)[()]
