"""Writes point files by the letter of their formats, number by number: what the readers are compared with."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CODES = {"b": "i1", "B": "u1", "h": "i2", "H": "u2", "i": "i4", "I": "u4", "q": "i8", "Q": "u8", "f": "f4", "d": "f8"}
PLY_TYPES = {
    "b": "char",
    "B": "uchar",
    "h": "short",
    "H": "ushort",
    "i": "int",
    "I": "uint",
    "f": "float",
    "d": "double",
}
PLY_SIZED = {code: f"{'uint' if t[0] == 'u' else 'int'}{8 * int(t[1])}" for code, t in CODES.items() if t[0] != "f"}
PLY_SIZED |= {"f": "float32", "d": "float64"}
PADDING = "x"


@dataclass(frozen=True)
class Column:
    """A field: its code in struct ("x" for padding), and a number a point, or a tuple of `count` numbers."""

    name: str
    code: str
    values: Sequence[Any]
    count: int = 1

    def row(self, i: int) -> tuple[Any, ...]:
        if self.code == PADDING:
            return ()
        return (self.values[i],) if self.count == 1 else tuple(self.values[i])

    def pack(self, i: int, order: str = "<") -> bytes:
        return struct.pack(f"{order}{self.count}{self.code}", *self.row(i))

    def text(self, i: int) -> str:
        if self.code == PADDING:
            return " ".join(["0"] * self.count)
        return " ".join(f"{number:.9g}" if self.code == "f" else repr(number) for number in self.row(i))

    @property
    def array(self) -> np.ndarray[Any, Any]:
        return np.array(self.values, CODES[self.code]).reshape(-1, *([self.count] if self.count > 1 else []))


def padding(count: int) -> Column:
    return Column("_", PADDING, (), count)


def xyz(n: int, code: str = "f", seed: int = 1) -> list[Column]:
    numbers = np.random.default_rng(seed).integers(-800, 800, (3, n)) / (1 if code in "bhiq" else 8)
    return [Column(name, code, each.astype(CODES[code]).tolist()) for name, each in zip("xyz", numbers, strict=True)]


def length(columns: Sequence[Column]) -> int:
    return len(columns[0].values)


@dataclass(frozen=True)
class Element:
    """An element of PLY: its properties as in the header, and its rows, each as text and as bytes by byte order."""

    name: str
    properties: str
    rows: Sequence[tuple[str, dict[str, bytes]]]


def faces(sizes: Sequence[int], counter: str = "B", with_quality: bool = False) -> Element:
    """Polygons of these numbers of corners."""
    rows = []
    for size in sizes:
        numbers = list(range(size))
        codes, values = f"{counter}{size}i", [size, *numbers]
        if with_quality:
            codes, values = f"f{codes}d", [0.5, *values, 0.25]
        rows.append((" ".join(map(str, values)), {order: struct.pack(order + codes, *values) for order in "<>"}))
    properties = f"property list {PLY_TYPES[counter]} int vertex_indices\n"
    if with_quality:
        properties = f"property float quality\n{properties}property double area\n"
    return Element("face", properties, rows)


def ply(
    columns: Sequence[Column],
    kind: str = "binary_little_endian",
    *,
    before: Sequence[Element] = (),
    after: Sequence[Element] = (),
    types: dict[str, str] = PLY_TYPES,
    newline: str = "\n",
) -> bytes:
    """A PLY file; `before` and `after` are elements around the vertices."""
    order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[kind]
    properties = "".join(f"property {types[column.code]} {column.name}\n" for column in columns)
    packed = {o: [b"".join(c.pack(i, o) for c in columns) for i in range(length(columns))] for o in "<>"}
    rows = [
        (" ".join(column.text(i) for column in columns), {o: packed[o][i] for o in "<>"})
        for i in range(length(columns))
    ]
    elements = [*before, Element("vertex", properties, rows), *after]
    header = f"ply\nformat {kind} 1.0\ncomment métré\nobj_info any\n"
    header += "".join(f"element {e.name} {len(e.rows)}\n{e.properties}" for e in elements) + "end_header\n"
    head = header.replace("\n", newline).encode()
    if order:
        return head + b"".join(binary[order] for e in elements for _, binary in e.rows)
    return head + "".join(text + newline for e in elements for text, _ in e.rows).encode()


def pcd_header(columns: Sequence[Column], kind: str, **changed: str | None) -> str:
    """The header of 0.7, with some entries replaced, or left out where None; `first` comes before it."""
    n = length(columns)
    letters = {"i": "I", "u": "U", "f": "F"}
    types = [CODES.get(column.code, "u1") for column in columns]
    entries: dict[str, str | None] = {
        "VERSION": ".7",
        "FIELDS": " ".join(column.name for column in columns),
        "SIZE": " ".join(t[1] for t in types),
        "TYPE": " ".join(letters[t[0]] for t in types),
        "COUNT": " ".join(str(column.count) for column in columns),
        "WIDTH": str(n),
        "HEIGHT": "1",
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": str(n),
        "DATA": kind,
    }
    first = changed.pop("first", "# .PCD v.7 - Point Cloud Data file format\n") or ""
    return first + "".join(f"{key} {word}\n" for key, word in (entries | changed).items() if word is not None)


def pcd(columns: Sequence[Column], kind: str = "binary", *, keep_padding: bool = False, **changed: str | None) -> bytes:
    """A PCD file; compressed, padding is left out as PCL does."""
    n = length(columns)
    head = pcd_header(columns, kind, **changed).encode()
    if kind == "ascii":
        return head + "".join(" ".join(column.text(i) for column in columns) + "\n" for i in range(n)).encode()
    if kind == "binary":
        return head + b"".join(column.pack(i) for i in range(n) for column in columns)
    kept = [column for column in columns if keep_padding or column.code != PADDING]
    return head + packed(b"".join(column.pack(i) for column in kept for i in range(n)))


def packed(data: bytes) -> bytes:
    """The body of a compressed PCD file."""
    small = lzf_compress(data)
    return struct.pack("<II", len(small), len(data)) + small


def lzf_compress(data: bytes) -> bytes:
    """Greedy LZF: the longest copy from where the same three bytes were last, else a literal."""
    out, literals, seen, at = bytearray(), bytearray(), {}, 0

    def flush() -> None:
        for i in range(0, len(literals), 32):
            run = literals[i : i + 32]
            out.extend(bytes([len(run) - 1]) + run)
        literals.clear()

    while at < len(data):
        key, start = data[at : at + 3], seen.get(data[at : at + 3])
        seen[key] = at
        if start is None or len(key) < 3 or at - start > 8192:
            literals.append(data[at])
            at += 1
            continue
        n = 3
        while n < 264 and at + n < len(data) and data[start + n] == data[at + n]:
            n += 1
        flush()
        distance, code = at - start - 1, n - 2
        high = distance >> 8
        out += bytes([code << 5 | high] if code < 7 else [7 << 5 | high, code - 7]) + bytes([distance & 255])
        at += n
    flush()
    return bytes(out)


def assert_same(cloud: Any, columns: Sequence[Column], shape: tuple[int, ...] | None = None) -> None:
    """The cloud holds exactly these columns, in arrays of its own."""
    shape = shape or (length(columns),)
    by_name = {column.name: column.array for column in columns if column.code != PADDING}
    axes = [by_name.pop(name) for name in "xyz"]
    wide = any(axis.dtype != np.float32 for axis in axes)
    expected = np.stack(axes, axis=-1).astype(np.float64 if wide else np.float32).reshape(*shape, 3)
    np.testing.assert_array_equal(cloud.points, expected, strict=True)
    assert list(cloud.fields) == list(by_name)
    for name, values in by_name.items():
        np.testing.assert_array_equal(cloud.fields[name], values.reshape(*shape, *values.shape[1:]), strict=True)
    for array in (cloud.points, *cloud.fields.values()):
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.dtype.isnative
