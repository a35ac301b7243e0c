"""The low-dimensional streams of a dataset, whole in memory."""

from __future__ import annotations

import operator
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from types import MappingProxyType
from typing import Any, NoReturn, SupportsIndex

import numpy as np
import numpy.typing as npt

from robocache import _core
from robocache.dataset import Dataset
from robocache.episode import NUMERIC_KINDS, Episode, Kind, OnBadEpisode, SampleStream, Stamps, StreamInfo
from robocache.errors import DataError, InvalidArgument, Unsupported

Progress = Callable[[int, int], object]
_Read = tuple[Episode, DataError | None]


class Store:
    """The streams of all episodes as columns, one episode behind the other. Immutable; any thread may read it.

    Made by `Store.load` from a dataset, or by a `StoreBuilder`. Its arrays are read-only views of its memory, without a
    copy, and keep it for as long as they are kept. Streams whose stamps are alike in every episode share one array of
    them.
    """

    def __init__(self, core: _core.Store, streams: Mapping[str, StreamInfo]) -> None:
        self._core = core
        self._streams = dict(streams)
        self._columns = {name: column for column, name in enumerate(self._streams)}

    @staticmethod
    def load(
        data: Dataset,
        streams: Sequence[str] | None = None,
        episodes: Iterable[SupportsIndex] | str | None = None,
        on_bad_episode: OnBadEpisode | None = None,
        progress: bool | Progress | None = None,
        threads: SupportsIndex | None = None,
    ) -> Store:
        """Reads a dataset's streams of numbers, several episodes at a time.

        What was read of an episode is dropped as soon as it is in the store, so that there never are two copies of the
        dataset. The store is the same for any number of threads.

        Parameters
        ----------
        data : Dataset
        streams : sequence of str, optional
            Not said: all of numbers, that is, without text, video and parts of other streams. In an episode that lacks
            one it has no samples.
        episodes : iterable of int, or str, optional
            The `episode_index` of those to read, in the order that they get; or the name of one of `data.splits`. Not
            said: all.
        on_bad_episode : {"raise", "skip"}, optional
            Not said: what `rc.open` was told. Skipped episodes are in `data.problems` and `data.episodes.skipped`.
        progress : bool or callable, optional
            A line on stderr; not said: on a terminal, once loading has taken a second. A callable gets the number of
            episodes that are done and that of all.
        threads : int, optional
            Not said: one for each processor that this process may use.

        Raises
        ------
        DataError
            An episode is damaged, falls back in time, or has a stream in another dtype than the dataset.
        Unsupported
            `streams` names text or video.
        InvalidArgument
            A stream or an episode that is not there or comes twice; `on_bad_episode`, `threads`.
        """
        if not isinstance(data, Dataset):
            raise InvalidArgument(f"Store.load: data is {type(data).__name__}, expected what rc.open returned")
        on_bad = data.episodes.on_bad_episode if on_bad_episode is None else on_bad_episode
        if on_bad not in ("raise", "skip"):
            raise InvalidArgument(f"Store.load: on_bad_episode is {on_bad!r}, expected 'raise' or 'skip'")
        workers = len(os.sched_getaffinity(0)) if threads is None else operator.index(threads)
        if workers < 1:
            raise InvalidArgument(f"Store.load: threads is {workers}, expected at least 1")
        builder = StoreBuilder(_chosen(data, streams))
        rows = _rows(data, episodes)
        report = _reporter(progress)
        # Closed at once, also where the traceback of an error keeps this frame.
        with closing(_read_ahead(data, rows, workers)) as ahead:
            for done, (episode, error) in enumerate(ahead, 1):
                fault = error or _append(builder, data, episode)
                if fault is not None:
                    if on_bad == "raise":
                        raise fault
                    data.episodes.skip(episode, fault)
                report(done, len(rows))
        return builder.finish()

    @property
    def streams(self) -> Mapping[str, StreamInfo]:
        """By name, in the order of the columns."""
        return MappingProxyType(self._streams)

    @property
    def episodes(self) -> Stamps:
        """The episode_index of each episode: int64 [E]."""
        episodes: Stamps = self._core.episode_index
        return episodes

    def values(self, name: str) -> npt.NDArray[Any]:
        """The samples of a stream in all episodes: [N, ...shape], in the stream's dtype."""
        values: npt.NDArray[Any] = self._core.values(self._column(name))
        return values

    def stamps_ns(self, name: str) -> Stamps:
        """When they were taken: int64 [N]."""
        stamps: Stamps = self._core.stamps_ns(self._column(name))
        return stamps

    def offsets(self, name: str) -> npt.NDArray[np.int64]:
        """Samples of episode e are `offsets[e]` to `offsets[e + 1] - 1`: int64 [E + 1]."""
        offsets: npt.NDArray[np.int64] = self._core.offsets(self._column(name))
        return offsets

    def frame_rate_hz(self, name: str) -> float | None:
        """The rate of a stream whose samples are frames: sample i of every episode is at first + i / rate, to 1 ns.

        None where the stamps are not so, or the dataset claims no rate.
        """
        return self._core.clock_rate_hz(self._column(name)) or None

    def memory(self) -> dict[str, int]:
        """Bytes that are held on the host, there page-locked ("pinned"), and on a device."""
        return dict(zip(("host", "pinned", "device"), self._core.memory(), strict=True))

    def _column(self, name: str) -> int:
        if name not in self._columns:
            raise KeyError(f"Store: no stream {name!r}; it has {', '.join(self._columns)}")
        return self._columns[name]

    def __len__(self) -> int:
        """Episodes."""
        return self._core.episodes

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Store: pickling is not possible, as its memory is this process's; load it in each process, or fork "
            "after loading it"
        )

    def __repr__(self) -> str:
        clocks = len({clock for *_, clock in self._core.streams})
        held = sum(self.memory().values()) / 1e6
        return f"Store({len(self)} episodes, {len(self._streams)} streams, {clocks} clocks, {held:.1f} MB)"


