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
    `frame_index`, `timestamp` (float32 s), and `task` where the dataset has texts.
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
            if name not in self._store.streams:
                known = ", ".join(self._store.streams)
                raise InvalidArgument(f"samples: delta_timestamps has {name!r}, expected streams of numbers: {known}")
        self._anchor = next(iter(self._store.streams)) if anchor is None else anchor
        asked = {name: offsets(self._deltas.get(name, (0.0,))) for name in self._store.streams}
        self._windows = build_windows(self._store, asked, self._anchor, {}, None)
        self._like = prototype(framework)
        self._tasks = data.tasks
        self._rate_hz = self._store.frame_rate_hz(self._anchor)
        self._first = {
            int(e): int(o) for e, o in zip(self._store.episodes, self._store.offsets(self._anchor), strict=False)
        }

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
        index, episode, t_ns = (int(batch[key][b]) for key in ("index", "episode_index", "t_ns"))
        scalars = {"index": index, "episode_index": episode, "frame_index": index - self._first[episode]}
        for name, number in scalars.items():
            out[name] = self._scalar(number, "int64")
        # Frames have their exact time, stamps are rounded to a nanosecond.
        seconds = t_ns / 1e9 if self._rate_hz is None else scalars["frame_index"] / self._rate_hz
        out["timestamp"] = self._scalar(seconds, "float32")
        if "task_index" in out and self._tasks:
            out["task"] = self._tasks.get(int(out["task_index"]), "")
        return out

    def _scalar(self, number: float, dtype: str) -> Any:
        if type(self._like).__module__ == "torch":
            import torch

            return torch.tensor(number, dtype=getattr(torch, dtype))
        return np.asarray(number, dtype)[()]
