"""Where the episodes of a LeRobot dataset really are: told by the data files, compared with the metadata."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from robocache.formats.git_lfs import is_lfs_pointer
from robocache.formats.lerobot_meta import Meta, fill_template
from robocache.problems import ProblemLog, index_ranges

_EPISODE_FILE = re.compile(r"episode_(\d+)\.(?:parquet|mp4)$")


@dataclass(frozen=True)
class Run:
    """Rows [start, stop) of a data file."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class Located:
    """The rows of an episode. `error` says why they cannot be read."""

    runs: tuple[Run, ...]
    schema: pa.Schema
    error: str | None = None

    @property
    def length(self) -> int:
        """Rows of the episode."""
        return sum(run.stop - run.start for run in self.runs)


def locate_episodes(root: Path, meta: Meta, log: ProblemLog) -> dict[int, Located]:
    """Finds the rows of each episode, sorted by index; reports what the metadata says otherwise."""
    files = sorted(_data_folder(root, meta).rglob("*.parquet"))
    files = _without_pointers(root, files, log)
    located = _locate_shared(root, files, meta, log) if meta.many_per_file else _locate_single(root, files, meta, log)
    _compare_with_list(located, meta, log)
    return dict(sorted(located.items()))


def _data_folder(root: Path, meta: Meta) -> Path:
    """The folder that data_path begins with, where it is one below `root`; data/ otherwise."""
    name = str(meta.info.get("data_path", "data")).split("/")[0]
    return root / name if name not in ("", ".", "..") and (root / name).is_dir() else root / "data"


def _without_pointers(root: Path, files: list[Path], log: ProblemLog) -> list[Path]:
    pointers = [path for path in files if is_lfs_pointer(path)]
    if pointers:
        first = pointers[0].relative_to(root).as_posix()
        log.add(
            "data", f"{len(pointers)} of {len(files)} files are Git-LFS pointers, first {first}; hint: git lfs pull"
        )
    return [path for path in files if path not in set(pointers)]


def _locate_single(root: Path, files: list[Path], meta: Meta, log: ProblemLog) -> dict[int, Located]:
    """v2: one file an episode, named after it."""
    located: dict[int, Located] = {}
    with ThreadPoolExecutor(8) as pool:
        for path, (rows, schema, error) in zip(files, pool.map(_footer, files), strict=True):
            where = path.relative_to(root).as_posix()
            match = _EPISODE_FILE.search(path.name)
            if match is None:
                log.add(where, "is not named episode_<number>.parquet and is left out")
                continue
            index = int(match[1])
            if index in located:
                log.add(where, f"is a second file of episode {index} and is left out")
                continue
            if error:
                log.add(where, error)
            located[index] = Located((Run(path, 0, rows),), schema, error)
            _check_template(meta, index, where, log)
    chunks = len({path.parent for path in files})
    if "total_chunks" in meta.info and files and meta.info["total_chunks"] != chunks:
        log.add("meta/info.json", f"total_chunks is {meta.info['total_chunks']}, but the data is in {chunks}")
    return located


def _footer(path: Path) -> tuple[int, pa.Schema, str | None]:
    try:
        with pq.ParquetFile(path) as file:
            return file.metadata.num_rows, file.schema_arrow.remove_metadata(), None
    except (pa.ArrowException, OSError) as error:
        return 0, pa.schema([]), f"cannot be read: {error}"


def _check_template(meta: Meta, index: int, found: str, log: ProblemLog) -> None:
    template = meta.info.get("data_path")
    if not isinstance(template, str):
        return
    size = meta.info.get("chunks_size")
    chunk = index // size if isinstance(size, int) and size > 0 else 0
    try:
        path = fill_template(template, episode_chunk=chunk, episode_index=index)
    except ValueError as error:
        log.add("meta/info.json", f"data_path {template!r} cannot be filled in: {error}; the files are used as found")
        return
    if path != found:
        log.add_episode("meta/info.json", "data_path does not give the file", index, f"it gives {path}, found {found}")


def _locate_shared(root: Path, files: list[Path], meta: Meta, log: ProblemLog) -> dict[int, Located]:
    """v3: many episodes a file. The episode_index column decides: converters have written wrong file numbers."""
    runs: dict[int, list[Run]] = {}
    schemas: dict[Path, pa.Schema] = {}
    errors: dict[str, str] = {}
    for path in files:
        where = path.relative_to(root).as_posix()
        try:
            with pq.ParquetFile(path) as file:
                schemas[path] = file.schema_arrow.remove_metadata()
                numbers = _episode_numbers(file)
        except (pa.ArrowException, OSError, ValueError) as error:
            errors[where] = f"cannot be read: {error}"
            log.add(where, errors[where])
            continue
        for index, start, stop in _constant_runs(numbers):
            runs.setdefault(index, []).append(Run(path, start, stop))

    located = {index: Located(tuple(parts), schemas[parts[0].path]) for index, parts in runs.items()}
    for index, parts in runs.items():
        if len(parts) > 1:
            log.add_episode("data", "rows are not together; the pieces are joined in file order", index)
    for index, listed in meta.listed.items():
        if listed.file is None:
            continue
        place = _data_file(meta, *listed.file)
        if index not in located and place in errors:
            located[index] = Located((), pa.schema([]), f"{place} {errors[place]}")
        elif index in located and runs[index][0].path != root / place:
            found = runs[index][0].path.relative_to(root).as_posix()
            log.add_episode("meta/episodes", "names the wrong data file", index, f"it names {place}, found in {found}")
    return located


