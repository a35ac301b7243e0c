"""PCD 0.5 to 0.7, the format of PCL: text, binary, and binary_compressed (all of one field, then the next; LZF)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robocache.formats import lzf
from robocache.formats.points_file import Field, PointsFile, PointTable, Values, first_repeated, views, whole_number
from robocache.formats.points_text import TextBody

MAGIC: tuple[bytes, ...] = (b"# .PCD", b"VERSION ", b"FIELDS ", b"COLUMNS ")

_KEYS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
_SIZES = {"I": (1, 2, 4, 8), "U": (1, 2, 4, 8), "F": (4, 8)}
_PADDING = "_"
_LARGEST_POINT = 2**24
_LARGEST_AXIS = 2**32 - 1
# PCL before 1.9 left files as long as the data and a page.
_PAGE = 4096


def read(file: PointsFile) -> PointTable:
    """Reads a cloud. The header's numbers must agree with each other, and the file must end where the data does."""
    header, body = _read_header(file)
    fields = _fields(file, header)
    shape = _shape(file, header)
    n = math.prod(shape)
    kind = header["DATA"][0] if len(header["DATA"]) == 1 else None
    if kind == "ascii":
        text = TextBody(file, body)
        text.expect_rows(n, f"{n} points")
        columns = text.columns(0, n, fields)
    elif kind == "binary":
        stride = sum(field.bytes for field in fields)
        file.expect_end(body + n * stride, f"{n} points of {stride} bytes", zeros=_PAGE)
        columns = views(file.data, body, fields, stride, n)
    elif kind == "binary_compressed":
        columns = _unpack(file, body, fields, n)
    else:
        raise file.fail(f"DATA is {' '.join(header['DATA'])!r}, expected ascii, binary or binary_compressed")
    return PointTable(columns, shape, _viewpoint(file, header))


def _read_header(file: PointsFile) -> tuple[dict[str, list[str]], int]:
    """The words after each key, and where the data begins."""
    header: dict[str, list[str]] = {}
    for number, text, following in file.header_lines():
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        key = "FIELDS" if words[0] == "COLUMNS" else words[0]
        if key not in _KEYS:
            raise file.fail(f"header line is {text[:60]!r}, expected one of {', '.join(_KEYS)}", line=number)
        if key in header:
            raise file.fail(f"{key} occurs twice in the header", line=number)
        header[key] = words[1:]
        if key == "DATA":
            return header, following
    raise file.fail("is cut off: header has no DATA", byte=len(file.data))


def _fields(file: PointsFile, header: dict[str, list[str]]) -> list[Field]:
    names = header.get("FIELDS", [])
    if not names:
        raise file.fail("header names no FIELDS")
    if ("SIZE" in header) != ("TYPE" in header):
        raise file.fail("header has one of SIZE and TYPE, expected both or, as in old files of floats, none")
    sizes = header.get("SIZE", ["4"] * len(names))
    types = header.get("TYPE", ["F"] * len(names))
    counts = header.get("COUNT", ["1"] * len(names))
    for key, words in (("SIZE", sizes), ("TYPE", types), ("COUNT", counts)):
        if len(words) != len(names):
            raise file.fail(f"{key} has {len(words)} entries, expected {len(names)} as FIELDS has")
    fields = [_field(file, *words) for words in zip(names, sizes, types, counts, strict=True)]
    twice = first_repeated(name for name in names if name != _PADDING)
    if twice is not None:
        raise file.fail(f"field {twice!r} occurs twice")
    if (stride := sum(field.bytes for field in fields)) > _LARGEST_POINT:
        raise file.fail(f"a point has {stride} bytes, expected {_LARGEST_POINT} at most")
    return fields


def _field(file: PointsFile, name: str, size_word: str, kind: str, count_word: str) -> Field:
    size, count = whole_number(size_word), whole_number(count_word)
    if not count:
        raise file.fail(f"COUNT of field {name} is {count_word[:60]!r}, expected 1 or more")
    if name == _PADDING and size:
        return Field(name, None, count, size)
    if kind not in _SIZES or size not in _SIZES[kind]:
        accepted = ", ".join(f"{k}{s}" for k, sizes in _SIZES.items() for s in sizes)
        raise file.fail(f"type of field {name} is {kind[:60]}{size_word[:60]}, expected one of {accepted}")
    return Field(name, np.dtype(f"<{kind.lower()}{size}"), count)


def _shape(file: PointsFile, header: dict[str, list[str]]) -> tuple[int, ...]:
    """(WIDTH,), or (HEIGHT, WIDTH) of an organised cloud."""
    numbers = {}
    for key in ("WIDTH", "HEIGHT", "POINTS"):
        if key in header:
            n = whole_number(" ".join(header[key]))
            if n is None or n > _LARGEST_AXIS:
                raise file.fail(f"{key} is {' '.join(header[key])[:60]!r}, expected a whole number below 2**32")
            numbers[key] = n
    if not numbers.keys() & {"WIDTH", "POINTS"}:
        raise file.fail("header has neither WIDTH nor POINTS")
    height = numbers.get("HEIGHT", 1)
    width = numbers.get("WIDTH", numbers.get("POINTS", 0))
    points = numbers.get("POINTS", width * height)
    if points != width * height:
        raise file.fail(f"POINTS is {points}, expected WIDTH * HEIGHT = {width} * {height}")
    return (height, width) if height > 1 else (points,)


def _viewpoint(file: PointsFile, header: dict[str, list[str]]) -> tuple[float, ...] | None:
    """Position x y z and quaternion w x y z of the sensor."""
    if "VIEWPOINT" not in header:
        return None
    words = header["VIEWPOINT"]
    try:
        viewpoint = tuple(map(float, words))
    except ValueError:
        viewpoint = ()
    if len(viewpoint) != 7:
        raise file.fail(f"VIEWPOINT is {' '.join(words)[:60]!r}, expected 7 numbers (x y z, then w x y z)")
    return viewpoint


def _unpack(file: PointsFile, start: int, fields: Sequence[Field], n: int) -> dict[str, Values]:
    """The fields of a compressed body: two sizes, uint32 each, then the packed bytes."""
    body = start + 8
    if body > len(file.data):
        raise file.fail("is cut off: ends in the sizes of the compressed data", byte=len(file.data))
    packed, unpacked = (int.from_bytes(file.data[at : at + 4], "little") for at in (start, start + 4))
    file.expect_end(body + packed, f"{packed} bytes of compressed data", zeros=_PAGE)
    if unpacked == n * sum(field.bytes for field in fields if field.dtype is not None):
        fields = [field for field in fields if field.dtype is not None]  # PCL leaves padding out; others keep it
    expected = n * sum(field.bytes for field in fields)
    if unpacked != expected:
        raise file.fail(f"size of the unpacked data is {unpacked}, expected {expected} for {n} points", byte=start + 4)
    if unpacked > lzf.LARGEST_RATIO * packed:
        raise file.fail(f"compressed data have {packed} bytes, too few for {unpacked}", byte=start)
    try:
        data = lzf.decompress(memoryview(file.data)[body : body + packed])
    except ValueError as error:
        raise file.fail(f"compressed data are damaged: {error}", byte=body) from error
    if len(data) != unpacked:
        raise file.fail(f"compressed data unpack to {len(data)} bytes, expected {unpacked}", byte=body)
    columns: dict[str, Values] = {}
    at = 0
    for field in fields:
        columns |= views(data, at, [field], field.bytes, n)
        at += n * field.bytes
    return columns
