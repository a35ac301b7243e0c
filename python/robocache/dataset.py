"""Datasets on disk: what `rc.open` returns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from robocache.episode import Episode, Episodes, OnBadEpisode, StreamInfo
from robocache.errors import InvalidArgument
from robocache.problems import Problem, ProblemLog

if TYPE_CHECKING:
    from robocache.samples import Samples


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
        episodes: Iterable[SupportsIndex] | str | None = None,
        on_bad_episode: OnBadEpisode | None = None,
        anchor: str | None = None,
        framework: Literal["numpy", "torch", "jax"] | None = None,
    ) -> Samples:
        """All samples as a list, with the keys, shapes and `is_pad` of LeRobotDataset; loads the streams of numbers.

        Parameters
        ----------
        delta_timestamps : dict of str to sequence of float, optional
            For each of these streams the times of its rows, s behind the sample's; the meaning is that of `rc.offsets`.
        episodes : iterable of int, or str, optional
            The `episode_index` of those to use, or the name of one of `splits`; not said: all. `index` counts the
            samples of these.
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
