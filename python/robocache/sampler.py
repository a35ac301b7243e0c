"""The order in which samples come."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from robocache import _core
from robocache.errors import InvalidArgument

# What a state must agree in, or the order would be another one.
_ORDER = ("counts", "weights", "samples_per_epoch", "shuffle", "seed")
_FORMAT = 1


class Sampler:
    """Every sample once an epoch, in an order that takes no memory and any number of ranks can share.

    The order of an epoch is a permutation that `seed` and the epoch choose. No list of samples is kept: the order of
    10**9 samples takes as much memory as that of ten, and every place of it can be asked for by itself (`read`). It is
    the same for any batch size, any number of ranks and any number of threads.

    ``for samples in sampler:`` goes through the rest of the epoch; the next ``for`` goes through the next one.
    `state_dict` between two batches says how far all ranks together have come. Loaded into a sampler with another
    number of ranks or another batch size, the same samples come in the same order.

    Parameters
    ----------
    counts : int or sequence of int
        Samples of each dataset. Sample i of dataset d is number ``sum(counts[:d]) + i``.
    batch_size : int
        Samples of a batch, of all ranks together. Of its m, rank r of n gets those from ``r * m // n`` to
        ``(r + 1) * m // n``: parts differ by one at most, and some are empty where m is less than n.
    shuffle : bool
        False: samples come as they are numbered.
    seed : int
        0 to 2**64 - 1.
    drop_last : bool
        Leave out the last batch of an epoch where it has fewer than `batch_size` samples.
    weights : sequence of float, optional
        How much of what is drawn comes from each dataset; their sum does not matter. Of every 2**20 samples each
        dataset has its share to one sample, and one at least, in shuffled order. Each goes through its own
        permutations: none of its samples comes a second time before all have come, also from epoch to epoch.
    samples_per_epoch : int, optional
        With weights, how many samples are called an epoch; not said: the sum of `counts`.
    rank, world_size : int, optional
        Not said: those of torch.distributed where it is initialised, else 0 and 1.

    Raises
    ------
    ValueError
        An argument has a wrong value.
    TypeError
        An argument is no number.
    """

    def __init__(
        self,
        counts: SupportsIndex | Sequence[SupportsIndex],
        batch_size: SupportsIndex,
        *,
        shuffle: bool = True,
        seed: SupportsIndex = 0,
        drop_last: bool = False,
        weights: Sequence[float] | None = None,
        samples_per_epoch: SupportsIndex | None = None,
        rank: SupportsIndex | None = None,
        world_size: SupportsIndex | None = None,
    ) -> None:
        self._order: dict[str, Any] = {
            "counts": [operator.index(c) for c in (counts if isinstance(counts, (Sequence, np.ndarray)) else [counts])],
            "weights": None if weights is None else [float(w) for w in weights],
            "samples_per_epoch": None if samples_per_epoch is None else operator.index(samples_per_epoch),
            "shuffle": bool(shuffle),
            "seed": operator.index(seed),
        }
        if not 0 <= self._order["seed"] < 2**64:
            raise InvalidArgument(f"Sampler: seed is {self._order['seed']}, expected 0 to 2**64 - 1")
        if self._order["samples_per_epoch"] == 0:
            raise InvalidArgument("Sampler: samples_per_epoch is 0, expected at least 1")
        if weights is not None and not self._order["weights"]:
            raise InvalidArgument("Sampler: weights is empty, expected one for each of the counts")
        group = _group()
        self._core = _core.Sampler(
            counts=self._order["counts"],
            weights=self._order["weights"] or [],
            samples_per_epoch=self._order["samples_per_epoch"] or 0,
            batch_size=operator.index(batch_size),
            shuffle=self._order["shuffle"],
            drop_last=bool(drop_last),
            seed=self._order["seed"],
            rank=group[0] if rank is None else operator.index(rank),
            world_size=group[1] if world_size is None else operator.index(world_size),
        )

    def __len__(self) -> int:
        """Batches that the epoch still has."""
        return self._core.batches_left

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        """The numbers of this rank's samples, batch after batch, until the epoch ends."""
        while (part := self._core.next()) is not None:
            epoch, first, count = part
            yield self.read(first, count, epoch=epoch)

    @property
    def samples(self) -> int:
        """Samples of an epoch, of all ranks."""
        return self._core.samples

    @property
    def epoch(self) -> int:
        """Of the next batch."""
        return self._core.state[0]

    @property
    def position(self) -> int:
        """Samples of the epoch that come before the next batch, of all ranks."""
        return self._core.state[1]

    def set_epoch(self, epoch: SupportsIndex) -> None:
        """Goes to the begin of an epoch."""
        self._core.seek(operator.index(epoch), 0)

    def read(self, first: SupportsIndex, count: SupportsIndex, *, epoch: SupportsIndex | None = None) -> Any:
        """`count` samples of an epoch's order (this one's where none is said), from place `first` on: int64 [count]."""
        size = operator.index(count)
        if size < 0:
            raise InvalidArgument(f"Sampler: count is {size}, expected at least 0")
        out = np.empty(size, np.int64)
        self._core.read(self.epoch if epoch is None else operator.index(epoch), operator.index(first), out)
        return out

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from; plain numbers and lists."""
        epoch, position = self._core.state
        return {"format": _FORMAT, "epoch": epoch, "position": position, **self._order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`. Batch size, drop_last, rank and world size may be others than when it was taken.

        Raises
        ------
        ValueError
            It is of another order: other counts, weights, seed or shuffle.
        """
        missing = [key for key in ("format", "epoch", "position", *_ORDER) if key not in state]
        if missing:
            raise InvalidArgument(f"Sampler: state is without {missing[0]!r}, expected what state_dict returned")
        for key, want in (("format", _FORMAT), *self._order.items()):
            got = list(state[key]) if isinstance(state[key], tuple) else state[key]
            if got != want:
                raise InvalidArgument(f"Sampler: state[{key!r}] is {got!r}, expected {want!r}; it is of another order")
        self._core.seek(operator.index(state["epoch"]), operator.index(state["position"]))


def _group() -> tuple[int, int]:
    """Rank and world size of torch.distributed."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()
