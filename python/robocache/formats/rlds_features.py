"""What features.json of a TFDS dataset says: the leaves of its tree, with shapes, dtypes and encodings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robocache.errors import DataError, Unsupported
from robocache.formats.rlds_files import read_json

Encoding = Literal["none", "bytes", "zlib", "text", "image"]

STEPS = "steps"
# numpy has no bfloat16; its values are floats in the file, unless they are encoded as bytes.
_DTYPES = {"bfloat16": "float32", "string": "string", "str": "string", "object": "string"}
UNKNOWN = "unknown"
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Leaf:
    """A feature with values. `key` is its name in the Example; `name` leaves out the leading `steps/`.

    `shape` is that of one step (of the whole, outside the steps); None where steps differ in it or nobody knows. Of
    images, which stay encoded, single axes are -1 there. `outer` are its first axes, those of sequences around the
    feature; None where one is of any length.
    """

    key: str
    name: str
    dtype: str
    shape: tuple[int, ...] | None
    encoding: Encoding
    outer: tuple[int, ...] | None = ()

    @property
    def entries(self) -> int:
        """Entries that a step of known shape has in the list of the record."""
        return math.prod(self.shape or ()) if self.encoding in ("none", "text") else math.prod(self.outer or ())

    @property
    def known(self) -> bool:
        """Whether all steps are alike, and numbers, text or images."""
        return self.shape is not None


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
        features = Features(
            tuple(_leaves(STEPS, inner)),
            tuple(leaf for key, node in top.items() if key != STEPS for leaf in _leaves(key, node)),
        )
        for leaf in (*features.steps, *features.metadata):
            leaf.key.encode()  # JSON can write halves of characters, which no record holds
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"open: {path} is not as TFDS writes it: {type(error).__name__} {error}") from error
    return features


def _leaves(key: str, node: dict[str, Any]) -> Iterator[Leaf]:
    name = key.removeprefix(f"{STEPS}/")
    if "featuresDict" in node:
        for part, child in node["featuresDict"]["features"].items():
            yield from _leaves(f"{key}/{part}", child)
    elif "sequence" in node:
        yield from _sequence(key, node["sequence"])
    elif "image" in node:
        dtype = node["image"].get("dtype") or "uint8"
        yield Leaf(key, name, dtype, _sizes(node["image"]), "image")
    elif "text" in node:
        yield Leaf(key, name, "string", (), "text")
    elif "classLabel" in node:
        yield Leaf(key, name, "int64", (), "none")
    elif "tensor" in node or "scalar" in node:
        yield _tensor(key, name, node.get("tensor") or node["scalar"])
    else:
        yield Leaf(key, name, UNKNOWN, None, "none")  # video and audio, say


def _tensor(key: str, name: str, tensor: dict[str, Any]) -> Leaf:
    dtype = tensor["dtype"]
    if not isinstance(dtype, str):
        raise TypeError(f"dtype of {key} is {dtype!r}")
    dtype = _DTYPES.get(dtype, dtype)
    if dtype == "string":
        return Leaf(key, name, dtype, _shape(tensor), "text")
    try:
        unreadable = np.dtype(dtype).kind not in "fiub"
    except (TypeError, ValueError, SyntaxError):  # numpy has no int4, say
        unreadable = True
    if unreadable:
        return Leaf(key, name, UNKNOWN, None, "none")
    encoding, shape = tensor.get("encoding", "none"), _shape(tensor)
    if encoding not in ("none", "bytes", "zlib"):
        raise ValueError(f"encoding of {key} is {encoding!r}")
    if encoding != "none" and (shape is None or tensor["dtype"] == "bfloat16"):
        return Leaf(key, name, UNKNOWN, None, "none")
    return Leaf(key, name, np.dtype(dtype).name, shape, encoding)


def _sequence(key: str, sequence: dict[str, Any]) -> Iterator[Leaf]:
    """One of a fixed length is one more axis; lists of any length are no stream."""
    length = _size(sequence.get("length", -1))
    for leaf in _leaves(key, sequence["feature"]):
        if length < 0 or leaf.outer is None:
            encoded = leaf.encoding in ("bytes", "zlib")
            yield replace(leaf, dtype=UNKNOWN if encoded else leaf.dtype, shape=None, outer=None)
        else:
            shape = None if leaf.shape is None else (length, *leaf.shape)
            yield replace(leaf, shape=shape, outer=(length, *leaf.outer))


def _size(text: Any) -> int:
    """A size as JSON has it, in quotes or not; -1 where it is any."""
    if text is None:
        return -1
    size = int(text)
    if size > _LARGEST:
        raise ValueError(f"a size is {size}")
    return max(size, -1)


def _sizes(tensor: dict[str, Any]) -> tuple[int, ...]:
    return tuple(_size(size) for size in (tensor.get("shape") or {}).get("dimensions", ()))


def _shape(tensor: dict[str, Any]) -> tuple[int, ...] | None:
    shape = _sizes(tensor)
    return None if -1 in shape or math.prod(shape) > _LARGEST else shape
