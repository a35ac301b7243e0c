"""Reader of CALVIN: folders of one npz file a frame, with the first and last frame of each episode in an array.

Each array of a frame is a stream, at 30 Hz. Images (`rgb_*`, `depth_*`; kind "video") are arrays, read when their
values are asked for; the others are read together, as they share their files. `Episode.tasks` are the instructions
inside the episode, `Episode.metadata["instructions"]` where in it each one is. `training` and `validation` are splits.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.dataset import Dataset
from robocache.episode import Episode, Kind, OnBadEpisode, SampleStream, StreamInfo
from robocache.errors import DataError
from robocache.formats.calvin_language import Instruction, read_instructions
from robocache.formats.checks import value_faults
from robocache.formats.step_clock import StepClock, choose_clock
from robocache.problems import ProblemLog

_RANGES = "ep_start_end_ids.npy"
LOOKS_FOR = f"{_RANGES}, here or in training/ or validation/"
OPTIONS = frozenset({"fps"})

_SPLITS = ("training", "validation")
_HZ = 30.0
_FRAME = re.compile(r"^(?P<prefix>.*?)(?P<digits>\d+)\.npz$", re.ASCII)
_IMAGE = ("rgb_", "depth_")


def detect(path: Path) -> bool:
    """Whether `path` holds the frames of a split, or the splits."""
    return any((folder / _RANGES).is_file() for folder in (path, *(path / split for split in _SPLITS)))


def read(path: Path, on_bad_episode: OnBadEpisode, *, fps: float | None = None) -> Dataset:
    """Opens the folder; see `robocache.open`."""
    log = ProblemLog()
    folders = [path] if (path / _RANGES).is_file() else [path / s for s in _SPLITS if (path / s / _RANGES).is_file()]
    clock = choose_clock(fps, _HZ, "CALVIN", log)
    spans: list[_Span] = []
    splits: dict[str, list[int]] = {}
    for folder in folders:
        found = _find_spans(folder, log)
        name = folder.name if folder.name not in ("", "..") else folder.resolve().name
        splits[name] = list(range(len(spans), len(spans) + len(found)))
        spans += found
    reader = _EpisodeReader(_describe(spans, clock, log), clock, log)
    return Dataset(
        format="calvin",
        path=path,
        streams=reader.streams,
        episode_count=len(spans),
        make_episode=lambda row: reader.episode(row, spans[row]),
        log=log,
        on_bad_episode=on_bad_episode,
        fps=clock.hz,
        splits=splits,
        find_strays=lambda: _find_strays(spans, log),
    )


# --- Where the frames are ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frames:
    """How the frames of a folder are named: episode_0000042.npz has 7 digits."""

    folder: Path
    prefix: str
    digits: int

    def path(self, frame: int) -> Path:
        """The file of a frame."""
        return self.folder / f"{self.prefix}{frame:0{self.digits}d}.npz"


@dataclass(frozen=True)
class _Span:
    """The frames `first` to `last`, both included."""

    frames: _Frames
    first: int
    last: int
    instructions: tuple[Instruction, ...]

    def paths(self) -> list[Path]:
        """The files, in their order, all of which are there.

        Raises
        ------
        DataError
            One is not. Ranges may promise more frames than fit into memory.
        """
        out = []
        for frame in range(self.first, self.last + 1):
            path = self.frames.path(frame)
            if not path.is_file():
                raise DataError(f"{path}: No such file")
            out.append(path)
        return out


def _find_spans(folder: Path, log: ProblemLog) -> list[_Span]:
    path = folder / _RANGES
    try:
        with path.open("rb") as file:
            ranges = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # as of frames
        raise DataError(f"open: {path} cannot be read: {error}") from error
    if ranges.ndim != 2 or ranges.shape[1] != 2 or ranges.dtype.kind not in "iu":
        raise DataError(f"open: {path} is {ranges.dtype} {list(ranges.shape)}, expected integers [N, 2]")
    frames = _name_frames(folder, ranges[0].tolist() if len(ranges) else [])
    instructions = read_instructions(folder, log)
    spans = []
    for first, last in ranges.tolist():
        if not 0 <= first <= last:
            raise DataError(f"open: {path} has an episode of frames {first} to {last}")
        inside = tuple(i for i in instructions if first <= i.first and i.last <= last)
        spans.append(_Span(frames, first, last, inside))
    return spans


def _name_frames(folder: Path, wanted: Sequence[int]) -> _Frames:
    """By the first name under which all of `wanted` are there, else by any: a listing of millions takes its time."""
    seen: dict[_Frames, None] = {}
    for frames, _ in _list_frames(folder):
        if frames in seen:
            continue
        if all(frames.path(frame).is_file() for frame in wanted):
            return frames
        seen[frames] = None
    if not seen:
        raise DataError(f"open: {folder} has {_RANGES} but no frame, such as episode_0000000.npz")
    return next(iter(seen))


def _list_frames(folder: Path) -> Iterator[tuple[_Frames, int]]:
    """The files that are named like frames, as that name has it."""
    with os.scandir(folder) as files:
        for file in files:
            match = None if file.name.startswith(".") else _FRAME.match(file.name)
            if match:
                yield _Frames(folder, match["prefix"], len(match["digits"])), int(match["digits"])


def _find_strays(spans: Sequence[_Span], log: ProblemLog) -> None:
    """Reports the frames that are in no episode."""
    of_frames: dict[_Frames, list[tuple[int, int]]] = {}
    for span in spans:
        of_frames.setdefault(span.frames, []).append((span.first, span.last))
    for frames, ranges in of_frames.items():
        ranges.sort()
        firsts = [first for first, _ in ranges]
        # Where ranges overlap, a frame may lie in another one than in the last that begins before it.
        ends = [-1, *accumulate((last for _, last in ranges), max)]
        found = (number for named, number in _list_frames(frames.folder) if named == frames)
        strays = [number for number in found if number > ends[bisect_right(firsts, number)]]
        if strays:
            first = frames.path(min(strays)).name
            log.add(frames.folder.name, f"frames that are in no episode: {len(strays)}, first {first}")


def _read_frame(path: Path, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of a frame, or all.

    Raises
    ------
    DataError
        The file is damaged.
    """
    if not path.is_file():  # opening a pipe waits for a writer
        raise DataError(f"{path}: No such file")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (arrays.files if names is None else names)}
    # Flipped bits raise whatever zipfile and numpy happen to do with them: more than a dozen types.
    except Exception as error:
        raise DataError(f"{path}: {error}") from error


