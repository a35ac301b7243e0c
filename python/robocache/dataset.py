"""Datasets on disk: what `rc.open` returns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from robocache.errors import DataError, InvalidArgument, Unsupported
from robocache.problems import Problem, ProblemLog

if TYPE_CHECKING:
    from robocache.samples import Samples

Kind = Literal["float", "integer", "bool", "quaternion", "text", "video"]
OnBadEpisode = Literal["raise", "skip"]
Values = npt.NDArray[Any]
Stamps = npt.NDArray[np.int64]

SKIPPED = "skipped, damaged"
NUMERIC_KINDS: frozenset[str] = frozenset({"float", "integer", "bool", "quaternion"})


@dataclass(frozen=True)
class StreamInfo:
    """What one stream holds.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Shape of one sample; a low-dimensional stream has at least one axis. -1 where encoded images differ in size.
    dtype : str
        numpy dtype name, or "string", "image" (encoded in the table), "video".
    rate_hz : float or None
        Rate claimed by the dataset, or measured where none is claimed.
    kind : str
        "float", "integer", "bool", "quaternion", "text" or "video".
    names, units : tuple or None
        One entry a column.
    clock : str or None
        Where the stamps come from, in words.
    interp : str or None
        Interpolation that the dataset itself asks for.
    part_of : str or None
        The stream of which this one shows some columns, or all, under another name.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    rate_hz: float | None
    kind: Kind
    names: tuple[str, ...] | None = None
    units: tuple[str | None, ...] | None = None
    clock: str | None = None
    interp: str | None = None
    part_of: str | None = None


class SampleStream:
    """The samples of one stream in one episode: `values` [S, ...shape] and `stamps_ns` int64 [S].

    Values that the reader defers, those of images always, are read when they are first asked for.
    """

    __slots__ = ("_encoded", "_values", "info", "stamps_ns")

    def __init__(
        self,
        info: StreamInfo,
        values: Values | Callable[[], Values] | None,
        stamps_ns: Stamps,
        encoded: Callable[[], list[bytes]] | None = None,
    ) -> None:
        self.info = info
        self._values = values
        self.stamps_ns = stamps_ns
        self._encoded = encoded

    @property
    def values(self) -> Values:
        """Samples [S, ...shape] in the file's dtype; read-only where they are a view of the file's buffer.

        Raises
        ------
        Unsupported
            The stream holds encoded images or video.
        DataError
            The file is damaged where these values are.
        """
        if self._values is None:
            raise Unsupported(
                f"values: stream {self.info.name} is {self.info.dtype}, expected numbers or text; "
                "images and video are listed but not decoded yet"
            )
        if callable(self._values):
            self._values = self._values()
        return self._values

    @property
    def encoded(self) -> list[bytes]:
        """Images as the file holds them, JPEG or PNG, sample by sample; read anew by each call.

        Raises
        ------
        Unsupported
            The stream holds no encoded images, or its reader does not hand them out.
        """
        if self._encoded is None:
            raise Unsupported(f"encoded: stream {self.info.name} is {self.info.dtype}, expected images in records")
        return self._encoded()

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def __repr__(self) -> str:
        return f"SampleStream({self.info.name!r}, {len(self)} samples, {self.info.dtype} {list(self.info.shape)})"


