"""The files of a TFDS dataset by their names: cups-train.tfrecord-00003-of-00017."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.errors import DataError
from robocache.formats.git_lfs import LFS_HINT, is_lfs_pointer
from robocache.problems import ProblemLog

# A leading dot: what macOS leaves beside files on foreign disks.
_SHARD = re.compile(r"^(?P<name>[^.].*)-(?P<split>[^-]+)\.tfrecord-(?P<number>\d+)-of-(?P<count>\d+)$", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """A file. `claimed` is how many records dataset_info.json gives it; None where it does not say."""

    path: Path
    split: str
    claimed: int | None


@dataclass(frozen=True)
class Split:
    """The files of a split by their number; `count` is what their names say that there are."""

    count: int
    paths: Mapping[int, Path]


@dataclass(frozen=True)
class _File:
    path: Path
    name: str
    split: str
    number: int
    count: int


def is_shard(path: Path) -> bool:
    """Whether the file is named as TFDS names shards."""
    return _SHARD.match(path.name) is not None


def find_splits(root: Path, name: Any, counts: Mapping[str, int], log: ProblemLog) -> dict[str, Split]:
    """The splits of the one dataset in the folder. `name` and `counts` (files of each split) are what it says itself.

    Files of other datasets, and what an earlier preparation with another number of files has left, would take the
    places of files of this one: they are left out.

    Raises
    ------
    DataError
        Nobody says which of them is the dataset.
    """
    files = _of_one_dataset(root, _list(root), name, log)
    by_split: dict[str, list[_File]] = {}
    for file in files:
        by_split.setdefault(file.split, []).append(file)
    return {split: _one_count(root, split, files, counts.get(split), log) for split, files in by_split.items()}


def _list(root: Path) -> list[_File]:
    matches = ((path, _SHARD.match(path.name)) for path in sorted(root.iterdir()))
    return [_File(path, m["name"], m["split"], int(m["number"]), int(m["count"])) for path, m in matches if m]


def _of_one_dataset(root: Path, files: list[_File], wanted: Any, log: ProblemLog) -> list[_File]:
    names = sorted({file.name for file in files})
    if wanted in names:
        for name in names:
            if name != wanted:
                log.add(f"{name}-*", f"are files of another dataset than {wanted} and are left out")
        return [file for file in files if file.name == wanted]
    if len(names) > 1:
        raise DataError(f"open: {root} has files of {' and '.join(names)}, expected those of one dataset")
    if names and wanted is not None:
        log.add(f"{names[0]}-*", f"are the only files, though the name of the dataset is {wanted}")
    return files


def _one_count(root: Path, split: str, files: list[_File], claimed: int | None, log: ProblemLog) -> Split:
    counts = sorted({file.count for file in files})
    if len(counts) > 1 and claimed not in counts:
        text = " and ".join(str(count) for count in counts)
        raise DataError(f"open: {root} has files of split {split} that are of {text}, expected of one number")
    count = claimed if claimed is not None and claimed in counts else counts[0]
    if others := [file for file in files if file.count != count]:
        text = "is" if len(others) == 1 else f"and {len(others) - 1} more are"
        log.add(others[0].path.name, f"{text} not of {count} and left out")
    paths: dict[int, Path] = {}
    for file in files:
        if file.count != count:
            continue
        if is_lfs_pointer(file.path):
            log.add(file.path.name, LFS_HINT)
        elif file.number >= count or file.number in paths:
            log.add(file.path.name, f"has a number that is not one of {count} and is left out")
        else:
            paths[file.number] = file.path
    return Split(count, paths)
