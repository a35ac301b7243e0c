"""Reader of RLDS: TFDS folders of TFRecord files, an episode a record, without TensorFlow.

Each leaf of the steps in features.json is a stream, named by its keys (`observation/state`); what an episode has once
is its `metadata`, the texts of `language_instruction` its `tasks`. Images stay encoded (`SampleStream.encoded`); lists
whose length differs from step to step are left out. There is no time in the files: the rate is what `fps` says.

An episode knows its length and tasks by a look at the record's structure; its checksum is compared when the first
stream, or the metadata, is asked for, since that reads all of the record. Each record that dataset_info.json promises
of a file and that is not in it is an episode, damaged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache._core import TFRecordFile
from robocache.dataset import Dataset
from robocache.episode import Episode, Kind, OnBadEpisode, SampleStream, StreamInfo
from robocache.errors import DataError
from robocache.formats.checks import Fault, value_faults
from robocache.formats.columns import names_a_quaternion
from robocache.formats.rlds_features import STEPS, UNKNOWN, Features, Leaf, read_features
from robocache.formats.rlds_files import INFO, Located, find_shards, locate, read_info
from robocache.formats.rlds_index import choose_index
from robocache.formats.rlds_record import Record
from robocache.formats.rlds_shards import Shard, is_shard
from robocache.formats.step_clock import StepClock, choose_clock
from robocache.problems import ProblemLog

LOOKS_FOR = "features.json beside *.tfrecord-00000-of-00001"
OPTIONS = frozenset({"fps", "index"})

_FEATURES = "features.json"
# Three for each episode in DROID, language_instruction_2 and _3 among them.
_TASK = "language_instruction"
_TRUNK = f"{STEPS}/is_first"


def detect(path: Path) -> bool:
    """Whether `path` is a folder as TFDS writes it."""
    if not path.is_dir():
        return False
    return ((path / _FEATURES).exists() and (path / INFO).exists()) or any(is_shard(file) for file in path.iterdir())


def read(
    path: Path,
    on_bad_episode: OnBadEpisode,
    *,
    fps: float | None = None,
    index: bool | str | os.PathLike[str] = False,
) -> Dataset:
    """Opens the dataset; see `robocache.open`."""
    log = ProblemLog()
    info = read_info(path, log)
    features = read_features(path / _FEATURES)
    located = locate(find_shards(path, info, log), choose_index(path, index), log)
    if not located:
        raise DataError(f"open: {path} has no record that can be read{_first_problem(log)}")
    clock = choose_clock(fps, None, _FEATURES, log)
    reader = _EpisodeReader(features, clock, log)
    splits: dict[str, list[int]] = {}
    for row, record in enumerate(located):
        splits.setdefault(record.shard.split, []).append(row)
    return Dataset(
        format="rlds",
        path=path,
        streams=reader.streams,
        episode_count=len(located),
        make_episode=lambda row: reader.episode(row, located[row]),
        log=log,
        on_bad_episode=on_bad_episode,
        fps=clock.hz,
        splits=splits,
        metadata={key: info[key] for key in ("name", "version", "description", "citation") if key in info},
    )


def _first_problem(log: ProblemLog) -> str:
    problems = log.problems()
    return f"; {problems[0]}" if problems else ""


class _EpisodeReader:
    """Turns records into episodes."""

    def __init__(self, features: Features, clock: StepClock, log: ProblemLog) -> None:
        self._clock = clock
        self._log = log
        self._metadata = [leaf for leaf in features.metadata if leaf.dtype != UNKNOWN]
        self._leaves = {leaf.name: leaf for leaf in features.steps if leaf.known}
        for leaf in features.steps:
            if not leaf.known:
                log.add(_FEATURES, f"{leaf.key} is no numbers or text of one shape and is left out")
        for leaf in features.metadata:
            if leaf.dtype == UNKNOWN:
                log.add(_FEATURES, f"{leaf.key} is no numbers, text or image and is left out")
        self.streams = {name: _describe(leaf, clock) for name, leaf in self._leaves.items()}
        self._files: dict[Path, TFRecordFile] = {}

    def episode(self, index: int, located: Located) -> Episode:
        """The episode of a record. One that is damaged is made too: asking for its streams says what is wrong."""
        try:
            record = self._record(index, located)
            length, tasks = self._count_steps(record), self._tasks(record)
        except (DataError, ValueError) as error:
            text = f"episode {index}: {error}"

            def fail() -> Mapping[str, SampleStream]:
                raise DataError(text)

            return Episode(index, 0, (), tuple(self.streams), fail)
        # Of no steps TFDS writes no lists.
        names = [name for name, leaf in self._leaves.items() if length == 0 or record.has(leaf)]
        return Episode(
            index,
            length,
            tasks,
            names,
            lambda: self._read(index, record, length, names),
            lambda: self._read_metadata(index, record),
        )

    def _record(self, index: int, located: Located) -> Record:
        if located.offset is None:
            raise DataError(located.error)

        def report(what: str, detail: str) -> None:
            self._log.add_episode("data", what, index, detail)

        return Record(self._file(located.shard), located.shard.path, located.offset, report)

    def _file(self, shard: Shard) -> TFRecordFile:
        if shard.path not in self._files:
            self._files[shard.path] = TFRecordFile(os.fsencode(shard.path))
        return self._files[shard.path]

    def _count_steps(self, record: Record) -> int:
        """By is_first, which every RLDS step has; else by the first feature that is there."""
        trunk = [leaf for leaf in self._leaves.values() if leaf.key == _TRUNK]
        for leaf in [*trunk, *self._leaves.values()]:
            if record.has(leaf):
                return record.count(leaf) // max(1, leaf.entries)
        return 0

    def _tasks(self, record: Record) -> list[str]:
        """The texts of the instruction, each once, in the order of the steps."""
        leaves = [leaf for leaf in self._leaves.values() if leaf.encoding == "text" and _TASK in leaf.name]
        texts = [text for leaf in leaves if record.has(leaf) for text in record.texts(leaf)]
        return [text for text in dict.fromkeys(texts) if text]

    def _read(self, index: int, record: Record, length: int, names: Sequence[str]) -> Mapping[str, SampleStream]:
        try:
            record.check()
            for name in names:
                if self._leaves[name].encoding == "image":
                    record.check_images(self._leaves[name], length)
            stamps = self._clock.stamps_ns(length)
        except (DataError, ValueError) as error:
            raise DataError(f"episode {index}: {error}") from error
        for name in self.streams:
            if name not in names:
                self._log.add_episode("data", f"{self._leaves[name].key} is not in the record", index)
        return {name: self._stream(index, record, name, length, stamps) for name in names}

    def _read_metadata(self, index: int, record: Record) -> Mapping[str, Any]:
        try:
            record.check()
            return {leaf.key: record.value(leaf) for leaf in self._metadata if record.has(leaf)}
        except DataError as error:
            raise DataError(f"episode {index}: {error}") from error

    def _stream(
        self, index: int, record: Record, name: str, length: int, stamps: npt.NDArray[np.int64]
    ) -> SampleStream:
        leaf, info = self._leaves[name], self.streams[name]
        if leaf.encoding == "image":
            return SampleStream(info, None, stamps, encoded=lambda: record.images(leaf))

        def values() -> npt.NDArray[Any]:
            try:
                array = record.steps(leaf, length).reshape(length, *info.shape)
            except (DataError, ValueError) as error:
                raise DataError(f"episode {index}: {error}") from error
            for fault in (*value_faults(info, array), *_flag_faults(leaf, array)):
                self._log.add_episode("data", fault.what, index, f"row {fault.rows[0]}, {len(fault.rows)} in all")
            return array

        return SampleStream(info, values, stamps)


def _flag_faults(leaf: Leaf, values: npt.NDArray[Any]) -> list[Fault]:
    """Rows whose is_first or is_last is not as their place in the episode has it."""
    end = {f"{STEPS}/is_first": "first", f"{STEPS}/is_last": "last"}.get(leaf.key)
    if end is None or values.dtype != np.bool_ or len(values) == 0:
        return []
    flags = np.asarray(values.reshape(len(values), -1).any(axis=1))
    flags[0 if end == "first" else -1] ^= True
    return [Fault(f"{leaf.key} is not true in the {end} row alone", np.flatnonzero(flags))] if flags.any() else []


def _describe(leaf: Leaf, clock: StepClock) -> StreamInfo:
    assert leaf.shape is not None
    if leaf.encoding == "image":
        return StreamInfo(leaf.name, leaf.shape, "image", clock.hz, "video", clock=clock.source)
    shape = leaf.shape or (1,)
    if leaf.encoding == "text":
        return StreamInfo(leaf.name, shape, "string", clock.hz, "text", clock=clock.source)
    kinds: dict[str, Kind] = {"f": "float", "b": "bool"}
    kind = kinds.get(np.dtype(leaf.dtype).kind, "integer")
    if kind == "float" and shape == (4,) and names_a_quaternion(leaf.name):
        kind = "quaternion"
    return StreamInfo(leaf.name, shape, leaf.dtype, clock.hz, kind, clock=clock.source)
