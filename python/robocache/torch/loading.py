"""A Loader where torch's own loops want a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsIndex

from torch.utils.data import IterableDataset, get_worker_info

from robocache.errors import Unsupported
from robocache.loader import Loader


class LoaderDataset(IterableDataset[dict[str, Any]]):  # type: ignore[misc]
    """The batches of a `robocache.Loader` as an IterableDataset, for loops that are written around a DataLoader.

    ``DataLoader(LoaderDataset(loader), batch_size=None)`` hands the batches on as they are. Batches are made by threads
    of this process, so that workers have nothing to do: `num_workers` is 0. Ranks are the loader's, too.

    Each iteration is an epoch, as torch's loops expect: one that follows an iteration which was left in the middle
    begins the next epoch. Only after the loader's `load_state_dict` it goes on where that says.

    Raises
    ------
    NotImplementedError
        It is used in a worker.
    """

    def __init__(self, loader: Loader) -> None:
        super().__init__()
        self.loader = loader
        self._left: Any = None  # where an iteration that has not ended has come to

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if get_worker_info() is not None:
            raise Unsupported("LoaderDataset: num_workers is more than 0, expected 0; the loader has its own threads")
        if self._left == self._place():
            self.loader.set_epoch(self.loader.epoch + 1)
        epoch = self.loader.epoch
        for batch in self.loader:
            self._left = self._place() if self.loader.epoch == epoch else None
            yield batch

    def _place(self) -> Any:
        return self.loader.state, self.loader._seeks

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.loader.batches_per_epoch

    def set_epoch(self, epoch: SupportsIndex) -> None:
        """Goes to the begin of an epoch."""
        self.loader.set_epoch(epoch)
