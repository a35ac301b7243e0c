"""What features.json of a TFDS dataset says: the leaves of its tree, with shapes, dtypes and encodings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robocache.errors import DataError, Unsupported
from robocache.formats.rlds_files import read_json

Encoding = Literal["none", "bytes", "zlib", "text", "image"]

STEPS = "steps"
# numpy has no bfloat16; its values are floats in the file.
_DTYPES = {"bfloat16": "float32", "string": "string", "str": "string", "object": "string"}
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Leaf:
    """A feature with values. `key` is its name in the Example; `name` leaves out the leading `steps/`.

    `shape` is that of one step (of the whole, outside the steps); None where steps differ in it or nobody knows.
    """

    key: str
    name: str
    dtype: str
    shape: tuple[int, ...] | None
    encoding: Encoding


@dataclass(frozen=True)
class Features:
    """The leaves of the steps, and those that an episode has once."""

    steps: tuple[Leaf, ...]
    metadata: tuple[Leaf, ...]


def read_features(path: Path) -> Features:
    """Reads features.json.

    Raises
    ------
    DataError
        The file is damaged.
    Unsupported
        It describes no episodes of steps.
    """
    if not path.exists():
        raise DataError(f"open: {path.parent} has no features.json to tell what its records hold")
    tree = read_json(path)
    try:
        top = tree["featuresDict"]["features"]
        steps = top.get(STEPS)
        if steps is None or "sequence" not in steps:
            raise Unsupported(f"open: {path} has no sequence 'steps', expected a dataset of episodes (RLDS)")
        inner = steps["sequence"]["feature"]
        return Features(
            tuple(_leaves(STEPS, inner)),
            tuple(
                leaf
                for key, node in top.items()
                if key != STEPS
                for leaf in _leaves(key, node)
                if leaf.dtype != _UNKNOWN
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise DataError(f"open: {path} is not as TFDS writes it: {type(error).__name__} {error}") from error


def _leaves(key: str, node: dict[str, Any]) -> Iterator[Leaf]:
    name = key.removeprefix(f"{STEPS}/")
    if "featuresDict" in node:
        for part, child in node["featuresDict"]["features"].items():
            yield from _leaves(f"{key}/{part}", child)
    elif "sequence" in node:
        yield from _sequence(key, node["sequence"])
    elif "image" in node:
        dtype = node["image"].get("dtype") or "uint8"
        yield Leaf(key, name, dtype, _shape(node["image"]), "image")
    elif "text" in node:
        yield Leaf(key, name, "string", (), "text")
    elif "classLabel" in node:
        yield Leaf(key, name, "int64", (), "none")
    elif "tensor" in node or "scalar" in node:
        yield _tensor(key, name, node.get("tensor") or node["scalar"])
    else:
        yield Leaf(key, name, _UNKNOWN, None, "none")  # video and audio, say


def _tensor(key: str, name: str, tensor: dict[str, Any]) -> Leaf:
    dtype = _DTYPES.get(tensor["dtype"], tensor["dtype"])
    if dtype == "string":
        return Leaf(key, name, dtype, _shape(tensor), "text")
    if np.dtype(dtype).kind not in "fiub":
        return Leaf(key, name, _UNKNOWN, None, "none")
    encoding = tensor.get("encoding", "none")
    if encoding not in ("none", "bytes", "zlib"):
        raise ValueError(f"encoding of {key} is {encoding!r}")
    return Leaf(key, name, np.dtype(dtype).name, _shape(tensor), encoding)


def _sequence(key: str, sequence: dict[str, Any]) -> Iterator[Leaf]:
    """One of a fixed length is one more axis; lists of any length are no stream."""
    length = int(sequence.get("length", -1))
    for leaf in _leaves(key, sequence["feature"]):
        known = leaf.shape is not None and length >= 0 and leaf.encoding in ("none", "text")
        yield Leaf(leaf.key, leaf.name, leaf.dtype, (length, *(leaf.shape or ())) if known else None, leaf.encoding)


def _shape(tensor: dict[str, Any]) -> tuple[int, ...] | None:
    shape = tuple(int(size) for size in (tensor.get("shape") or {}).get("dimensions", ()))
    return None if any(size < 0 for size in shape) else shape
