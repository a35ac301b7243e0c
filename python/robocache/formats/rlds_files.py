"""Where the records of a TFDS dataset are: its splits, its shards, and an index of both that can be kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache._core import TFRecordFile
from robocache.errors import DataError, Unsupported
from robocache.formats.git_lfs import LFS_HINT, is_lfs_pointer
from robocache.problems import ProblemLog

INFO = "dataset_info.json"
INDEX_NAME = "robocache_index.npz"
_INDEX_VERSION = 1
_SHARD = re.compile(r"^(?P<name>.+)-(?P<split>[^-]+)\.tfrecord-(?P<number>\d+)-of-(?P<count>\d+)$")


@dataclass(frozen=True)
class Shard:
    """A file. `claimed` is how many records dataset_info.json gives it; None where it does not say."""

    path: Path
    split: str
    claimed: int | None


@dataclass(frozen=True)
class Located:
    """A record: its shard, and the offset there; None where the file is damaged, as `error` says."""

    shard: Shard
    offset: int | None
    error: str = ""


def is_shard(path: Path) -> bool:
    """Whether the file is named as TFDS names shards."""
    return _SHARD.match(path.name) is not None


def read_info(root: Path, log: ProblemLog) -> dict[str, Any]:
    """The dataset_info.json of a dataset; empty, and a problem, where there is none.

    Raises
    ------
    DataError
        The file is damaged.
    Unsupported
        The records are in another container.
    """
    path = root / INFO
    if not path.exists():
        log.add(INFO, "is missing; splits are taken from the names of the files")
        return {}
    try:
        info = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"open: {path} cannot be read: {error}") from error
    if not isinstance(info, dict):
        raise DataError(f"open: {path} holds a {type(info).__name__}, expected an object")
    container = info.get("fileFormat", "tfrecord")
    if container != "tfrecord":
        raise Unsupported(f"open: fileFormat of {path} is {container!r}, expected 'tfrecord'")
    return info


def find_shards(root: Path, info: Mapping[str, Any], log: ProblemLog) -> list[Shard]:
    """The shards that are there, split by split in the order of dataset_info.json; reports the ones that are not."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(root.iterdir()):
        match = _SHARD.match(path.name)
        if match is None:
            continue
        if is_lfs_pointer(path):
            log.add(path.name, LFS_HINT)
            continue
        found.setdefault(match["split"], {})[int(match["number"])] = path

    claims = _claims(info, log)
    shards: list[Shard] = []
    for split in [*claims, *(split for split in found if split not in claims)]:
        paths, lengths = found.get(split, {}), claims.get(split)
        if lengths is None and claims:
            log.add(INFO, f"has no split {split}, of which there are files")
        missing = [] if lengths is None else [number for number in range(len(lengths)) if number not in paths]
        if lengths is not None and missing:
            lost = sum(lengths[number] for number in missing)
            log.add(INFO, f"split {split}: {len(missing)} of {len(lengths)} files are missing, with {lost} episodes")
        for number, path in sorted(paths.items()):
            claimed = lengths[number] if lengths is not None and number < len(lengths) else None
            shards.append(Shard(path, split, claimed))
    return shards


def _claims(info: Mapping[str, Any], log: ProblemLog) -> dict[str, list[int]]:
    """Episodes of each shard, by split."""
    claims: dict[str, list[int]] = {}
    for split in info.get("splits", []):
        try:
            claims[str(split["name"])] = [int(length) for length in split["shardLengths"]]
        except (KeyError, TypeError, ValueError) as error:
            log.add(INFO, f"has a split that makes no sense: {type(error).__name__} {error}")
    return claims


def locate(shards: Sequence[Shard], index: Path | None, log: ProblemLog) -> list[Located]:
    """The records of all shards: by the index where it is of these files, else by a walk over their headers."""
    identity = _identity(shards)
    offsets = None if index is None else _load_index(index, identity, len(shards))
    if offsets is None:
        offsets, damages = [], []
        for shard in shards:
            found, damage = TFRecordFile(str(shard.path)).scan()
            offsets.append(found)
            damages.append(damage)
        # The index of a damaged file would hide the damage.
        if index is not None and not any(damages):
            _save_index(index, identity, offsets, log)
    else:
        damages = [""] * len(shards)
    return [
        record
        for shard, found, damage in zip(shards, offsets, damages, strict=True)
        for record in _of_shard(shard, found, damage, log)
    ]


def _of_shard(shard: Shard, offsets: npt.NDArray[np.int64], damage: str, log: ProblemLog) -> list[Located]:
    """The records found, and one for each that damage hides."""
    records = [Located(shard, offset) for offset in offsets.tolist()]
    claimed = shard.claimed if shard.claimed is not None else len(records) + bool(damage)
    if damage:
        log.add(shard.path.name, damage)
        records += [Located(shard, None, damage)] * max(1, claimed - len(records))
    elif claimed != len(records):
        log.add(shard.path.name, f"has {len(records)} records, but {INFO} says {claimed}")
    return records


# --- The index --------------------------------------------------------------------------------------------------------


def index_path(root: Path, index: bool | str | os.PathLike[str]) -> Path | None:
    """Where the index of the dataset is kept: beside the data, in a folder under a name of its own, or nowhere."""
    if index is False:
        return None
    if index is True:
        return root / INDEX_NAME
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    return Path(index) / f"{root.parent.name}-{digest}.npz"


def _identity(shards: Sequence[Shard]) -> str:
    """What must be the same for an index to hold."""
    files = [[shard.path.name, (stat := shard.path.stat()).st_size, stat.st_mtime_ns] for shard in shards]
    return json.dumps([_INDEX_VERSION, files])


def _load_index(path: Path, identity: str, shards: int) -> list[npt.NDArray[np.int64]] | None:
    """The offsets of each shard; None where there is no index, or it is of other files, or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            kept, counts, offsets = str(arrays["identity"]), arrays["counts"], arrays["offsets"]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    sound = offsets.dtype == counts.dtype == np.int64 and counts.shape == (shards,) and counts.sum() == len(offsets)
    if not sound or kept != identity:
        return None
    return np.split(offsets, np.cumsum(counts)[:-1])


def _save_index(path: Path, identity: str, offsets: list[npt.NDArray[np.int64]], log: ProblemLog) -> None:
    """Writes the index whole or not at all. One that cannot be written costs the walk next time, no more."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.savez(
                    file,
                    identity=np.array(identity),
                    counts=np.array([len(found) for found in offsets], np.int64),
                    offsets=np.concatenate(offsets) if offsets else np.empty(0, np.int64),
                )
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        log.add(path.name, f"the index cannot be written: {error}")