class StoreBuilder:
    """Fills a `Store`, one episode after the other, each copied once into memory that grows in place.

    Parameters
    ----------
    streams : iterable of StreamInfo
        Of numbers; more come by `add`.
    """

    def __init__(self, streams: Iterable[StreamInfo] = ()) -> None:
        self._streams: dict[str, StreamInfo] = {}
        self._core: _core.StoreBuilder | None = None
        for info in streams:
            self._add(info)

    def add(
        self, name: str, shape: Sequence[int] = (1,), dtype: npt.DTypeLike = "float32", rate_hz: float | None = None
    ) -> None:
        """Adds a stream, before the first `append`: samples of `shape`, and a rate if one is claimed."""
        kinds: dict[str, Kind] = {"f": "float", "i": "integer", "u": "integer", "b": "bool"}
        type_ = np.dtype(dtype)
        kind = kinds.get(type_.kind)
        if kind is None:
            raise InvalidArgument(f"StoreBuilder: dtype of {name!r} is {type_}, expected a float, integer or bool")
        self._add(StreamInfo(name, tuple(shape), type_.name, rate_hz, kind))

    def _add(self, info: StreamInfo) -> None:
        if self._core is not None:
            raise InvalidArgument(f"StoreBuilder: stream {info.name!r} comes after an episode, expected before")
        if info.name in self._streams:
            raise InvalidArgument(f"StoreBuilder: stream {info.name!r} comes again, expected names that differ")
        _refuse_kind("StoreBuilder", info)
        self._streams[info.name] = info

    def append(self, episode: Episode | SupportsIndex, streams: Mapping[str, tuple[Any, Any]] | None = None) -> None:
        """Adds an episode. After an error the builder is as it was before.

        Parameters
        ----------
        episode : Episode or int
            An episode of a dataset, of which the builder's streams are taken; or an episode_index.
        streams : mapping of str to (values, stamps_ns), where `episode` is a number
            values [S, ...shape] in the stream's dtype, stamps_ns int64 [S], non-decreasing. Arrays of any library, on
            the CPU. A stream that is left out has no samples.

        Raises
        ------
        DataError
            A file is damaged, stamps fall, or an episode of a dataset has another dtype or shape than its stream.
        InvalidArgument
            Arrays of another dtype or shape than the stream; a stream that the builder does not know.
        """
        arrays: Mapping[str, tuple[Any, Any]]
        if isinstance(episode, Episode):
            if streams is not None:
                raise InvalidArgument("StoreBuilder: streams is given beside an Episode, expected beside a number")
            index, arrays = episode.index, self._arrays_of(episode)
        else:
            index, arrays = operator.index(episode), streams or {}
            unknown = [name for name in arrays if name not in self._streams]
            if unknown:
                raise InvalidArgument(f"StoreBuilder: no stream {unknown[0]!r}; it has {', '.join(self._streams)}")
        listed = [arrays[name] if name in arrays else _nothing(info) for name, info in self._streams.items()]
        self._builder().append(index, listed)

    def finish(self) -> Store:
        """The store. The builder has the same streams and no episode after that."""
        return Store(self._builder().finish(), self._streams)

    def _builder(self) -> _core.StoreBuilder:
        if self._core is None:
            listed = [(s.name, s.dtype, s.shape, s.rate_hz or 0.0) for s in self._streams.values()]
            self._core = _core.StoreBuilder(listed)
        return self._core

    def _arrays_of(self, episode: Episode) -> dict[str, tuple[Any, Any]]:
        found = episode.load()
        return {name: self._checked(episode, found[name]) for name in self._streams if name in episode}

    def _checked(self, episode: Episode, stream: SampleStream) -> tuple[Any, Any]:
        """What is an argument's fault elsewhere is the file's here."""
        info, values = self._streams[stream.info.name], stream.values
        got, want = (values.dtype.name, values.shape[1:]), (info.dtype, info.shape)
        if got != want:
            raise DataError(
                f"StoreBuilder: stream {info.name!r} in episode {episode.index} is {got[0]} {list(got[1])}, "
                f"expected {want[0]} {list(want[1])}"
            )
        return values, stream.stamps_ns


