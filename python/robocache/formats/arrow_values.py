"""Arrow columns as dense numpy arrays, without a Python object a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ColumnKind = Literal["float", "integer", "bool", "text", "image"]


@dataclass(frozen=True)
class DenseColumn:
    """`values` [S', ...] of the rows that hold a value; `kept` bool [S] says which, None when all do."""

    values: npt.NDArray[Any]
    kept: npt.NDArray[np.bool_] | None


def column_kind(type_: pa.DataType) -> tuple[ColumnKind, str] | None:
    """Kind and dtype name of a column, nested lists seen through; None for what is no stream."""
    leaf = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    if pa.types.is_struct(leaf):
        fields = {leaf.field(i).name for i in range(leaf.num_fields)}
        return ("image", "image") if fields == {"bytes", "path"} else None
    if pa.types.is_binary(leaf) or pa.types.is_large_binary(leaf):
        return ("image", "image")
    nested = _is_list(leaf)
    while _is_list(leaf):
        leaf = leaf.value_type
    if pa.types.is_dictionary(leaf):
        leaf = leaf.value_type
    if pa.types.is_string(leaf) or pa.types.is_large_string(leaf):
        # A list of words has a length of its own in each row.
        return None if nested else ("text", "string")
    if pa.types.is_boolean(leaf):
        return ("bool", "bool")
    if pa.types.is_integer(leaf):
        return ("integer", str(leaf))
    if pa.types.is_floating(leaf):
        return ("float", f"float{leaf.bit_width}")
    return None


def sample_shape(column: pa.ChunkedArray) -> tuple[int, ...] | None:
    """Shape of the first sample that is there; a scalar is (1,)."""
    column = column.drop_null()
    if len(column) == 0:
        return None
    array = _storage(column.chunk(0)).slice(0, 1)
    shape: list[int] = []
    while _is_list(array.type):
        array = array.flatten()
        shape.append(len(array) // int(np.prod(shape, dtype=np.int64) or 1))
    return tuple(shape) or (1,)


def dense(column: pa.ChunkedArray, shape: tuple[int, ...]) -> DenseColumn:
    """Converts a column, zero-copy where it is one chunk without nulls. A row with a null in it is not a sample.

    Raises
    ------
    ValueError
        The rows do not all have `shape`.
    """
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    array = _storage(array)
    rows = len(array)
    kept = np.ones(rows, np.bool_)
    if array.null_count:
        kept = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        array = array.drop_null()
    samples = len(array)
    found = []
    while _is_list(array.type):
        width = _uniform_width(array)
        array = array.flatten()
        found.append(width)
    if samples and (tuple(found) or (1,)) != shape:
        raise ValueError(f"rows have shape {tuple(found) or (1,)}, expected {shape}")
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count:
        complete = np.asarray(array.is_valid().to_numpy(zero_copy_only=False)).reshape(samples, -1).all(axis=1)
        values = _numpy(_without_nulls(array)).reshape(samples, *shape)[complete]
        kept[kept] = complete
    else:
        values = _numpy(array).reshape(samples, *shape)
    return DenseColumn(values, None if kept.all() else kept)


def _without_nulls(array: pa.Array) -> pa.Array:
    filler = False if pa.types.is_boolean(array.type) else "" if column_kind(array.type) == ("text", "string") else 0
    return array.fill_null(pa.scalar(filler, array.type))


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _uniform_width(array: pa.Array) -> int:
    if pa.types.is_fixed_size_list(array.type):
        if array.null_count:
            raise ValueError("a list inside a row is null")
        return int(array.type.list_size)
    widths = np.diff(array.offsets.to_numpy())
    if len(widths) == 0:
        return 0
    if (widths != widths[0]).any():
        row = int(np.flatnonzero(widths != widths[0])[0])
        raise ValueError(f"rows differ in width: {widths[0]} in the first, {widths[row]} in entry {row}")
    return int(widths[0])
