"""Metadata of a LeRobot dataset: what `meta/` claims, before anybody has looked at the data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robocache.errors import DataError
from robocache.formats.git_lfs import LFS_HINT, is_lfs_pointer
from robocache.problems import ProblemLog
from robocache.rates import exact_rate

_SPAN = re.compile(r"(\d{1,18}):(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class Feature:
    """A feature of info.json. `shape` is None when it makes no sense."""

    dtype: str
    shape: tuple[int, ...] | None
    names: tuple[str, ...] | None
    fps: float | None


@dataclass(frozen=True)
class ListedEpisode:
    """An episode as the metadata lists it. `file` is (chunk, file), v3 only; `videos` likewise by video key."""

    length: int | None
    tasks: tuple[str, ...]
    file: tuple[int, int] | None = None
    videos: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Meta:
    """All of `meta/` that the reader needs. `many_per_file` is the v3 layout."""

    version: str
    many_per_file: bool
    fps: Fraction | None
    info: dict[str, Any]
    features: dict[str, Feature]
    tasks: dict[int, str]
    listed: dict[int, ListedEpisode]

    @property
    def list_name(self) -> str:
        """Where the list of episodes is, for messages."""
        return "meta/episodes" if self.many_per_file else "meta/episodes.jsonl"


def read_meta(root: Path, log: ProblemLog) -> Meta:
    """Reads `meta/` of v2.0, v2.1 and v3.0; the layout is told by the files, not by codebase_version.

    Raises
    ------
    DataError
        info.json is damaged, or the list of episodes is.
    """
    info = _read_info(root / "meta/info.json", log)
    many_per_file = (root / "meta/episodes").is_dir() or (
        not (root / "meta/episodes.jsonl").exists() and str(info.get("codebase_version", "v3")).startswith("v3")
    )
    version = str(info.get("codebase_version", "v3.0" if many_per_file else "v2.1"))
    if version.startswith("v3") != many_per_file:
        layout = "v3.0" if many_per_file else "v2.1"
        log.add("meta/info.json", f"codebase_version is {version}, but the files are laid out as {layout}")
        version = layout
    meta = Meta(
        version=version,
        many_per_file=many_per_file,
        fps=_read_fps(info.get("fps"), log),
        info=info,
        features=_read_features(info.get("features"), log),
        tasks=_read_tasks_parquet(root, log) if many_per_file else _read_tasks_jsonl(root, log),
        listed=_read_episodes_parquet(root, log) if many_per_file else _read_episodes_jsonl(root, log),
    )
    _check_totals(meta, log)
    return meta


def _read_info(path: Path, log: ProblemLog) -> dict[str, Any]:
    if not path.exists():
        log.add("meta/info.json", "is missing; rate, shapes and names are taken from the data files")
        return {}
    if is_lfs_pointer(path):
        raise DataError(f"open: {path} {LFS_HINT}")
    try:
        info = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"open: {path} cannot be read: {error}") from error
    except ValueError as error:
        raise DataError(f"open: {path} is not JSON: {error}") from error
    if not isinstance(info, dict):
        raise DataError(f"open: {path} holds a {type(info).__name__}, expected an object")
    return info


def _read_fps(fps: Any, log: ProblemLog) -> Fraction | None:
    if isinstance(fps, int | float) and not isinstance(fps, bool) and 0 < fps < float("inf"):
        return exact_rate(fps)
    log.add("meta/info.json", f"fps is {fps!r}, expected a positive number; the timestamp column is used as it is")
    return None


def _read_features(features: Any, log: ProblemLog) -> dict[str, Feature]:
    if not isinstance(features, dict):
        log.add("meta/info.json", "has no features; they are taken from the data files")
        return {}
    out = {}
    for key, value in features.items():
        if not isinstance(value, dict):
            log.add("meta/info.json", f"feature {key} is {value!r}, expected an object")
            continue
        shape = _read_shape(value.get("shape"))
        if shape is None:
            log.add("meta/info.json", f"shape of feature {key} is {value.get('shape')!r}, expected a list of integers")
        details = value.get("info") or value.get("video_info")
        fps = details.get("video.fps") if isinstance(details, dict) else None
        out[str(key)] = Feature(
            dtype=str(value.get("dtype")),
            shape=shape,
            names=_read_names(value.get("names"), shape),
            fps=float(fps) if isinstance(fps, int | float) else None,
        )
    return out


def _read_shape(shape: Any) -> tuple[int, ...] | None:
    if isinstance(shape, list | tuple) and all(isinstance(n, int) and n >= 0 for n in shape):
        return tuple(shape) or (1,)
    return None


def _read_names(names: Any, shape: tuple[int, ...] | None) -> tuple[str, ...] | None:
    """Column names from a list, a list in a list, or {"motors": list}; None unless there is one a column."""
    while isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    if isinstance(names, dict):
        names = list(names)
    while isinstance(names, list) and len(names) == 1 and isinstance(names[0], list):
        names = names[0]
    if not isinstance(names, list) or shape is None or len(shape) != 1 or len(names) != shape[0]:
        return None
    return tuple(str(name) for name in names)


def _json_lines(path: Path, log: ProblemLog) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, object) a line; damaged lines are reported and left out."""
    where = f"meta/{path.name}"
    if not path.exists():
        log.add(where, "is missing")
        return
    if is_lfs_pointer(path):
        log.add(where, LFS_HINT)
        return
    try:
        text = path.read_bytes()
    except OSError as error:
        log.add(where, f"cannot be read: {error}")
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            log.add(f"{where}:{number}", f"is not JSON and is left out: {error}")
            continue
        if isinstance(value, dict):
            yield f"{where}:{number}", value
        else:
            log.add(f"{where}:{number}", f"holds a {type(value).__name__}, expected an object")


