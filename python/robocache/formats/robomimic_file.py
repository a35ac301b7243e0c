"""What is in a robomimic HDF5 file: its demos and their datasets, its masks, its attributes.

Nothing is read from other files: external links, external storage and virtual datasets are left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from robocache.errors import DataError
from robocache.problems import ProblemLog

# Damage shows in HDF5 as any of these.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)

_DEMO = re.compile(r"^demo_(\d+)$", re.ASCII)
# These have a row for each step, or the demo is damaged. MimicGen and Isaac Lab keep what an episode has once beside.
_STEPS = re.compile(r"^(obs/|next_obs/|(actions|rewards|dones|states)$)")


@dataclass(frozen=True)
class Column:
    """A dataset of HDF5: its rows, and the shape and dtype of one."""

    rows: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Demo:
    """A demo as it was found. `name` has the number as it is written; `error` says why it cannot be read."""

    name: str
    index: int
    length: int
    columns: Mapping[str, Column]
    error: str | None = None

    @property
    def group(self) -> str:
        """Where it is in the file."""
        return f"data/{self.name}"


def attributes(node: Any) -> dict[str, Any]:
    """Attributes as plain values; JSON in them is parsed."""
    return {str(name): _plain(value) for name, value in node.attrs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


# --- Links ------------------------------------------------------------------------------------------------------------


def follow(h5py: ModuleType, group: Any, name: str) -> Any:
    """The object of this name in a group.

    Raises
    ------
    DataError
        It is a link to nothing, or out of the file.
    """
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise DataError(f"{name} is a link into another file")
    try:
        node = group[name]
    except (KeyError, RuntimeError) as error:
        if isinstance(link, h5py.SoftLink):
            raise DataError(f"{name} is a link to nothing") from error
        raise
    # A link may lead through one out of the file.
    if h5py.h5o.get_info(node.id).fileno != h5py.h5o.get_info(group.id).fileno:
        raise DataError(f"{name} is a link into another file")
    return node


def _datasets(h5py: ModuleType, group: Any, leave_out: Callable[[str], None]) -> Iterator[tuple[str, Any]]:
    """All datasets below a group, by their path in it. `leave_out` takes what is wrong with the others."""
    seen = {h5py.h5o.get_info(group.id).addr}

    def below(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name in group:
            path = f"{prefix}{name}"
            try:
                node = follow(h5py, group, name)
            except DataError as error:
                leave_out(f"{prefix}{error}")
                continue
            if isinstance(node, h5py.Dataset):
                if reason := _elsewhere(h5py, node):
                    leave_out(f"{path} {reason}")
                else:
                    yield path, node
            elif isinstance(node, h5py.Group):
                address = h5py.h5o.get_info(node.id).addr
                if address in seen:  # links make loops
                    leave_out(f"{path} is another name of a group that is read already")
                    continue
                seen.add(address)
                yield from below(node, f"{path}/")

    yield from below(group, "")


def _elsewhere(h5py: ModuleType, dataset: Any) -> str | None:
    """Where the values are, if not in the dataset itself."""
    made = dataset.id.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL:
        return "has the values of other datasets (virtual)"
    return "has its values in another file (external)" if made.get_external_count() else None


# --- Demos ------------------------------------------------------------------------------------------------------------


def find_demos(h5py: ModuleType, data: Any, log: ProblemLog) -> list[Demo]:
    """The demos by their number, not by their name: demo_10 comes after demo_9."""
    demos: dict[int, Demo] = {}
    # The shortest first: it is the number as robomimic writes it.
    for name in sorted(data, key=lambda name: (len(name), name)):
        match = _DEMO.match(name)
        if match is None:
            log.add(f"data/{name}", "is not named demo_<number> and is left out")
            continue
        index = int(match[1])
        if index in demos:
            log.add(f"data/{name}", f"has the number of {demos[index].name} and is left out")
            continue
        try:
            demos[index] = _examine(h5py, follow(h5py, data, name), name, index, log)
        except DAMAGE as error:
            demos[index] = Demo(name, index, 0, {}, f"cannot be read: {error}")
    return [demos[index] for index in sorted(demos)]


def _examine(h5py: ModuleType, group: Any, name: str, index: int, log: ProblemLog) -> Demo:
    if not isinstance(group, h5py.Group):
        return Demo(name, index, 0, {}, f"is a {type(group).__name__}, expected a group")

    def leave_out(what: str) -> None:
        log.add_episode("data", f"{what}, and is left out", index)

    columns: dict[str, Column] = {}
    for path, node in _datasets(h5py, group, leave_out):
        column = _describe(h5py, node)
        if isinstance(column, Column):
            columns[path] = column
        else:
            leave_out(f"{path} {column}")
    trunk = next((path for path in ("actions", *filter(_STEPS.match, columns), *columns) if path in columns), None)
    if trunk and (reason := unwritten(group[trunk])):
        return Demo(name, index, 0, columns, f"{trunk} {reason}")
    length = columns[trunk].rows if trunk else 0
    claimed = _plain(group.attrs.get("num_samples"))
    if claimed is not None and not (isinstance(claimed, int | float) and claimed == length):
        log.add_episode("data", "num_samples is not the rows that are there", index, f"{claimed}, found {length}")
    for path in [path for path, column in columns.items() if column.rows != length]:
        rows = columns[path].rows
        if _STEPS.match(path):
            return Demo(name, index, length, columns, f"{path} has {rows} rows, expected {length} as {trunk} has")
        log.add_episode("data", f"{path} has no row for each step, and is left out", index, f"{rows} of {length}")
        del columns[path]
    return Demo(name, index, length, columns)


def _describe(h5py: ModuleType, node: Any) -> Column | str:
    """The column that a dataset is, or why it is none."""
    try:
        dtype = node.dtype
    except TypeError as error:  # numpy has no such type
        return f"holds no numbers ({error})"
    name = "string" if h5py.check_string_dtype(dtype) else dtype.name
    if not node.shape:
        return "is a single value, no stream"
    if name != "string" and dtype.kind not in "fiub":
        return f"holds {name}, no numbers"
    return Column(node.shape[0], tuple(node.shape[1:]) or (1,), name)


def unwritten(node: Any) -> str | None:
    """What of the values the file lacks. HDF5 makes them up, as many as are claimed: in a file of any size, any."""
    values = math.prod(node.shape)
    if values == 0:
        return None
    if node.chunks is None:
        wanted, size = values * node.id.get_type().get_size(), node.file.id.get_filesize()
        found = min(node.id.get_storage_size(), size)
        return None if found >= wanted else f"has {found} bytes in the file, expected {wanted}"
    wanted = math.prod(-(-length // chunk) for length, chunk in zip(node.shape, node.chunks, strict=True))
    found = node.id.get_num_chunks()
    return None if found == wanted else f"has {found} chunks in the file, expected {wanted}"


# --- Masks ------------------------------------------------------------------------------------------------------------


def read_masks(h5py: ModuleType, file: Any, log: ProblemLog) -> dict[str, list[str]]:
    """Names of demos by the name of the mask."""
    masks: dict[str, list[str]] = {}
    try:
        group = follow(h5py, file, "mask") if "mask" in file else None
        if not isinstance(group, h5py.Group):
            return masks
        for name, node in _datasets(h5py, group, lambda what: log.add("mask", f"{what}, and is left out")):
            try:
                if reason := unwritten(node):
                    raise ValueError(reason)
                texts = np.ravel(node[()]).tolist()
                masks[name] = [text.decode() if isinstance(text, bytes) else str(text) for text in texts]
            except DAMAGE as error:
                log.add(f"mask/{name}", f"cannot be read: {error}")
    except DAMAGE as error:
        log.add("mask", f"cannot be read: {error}")
    return masks
