"""Episodes and their streams, as the readers give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from robocache.errors import DataError, Unsupported
from robocache.problems import ProblemLog

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
