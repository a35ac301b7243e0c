"""Output of `robocache align`: one table of all episodes as Parquet, npz or safetensors, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robocache.cli.outputs import ARRAY_SUFFIXES, Array, SaveArrays, appearing, array_saver
from robocache.errors import InvalidArgument

_ROWS_PER_GROUP = 1 << 16


@dataclass(frozen=True)
class Column:
    """A column of the output: `shape` is that of one row, () for a scalar."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape)


class Writer(Protocol):
    """Takes the rows of one episode after another."""

    def write(self, columns: Mapping[str, Array]) -> None:
        """Appends rows, [T, ...shape] a column."""

    def finish(self) -> None:
        """Writes what is left and closes the file."""

    def abort(self) -> None:
        """Closes the file, whatever is in it."""


@contextmanager
def open_output(path: Path, columns: Sequence[Column], metadata: Mapping[str, Any]) -> Iterator[Writer]:
    """A writer by the suffix of `path`. The file appears under its name when all is written; after an error, not.

    Raises
    ------
    InvalidArgument
        Unknown suffix, two columns of one name.
    OSError
        The folder does not exist or cannot be written.
    """
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidArgument(f"align: two columns of the output are named {twice[0]!r}; hint: choose with --streams")
    with appearing(path, (".parquet", *ARRAY_SUFFIXES), op="align") as temporary:
        writer = _writer(temporary, path.suffix.lower(), columns, json.dumps(metadata))
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abort()
            raise


def _writer(path: Path, suffix: str, columns: Sequence[Column], metadata: str) -> Writer:
    if suffix == ".parquet":
        return _ParquetWriter(path, columns, metadata)
    return _ArraysWriter(path, array_saver(suffix, op="align"), columns, metadata)


class _ParquetWriter:
    """Row groups of about 64k rows, so memory stays bounded. A sample of one number is a scalar, as LeRobot has it."""

    def __init__(self, path: Path, columns: Sequence[Column], metadata: str) -> None:
        self._columns = columns
        fields = [pa.field(column.name, _arrow_type(column)) for column in columns]
        self._schema = pa.schema(fields, metadata={"robocache": metadata})
        self._writer = pq.ParquetWriter(path, self._schema)
        self._waiting: list[pa.Table] = []

    def write(self, columns: Mapping[str, Array]) -> None:
        arrays = [_arrow_array(column, columns[column.name]) for column in self._columns]
        self._waiting.append(pa.table(arrays, schema=self._schema))
        if sum(table.num_rows for table in self._waiting) >= _ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.concat_tables(self._waiting).combine_chunks()
            self._writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
        self._waiting = []

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def abort(self) -> None:
        self._writer.close()


def _arrow_type(column: Column) -> pa.DataType:
    type_ = pa.from_numpy_dtype(column.dtype)
    for size in reversed(column.shape):
        type_ = pa.list_(type_, size)
    return type_


def _arrow_array(column: Column, values: Array) -> pa.Array:
    array = pa.array(np.ascontiguousarray(values).reshape(-1))
    for size in reversed(column.shape):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


class _ArraysWriter:
    """Keeps all rows in memory: npz and safetensors want whole arrays."""

    def __init__(self, path: Path, save: SaveArrays, columns: Sequence[Column], metadata: str) -> None:
        self._path = path
        self._save = save
        self._metadata = metadata
        self._parts: dict[str, list[Array]] = {
            column.name: [np.empty((0, *column.shape), column.dtype)] for column in columns
        }

    def write(self, columns: Mapping[str, Array]) -> None:
        for name, parts in self._parts.items():
            parts.append(columns[name])

    def finish(self) -> None:
        self._save(self._path, {name: np.concatenate(parts) for name, parts in self._parts.items()}, self._metadata)

    def abort(self) -> None:
        self._parts.clear()
