"""Rows of Parquet files, each row group read once for all the episodes that share it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq


class RowReader:
    """Reads row ranges. Row groups that hold more than the range asked for are kept, least recently used out first.

    Safe to call from many threads.
    """

    def __init__(self, cache_bytes: int = 256 << 20) -> None:
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self._groups: OrderedDict[tuple[Path, int, tuple[str, ...]], pa.Table] = OrderedDict()
        # A footer of many row groups costs more to parse than one group to read.
        self._footer = lru_cache(maxsize=64)(_footer)

    def read(self, path: Path, start: int, stop: int, columns: tuple[str, ...]) -> pa.Table:
        """Rows [start, stop) of the named columns."""
        footer, ends = self._footer(path)
        first = int(np.searchsorted(ends, start, "right"))
        last = int(np.searchsorted(ends, stop, "left"))
        parts = []
        with pq.ParquetFile(path, metadata=footer) as file:
            for group in range(first, min(last + 1, len(ends))):
                begin = int(ends[group - 1]) if group else 0
                end = int(ends[group])
                shared = begin < start or end > stop
                table = self._group(file, path, group, columns) if shared else file.read_row_group(group, list(columns))
                lo, hi = max(start, begin), min(stop, end)
                parts.append(table.slice(lo - begin, hi - lo))
            if not parts:
                return file.schema_arrow.empty_table().select(list(columns))
        return pa.concat_tables(parts)

    def _group(self, file: pq.ParquetFile, path: Path, group: int, columns: tuple[str, ...]) -> pa.Table:
        key = (path, group, columns)
        with self._lock:
            if key in self._groups:
                self._groups.move_to_end(key)
                return self._groups[key]
        table = file.read_row_group(group, list(columns))
        with self._lock:
            self._groups[key] = table
            while len(self._groups) > 1 and sum(t.nbytes for t in self._groups.values()) > self._cache_bytes:
                self._groups.popitem(last=False)
        return table


def _footer(path: Path) -> tuple[pq.FileMetaData, npt.NDArray[np.int64]]:
    """Footer of a file, and the row after each of its row groups."""
    footer = pq.read_metadata(path)
    rows = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
    return footer, np.cumsum(rows, dtype=np.int64)
