"""The values of a record of a TFDS dataset."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache._core import TFRecordExample, TFRecordFile
from robocache.errors import DataError
from robocache.formats.rlds_features import Leaf

_LIST_OF = {"f": "floats", "i": "ints", "u": "ints", "b": "ints"}


class Record:
    """The values of one Example, as features.json describes them. Errors of the description are ValueError.

    `report` takes what is odd, and a detail of it.
    """

    def __init__(self, file: TFRecordFile, path: Path, offset: int, report: Callable[[str, str], None]) -> None:
        self._file = file
        self._offset = offset
        self._where = f"{path} at byte {offset}"
        self._report = report
        self._example: TFRecordExample = file.example(offset)
        self.kinds = self._example.kinds()
        self._checked = False

    def check(self) -> None:
        """Compares the checksum of all of the record; once is enough."""
        if not self._checked:
            self._file.check(self._offset)
            self._checked = True

    def check_images(self, leaf: Leaf, length: int) -> None:
        """Counts the images, which nobody decodes."""
        self._expect(leaf, "bytes")
        if self.count(leaf) != length * leaf.entries:
            wanted = length * leaf.entries
            raise ValueError(f"{self._where}: {leaf.key} has {self.count(leaf)} images, expected {wanted}")

    def has(self, leaf: Leaf) -> bool:
        """Whether the record has this key."""
        return leaf.key in self.kinds

    def count(self, leaf: Leaf) -> int:
        """Entries of the list, whatever they are."""
        return self._example.count(leaf.key)

    def steps(self, leaf: Leaf, length: int) -> npt.NDArray[Any]:
        """All values of all steps, in one row, in the dtype of features.json."""
        values = self._flat(leaf)
        wanted = length * math.prod(leaf.shape or ())
        if len(values) != wanted:
            raise ValueError(f"{self._where}: {leaf.key} has {len(values)} values, expected {wanted} in {length} steps")
        return values

    def value(self, leaf: Leaf) -> Any:
        """The value of a leaf outside the steps: a scalar, text, array or image; of a sequence of images, a list."""
        try:
            if leaf.encoding == "image":
                images = self.images(leaf)
                return images[0] if leaf.outer == () else images
            values = self._flat(leaf)
            return values[:1].tolist()[0] if leaf.shape == () else values.reshape(leaf.shape or (-1,))
        except (ValueError, IndexError) as error:
            raise DataError(f"{self._where}: {leaf.key} is damaged: {error}") from error

    def images(self, leaf: Leaf) -> list[bytes]:
        """The encoded images."""
        self._expect(leaf, "bytes")
        return self._example.byte_strings(leaf.key)

    def texts(self, leaf: Leaf) -> list[str]:
        """The texts; bytes that are no UTF-8 become question marks."""
        self._expect(leaf, "bytes")
        return [text.decode("utf-8", errors="replace") for text in self._example.byte_strings(leaf.key)]

    def _flat(self, leaf: Leaf) -> npt.NDArray[Any]:
        if leaf.encoding == "text":
            return np.array(self.texts(leaf), object)
        dtype = np.dtype(leaf.dtype)
        if leaf.encoding != "none":
            return self._bools(leaf) if dtype.kind == "b" else self._decoded(leaf, dtype)
        self._expect(leaf, _LIST_OF[dtype.kind])
        return self._floats(leaf, dtype) if dtype.kind == "f" else self._integers(leaf, dtype)

    def _raw(self, leaf: Leaf, itemsize: int) -> Iterator[bytes]:
        """The bytes of each tensor, unpacked; never more than it has by features.json, whatever they unpack to."""
        self._expect(leaf, "bytes")
        size = math.prod((leaf.shape or ())[len(leaf.outer or ()) :]) * itemsize
        for entry, packed in enumerate(self._example.byte_strings(leaf.key)):
            try:
                raw = _unzip(packed, size) if leaf.encoding == "zlib" else packed
            except zlib.error as error:
                raise ValueError(f"{self._where}: {leaf.key} cannot be unpacked in entry {entry}: {error}") from error
            if len(raw) != size:
                got = f"{len(raw)} bytes" if len(raw) < size else "more bytes"
                raise ValueError(f"{self._where}: {leaf.key} has {got} in entry {entry}, expected {size}")
            yield raw

    def _decoded(self, leaf: Leaf, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        return np.frombuffer(b"".join(self._raw(leaf, dtype.itemsize)), dtype)

    def _bools(self, leaf: Leaf) -> npt.NDArray[Any]:
        """Of a bool of another byte than 0 and 1, numpy would make what it likes, from operation to operation."""
        values = self._decoded(leaf, np.dtype(np.uint8))
        if (values > 1).any():
            raise ValueError(f"{self._where}: {leaf.key} has the byte {values[values > 1][0]}, expected bool")
        return values.view(np.bool_)

    def _floats(self, leaf: Leaf, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        floats = self._example.floats(leaf.key)
        with np.errstate(over="ignore"):
            values = floats.astype(dtype, copy=False)
        if dtype.itemsize < floats.itemsize and (lost := np.isinf(values) & ~np.isinf(floats)).any():
            row = int(np.flatnonzero(lost)[0])
            self._report(f"{leaf.key} has values that {dtype.name} cannot hold", f"{floats[row]:g} in entry {row}")
        return values

    def _integers(self, leaf: Leaf, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        integers = self._example.ints(leaf.key)
        if dtype == np.uint64:  # TFRecord has int64 alone: the upper half is below zero there
            return integers.view(np.uint64)
        values = integers.astype(dtype, copy=False)
        if (values != integers).any():
            row = int(np.flatnonzero(values != integers)[0])
            raise ValueError(f"{self._where}: {leaf.key} is {integers[row]} in entry {row}, expected {dtype.name}")
        return values

    def _expect(self, leaf: Leaf, kind: str) -> None:
        got = self.kinds.get(leaf.key, "none")
        if got not in (kind, "none"):
            raise ValueError(f"{self._where}: {leaf.key} is a list of {got}, expected {kind}")


def _unzip(packed: bytes, size: int) -> bytes:
    """Unpacks, but no more than a byte beyond `size`."""
    stream = zlib.decompressobj()
    raw = stream.decompress(packed, size + 1)
    if len(raw) <= size and not stream.eof:
        raise zlib.error("it is cut off")
    return raw
