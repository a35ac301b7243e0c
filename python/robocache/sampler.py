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

    ``for samples in sampler:`` goes through the rest of the epoch, and the next ``for`` through the next one.
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
        How much of what is drawn comes from each dataset; their sum does not matter. Datasets take turns as evenly as
        can be: in 2**20 samples each has its share to one sample, and one at least. Each goes through its own
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
        An argument is no number, or an integer is none.
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
        listed: list[Any] = [counts] if np.ndim(counts) == 0 else list(counts)  # type: ignore[arg-type]
        if isinstance(weights, (str, bytes)) or (weights is not None and len(weights) == 0):
            raise InvalidArgument(f"Sampler: weights is {weights!r}, expected one number for each of the counts")
        group = _group()
        self._arguments: dict[str, Any] = {
            "counts": [_integer(f"counts[{d}]", c) for d, c in enumerate(listed)],
            "weights": [] if weights is None else [float(w) for w in weights],
            "samples_per_epoch": 0 if samples_per_epoch is None else _integer("samples_per_epoch", samples_per_epoch),
            "batch_size": _integer("batch_size", batch_size),
            "shuffle": bool(shuffle),
            "drop_last": bool(drop_last),
            "seed": _integer("seed", seed, low=0, high=2**64 - 1),
            "rank": group[0] if rank is None else _integer("rank", rank),
            "world_size": group[1] if world_size is None else _integer("world_size", world_size),
        }
        if samples_per_epoch is not None and self._arguments["samples_per_epoch"] == 0:
            raise InvalidArgument("Sampler: samples_per_epoch is 0, expected at least 1")
        self._core = _core.Sampler(**self._arguments)
        total = sum(self._arguments["weights"])
        self._order: dict[str, Any] = {
            "counts": self._arguments["counts"],
            "weights": [w / total for w in self._arguments["weights"]],
            "samples_per_epoch": self._core.samples,
            "shuffle": self._arguments["shuffle"],
            "seed": self._arguments["seed"],
        }

    def __len__(self) -> int:
        """Batches that the epoch still has."""
        return self._core.batches_left

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        """The numbers of this rank's samples, batch after batch, until the epoch ends."""
        epoch = self.epoch
        while self.epoch == epoch:
            _, first, count = self._core.part()
            samples = self.read(first, count)
            self._core.advance()
            yield samples

    def _batches(self) -> dict[str, Any]:
        """What says which batches this rank gets, for whoever goes through the order in its place."""
        named = ("batch_size", "shuffle", "drop_last", "seed", "rank", "world_size")
        return {name: self._arguments[name] for name in named}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._arguments, self._core.state)

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
        self._core.seek(_integer("epoch", epoch), 0)

    def read(self, first: SupportsIndex, count: SupportsIndex, *, epoch: SupportsIndex | None = None) -> Any:
        """`count` samples of an epoch's order (this one's where none is said), from place `first` on: int64 [count]."""
        size = _integer("count", count, low=0)
        place = _integer("first", first)
        if place < 0 or place + size > self.samples:
            raise InvalidArgument(
                f"Sampler: samples is {size} from {place} on, expected some of the epoch's {self.samples}"
            )
        out = np.empty(size, np.int64)
        self._core.read(self.epoch if epoch is None else _integer("epoch", epoch), place, out)
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
            It is of another order: other counts, weights, samples_per_epoch, seed or shuffle.
        """
        if not isinstance(state, Mapping):
            raise InvalidArgument(f"Sampler: state is {state!r}, expected what state_dict returned")
        missing = [key for key in ("format", "epoch", "position", *_ORDER) if key not in state]
        if missing:
            raise InvalidArgument(f"Sampler: state is without {missing[0]!r}, expected what state_dict returned")
        for key, want in (("format", _FORMAT), *self._order.items()):
            got = state[key]
            if got != want:
                raise InvalidArgument(f"Sampler: state[{key!r}] is {got!r}, expected {want!r}; it is of another order")
        self._core.seek(_integer("epoch", state["epoch"]), _integer("position", state["position"]))


def _integer(name: str, value: SupportsIndex, low: int = -(2**63), high: int = 2**63 - 1) -> int:
    number = operator.index(value)
    if not low <= number <= high:
        raise InvalidArgument(f"Sampler: {name} is {number}, expected {low} to {high}")
    return number


def _restored(arguments: dict[str, Any], state: tuple[int, int]) -> Sampler:
    """A copy, as pickle and copy ask for one."""
    optional = {key: arguments[key] or None for key in ("weights", "samples_per_epoch")}
    sampler = Sampler(**{**arguments, **optional})
    sampler._core.seek(*state)
    return sampler


def _group() -> tuple[int, int]:
    """Rank and world size of torch.distributed."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()
