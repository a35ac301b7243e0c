"""Output of `robocache align`: one table of all episodes as Parquet, npz or safetensors, whole or not at all."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from robocache.errors import InvalidArgument

Array = npt.NDArray[Any]

METADATA_MEMBER = "robocache.json"

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
    make = _WRITERS.get(path.suffix.lower())
    if make is None:
        raise InvalidArgument(f"align: output is {path.name}, expected a name that ends in {', '.join(_WRITERS)}")
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidArgument(f"align: two columns of the output are named {twice[0]!r}; hint: choose with --streams")
    if path.is_dir():
        raise IsADirectoryError(f"align: output {path} is a folder, expected a file name")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"align: output folder {path.parent} does not exist")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        writer = make(temporary, columns, json.dumps(metadata))
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abort()
            raise
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    """Keeps all rows in memory: both formats want whole arrays."""

    def __init__(self, path: Path, columns: Sequence[Column], metadata: str) -> None:
        self._path = path
        self._columns = columns
        self._metadata = metadata
        self._parts: dict[str, list[Array]] = {
            column.name: [np.empty((0, *column.shape), column.dtype)] for column in columns
        }
        path.touch()  # Not after an hour of work.

    def write(self, columns: Mapping[str, Array]) -> None:
        for name, parts in self._parts.items():
            parts.append(columns[name])

    def _arrays(self) -> dict[str, Array]:
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}

    def abort(self) -> None:
        self._parts.clear()


class _NpzWriter(_ArraysWriter):
    """numpy's npz, with the metadata in it as the file `robocache.json`.

    Not by np.savez, which takes the names as keywords beside its own: a column may be called `file`.
    """

    def finish(self) -> None:
        with zipfile.ZipFile(self._path, "w") as archive:
            archive.writestr(METADATA_MEMBER, self._metadata)
            for name, array in self._arrays().items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)


class _SafetensorsWriter(_ArraysWriter):
    """safetensors, with the metadata in its header."""

    def __init__(self, path: Path, columns: Sequence[Column], metadata: str) -> None:
        try:
            import safetensors.numpy as safetensors
        except ModuleNotFoundError as error:
            text = "align: output is .safetensors, which needs safetensors; hint: pip install safetensors"
            raise ModuleNotFoundError(text) from error
        self._save = safetensors.save_file
        super().__init__(path, columns, metadata)

    def finish(self) -> None:
        self._save(self._arrays(), self._path, metadata={"robocache": self._metadata})


_WRITERS: dict[str, Callable[[Path, Sequence[Column], str], Writer]] = {
    ".parquet": _ParquetWriter,
    ".npz": _NpzWriter,
    ".safetensors": _SafetensorsWriter,
}