def _read_tasks_jsonl(root: Path, log: ProblemLog) -> dict[int, str]:
    tasks = {}
    for where, line in _json_lines(root / "meta/tasks.jsonl", log):
        if isinstance(line.get("task_index"), int) and isinstance(line.get("task"), str):
            tasks[line["task_index"]] = line["task"]
        else:
            log.add(where, "has no task_index and task")
    return tasks


def _read_episodes_jsonl(root: Path, log: ProblemLog) -> dict[int, ListedEpisode]:
    listed = {}
    for where, line in _json_lines(root / "meta/episodes.jsonl", log):
        index, length = line.get("episode_index"), line.get("length")
        if not isinstance(index, int):
            log.add(where, "has no episode_index")
            continue
        if index in listed:
            log.add(where, f"lists episode {index} again; the last one is used")
        listed[index] = ListedEpisode(length if isinstance(length, int) else None, _strings(line.get("tasks")))
    return listed


def fill_template(template: str, **numbers: int) -> str:
    """A path of info.json with its fields filled in.

    Raises
    ------
    ValueError
        The template is none, or asks for other fields.
    """
    try:
        return template.format(**numbers)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(v) for v in value) if isinstance(value, list) else ()


def _read_tasks_parquet(root: Path, log: ProblemLog) -> dict[int, str]:
    path = root / "meta/tasks.parquet"
    if not path.exists():
        log.add("meta/tasks.parquet", "is missing")
        return {}
    if is_lfs_pointer(path):
        log.add("meta/tasks.parquet", LFS_HINT)
        return {}
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        log.add("meta/tasks.parquet", f"cannot be read: {error}")
        return {}
    # The text is in the pandas index, whose name differs between writers: `task`, `__index_level_0__`.
    texts = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    if len(texts) > 1 and "task" in texts:
        texts = ["task"]
    if "task_index" not in table.column_names or len(texts) != 1:
        log.add("meta/tasks.parquet", f"has columns {table.column_names}, expected task_index and one of text")
        return {}
    return dict(zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True))


def _read_episodes_parquet(root: Path, log: ProblemLog) -> dict[int, ListedEpisode]:
    listed: dict[int, ListedEpisode] = {}
    files = sorted((root / "meta/episodes").rglob("*.parquet"))
    if not files:
        log.add("meta/episodes", "holds no parquet file")
    for path in files:
        where = path.relative_to(root).as_posix()
        if is_lfs_pointer(path):
            log.add(where, LFS_HINT)
            continue
        try:
            rows = _episode_rows(path)
        except (pa.ArrowException, OSError) as error:
            log.add(where, f"cannot be read: {error}")
            continue
        for row in rows:
            index = row.get("episode_index")
            if index is None:
                log.add(where, "has a row without episode_index")
                continue
            if index in listed:
                log.add_episode(where, "listed again; the last one is used", index)
            listed[index] = _listed_episode(row)
    return listed


def _episode_rows(path: Path) -> list[dict[str, Any]]:
    file = pq.ParquetFile(path)
    wanted = {"episode_index", "length", "tasks", "data/chunk_index", "data/file_index"}
    columns = [
        name
        for name in file.schema_arrow.names
        if name in wanted or (name.startswith("videos/") and name.endswith(("/chunk_index", "/file_index")))
    ]
    rows: list[dict[str, Any]] = file.read(columns=columns).to_pylist()
    return rows


def _listed_episode(row: dict[str, Any]) -> ListedEpisode:
    def file_of(prefix: str) -> tuple[int, int] | None:
        chunk, file = row.get(f"{prefix}/chunk_index"), row.get(f"{prefix}/file_index")
        return None if chunk is None or file is None else (int(chunk), int(file))

    keys = {
        name[len("videos/") : -len("/file_index")]
        for name in row
        if name.startswith("videos/") and name.endswith("/file_index")
    }
    videos = {key: place for key in keys if (place := file_of(f"videos/{key}")) is not None}
    return ListedEpisode(row.get("length"), _strings(row.get("tasks")), file_of("data"), videos)


def split_spans(info: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The splits of info.json, half-open ranges of episode_index; less those written in another way."""
    splits = info.get("splits")
    found = {name: _SPAN.fullmatch(str(span)) for name, span in splits.items()} if isinstance(splits, dict) else {}
    return {name: (int(span[1]), int(span[2])) for name, span in found.items() if span}


def _check_totals(meta: Meta, log: ProblemLog) -> None:
    """Compares the counts of info.json with the lists beside it."""

    def check(key: str, found: int, what: str) -> None:
        if key in meta.info and meta.info[key] != found:
            log.add("meta/info.json", f"{key} is {meta.info[key]}, but {found} {what}")

    check("total_episodes", len(meta.listed), "episodes are listed")
    check("total_frames", sum(e.length or 0 for e in meta.listed.values()), "frames are listed")
    check("total_tasks", len(meta.tasks), "tasks are listed")
    for split, (first, end) in split_spans(meta.info).items():
        if end > max(meta.listed, default=-1) + 1:
            log.add("meta/info.json", f"split {split} is {first}:{end}, but {len(meta.listed)} episodes are listed")
