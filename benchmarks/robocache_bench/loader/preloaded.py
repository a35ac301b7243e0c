"""What people write with torch alone for windows of data of one rate, over tensors that are in memory already."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import robocache as rc
import torch
from torch.utils.data import DataLoader, Dataset

Batch = Mapping[str, torch.Tensor]
Gather = Callable[[torch.Tensor], Batch]


@dataclass(frozen=True)
class Preloaded:
    """The frames of all episodes, one behind the other, and for each frame the first and last one of its episode."""

    values: dict[str, torch.Tensor]  # by key, [N, D]
    steps: dict[str, torch.Tensor]  # by key, the frames of a window before and behind the drawn one: int64 [K]
    first: torch.Tensor  # int64 [N]
    last: torch.Tensor

    def __len__(self) -> int:
        return len(self.first)


def preload(store: rc.Store, steps: Mapping[str, list[int]]) -> Preloaded:
    """Tensors of their own, in memory that torch allocated."""
    ends = torch.tensor(store.offsets(next(iter(steps))))
    episode = torch.repeat_interleave(torch.arange(len(ends) - 1), ends.diff())
    return Preloaded(
        {key: torch.tensor(store.values(key)) for key in steps},
        {key: torch.tensor(listed) for key, listed in steps.items()},
        ends[episode],
        ends[episode + 1] - 1,
    )


class Frames(Dataset):  # type: ignore[misc]
    """A sample at a time, which DataLoader collates."""

    def __init__(self, data: Preloaded) -> None:
        self.data = data
        self.first, self.last = data.first.tolist(), data.last.tolist()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, frame: int) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for key, values in self.data.values.items():
            wanted = frame + self.data.steps[key]
            rows = wanted.clamp(self.first[frame], self.last[frame])
            found[key] = values.index_select(0, rows)
            found[f"{key}_is_pad"] = rows != wanted
        return found


def gather(data: Preloaded) -> Gather:
    """The windows around the frames of a whole batch: clamp into the episode, then gather."""

    def windows(frames: torch.Tensor) -> Batch:
        found: dict[str, torch.Tensor] = {}
        first, last = data.first[frames][:, None], data.last[frames][:, None]
        for key, values in data.values.items():
            wanted = frames[:, None] + data.steps[key]
            rows = wanted.clamp(first, last)
            # On a CPU this takes less time than values[rows].
            found[key] = values.index_select(0, rows.view(-1)).view(*rows.shape, -1)
            found[f"{key}_is_pad"] = rows != wanted
        return found

    return windows


def in_order(data: Preloaded, windows: Gather, batch_size: int) -> Iterator[Batch]:
    """Every frame once."""
    return map(windows, torch.arange(len(data)).split(batch_size))


def shuffled(data: Preloaded, windows: Gather, batch_size: int) -> Iterator[Batch]:
    """Epoch after epoch."""
    while True:
        yield from map(windows, torch.randperm(len(data)).split(batch_size))


def collated(data: Preloaded, batch_size: int, workers: int) -> Iterator[Batch]:
    """Epoch after epoch, by workers that stay."""
    loader = DataLoader(Frames(data), batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return itertools.chain.from_iterable(itertools.repeat(loader))


def collated_in_order(data: Preloaded, batch_size: int) -> Iterator[Batch]:
    return iter(DataLoader(Frames(data), batch_size))
