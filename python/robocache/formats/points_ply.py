"""PLY: the element "vertex", as text or binary of either byte order; other elements are stepped over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robocache.errors import Unsupported
from robocache.formats.points_file import (
    Dtype,
    Field,
    PointsFile,
    PointTable,
    first_repeated,
    views,
    whole_number,
)
from robocache.formats.points_text import TextBody

MAGIC: tuple[bytes, ...] = (b"ply\n", b"ply\r")

_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "int64": "i8", "uint64": "u8", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class _Property:
    """One property; `length` is the dtype of a list's length, None where it is one number."""

    name: str
    dtype: Dtype
    length: Dtype | None


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)

    @property
    def least_bytes(self) -> int:
        """Bytes of one row whose lists are empty."""
        return sum((p.length or p.dtype).itemsize for p in self.properties)

    @property
    def has_lists(self) -> bool:
        return any(p.length is not None for p in self.properties)

    def __str__(self) -> str:
        return f"element {self.name} of {self.count}"


@dataclass
class _Header:
    """What the header says; `body` is where the data begins."""

    order: str | None = None
    elements: list[_Element] = field(default_factory=list)
    body: int = 0


def read(file: PointsFile) -> PointTable:
    """Reads the vertices. Every element must be there in whole, and nothing behind the last one."""
    header = _read_header(file)
    vertices = [element for element in header.elements if element.name == "vertex"]
    if len(vertices) != 1:
        names = ", ".join(element.name for element in header.elements) or "none"
        raise file.fail(f"elements are {names}, expected one vertex")
    vertex = vertices[0]
    twice = first_repeated(p.name for p in vertex.properties)
    if twice is not None:
        raise file.fail(f"property {twice!r} of vertex occurs twice")
    lists = [p.name for p in vertex.properties if p.length is not None]
    if lists:
        raise Unsupported(f"read_points: {file.path}: property {lists[0]!r} of vertex is a list, expected a number")
    fields = [Field(p.name, p.dtype) for p in vertex.properties]
    if header.order == "ascii":
        return _read_text(file, header, vertex, fields)
    end, start = header.body, 0
    for element in header.elements:
        if element is vertex:
            start = end
        end = _end_of(file, element, end)
    file.expect_end(end, ", ".join(map(str, header.elements)))
    return PointTable(views(file.data, start, fields, vertex.least_bytes, vertex.count), (vertex.count,))


def _read_text(file: PointsFile, header: _Header, vertex: _Element, fields: Sequence[Field]) -> PointTable:
    text = TextBody(file, header.body)
    with_rows = [element for element in header.elements if element.properties and element.count]
    rows = sum(element.count for element in with_rows)
    text.expect_rows(rows, ", ".join(map(str, with_rows)) or "no elements")
    if vertex not in with_rows:
        return PointTable(text.columns(0, 0, fields), (0,))
    if with_rows[-1] is not vertex and not _is_whole(text.cells(rows - 1), with_rows[-1]):
        raise text.fail(f"is cut off: last row is not a whole {with_rows[-1].name}", rows - 1)
    first = sum(element.count for element in with_rows[: with_rows.index(vertex)])
    return PointTable(text.columns(first, vertex.count, fields), (vertex.count,))


def _is_whole(cells: Sequence[str], element: _Element) -> bool:
    """Whether a row of text has as many numbers as the element's properties and its own lists say."""
    at = 0
    for p in element.properties:
        length = whole_number(cells[at]) if p.length is not None and at < len(cells) else 0
        if length is None:
            return False
        at += 1 + length
    return at == len(cells)


def _read_header(file: PointsFile) -> _Header:
    header = _Header()
    lines = file.header_lines()
    _, first, _ = next(lines, (0, "", 0))
    if first != "ply":
        raise file.fail(f"first line is {first[:60]!r}, expected 'ply'")
    for number, text, following in lines:
        words = text.split()
        if words == ["end_header"] and header.order is not None:
            header.body = following
            return header
        if words and words[0] not in ("comment", "obj_info") and not _take(header, words):
            raise file.fail(f"header line is {text[:60]!r}, expected PLY's format, element or property", line=number)
    raise file.fail("is cut off: header has no end_header", byte=len(file.data))


def _take(header: _Header, words: Sequence[str]) -> bool:
    """Adds what a header line says; False where it says nothing sensible."""
    match words:
        case ["format", order, "1.0"] if header.order is None and order in _BYTE_ORDERS:
            header.order = order
        case ["element", name, count] if (n := whole_number(count)) is not None:
            header.elements.append(_Element(name, n))
        case ["property", *kinds, name] if header.elements and (dtypes := _dtypes(header.order, kinds)):
            header.elements[-1].properties.append(_Property(name, *dtypes))
        case _:
            return False
    return True


def _dtypes(order: str | None, kinds: Sequence[str]) -> tuple[Dtype, Dtype | None] | None:
    """The dtype of a number, and that of a list's length; None where a type is not one of PLY's."""
    is_list = kinds[:1] == ["list"]
    words = [_TYPES.get(kind) for kind in kinds[is_list:]]
    if order is None or None in words or len(words) != 1 + is_list:
        return None
    *lengths, dtype = (np.dtype(f"{_BYTE_ORDERS[order]}{word}") for word in words)
    if any(length.kind == "f" for length in lengths):
        return None
    return dtype, lengths[0] if lengths else None


def _end_of(file: PointsFile, element: _Element, start: int) -> int:
    """Where the rows of an element end; checks what its lists need, so that the work is bounded by the file's size."""
    least = start + element.count * element.least_bytes
    if not element.has_lists or element.count == 0:
        return least
    if least > len(file.data):
        raise file.fail(f"is cut off: has {len(file.data)} bytes, expected {least} or more for {element}")
    end = _end_of_equal_rows(file, element, start)
    return _end_of_rows(file, element, start) if end is None else end


def _end_of_equal_rows(file: PointsFile, element: _Element, start: int) -> int | None:
    """Where the rows end if all have lists as long as the first row's, triangles say; None where they have not."""
    at, lengths = start, []
    for p in element.properties:
        if p.length is not None:
            n = _length(file, p.length, at)
            lengths.append((at, p.length, n))
            at += p.length.itemsize + n * p.dtype.itemsize
        else:
            at += p.dtype.itemsize
    stride = at - start
    if start + element.count * stride > len(file.data):
        return None
    for offset, dtype, n in lengths:
        if (np.ndarray(element.count, dtype, file.data, offset, (stride,)) != n).any():
            return None
    return start + element.count * stride


def _end_of_rows(file: PointsFile, element: _Element, at: int) -> int:
    """Where the rows end, row by row."""
    properties = [(p.length, p.dtype.itemsize) for p in element.properties]
    for _ in range(element.count):
        for length, size in properties:
            if length is not None:
                at += length.itemsize + size * _length(file, length, at)
            else:
                at += size
    return at


def _length(file: PointsFile, dtype: Dtype, at: int) -> int:
    """The length of the list that begins at a byte."""
    if at + dtype.itemsize > len(file.data):
        raise file.fail("is cut off: ends in a list of another element", byte=len(file.data))
    n = int.from_bytes(
        file.data[at : at + dtype.itemsize], "big" if dtype.byteorder == ">" else "little", signed=dtype.kind == "i"
    )
    if n < 0:
        raise file.fail(f"list has the length {n}, expected 0 or more", byte=at)
    return n
