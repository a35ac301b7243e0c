"""Writes small LeRobot datasets with pyarrow alone: the layouts of v2.1 and v3.0, and the traps real data lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Columns = dict[str, pa.Array]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"


def vectors(rows: np.ndarray) -> pa.Array:
    """list<T> of the rows of a matrix, nested deeper for more axes."""
    array = pa.array(np.ascontiguousarray(rows).reshape(-1))
    for axis in range(rows.ndim - 1, 0, -1):
        count = int(np.prod(rows.shape[:axis]))
        array = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * rows.shape[axis]), array)
    return array


def episode(index: int, rows: int, *, fps: float = 30, first: int = 0, seed: int = 0) -> Columns:
    """The columns that every LeRobot episode has, and a state of 3 and an action of 2."""
    rng = np.random.default_rng((seed, index))
    frames = np.arange(rows)
    return {
        "observation.state": vectors(rng.standard_normal((rows, 3)).astype(np.float32)),
        "action": vectors(rng.standard_normal((rows, 2)).astype(np.float32)),
        "timestamp": pa.array((frames / fps).astype(np.float32)),
        "frame_index": pa.array(frames),
        "episode_index": pa.array(np.full(rows, index)),
        "index": pa.array(first + frames),
        "task_index": pa.array(np.zeros(rows, np.int64)),
    }


def episodes(*lengths: int, fps: float = 30) -> list[Columns]:
    """Episodes 0, 1, ... of these lengths."""
    starts = np.concatenate(([0], np.cumsum(lengths)))
    return [episode(i, rows, fps=fps, first=int(starts[i])) for i, rows in enumerate(lengths)]


def feature(array: pa.Array) -> dict[str, Any]:
    """What info.json says about a column."""
    shape, type_ = [], array.type
    while pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        array = array.drop_null()
        shape.append(len(array[0]) if len(array) else 0)
        array, type_ = array.flatten(), type_.value_type
    name = (
        "string"
        if pa.types.is_string(type_)
        else str(type_).replace("double", "float64").replace("halffloat", "float16")
    )
    return {"dtype": {"float": "float32"}.get(name, name), "shape": shape or [1], "names": None}


def info(data: Sequence[Columns], version: str, fps: float, **changes: Any) -> dict[str, Any]:
    out: dict[str, Any] = {
        "codebase_version": version,
        "robot_type": "test",
        "total_episodes": len(data),
        "total_frames": sum(len(columns["index"]) for columns in data),
        "total_tasks": 1,
        "chunks_size": 1000,
        "fps": fps,
        "splits": {"train": f"0:{len(data)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
        if version == "v3.0"
        else "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": None,
        "features": {name: feature(array) for name, array in (data[0].items() if data else ())},
    }
    if version != "v3.0":
        out["total_chunks"] = 1
    out.update(changes)
    return {key: value for key, value in out.items() if value is not ...}


def write_v21(root: Path, data: Sequence[Columns], *, fps: float = 30, **changes: Any) -> Path:
    """A v2.1 dataset; `changes` replace keys of info.json, `...` removes one."""
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info(data, "v2.1", fps, **changes)))
    (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "Stack the cups."}\n')
    lines = [{"episode_index": i, "tasks": ["Stack the cups."], "length": len(c["index"])} for i, c in enumerate(data)]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for i, columns in enumerate(data):
        write_table(root / f"data/chunk-000/episode_{i:06d}.parquet", columns)
    return root


def write_v30(
    root: Path,
    data: Sequence[Columns],
    *,
    files: Sequence[Sequence[int]] | None = None,
    listed_file: Mapping[int, int] | None = None,
    task_column: str = "task",
    row_group_per_episode: bool = True,
    fps: float = 30,
    **changes: Any,
) -> Path:
    """A v3.0 dataset; `files` lists the episodes of each data file, `listed_file` lies about them in the metadata."""
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info(data, "v3.0", fps, **changes)))
    pq.write_table(pa.table({"task_index": [0], task_column: ["Stack the cups."]}), root / "meta/tasks.parquet")
    files = [list(range(len(data)))] if files is None else files
    file_of = {index: number for number, members in enumerate(files) for index in members}
    rows = [
        {
            "tasks": ["Stack the cups."],
            "stats/action/mean": [0.0, 0.0],
            "episode_index": i,
            "data/chunk_index": 0,
            "data/file_index": (listed_file or {}).get(i, file_of.get(i, 0)),
            "length": len(columns["index"]),
        }
        for i, columns in enumerate(data)
    ]
    half = len(rows) // 2
    for number, part in enumerate((rows[half:], rows[:half])):  # two files, the later episodes first
        if part:
            pq.write_table(pa.Table.from_pylist(part), root / f"meta/episodes/chunk-000/file-{number:03d}.parquet")
    for number, members in enumerate(files):
        tables = [pa.table(data[i]) for i in members]
        write_tables(root / f"data/chunk-000/file-{number:03d}.parquet", tables, row_group_per_episode)
    return root


def write_table(path: Path, columns: Columns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def write_tables(path: Path, tables: Sequence[pa.Table], separate_row_groups: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = tables if separate_row_groups else [pa.concat_tables(tables)]
    with pq.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
