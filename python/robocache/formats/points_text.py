"""Numbers as text, a point a line: parsed by Arrow, or cell by cell where that refuses; damage is named by line."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np

from robocache.errors import DataError
from robocache.formats.points_file import LONGEST_INTEGER, Dtype, Field, PointsFile, Values

_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan(\(\w*\))?|inf|infinity)", re.IGNORECASE)  # "nan(ind)" is Windows'


class TextBody:
    """The lines of a text body that are not blank: its rows."""

    def __init__(self, file: PointsFile, start: int) -> None:
        self._file = file
        self._start = start
        try:
            text = file.data[start:].decode("ascii")
        except UnicodeDecodeError as error:
            raise file.fail("is not ASCII text", byte=start + error.start) from error
        self._lines = _universal(text).split("\n")
        self._rows = [line for line in self._lines if line and not line.isspace()]

    def expect_rows(self, count: int, content: str) -> None:
        """Checks that there are as many rows as the header says."""
        if len(self._rows) < count:
            raise self._file.fail(f"is cut off: has {len(self._rows)} lines of data, expected {count} for {content}")
        if len(self._rows) > count:
            raise self.fail(f"goes on: has {len(self._rows)} lines of data, expected {count} for {content}", count)

    def cells(self, row: int) -> list[str]:
        """What a row holds."""
        return self._rows[row].split()

    def fail(self, what: str, row: int) -> DataError:
        """An error that names the line of a row."""
        numbers = [number for number, line in enumerate(self._lines, 1) if line and not line.isspace()]
        before = _universal(self._file.data[: self._start].decode("latin-1")).count("\n")
        return self._file.fail(what, line=before + numbers[row])

    def columns(self, first: int, count: int, fields: Sequence[Field]) -> dict[str, Values]:
        """`count` rows from row `first` on, as a column [N] or [N, count] for each field that is not padding."""
        rows = self._rows[first : first + count]
        cells = sum(field.count for field in fields)
        if rows and 2 * cells - 1 > max(map(len, rows)):  # before anything is made as large as the header says
            raise self.fail(f"row has {len(rows[0].split())} numbers, expected {cells}", first)
        parsed = _parse(rows, fields) if rows else None
        return self._cell_by_cell(first, rows, fields) if parsed is None else parsed

    def _cell_by_cell(self, first: int, rows: Sequence[str], fields: Sequence[Field]) -> dict[str, Values]:
        columns = {f.name: np.empty((len(rows), f.count), f.dtype) for f in fields if f.dtype is not None}
        expected = sum(field.count for field in fields)
        for i, row in enumerate(rows):
            cells = row.split()
            if len(cells) != expected:
                raise self.fail(f"row has {len(cells)} numbers, expected {expected}", first + i)
            at = 0
            for field in fields:
                if field.dtype is not None:
                    for k, cell in enumerate(cells[at : at + field.count]):
                        if (value := _number(cell, field.dtype)) is None:
                            what = f"{field.name} is {cell[:60]!r}, expected {field.dtype.name}"
                            raise self.fail(what, first + i)
                        columns[field.name][i, k] = value
                at += field.count
        return {
            f.name: columns[f.name][:, 0] if f.count == 1 else columns[f.name] for f in fields if f.dtype is not None
        }


def _universal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse(rows: Sequence[str], fields: Sequence[Field]) -> dict[str, Values] | None:
    """The columns by Arrow; None where it refuses a cell, takes what it should not, or is not installed."""
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ModuleNotFoundError:
        return None
    text = "\n".join([" ".join(row.split()) for row in rows])
    if "x" in text or "X" in text:  # Arrow would take hexadecimal integers
        return None
    names = [[f"{i}.{k}" for k in range(field.count)] for i, field in enumerate(fields)]
    named = list(zip(fields, names, strict=True))
    types = {name: pa.from_numpy_dtype(f.dtype) for f, each in named if f.dtype is not None for name in each}
    try:
        table = csv.read_csv(
            io.BytesIO(text.encode()),
            csv.ReadOptions(column_names=[name for each in names for name in each]),
            csv.ParseOptions(delimiter=" ", quote_char=False),
            csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]),
        )
    except pa.ArrowInvalid:
        return None
    columns: dict[str, Values] = {}
    for field, each in named:
        if field.dtype is not None:
            arrays = [table.column(name).to_numpy() for name in each]
            columns[field.name] = arrays[0] if field.count == 1 else np.stack(arrays, axis=1)
    infinite = sum(np.count_nonzero(np.isinf(values)) for values in columns.values())
    return columns if infinite == text.lower().count("inf") else None  # else a number was too large for its dtype


def _number(cell: str, dtype: Dtype) -> float | int | None:
    """The number that a cell holds; None where it is none, or one that the dtype does not hold."""
    if dtype.kind != "f":
        if not _INTEGER.fullmatch(cell) or len(cell) > LONGEST_INTEGER:
            return None
        limits = np.iinfo(dtype)
        return number if limits.min <= (number := int(cell)) <= limits.max else None
    if _NOT_FINITE.fullmatch(cell):
        return float(cell.split("(")[0])
    if not _FLOAT.fullmatch(cell):
        return None
    with np.errstate(over="ignore"):
        return value if np.isfinite(dtype.type(value := float(cell))) else None