def _describe(spans: Sequence[_Span], clock: StepClock, log: ProblemLog) -> dict[str, StreamInfo]:
    """The streams, by the first frame that can be read."""
    reasons: list[str] = []
    for span in spans:
        path = span.frames.path(span.first)
        try:
            return {name: _info(name, array, clock) for name, array in _read_frame(path).items()}
        except (DataError, ValueError) as error:
            reasons.append(str(error))
    if reasons:
        log.add("data", f"no episode has a first frame that can be read: {reasons[0]}")
    return {}


def _info(name: str, array: npt.NDArray[Any], clock: StepClock) -> StreamInfo:
    kinds: dict[str, Kind] = {"f": "float", "i": "integer", "u": "integer", "b": "bool"}
    kind = "video" if name.startswith(_IMAGE) else kinds.get(array.dtype.kind)
    if kind is None:
        raise ValueError(f"{name} is {array.dtype}, expected numbers")
    return StreamInfo(name, array.shape or (1,), array.dtype.name, clock.hz, kind, clock=clock.source)


# --- Episodes ---------------------------------------------------------------------------------------------------------


class _EpisodeReader:
    """Turns frames into streams."""

    def __init__(self, streams: dict[str, StreamInfo], clock: StepClock, log: ProblemLog) -> None:
        self.streams = streams
        self._clock = clock
        self._log = log

    def episode(self, index: int, span: _Span) -> Episode:
        """The episode of a span of frames."""
        tasks = list(dict.fromkeys(instruction.text for instruction in span.instructions))
        return Episode(
            index,
            span.last - span.first + 1,
            tasks,
            tuple(self.streams),
            lambda: self._read(index, span),
            lambda: _metadata(span),
        )

    def _read(self, index: int, span: _Span) -> Mapping[str, SampleStream]:
        if not self.streams:
            raise DataError(f"episode {index}: {span.frames.folder}: no first frame of an episode can be read")
        images = [name for name, info in self.streams.items() if info.kind == "video"]
        values = self._values(index, span, [name for name in self.streams if name not in images])
        try:
            stamps = self._clock.stamps_ns(span.last - span.first + 1)
        except ValueError as error:
            raise DataError(f"episode {index}: {span.frames.folder}: {error}") from error
        for name, array in values.items():
            for fault in value_faults(self.streams[name], array):
                detail = f"row {fault.rows[0]}, {len(fault.rows)} in all"
                self._log.add_episode("data", fault.what, index, detail)

        def deferred(name: str) -> SampleStream:
            return SampleStream(self.streams[name], lambda: self._values(index, span, [name])[name], stamps)

        return {
            name: deferred(name) if name in images else SampleStream(info, values[name], stamps)
            for name, info in self.streams.items()
        }

    def _values(self, index: int, span: _Span, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """The named arrays of all frames, each file opened once."""
        try:
            paths = span.paths()
            out = {name: np.empty((len(paths), *self.streams[name].shape), self.streams[name].dtype) for name in names}
            for row, path in enumerate(paths):
                for name, array in _read_frame(path, names).items():
                    out[name][row] = self._checked(path, name, array)
        except DataError as error:
            raise DataError(f"episode {index}: {error}") from error
        return out

    def _checked(self, path: Path, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array that is as the first frame has it: assignment would broadcast and convert."""
        info = self.streams[name]
        if (array.shape or (1,)) != info.shape or array.dtype.name != info.dtype:
            got, want = f"{array.dtype} {list(array.shape)}", f"{info.dtype} {list(info.shape)}"
            raise DataError(f"{path}: {name} is {got}, expected {want} as in the first frame")
        return array


def _metadata(span: _Span) -> dict[str, Any]:
    """The frames in the folder, and the rows [start, stop) of each instruction."""
    instructions = [
        {"text": i.text, "task": i.task, "start": i.first - span.first, "stop": i.last + 1 - span.first}
        for i in span.instructions
    ]
    return {"first_frame": span.first, "last_frame": span.last, "instructions": instructions}
