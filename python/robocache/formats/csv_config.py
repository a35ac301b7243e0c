"""`robocache.toml`: what the names in a folder of CSV files cannot say.

    [streams.wrench]                 # the stream's name
    file = "log.csv"                 # in the same folder
    stamp = "clock"                  # stamp column; found by name when not given
    stamp_unit = "us"                # ns, us, ms or s; taken from the column's name when not given
    columns = ["fx", "fy", "fz"]     # all but the stamps when not given
    interp = "linear"                # hold, nearest, linear, pchip, angle or slerp; by kind when not given

A file that is named here gives these streams and no others; the other files are read by the rules of `csv_folder`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.errors import DataError
from robocache.formats.columns import TIME_UNITS_NS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "robocache.toml"
_KEYS = ("file", "stamp", "stamp_unit", "columns", "interp")
_INTERPS = ("hold", "nearest", "linear", "pchip", "angle", "slerp")


@dataclass(frozen=True)
class StreamConfig:
    """One `[streams.NAME]` table."""

    name: str
    file: str
    stamp: str | None
    stamp_unit: str | None
    columns: tuple[str, ...] | None
    interp: str | None


def read_config(folder: Path) -> list[StreamConfig]:
    """The streams of `robocache.toml`; none when there is no such file.

    Raises
    ------
    DataError
        The file is no TOML, or has a key or value that is not described above.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return []
    try:
        config = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"open: {path} is not TOML: {error}") from error
    tables = config.get("streams")
    if set(config) != {"streams"} or not isinstance(tables, dict):
        raise DataError(f"open: {path} has {', '.join(config) or 'nothing'}, expected [streams.NAME] tables only")
    return [_stream(path, name, table) for name, table in tables.items()]


def _stream(path: Path, name: str, table: Any) -> StreamConfig:
    where = f"open: {path}: streams.{name}"
    if not isinstance(table, dict):
        raise DataError(f"{where} is {table!r}, expected a table")
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise DataError(f"{where} has the key {unknown[0]!r}, expected {', '.join(_KEYS)}")
    for key in ("file", "stamp", "stamp_unit", "interp"):
        if key in table and not isinstance(table[key], str):
            raise DataError(f"{where}.{key} is {table[key]!r}, expected a string")
    if "file" not in table:
        raise DataError(f"{where} has no file")
    columns = table.get("columns")
    if columns is not None and not (isinstance(columns, list) and columns and all(isinstance(c, str) for c in columns)):
        raise DataError(f"{where}.columns is {columns!r}, expected a list of column names")
    for key, allowed in (("stamp_unit", tuple(TIME_UNITS_NS)), ("interp", _INTERPS)):
        if key in table and table[key] not in allowed:
            raise DataError(f"{where}.{key} is {table[key]!r}, expected one of {', '.join(allowed)}")
    if table.get("interp") == "slerp" and (columns is None or len(columns) != 4):
        raise DataError(f"{where}.interp is 'slerp', expected four columns with it")
    return StreamConfig(
        name=name,
        file=table["file"],
        stamp=table.get("stamp"),
        stamp_unit=table.get("stamp_unit"),
        columns=tuple(columns) if columns else None,
        interp=table.get("interp"),
    )