def _refuse_kind(op: str, info: StreamInfo) -> None:
    if info.kind not in NUMERIC_KINDS:
        raise Unsupported(
            f"{op}: stream {info.name!r} is {info.kind} ({info.dtype}), expected numbers; a store holds no "
            f"text, images or video"
        )


def _nothing(info: StreamInfo) -> tuple[npt.NDArray[Any], Stamps]:
    return np.empty((0, *info.shape), info.dtype), np.empty(0, np.int64)


def _chosen(data: Dataset, names: Sequence[str] | None) -> list[StreamInfo]:
    """The streams to load."""
    if isinstance(names, str):
        raise InvalidArgument(f"Store.load: streams is {names!r}, expected a list of names")
    if names is None:
        chosen = [info for info in data.streams.values() if info.kind in NUMERIC_KINDS and info.part_of is None]
    else:
        unknown = [name for name in names if name not in data.streams]
        if unknown:
            raise InvalidArgument(
                f"Store.load: no stream {unknown[0]!r} in {data.path}; it has {', '.join(data.streams)}"
            )
        chosen = [data.streams[name] for name in names]
    for info in chosen:
        _refuse_kind("Store.load", info)
    if not chosen:
        raise InvalidArgument(
            f"Store.load: streams is empty, expected at least one; {data.path} has {', '.join(data.streams) or 'none'}"
        )
    return chosen


def _rows(data: Dataset, wanted: Iterable[SupportsIndex] | str | None) -> Sequence[int]:
    """Positions in `data.episodes`."""
    if wanted is None:
        return range(len(data.episodes))
    if isinstance(wanted, str):
        if wanted not in data.splits:
            raise InvalidArgument(
                f"Store.load: no split {wanted!r} in {data.path}; it has {', '.join(data.splits) or 'none'}"
            )
        return list(data.splits[wanted])
    row_of = {data.episodes[row].index: row for row in range(len(data.episodes))}
    rows: dict[int, None] = {}
    for number in wanted:
        index = operator.index(number)
        if index not in row_of:
            raise InvalidArgument(f"Store.load: no episode {index} in {data.path}")
        if row_of[index] in rows:
            raise InvalidArgument(f"Store.load: episode {index} comes twice in episodes, expected once")
        rows[row_of[index]] = None
    return list(rows)


def _read_ahead(data: Dataset, rows: Sequence[int], threads: int) -> Generator[_Read, None, None]:
    """The episodes of `rows` in their order, each with what is wrong with it; two for each thread at most wait."""

    def read(row: int) -> _Read:
        episode = data.episodes[row]
        try:
            episode.load()
        except DataError as error:
            return episode, error
        return episode, None

    pool = ThreadPoolExecutor(threads, thread_name_prefix="robocache-load")
    ahead: deque[Future[_Read]] = deque()
    try:
        for row in rows:
            if len(ahead) == 2 * threads:
                yield ahead.popleft().result()
            ahead.append(pool.submit(read, row))
        while ahead:
            yield ahead.popleft().result()
    finally:
        # After an error or Ctrl-C nobody waits for an episode that is being read.
        pool.shutdown(wait=False, cancel_futures=True)


def _append(builder: StoreBuilder, data: Dataset, episode: Episode) -> DataError | None:
    """Appends it; what is wrong with it, if that shows only now."""
    try:
        builder.append(episode)
    except DataError as error:
        return DataError(f"Store.load: {data.path}: {error}")
    return None


def _reporter(progress: bool | Progress | None) -> Progress:
    if callable(progress):
        return progress
    if progress or (progress is None and sys.stderr.isatty()):
        return _Line(after_s=0.0 if progress else 1.0)
    return lambda done, total: None


class _Line:
    """One line on stderr, ten times a second at most."""

    _INTERVAL_S = 0.1

    def __init__(self, after_s: float) -> None:
        self._due = time.monotonic() + after_s
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._due and not (self._shown and done == total):
            return
        self._due = now + self._INTERVAL_S
        self._shown = True
        # What is written next, a traceback say, covers the line.
        end = "\n" if done == total else "\r"
        print(f"loading episodes: {done} of {total}", end=end, file=sys.stderr, flush=True)