def _data_file(meta: Meta, chunk: int, file: int) -> str:
    template = str(meta.info.get("data_path") or "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet")
    try:
        return fill_template(template, chunk_index=chunk, file_index=file)
    except ValueError:
        return template


def _episode_numbers(file: pq.ParquetFile) -> npt.NDArray[np.int64]:
    if "episode_index" not in file.schema_arrow.names:
        raise ValueError("it has no column episode_index")
    column = file.read(columns=["episode_index"])["episode_index"]
    if column.null_count:
        raise ValueError("its column episode_index has nulls")
    return np.asarray(column.to_numpy(), np.int64)


def _constant_runs(numbers: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(value, start, stop) of each run of equal values."""
    if len(numbers) == 0:
        return []
    starts = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
    stops = np.append(starts[1:], len(numbers))
    return [(int(numbers[a]), int(a), int(b)) for a, b in zip(starts, stops, strict=True)]


def _compare_with_list(located: dict[int, Located], meta: Meta, log: ProblemLog) -> None:
    missing = set(meta.listed) - set(located)
    if missing:
        log.add("data", f"{len(missing)} of {len(meta.listed)} listed episodes are missing: {index_ranges(missing)}")
    for index, episode in located.items():
        listed = meta.listed.get(index)
        if listed is None:
            log.add_episode("data", "in the files but not in the metadata", index)
        elif listed.length is not None and episode.error is None and listed.length != episode.length:
            detail = f"listed with {listed.length} rows, found {episode.length}"
            log.add_episode(meta.list_name, "length is not the number of rows", index, detail)


def locate_videos(root: Path, meta: Meta, episodes: Iterable[int], log: ProblemLog) -> dict[str, frozenset[int]]:
    """The episodes that have their file, by video key; keys without any file are not in the answer.

    The folder is `videos/` by the book, and `video/` in some datasets.
    """
    files = [path for folder in ("videos", "video") for path in (root / folder).rglob("*.mp4")]
    by_key: dict[str, list[Path]] = {}
    for path in files:
        for part in path.relative_to(root).parts[1:-1]:
            if part in meta.features:
                by_key.setdefault(part, []).append(path)
    if files and not (root / "videos").is_dir() and str(meta.info.get("video_path", "")).startswith("videos/"):
        log.add("meta/info.json", f"video_path is {meta.info['video_path']}, but the folder is video/")

    out = {}
    for key, paths in by_key.items():
        readable = [path for path in paths if path.is_file() and os.access(path, os.R_OK)]
        if len(readable) < len(paths):
            first = min(set(paths) - set(readable)).relative_to(root).as_posix()
            log.add(key, f"{len(paths) - len(readable)} of {len(paths)} videos cannot be read, first {first}")
        usable = [path for path in readable if not is_lfs_pointer(path)]
        if len(usable) < len(readable):
            pointers = len(readable) - len(usable)
            log.add(key, f"{pointers} of {len(paths)} videos are Git-LFS pointers; hint: git lfs pull")
        present, strays = _episodes_with_video(key, usable, meta, episodes)
        if strays:
            log.add(key, f"videos that are of no episode in the data: {len(strays)}, first {strays[0]}")
        absent = set(episodes) - present
        if absent:
            count = len(present) + len(absent)
            log.add(key, f"{len(absent)} of {count} videos are missing: episodes {index_ranges(absent)}")
        out[key] = frozenset(present)
    return out


def _episodes_with_video(
    key: str, paths: list[Path], meta: Meta, episodes: Iterable[int]
) -> tuple[set[int], list[str]]:
    """The episodes that have a video, and the names of the files that are of none."""
    wanted: dict[Any, set[int]] = {}
    for i in episodes:
        place = meta.listed[i].videos.get(key) if meta.many_per_file and i in meta.listed else i
        wanted.setdefault(place, set()).add(i)
    present: set[int] = set()
    strays: list[str] = []
    for path in sorted(paths):
        having = wanted.get(_place(path, meta), set())
        present |= having
        if not having:
            strays.append("/".join(path.parts[-2:]))
    return present, strays


def _place(path: Path, meta: Meta) -> Any:
    """What the metadata calls a video: of a shared one the numbers of folder and file, else its episode."""
    if meta.many_per_file:
        return tuple(int(n) for n in re.findall(r"-(\d+)", "/".join(path.parts[-2:])))
    match = _EPISODE_FILE.search(path.name)
    return int(match[1]) if match else None
