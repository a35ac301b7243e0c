"""One CSV file: its columns, typed exactly, and its stamps in int64 ns. Damage is named by line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from robocache.errors import DataError
from robocache.formats.columns import TIME_UNITS_NS, split_unit
from robocache.formats.frame_clock import rounded_ns

_NUMBER = r"^\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|NaN|NAN|inf|Inf|INF)\s*$"
_NULLS = ["", "null", "NULL", "None", "NA", "N/A"]

# Sample time first; the time of arrival only where there is nothing else.
_STAMP_NAMES = ("stamp", "header_stamp", "timestamp", "time_stamp", "time", "t")
_ARRIVAL_NAMES = ("record", "record_time", "receive", "receive_time", "recv", "log", "log_time", "arrival", "publish")

# Without a unit, the size tells: today's epoch has 10 digits in seconds and 19 in nanoseconds.
_EPOCH_SIZES = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (0.0, "s"))


@dataclass(frozen=True)
class StampColumn:
    """The column that holds the stamps; `unit` None when its name does not say."""

    name: str
    unit: str | None
    arrival: bool
    other_times: tuple[str, ...]


class CsvFile:
    """A CSV file with a header row; the separator is a comma, a semicolon or a tab."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = self._read_header()

    def fail(self, what: str, row: int | None = None) -> DataError:
        """An error that names the file and, for a data row, its line."""
        line = "" if row is None else f":{self.line_of_row(row)}"
        return DataError(f"open: {self.path}{line}: {what}")

    def line_of_row(self, row: int) -> int:
        """Line number in the file, from 1, of a data row, from 0."""
        for number, (line, _) in enumerate(self._rows()):
            if number == row + 1:
                return line
        raise IndexError(row)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of the header and the data rows, as slowly as Python does it: for error texts."""
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=self._separator)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells

    def _read_header(self) -> list[str]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                first = next((line for line in file if line.strip()), "")
        except UnicodeDecodeError as error:
            raise DataError(f"open: {self.path} is not UTF-8 text: {error}") from error
        except OSError as error:
            raise DataError(f"open: {self.path} cannot be read: {error}") from error
        self._separator = max(",;\t", key=first.count)
        try:
            self._raw_names = next(csv.reader([first], delimiter=self._separator), [])
        except csv.Error as error:
            raise self.fail(f"has no header row: {error}") from error
        names = [name.strip() for name in self._raw_names]
        if not names:
            raise self.fail("is empty, expected a header row")
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise self.fail(f"column {sorted(twice)[0]!r} occurs twice in the header")
        if all(_is_number(name) for name in names):
            raise self.fail(f"has no header row: the first line is {first.strip()[:60]!r}")
        return names

    def find_stamp(self) -> StampColumn:
        """The stamp column by its name: `stamp`, `timestamp`, `time`, `t` with any unit, else the only `*_ns`."""
        by_base: dict[str, list[tuple[str, str | None]]] = {}
        for name in self.names:
            base, unit = split_unit(name)
            if unit is not None and unit.lower() not in TIME_UNITS_NS:
                continue
            by_base.setdefault(_normal(base), []).append((name, unit.lower() if unit else None))
        ranked = [c for base in (*_STAMP_NAMES, *_ARRIVAL_NAMES) for c in by_base.get(base, [])]
        arrival = not any(base in by_base for base in _STAMP_NAMES)
        if not ranked:
            nanoseconds = [c for group in by_base.values() for c in group if c[1] == "ns"]
            if len(nanoseconds) != 1:
                raise self.fail(
                    f"columns are {', '.join(self.names)}, expected a stamp (stamp_ns, timestamp, time, t, *_ns); "
                    "hint: name it in robocache.toml"
                )
            ranked, arrival = nanoseconds, False
        name, unit = ranked[0]
        return StampColumn(name, unit, arrival, tuple(other for other, _ in ranked[1:]))

    def read(self, stamp: str) -> dict[str, pa.ChunkedArray]:
        """All columns by name; the stamp column as text, so that nothing rounds it.

        Raises
        ------
        DataError
            Rows of another width, or a word in a column of numbers.
        """
        raw_stamp = self._raw_names[self.names.index(stamp)]
        try:
            table = pyarrow.csv.read_csv(
                self.path,
                parse_options=pyarrow.csv.ParseOptions(delimiter=self._separator),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={raw_stamp: pa.string()}, null_values=_NULLS, strings_can_be_null=True
                ),
            )
        except pa.ArrowException as error:
            raise self._parse_error(error) from error
        columns = dict(zip(self.names, table.columns, strict=True))
        return {name: column if name == stamp else self._typed(name, column) for name, column in columns.items()}

    def _parse_error(self, error: Exception) -> DataError:
        width = len(self.names)
        with suppress(csv.Error):  # what stops Python too has a text already
            for line, cells in self._rows():
                if len(cells) != width:
                    return DataError(f"open: {self.path}:{line}: row has {len(cells)} cells, expected {width}")
        return self.fail(f"cannot be parsed: {error}")

    def _typed(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Numbers and bools as parsed; the rest is text. Mostly numbers is a column of numbers with a bad cell."""
        type_ = column.type
        if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_):
            return column
        if pa.types.is_null(type_):
            return column
        try:
            text = column.cast(pa.string())
        except pa.ArrowException as error:
            raise self.fail(f"column {name!r} is not UTF-8 text: {error}") from error
        number = pc.fill_null(pc.match_substring_regex(text, _NUMBER), True).to_numpy()
        if number.mean() > 0.5:
            row = int(np.flatnonzero(~number)[0])
            raise self.fail(f"cell of column {name!r} is {text[row].as_py()!r}, expected a number", row)
        return text

    def stamps_ns(self, stamp: StampColumn, column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], str | None]:
        """Stamps int64 ns [S] of a column of text, and the assumption that had to be made, if any.

        Integers and decimals are converted exactly and rounded once, half to even; dates are read as ISO 8601, UTC.
        """
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise self.fail(f"stamp in column {stamp.name!r} is empty", row)
        text = pc.utf8_trim_whitespace(column)
        if len(text) and pc.all(pc.match_substring_regex(text, r"^\d{4}-\d\d-\d\d[T ]")).as_py():
            return self._dates(stamp, text), None
        number = pc.match_substring_regex(text, _NUMBER).to_numpy() if len(text) else np.ones(0, np.bool_)
        if not number.all():
            row = int(np.flatnonzero(~number)[0])
            raise self.fail(f"stamp in column {stamp.name!r} is {text[row].as_py()!r}, expected a number", row)
        approximate = text.cast(pa.float64()).to_numpy()
        unit, assumption = stamp.unit, None
        if unit is None:
            unit, assumption = _guess_unit(stamp.name, text, approximate)
        stamps = _exact_ns(text, TIME_UNITS_NS[unit])
        if stamps is None:
            out_of_range = ~(np.abs(approximate) * TIME_UNITS_NS[unit] < 2.0**63)
            if out_of_range.any():
                row = int(np.flatnonzero(out_of_range)[0])
                raise self.fail(
                    f"stamp in column {stamp.name!r} is {text[row].as_py()!r}, expected int64 ns at most", row
                )
            stamps = rounded_ns(approximate, TIME_UNITS_NS[unit])
        return stamps, assumption

    def _dates(self, stamp: StampColumn, text: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        try:
            zoned = pc.any(pc.match_substring_regex(text, r"(?:Z|[+-]\d\d:?\d\d)$")).as_py()
            dates = text.cast(pa.timestamp("ns", "UTC" if zoned else None))
        except pa.ArrowException as error:
            raise self.fail(f"stamp in column {stamp.name!r}: {error}") from error
        return np.asarray(dates.cast(pa.int64()).to_numpy())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _normal(base: str) -> str:
    """The name as in the lists above, of %time, Header.Stamp or field.header.stamp."""
    name = base.strip().lstrip("%#").strip().lower().replace(" ", "_").replace(".", "_")
    return name.removeprefix("field_")


def _guess_unit(name: str, text: pa.ChunkedArray, approximate: npt.NDArray[Any]) -> tuple[str, str | None]:
    largest = float(np.nanmax(np.abs(approximate))) if len(approximate) else 0.0
    unit = next(unit for size, unit in _EPOCH_SIZES if largest >= size)
    whole = bool(pc.all(pc.match_substring_regex(text, r"^[+-]?\d+$")).as_py()) if len(text) else False
    if unit == "s" and not whole:
        return unit, None
    return unit, f"column {name!r} has no unit, its {'integers' if whole else 'numbers'} are read as {unit}"


def _exact_ns(text: pa.ChunkedArray, unit_ns: int) -> npt.NDArray[np.int64] | None:
    """Through int64 or a decimal of 12 places, never through float64; None where those cannot hold the text."""
    try:
        if unit_ns == 1 and pc.all(pc.match_substring_regex(text, r"^[+-]?\d+$")).as_py():
            return np.asarray(text.cast(pa.int64()).to_numpy())
        # 38 digits hold the product, whose precision is the sum of both and one.
        unit = pa.decimal128(len(str(unit_ns)), 0)
        # Without an exponent, what lies beyond 12 places cannot move a nanosecond.
        places = pc.replace_substring_regex(text, r"^([+-]?\d*\.\d{12})\d+$", r"\1")
        scaled = pc.multiply(places.cast(pa.decimal128(37 - unit.precision, 12)), pa.scalar(Decimal(unit_ns), unit))
        return np.asarray(pc.round(scaled, 0, "half_to_even").cast(pa.int64()).to_numpy())
    except pa.ArrowException:
        return None