class Episode:
    """One episode. Its samples are read when a stream is asked for, and kept as long as the episode is.

    Attributes
    ----------
    index : int
        The dataset's own episode_index (not the position in `Dataset.episodes`).
    tasks : list of str
    length : int
        Rows; the longest stream's samples where each stream has a clock of its own.
    names : tuple of str
        Streams that this episode has.
    """

    def __init__(
        self,
        index: int,
        length: int,
        tasks: Sequence[str],
        names: Sequence[str],
        read: Callable[[], Mapping[str, SampleStream]],
        metadata: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.index = index
        self.length = length
        self.tasks = list(tasks)
        self.names = tuple(names)
        self._read = read
        self._streams: Mapping[str, SampleStream] | None = None
        self._metadata = metadata

    def load(self) -> Mapping[str, SampleStream]:
        """Reads the episode now, images excepted, and returns its streams by name.

        Raises
        ------
        DataError
            The file is damaged; the text names the file and the episode.
        """
        streams = self._opened()
        for stream in streams.values():
            if stream.info.kind != "video":
                _ = stream.values
        return streams

    def _opened(self) -> Mapping[str, SampleStream]:
        if self._streams is None:
            self._streams = self._read()
        return self._streams

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the dataset says of this episode as a whole, by its own keys; empty where it says nothing."""
        return self._metadata()

    @property
    def duration_s(self) -> float:
        """Seconds from the first stamp to the last one, over all streams."""
        stamps = [s.stamps_ns for s in self._opened().values() if len(s)]
        if not stamps:
            return 0.0
        return (max(int(s.max()) for s in stamps) - min(int(s.min()) for s in stamps)) * 1e-9

    def __getitem__(self, name: str) -> SampleStream:
        if name not in self.names:
            raise KeyError(f"episode {self.index} has no stream {name!r}; it has {', '.join(self.names) or 'none'}")
        return self._opened()[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        return f"Episode(index={self.index}, length={self.length}, streams={list(self.names)})"


class Episodes(Sequence[Episode]):
    """The episodes of a dataset, made when asked for. Slicing gives another `Episodes`.

    With `on_bad_episode="skip"`, iteration reads each episode and leaves the damaged ones out; `skipped` lists them.
    """

    def __init__(
        self, rows: range, make: Callable[[int], Episode], on_bad: OnBadEpisode, log: ProblemLog, skipped: set[int]
    ) -> None:
        self._rows = rows
        self._make = make
        self._on_bad = on_bad
        self._log = log
        self._skipped = skipped

    @property
    def on_bad_episode(self) -> OnBadEpisode:
        """What `open` was told."""
        return self._on_bad

    @property
    def skipped(self) -> list[int]:
        """The episode_index of each episode that iteration left out so far."""
        return sorted(self._skipped)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Episode: ...
    @overload
    def __getitem__(self, key: slice) -> Episodes: ...
    def __getitem__(self, key: int | slice) -> Episode | Episodes:
        if isinstance(key, slice):
            return Episodes(self._rows[key], self._make, self._on_bad, self._log, self._skipped)
        return self._make(self._rows[key])

    def __iter__(self) -> Iterator[Episode]:
        for row in self._rows:
            episode = self._make(row)
            if self._on_bad == "skip" and not self._readable(episode):
                continue
            yield episode

    def _readable(self, episode: Episode) -> bool:
        try:
            episode.load()
        except DataError as error:
            self.skip(episode, error)
            return False
        return True

    def skip(self, episode: Episode, error: DataError) -> None:
        """Notes in `skipped` and in the problems that an episode is left out: damage that only its use has shown."""
        self._skipped.add(episode.index)
        self._log.add_episode("data", SKIPPED, episode.index, str(error))

    def __repr__(self) -> str:
        return f"Episodes({len(self)})"


class Dataset:
    """An opened dataset.

    Attributes
    ----------
    format : str
        Such as "lerobot v2.1" or "csv".
    path : Path
    streams : dict of str to StreamInfo
    episodes : Episodes
        Read lazily.
    tasks : dict of int to str
        Task text by task_index.
    fps : float or None
        The one rate of the dataset; None where streams have clocks of their own, and where nobody knows it.
    splits : dict of str to list of int
        Named subsets, as positions in `episodes`; empty where the dataset has none.
    metadata : dict
        What else the dataset says of itself; of robomimic datasets the attributes, with `env_args` parsed.
    """

    def __init__(
        self,
        *,
        format: str,
        path: Path,
        streams: Mapping[str, StreamInfo],
        episode_count: int,
        make_episode: Callable[[int], Episode],
        log: ProblemLog,
        on_bad_episode: OnBadEpisode,
        tasks: Mapping[int, str] | None = None,
        fps: float | None = None,
        splits: Mapping[str, Sequence[int]] | None = None,
        metadata: Mapping[str, Any] | None = None,
        find_strays: Callable[[], None] | None = None,
    ) -> None:
        self.format = format
        self.path = path
        self.streams = dict(streams)
        self.episodes = Episodes(range(episode_count), make_episode, on_bad_episode, log, set())
        self.tasks = dict(tasks or {})
        self.fps = fps
        self.splits = {name: list(rows) for name, rows in (splits or {}).items()}
        self.metadata = dict(metadata or {})
        self._log = log
        self._find_strays = find_strays

    def look_for_strays(self) -> None:
        """Adds to `problems` the files that belong to no episode, where looking for them takes too long for `open`."""
        if self._find_strays is not None:
            self._find_strays()

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the files so far: layout and metadata at once, values as they are read."""
        return self._log.problems()

    def samples(
        self,
        delta_timestamps: Mapping[str, Sequence[float]] | None = None,
        *,
        episodes: Iterable[SupportsIndex] | None = None,
        on_bad_episode: OnBadEpisode | None = None,
        anchor: str | None = None,
        framework: Literal["numpy", "torch", "jax"] | None = None,
    ) -> Samples:
        """All samples as a list, with the keys, shapes and `is_pad` of LeRobotDataset; loads the streams of numbers.

        Parameters
        ----------
        delta_timestamps : dict of str to sequence of float, optional
            For each of these streams the times of its rows, s behind the sample's; the meaning is that of `rc.offsets`.
        episodes : iterable of int, optional
            The `episode_index` of those to use; not said: all. `index` counts the samples of these.
        on_bad_episode : {"raise", "skip"}, optional
            Not said: what `rc.open` was told.
        anchor : str, optional
            The stream whose samples are counted; not said: the first one.
        framework : {"torch", "numpy", "jax"}, optional
            Of the arrays. Not said: torch where it is imported by now, else numpy.

        Raises
        ------
        ValueError
            A key or offset that does not fit.
        OSError
            The data is damaged.
        """
        from robocache.samples import Samples

        return Samples(
            self,
            delta_timestamps,
            episodes=episodes,
            on_bad_episode=on_bad_episode,
            anchor=anchor,
            framework=framework,
        )

    def __repr__(self) -> str:
        return (
            f"Dataset({self.format}, {str(self.path)!r}, {len(self.episodes)} episodes, "
            f"{len(self.streams)} streams, {len(self.problems)} problems)"
        )


def open(
    path: str | Path,
    format: str | None = None,
    *,
    on_bad_episode: OnBadEpisode = "raise",
    fps: float | None = None,
    index: bool | str | os.PathLike[str] = False,
) -> Dataset:
    """Opens a dataset on disk. Reads metadata and file footers; samples are read episode by episode.

    Parameters
    ----------
    path : str or Path
        A LeRobot v2.0, v2.1 or v3.0 folder (the one that holds `meta/`), an RLDS folder (the one that holds
        `features.json`), a robomimic HDF5 file, a CALVIN folder, a folder of CSV files, or one CSV file.
    format : {"lerobot", "rlds", "robomimic", "calvin", "csv"}, optional
        Skips the detection.
    on_bad_episode : {"raise", "skip"}
        What damage that is met while reading does: raise `DataError`, or leave the episode out of the iteration
        (of CSV: the file out of the dataset) and report it in `problems`.
    fps : float, optional
        The rate in Hz of data that counts steps and has no time: RLDS, robomimic, CALVIN. Outweighs what the files
        say.
    index : bool or path
        RLDS: keeps the places of the records in a file, so that the next `open` need not look for them: True beside
        the data, else in this folder. A file of other data, or of the data before a change, is made anew.

    Returns
    -------
    Dataset
        `data.episodes[i][name].values` is [S, ...], `.stamps_ns` int64 ns [S]; `data.problems` says what was off.

    Raises
    ------
    FileNotFoundError
        No such path.
    DataError
        Nothing there that can be read, or damaged metadata.
    InvalidArgument
        Unknown `format` or `on_bad_episode`; an option that this format does not have; an `fps` that is no rate.
    """
    from robocache.formats import open_format

    if on_bad_episode not in ("raise", "skip"):
        raise InvalidArgument(f"open: on_bad_episode is {on_bad_episode!r}, expected 'raise' or 'skip'")
    asked: dict[str, Any] = {"fps": fps, "index": None if index is False else index}
    options = {name: value for name, value in asked.items() if value is not None}
    return open_format(Path(path), format, on_bad_episode, options)
