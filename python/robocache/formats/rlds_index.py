"""An index of the records of a TFDS dataset that can be kept: their offsets, file by file."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robocache.formats.rlds_shards import Shard
from robocache.problems import ProblemLog

INDEX_NAME = "robocache_index.npz"
_INDEX_VERSION = 1


def choose_index(root: Path, index: bool | str | os.PathLike[str]) -> Index | None:
    """Where the index of the dataset is kept: beside the data, in a folder under a name of its own, or nowhere."""
    if index is False:
        return None
    if index is True:
        return Index(root / INDEX_NAME)
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return Index(Path(index) / f"{root.parent.name}-{digest}.npz")


@dataclass(frozen=True)
class Index:
    """A file of offsets. It holds while the shards have the same `identity`."""

    path: Path

    def load(self, shards: Sequence[Shard]) -> list[npt.NDArray[np.int64]] | None:
        """The offsets of each shard; None where there is no index, or it is of other files, or damaged."""
        if not self.path.is_file():
            return None
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                kept, counts, offsets = str(arrays["identity"]), arrays["counts"], arrays["offsets"]
            sound = offsets.dtype == counts.dtype == np.int64 and counts.shape == (len(shards),) and offsets.ndim == 1
            if not sound or kept != identity(shards) or (counts < 0).any() or sum(counts.tolist()) != len(offsets):
                return None
            found = np.split(offsets, np.cumsum(counts)[:-1])
        # Flipped bits raise whatever zipfile and numpy happen to do with them; the walk over the files is at hand.
        except Exception:
            return None
        sizes = [shard.path.stat().st_size for shard in shards]
        inside = all(((part >= 0) & (part < size)).all() for part, size in zip(found, sizes, strict=True))
        return found if inside else None

    def save(self, identity: str, offsets: Sequence[npt.NDArray[np.int64]], log: ProblemLog) -> None:
        """Writes the index whole or not at all. One that cannot be written costs the walk next time, no more.

        `identity` is from before the walk: files that change meanwhile have another one.
        """
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    np.savez(
                        file,
                        identity=np.array(identity),
                        counts=np.array([len(found) for found in offsets], np.int64),
                        offsets=np.concatenate(offsets) if offsets else np.empty(0, np.int64),
                    )
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            log.add(self.path.name, f"the index cannot be written: {error}")


def identity(shards: Sequence[Shard]) -> str:
    """The names, sizes and times of the files, which must be the same for an index to hold."""
    files = [[shard.path.name, (stat := shard.path.stat()).st_size, stat.st_mtime_ns] for shard in shards]
    return json.dumps([_INDEX_VERSION, files])
