"""A Loader where torch's own loops want a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from robocache.errors import Unsupported
from robocache.loader import Loader


class LoaderDataset(IterableDataset[dict[str, Any]]):  # type: ignore[misc]
    """The batches of a `robocache.Loader` as an IterableDataset, for loops that are written around a DataLoader.

    ``DataLoader(LoaderDataset(loader), batch_size=None)`` hands the batches on as they are. Batches are made by threads
    of this process, so that workers have nothing to do: `num_workers` is 0. Ranks are the loader's, too.

    Raises
    ------
    NotImplementedError
        It is used in a worker.
    """

    def __init__(self, loader: Loader) -> None:
        super().__init__()
        self.loader = loader

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if get_worker_info() is not None:
            raise Unsupported(
                "LoaderDataset: num_workers is more than 0, expected 0; the loader has threads of its own"
            )
        return iter(self.loader)

    def __len__(self) -> int:
        """Batches that the epoch still has."""
        return len(self.loader)
