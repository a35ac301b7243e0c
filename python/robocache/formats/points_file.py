"""What the readers of point files share: the file with its errors, fields of a fixed layout, and what a reader returns.

A reader is a module with `MAGIC` (how its files begin; none for KITTI) and `read(file)`, which returns a `PointTable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.errors import DataError

Values = npt.NDArray[Any]
Dtype = np.dtype[Any]

# Digits, zeros in front included: int() refuses, and slowly, what is much longer.
LONGEST_INTEGER = 40
_LONGEST_TEXT = 1000


@dataclass(frozen=True)
class Field:
    """A named field of every point: `count` numbers of one dtype; `dtype` None where it is padding of `size` bytes."""

    name: str
    dtype: Dtype | None
    count: int = 1
    size: int = 0

    @property
    def bytes(self) -> int:
        """Bytes that it takes in one point."""
        return self.count * (self.size if self.dtype is None else self.dtype.itemsize)


@dataclass(frozen=True)
class PointTable:
    """What a reader returns: every field as [N] or [N, count], perhaps a view of the file's bytes in its byte order."""

    columns: dict[str, Values]
    shape: tuple[int, ...]
    viewpoint: tuple[float, ...] | None = None


class PointsFile:
    """A file of points: its path, its bytes, and errors that name it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise FileNotFoundError(f"read_points: no such file: {path}")
        if not path.is_file():
            raise self.fail("is a folder or a device, expected a file")
        try:
            self.data = path.read_bytes()
        except OSError as error:
            raise self.fail(f"cannot be read: {error}") from error

    def fail(self, what: str, *, line: int | None = None, byte: int | None = None) -> DataError:
        """An error that names the file and, where known, the line (from 1) or the byte (from 0)."""
        if len(what) > _LONGEST_TEXT:  # names are as long as a damaged header makes them
            what = f"{what[:_LONGEST_TEXT]} ..."
        where = "" if line is None else f":{line}"
        offset = "" if byte is None else f" (at byte {byte})"
        return DataError(f"read_points: {self.path}{where}: {what}{offset}")

    def header_lines(self) -> Iterator[tuple[int, str, int]]:
        """(number from 1, text, offset of what follows) of each line that has an end, be it LF, CR LF or CR."""
        newline = self._newline()
        start, number = 0, 0
        while (end := self.data.find(newline, start)) >= 0:
            number += 1
            following = end + len(newline)
            yield number, self.data[start:end].decode("utf-8", errors="replace").strip(), following
            start = following

    def _newline(self) -> bytes:
        """What ends the first line: a binary body may begin with any byte, so that the header's ends must be known."""
        lf = self.data.find(b"\n")
        cr = self.data.find(b"\r", 0, lf if lf >= 0 else len(self.data))
        if cr < 0:
            return b"\n"
        return b"\r\n" if lf == cr + 1 else b"\r"

    def expect_end(self, end: int, content: str, *, zeros: int = 0) -> None:
        """Checks that the content ends where the file does; up to `zeros` zero bytes behind it do not count."""
        size = len(self.data)
        if end > size:
            raise self.fail(f"is cut off: has {size} bytes, expected {end} for {content}", byte=size)
        rest = size - end
        if rest and (rest > zeros or any(self.data[end:])):
            raise self.fail(f"goes on: has {size} bytes, expected {end} for {content}", byte=end)


def views(buffer: bytes | bytearray, start: int, fields: Iterable[Field], stride: int, n: int) -> dict[str, Values]:
    """The fields of `n` points, one behind the other in each point of `stride` bytes, as views [N] or [N, count]."""
    columns = {}
    for field in fields:
        if field.dtype is not None:
            strides = (stride, field.dtype.itemsize)
            values: Values = np.ndarray((n, field.count), field.dtype, buffer, start if n else 0, strides)
            columns[field.name] = values[:, 0] if field.count == 1 else values
        start += field.bytes
    return columns


def whole_number(text: str) -> int | None:
    """A number of points or bytes as headers write it; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_INTEGER else None


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that occurs a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
