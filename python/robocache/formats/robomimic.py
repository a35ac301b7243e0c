"""Reader of robomimic HDF5 files, and of the robosuite files that they are made from: `data/demo_<i>` an episode.

Each dataset in a demo is a stream, named by its path (`obs/robot0_eef_pos`); groups may nest. Values are read when they
are asked for, images (kind "video": uint8 of three axes, or depth by its name) not even by `Episode.load()`. The
attributes of `data` are `Dataset.metadata`, those of a demo `Episode.metadata`; the lists in `mask/` are
`Dataset.splits`. There is no time in the files: the rate is the `control_freq` of the environment, or what `fps` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.dataset import Dataset
from robocache.episode import Episode, Kind, OnBadEpisode, SampleStream, StreamInfo
from robocache.errors import DataError
from robocache.formats.checks import value_faults
from robocache.formats.columns import names_a_quaternion
from robocache.formats.git_lfs import LFS_HINT, is_lfs_pointer
from robocache.formats.robomimic_file import DAMAGE, Column, Demo, attributes, find_demos, follow, read_masks, unwritten
from robocache.formats.step_clock import StepClock, choose_clock, is_rate
from robocache.problems import ProblemLog

LOOKS_FOR = "an HDF5 file"
OPTIONS = frozenset({"fps"})

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHANNELS = (1, 3, 4)


def detect(path: Path) -> bool:
    """Whether `path` is an HDF5 file, or a Git-LFS pointer named like one."""
    if not path.is_file():
        return False
    if is_lfs_pointer(path):
        return path.suffix.lower() in (".hdf5", ".h5")
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def read(path: Path, on_bad_episode: OnBadEpisode, *, fps: float | None = None) -> Dataset:
    """Opens the file; see `robocache.open`."""
    if is_lfs_pointer(path):
        raise DataError(f"open: {path} {LFS_HINT}")
    h5py = _import_h5py()
    log = ProblemLog()
    try:
        with h5py.File(path, "r") as file:
            data = follow(h5py, file, "data") if "data" in file else None
            metadata = attributes(data) if isinstance(data, h5py.Group) else {}
            demos = find_demos(h5py, data, log) if isinstance(data, h5py.Group) else []
            masks = read_masks(h5py, file, log)
    except DAMAGE as error:
        raise DataError(f"open: {path} cannot be read: {error}") from error
    if not demos:
        raise DataError(f"open: {path} has no group data/demo_<number>, expected a robomimic file")
    _compare_total(metadata, demos, log)
    clock = choose_clock(fps, _control_hz(metadata), "data", log)
    reader = _EpisodeReader(h5py, path, demos, clock, log)
    return Dataset(
        format="robomimic",
        path=path,
        streams=reader.streams,
        episode_count=len(demos),
        make_episode=reader.episode,
        log=log,
        on_bad_episode=on_bad_episode,
        fps=clock.hz,
        splits=_splits(masks, demos, log),
        metadata=metadata,
    )


def _import_h5py() -> ModuleType:
    try:
        import h5py
    except ModuleNotFoundError as error:
        text = "open: the robomimic reader needs h5py, which is not installed; hint: pip install 'robocache[hdf5]'"
        raise ModuleNotFoundError(text, name=error.name) from error
    module: ModuleType = h5py
    return module


def _splits(masks: Mapping[str, Sequence[str]], demos: Sequence[Demo], log: ProblemLog) -> dict[str, list[int]]:
    rows = {demo.name: row for row, demo in enumerate(demos)}
    for mask, names in masks.items():
        if missing := [name for name in names if name not in rows]:
            log.add(f"mask/{mask}", f"names {len(missing)} demos that are not there, first {missing[0]}")
    return {mask: sorted({rows[name] for name in names if name in rows}) for mask, names in masks.items()}


def _compare_total(metadata: Mapping[str, Any], demos: Sequence[Demo], log: ProblemLog) -> None:
    found, total = sum(demo.length for demo in demos), metadata.get("total")
    if isinstance(total, int | float) and total != found:
        log.add("data", f"total is {total}, but the demos have {found} samples")


def _control_hz(metadata: Mapping[str, Any]) -> float | None:
    """control_freq: robomimic keeps it in env_args, below env_kwargs; robosuite itself in env_info."""
    for name in ("env_args", "env_info"):
        told = metadata.get(name)
        if isinstance(told, dict):
            kwargs = told.get("env_kwargs")
            hz = (kwargs if isinstance(kwargs, dict) else told).get("control_freq")
            if is_rate(hz):
                return float(hz)
    return None


# --- Episodes ---------------------------------------------------------------------------------------------------------


def _describe(demos: Sequence[Demo], clock: StepClock, log: ProblemLog) -> dict[str, StreamInfo]:
    """The streams of all demos, as the first that has one has it."""
    streams: dict[str, StreamInfo] = {}
    for demo in demos:
        for name, column in demo.columns.items():
            if name not in streams:
                kind = _kind(name, column)
                streams[name] = StreamInfo(name, column.shape, column.dtype, clock.hz, kind, clock=clock.source)
            elif column.dtype != streams[name].dtype:
                log.add_episode("data", f"{name} is not {streams[name].dtype}", demo.index, f"it is {column.dtype}")
    return streams


def _kind(name: str, column: Column) -> Kind:
    if column.dtype == "string":
        return "text"
    shape = column.shape
    image = column.dtype == "uint8" and len(shape) == 3 and (shape[-1] in _CHANNELS or shape[0] in _CHANNELS)
    depth = len(shape) in (2, 3) and "depth" in name.rpartition("/")[2]
    if image or depth:
        return "video"
    if np.dtype(column.dtype).kind == "f":
        return "quaternion" if shape == (4,) and names_a_quaternion(name) else "float"
    return "bool" if column.dtype == "bool" else "integer"


class _EpisodeReader:
    """Turns demos into streams. The file is open only while something is read: nothing is left for a fork to share."""

    def __init__(self, h5py: ModuleType, path: Path, demos: Sequence[Demo], clock: StepClock, log: ProblemLog) -> None:
        self._h5py = h5py
        self._path = path
        self._demos = demos
        self._clock = clock
        self._log = log
        self.streams = _describe(demos, clock, log)

    def episode(self, row: int) -> Episode:
        """The demo at a position."""
        demo = self._demos[row]
        names = [name for name in self.streams if name in demo.columns or demo.error is not None]
        return Episode(demo.index, demo.length, (), names, lambda: self._read(demo), lambda: self._metadata(demo))

    def _where(self, demo: Demo) -> str:
        return f"episode {demo.index}: {self._path}: {demo.group}"

    def _metadata(self, demo: Demo) -> Mapping[str, Any]:
        try:
            with self._h5py.File(self._path, "r") as file:
                return attributes(file[demo.group])
        except DAMAGE as error:
            raise DataError(f"{self._where(demo)}: {error}") from error

    def _read(self, demo: Demo) -> Mapping[str, SampleStream]:
        if demo.error is not None:
            raise DataError(f"{self._where(demo)}: {demo.error}")
        for name, column in demo.columns.items():
            told = self.streams[name].dtype
            if column.dtype != told and "string" in (column.dtype, told):
                raise DataError(f"{self._where(demo)}/{name}: is {column.dtype}, expected {told} as in the first demo")
            if column.shape != self.streams[name].shape:
                got, want = list(column.shape), list(self.streams[name].shape)
                raise DataError(f"{self._where(demo)}/{name}: a row is {got}, expected {want} as in the first demo")
        try:
            stamps = self._clock.stamps_ns(demo.length)
        except ValueError as error:
            raise DataError(f"{self._where(demo)}: {error}") from error
        for name in self.streams.keys() - demo.columns.keys():
            self._log.add_episode("data", f"{name} is not in the demo", demo.index)
        return {name: self._stream(demo, name, stamps) for name in demo.columns}

    def _stream(self, demo: Demo, name: str, stamps: npt.NDArray[np.int64]) -> SampleStream:
        info = self.streams[name]

        def values() -> npt.NDArray[Any]:
            try:
                with self._h5py.File(self._path, "r") as file:
                    node = file[f"{demo.group}/{name}"]
                    if reason := unwritten(node):
                        raise ValueError(reason)
                    array: npt.NDArray[Any] = (node.asstr() if info.kind == "text" else node)[()]
                array = array.astype(array.dtype.newbyteorder("="), copy=False).reshape(demo.length, *info.shape)
            except DAMAGE as error:
                raise DataError(f"{self._where(demo)}/{name}: {error}") from error
            for fault in value_faults(info, array):
                detail = f"row {fault.rows[0]}, {len(fault.rows)} in all"
                self._log.add_episode("data", fault.what, demo.index, detail)
            return array

        return SampleStream(info, values, stamps)
