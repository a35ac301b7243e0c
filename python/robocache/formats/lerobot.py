"""Reader of LeRobot v2.0, v2.1 and v3.0 datasets: low-dimensional columns and tasks; video is listed, not decoded.

Every column but the bookkeeping ones (`timestamp`, `frame_index`, `episode_index`, `index`) is a stream, [S, ...] with
at least one axis after S. A row with a null in it is not a sample of that stream. The data files are trusted over
`meta/`; what differs is in `Dataset.problems`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from robocache.dataset import Dataset
from robocache.episode import Episode, Kind, OnBadEpisode, SampleStream, StreamInfo
from robocache.errors import DataError
from robocache.formats.arrow_values import column_kind, dense, sample_shape
from robocache.formats.checks import Fault, stamp_faults, value_faults
from robocache.formats.columns import is_quaternion
from robocache.formats.frame_clock import derive_stamps
from robocache.formats.lerobot_files import Located, locate_episodes, locate_videos
from robocache.formats.lerobot_meta import Feature, Meta, read_meta, split_spans
from robocache.formats.lerobot_parts import Part, read_parts
from robocache.formats.row_reader import RowReader
from robocache.problems import ProblemLog

LOOKS_FOR = "meta/info.json, meta/episodes.jsonl or meta/episodes/"
OPTIONS: frozenset[str] = frozenset()

_BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index")


def detect(path: Path) -> bool:
    """Whether `path` holds the metadata of a LeRobot dataset."""
    return any((path / "meta" / name).exists() for name in ("info.json", "episodes.jsonl", "episodes"))


def read(path: Path, on_bad_episode: OnBadEpisode) -> Dataset:
    """Opens the dataset; see `robocache.open`."""
    log = ProblemLog()
    meta = read_meta(path, log)
    located = locate_episodes(path, meta, log)
    videos = locate_videos(path, meta, located, log)
    streams = _describe_streams(meta, located, videos, log)
    parts = read_parts(path, streams, log)
    reader = _EpisodeReader(path, meta, streams, parts, videos, log)
    indices = list(located)
    return Dataset(
        format=f"lerobot {meta.version}",
        path=path,
        streams=streams | {name: part.info for name, part in parts.items()},
        episode_count=len(indices),
        make_episode=lambda row: reader.episode(indices[row], located[indices[row]]),
        log=log,
        on_bad_episode=on_bad_episode,
        tasks=meta.tasks,
        fps=None if meta.fps is None else float(meta.fps),
        splits=_splits(meta, indices),
    )


def _splits(meta: Meta, indices: Sequence[int]) -> dict[str, list[int]]:
    """The splits of info.json, each a half-open range of episode_index, less the episodes that are not there."""
    return {
        name: [row for row, index in enumerate(indices) if first <= index < end]
        for name, (first, end) in split_spans(meta.info).items()
    }


def _describe_streams(
    meta: Meta, located: Mapping[int, Located], videos: Mapping[str, frozenset[int]], log: ProblemLog
) -> dict[str, StreamInfo]:
    """Streams in the order of info.json, then those that only the files have."""
    having: dict[str, list[Located]] = {}
    for episode in located.values():
        for name in episode.schema.names:
            having.setdefault(name, []).append(episode)

    streams: dict[str, StreamInfo] = {}
    for name, feature in meta.features.items():
        if name in _BOOKKEEPING:
            continue
        if name in having:
            info = _column_info(name, feature, having[name], meta, log)
            if info is not None:
                streams[name] = info
        elif name in videos or not having:
            # Without any readable data file, the metadata is all there is to show.
            streams[name] = _claimed_info(name, feature, meta)
        else:
            kind = "video files" if feature.dtype == "video" else "column in the data files"
            log.add("meta/info.json", f"feature {name} has no {kind} and is left out")
    for name, episodes in having.items():
        if name not in meta.features and name not in _BOOKKEEPING:
            if meta.features:
                log.add("data", f"column {name} is not a feature of info.json")
            info = _column_info(name, None, episodes, meta, log)
            if info is not None:
                streams[name] = info
    return streams


def _column_info(
    name: str, feature: Feature | None, episodes: Sequence[Located], meta: Meta, log: ProblemLog
) -> StreamInfo | None:
    type_ = episodes[0].schema.field(name).type
    kind_dtype = column_kind(type_)
    if kind_dtype is None:
        log.add("data", f"column {name} has type {type_}, which is no stream; it is left out")
        return None
    kind, dtype = kind_dtype
    claimed = feature.shape if feature else None
    if kind == "image":
        return StreamInfo(name, claimed or (), dtype, _rate(meta), "video", clock=_clock(meta))
    shapes = (_first_shape(name, episode) for episode in episodes)
    shape = next((shape for shape in shapes if shape is not None), claimed or (1,))
    if feature is not None and feature.dtype != dtype:
        log.add("meta/info.json", f"dtype of feature {name} is {feature.dtype}, found {dtype}")
    if claimed is not None and claimed != shape:
        log.add("meta/info.json", f"shape of feature {name} is {list(claimed)}, found {list(shape)}")
    names = feature.names if feature and feature.names and shape == (len(feature.names),) else None
    return StreamInfo(name, shape, dtype, _rate(meta), _kind(name, kind, shape, names), names, clock=_clock(meta))


def _claimed_info(name: str, feature: Feature, meta: Meta) -> StreamInfo:
    shape = feature.shape or (1,)
    if feature.dtype in ("video", "image"):
        return StreamInfo(name, shape, feature.dtype, feature.fps or _rate(meta), "video", clock=_clock(meta))
    letter = {"bool": "bool", "string": "text"}.get(feature.dtype, "float" if "float" in feature.dtype else "integer")
    kind = _kind(name, letter, shape, feature.names)
    return StreamInfo(name, shape, feature.dtype, _rate(meta), kind, feature.names, clock=_clock(meta))


def _kind(name: str, kind: Any, shape: tuple[int, ...], names: tuple[str, ...] | None) -> Kind:
    if kind == "float" and is_quaternion(name, shape, names):
        return "quaternion"
    out: Kind = kind
    return out


def _first_shape(name: str, episode: Located) -> tuple[int, ...] | None:
    """Shape of the first sample in the file: one row is decoded, not the column."""
    if not episode.runs:
        return None
    try:
        with pq.ParquetFile(episode.runs[0].path) as file:
            batch = next(file.iter_batches(batch_size=1, columns=[name]), None)
    except (pa.ArrowException, OSError):
        return None  # Damaged pages: reading the episode says so.
    return sample_shape(pa.chunked_array([batch.column(name)])) if batch is not None else None


def _rate(meta: Meta) -> float | None:
    return None if meta.fps is None else float(meta.fps)


def _clock(meta: Meta) -> str:
    return "timestamp" if meta.fps is None else f"frame / {float(meta.fps):g} Hz"


class _EpisodeReader:
    """Turns located rows into streams."""

    def __init__(
        self,
        root: Path,
        meta: Meta,
        streams: Mapping[str, StreamInfo],
        parts: Mapping[str, Part],
        videos: Mapping[str, frozenset[int]],
        log: ProblemLog,
    ) -> None:
        self._root = root
        self._meta = meta
        self._streams = streams
        self._parts = parts
        self._videos = videos
        self._log = log
        self._rows = RowReader()

    def episode(self, index: int, located: Located) -> Episode:
        listed = self._meta.listed.get(index)
        names = [name for name in self._streams if self._has(index, located, name)]
        parts = [name for name, part in self._parts.items() if part.whole in names]

        def read() -> Mapping[str, SampleStream]:
            streams = self._read(index, located, names)
            return {**streams, **{name: self._part(index, name, streams) for name in parts}}

        return Episode(index, located.length, listed.tasks if listed else (), [*names, *parts], read)

    def _has(self, index: int, located: Located, name: str) -> bool:
        if name in self._videos:
            return index in self._videos[name]
        # Of a damaged file nobody knows; asking for the stream says what is damaged.
        return name in located.schema.names or located.error is not None

    def _read(self, index: int, located: Located, names: list[str]) -> Mapping[str, SampleStream]:
        if located.error:
            raise DataError(f"episode {index}: {self._files(located)}{located.error}")
        try:
            table = self._table(located, names)
            self._check_episode_index(index, table)
            stamps = self._stamps(index, table)
            self._report_absent(index, names)
            return {name: self._stream(index, name, table, stamps) for name in names}
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"episode {index}: {self._files(located)}{error}") from error

    def _files(self, located: Located) -> str:
        paths = sorted({str(run.path) for run in located.runs})
        return f"{', '.join(paths)}: " if paths else ""

    def _table(self, located: Located, names: list[str]) -> pa.Table:
        wanted = [name for name in names if self._streams[name].kind != "video"]
        wanted += [name for name in _BOOKKEEPING if name in located.schema.names and name != "index"]
        columns = tuple(name for name in wanted if name in located.schema.names)
        tables = [self._rows.read(run.path, run.start, run.stop, columns) for run in located.runs]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables)

    def _check_episode_index(self, index: int, table: pa.Table) -> None:
        """A file of another episode under this name is worth a word; rows of several episodes are damage."""
        if "episode_index" not in table.column_names:
            return
        numbers = np.unique(table["episode_index"].drop_null().to_numpy())
        if len(numbers) > 1:
            raise ValueError(f"holds rows of episodes {', '.join(str(n) for n in numbers)}, expected {index} only")
        if len(numbers) == 1 and int(numbers[0]) != index:
            what = "the column episode_index names another episode; the file name is used"
            self._log.add_episode("data", what, index, f"it says {numbers[0]}")

    def _stamps(self, index: int, table: pa.Table) -> npt.NDArray[np.int64]:
        timestamp = table["timestamp"].to_numpy() if "timestamp" in table.column_names else None
        frames = None
        if "frame_index" in table.column_names:
            column = table["frame_index"]
            if column.null_count:
                self._log.add_episode("data", "frame_index has nulls and is not used", index)
            else:
                frames = column.to_numpy().astype(np.int64)
        clock = derive_stamps(timestamp, frames, self._meta.fps, table.num_rows)
        for what, detail in clock.faults:
            self._log.add_episode("data", what, index, detail)
        if frames is not None and (np.diff(frames) != 1).any():
            row = int(np.flatnonzero(np.diff(frames) != 1)[0])
            detail = f"{frames[row]} then {frames[row + 1]} in row {row + 1}"
            self._log.add_episode("data", "frame_index does not count up by one", index, detail)
        self._report(index, stamp_faults(clock.stamps_ns))
        return clock.stamps_ns

    def _report(self, index: int, faults: list[Fault]) -> None:
        for fault in faults:
            self._log.add_episode("data", fault.what, index, f"row {fault.rows[0]}, {len(fault.rows)} in all")

    def _report_absent(self, index: int, names: list[str]) -> None:
        for name in self._streams:
            if name not in names and name not in self._videos:
                self._log.add_episode("data", f"column {name} is not in the file", index)

    def _stream(self, index: int, name: str, table: pa.Table, stamps: npt.NDArray[np.int64]) -> SampleStream:
        info = self._streams[name]
        if info.kind == "video":
            return SampleStream(info, None, stamps)
        try:
            column = dense(table[name], info.shape)
        except ValueError as error:
            raise ValueError(f"column {name}: {error}") from error
        values, kept = column.values, column.kept
        if kept is not None:
            detail = f"{int((~kept).sum())} of {len(kept)} rows"
            self._log.add_episode("data", f"column {name} has nulls, those rows are no samples", index, detail)
            stamps = stamps[kept]
        if info.kind != "text" and values.dtype.name != info.dtype:
            self._log.add_episode("data", f"column {name} is not {info.dtype}", index, f"it is {values.dtype.name}")
        self._report(index, value_faults(info, values))
        if name == "task_index" and not set(np.unique(values).tolist()) <= set(self._meta.tasks):
            self._log.add_episode("data", "task_index has no text in the list of tasks", index)
        return SampleStream(info, values, stamps)

    def _part(self, index: int, name: str, streams: Mapping[str, SampleStream]) -> SampleStream:
        part = self._parts[name]
        stream = part.of(streams[part.whole])
        # Among other columns nobody has seen that these are a rotation.
        if part.info.kind == "quaternion" and self._streams[part.whole].kind != "quaternion":
            self._report(index, value_faults(part.info, stream.values))
        return stream
