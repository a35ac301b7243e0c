"""Where the records of a TFDS dataset are, shard by shard."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache._core import TFRecordFile
from robocache.errors import DataError, Unsupported
from robocache.formats.rlds_index import Index, identity
from robocache.formats.rlds_shards import Shard, Split, find_splits
from robocache.problems import ProblemLog

INFO = "dataset_info.json"
# The frame of an empty record.
_SMALLEST_RECORD = 16
# So many may be lost with a file of any size, even one that was cut off at once.
_LOST_AT_MOST = 1 << 16


@dataclass(frozen=True)
class Located:
    """A record: its shard, and the offset there; None where the file is damaged, as `error` says."""

    shard: Shard
    offset: int | None
    error: str = ""


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises
    ------
    DataError
        The file is damaged.
    """
    if path.exists() and not path.is_file():  # opening a pipe waits for a writer
        raise DataError(f"open: {path} cannot be read: it is no regular file")
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"open: {path} cannot be read: {error}") from error


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
    info = read_json(path)
    if not isinstance(info, dict):
        raise DataError(f"open: {path} holds a {type(info).__name__}, expected an object")
    container = info.get("fileFormat") or "tfrecord"
    if container != "tfrecord":
        raise Unsupported(f"open: fileFormat of {path} is {container!r}, expected 'tfrecord'")
    return info


def find_shards(root: Path, info: Mapping[str, Any], log: ProblemLog) -> list[Shard]:
    """The shards that are there, split by split in the order of dataset_info.json; reports the ones that are not."""
    claims = _claims(info, log)
    found = find_splits(root, info.get("name"), {split: len(lengths) for split, lengths in claims.items()}, log)
    shards: list[Shard] = []
    for name in [*claims, *(name for name in found if name not in claims)]:
        if name not in claims and claims:
            log.add(INFO, f"has no split {name}, of which there are files")
        lengths = claims.get(name)
        split = found.get(name, Split(0 if lengths is None else len(lengths), {}))
        if lengths is not None and len(lengths) != split.count:
            log.add(INFO, f"split {name}: says {len(lengths)} files, but their names say {split.count}")
            lengths = None
        if missing := split.count - len(split.paths):
            lost = [length for number, length in enumerate(lengths or ()) if number not in split.paths]
            episodes = "" if lengths is None else f", with {sum(lost)} episodes"
            log.add(INFO, f"split {name}: {missing} of {split.count} files are missing{episodes}")
        for number, path in sorted(split.paths.items()):
            shards.append(Shard(path, name, None if lengths is None else _believed(path, lengths[number], log)))
    return shards


def _claims(info: Mapping[str, Any], log: ProblemLog) -> dict[str, list[int]]:
    """Episodes of each shard, by split."""
    claims: dict[str, list[int]] = {}
    splits = info.get("splits", [])
    if not isinstance(splits, list):
        log.add(INFO, f"splits is a {type(splits).__name__}, expected a list")
        return claims
    for split in splits:
        try:
            claims[str(split["name"])] = [_count(length) for length in list(split["shardLengths"])]
        except (KeyError, TypeError, ValueError) as error:
            log.add(INFO, f"has a split that makes no sense: {type(error).__name__} {error}")
    return claims


def _count(text: Any) -> int:
    """A count as JSON has it, in quotes or not."""
    if not re.fullmatch(r"\d{1,18}", str(text), re.ASCII):
        raise ValueError(f"shardLengths has {text!r}")
    return int(text)


def _believed(path: Path, claimed: int, log: ProblemLog) -> int | None:
    """The claim, unless no file of about this size could hold so many: each lost one becomes an episode."""
    if claimed <= max(path.stat().st_size // _SMALLEST_RECORD, _LOST_AT_MOST):
        return claimed
    log.add(path.name, f"has {path.stat().st_size} bytes, too few for the {claimed} records that {INFO} says")
    return None


def locate(shards: Sequence[Shard], index: Index | None, log: ProblemLog) -> list[Located]:
    """The records of all shards: by the index where it is of these files, else by a walk over their headers."""
    offsets = None if index is None else index.load(shards)
    if offsets is None:
        before = "" if index is None else identity(shards)
        offsets, damages = [], []
        for shard in shards:
            found, damage = TFRecordFile(os.fsencode(shard.path)).scan()
            offsets.append(found)
            damages.append(damage)
        # The index of a damaged file would hide the damage.
        if index is not None and not any(damages):
            index.save(before, offsets, log)
    else:
        damages = [""] * len(shards)
    return [
        record
        for shard, found, damage in zip(shards, offsets, damages, strict=True)
        for record in _of_shard(shard, found, damage, log)
    ]


def _of_shard(shard: Shard, offsets: npt.NDArray[np.int64], damage: str, log: ProblemLog) -> list[Located]:
    """The records found, and one for each that is lost: the episodes after them keep their index."""
    found = len(offsets)
    claimed = found if shard.claimed is None else shard.claimed
    if not damage and claimed != found:
        log.add(shard.path.name, f"has {found} records, but {INFO} says {claimed}")
    elif not damage and not found and shard.claimed is None:
        log.add(shard.path.name, "has no record")
    if damage:
        log.add(shard.path.name, damage)
    error = damage or f"{shard.path} has {found} records, but {INFO} says {claimed}"
    lost = max(claimed - found, 1 if damage else 0)
    return [Located(shard, offset) for offset in offsets.tolist()] + [Located(shard, None, error)] * lost
