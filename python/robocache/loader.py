"""Batches of windows from a dataset that is resident in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Literal, NoReturn, SupportsIndex

import numpy as np

from robocache import _core
from robocache.dataset import Dataset
from robocache.episode import OnBadEpisode
from robocache.errors import InvalidArgument
from robocache.normalize import Normalizer, normalizer
from robocache.sampler import Sampler
from robocache.store import Store
from robocache.windows import Window

Framework = Literal["numpy", "torch", "jax"]


class Loader:
    """Batches of windows, in an order that seed and epoch choose, made ahead by threads of this process.

    Several threads may use one loader: their calls come one after the other. A batch that could not be made raises in
    its turn, and counts as given.

    ``for batch in loader:`` goes through the rest of the epoch, and the next ``for`` through the next one. A batch is a
    dict: for each key of `window` the rows ``batch[key]`` [B, K, ...shape] and ``batch[key + "_is_pad"]`` bool [B, K],
    which is true for rows outside the episode; ``batch["index"]`` int64 [B], the number of each sample;
    ``batch["episode_index"]`` and ``batch["t_ns"]``, its episode and its stamp. The arrays are the caller's; their
    memory is used again when the last reference to it is gone.

    Samples are those of one stream, the anchor, in all episodes. The windows of a sample are around its time.

    Parameters
    ----------
    data : Dataset or Store
        What `rc.open` returned, of which the streams in `window` and of `anchor` are loaded; or what is loaded already.
    window : dict of str to Window
        For each stream `rc.past`, `rc.future`, `rc.offsets` or `rc.last`.
    batch_size : int
        Samples of a batch, of all ranks together.
    shuffle, seed, drop_last, rank, world_size
        As in `robocache.Sampler`, which defines the order.
    normalize : str or dict, optional
        "mean_std" or "min_max", for all streams of floats in `window`; or for each stream named one of these, or its
        statistics: a dict with "mean" and "std", or "min" and "max", of one number a column; or another loader's
        `normalizers`. `normalizers` has what is used.
    dtype : optional
        float16, bfloat16, float32 or float64, by name or as the framework's own: of streams of floats, and of all that
        are normalized. Not said: the stream's own; float32 for integers that are normalized.
    prefetch : int
        Batches that are made ahead, each by a thread of its own. 0: made when asked for.
    episodes : iterable of int, or str, optional
        The `episode_index` of those to use, or the name of one of `data.splits`; not said: all.
    on_bad_episode : {"raise", "skip"}, optional
        Not said: what `rc.open` was told.
    anchor : str, optional
        Not said: the first stream in `window`.
    valid, age : bool
        Have ``batch[key + "_valid"]`` bool [B, K] and ``batch[key + "_age_ns"]`` int64 [B, K] as well, which mean what
        they do in `robocache.align`.
    framework : {"torch", "numpy", "jax"}, optional
        Of the arrays. Not said: torch where it is imported by now, else numpy.

    Raises
    ------
    ValueError
        An argument has a wrong value.
    NotImplementedError
        A stream in `window` holds text or video.
    OSError
        The data is damaged.
    """

    def __init__(
        self,
        data: Dataset | Store,
        window: Mapping[str, Window],
        batch_size: SupportsIndex,
        *,
        shuffle: bool = True,
        seed: SupportsIndex = 0,
        drop_last: bool = False,
        normalize: str | Mapping[str, Any] | None = None,
        dtype: Any = None,
        prefetch: int = 2,
        episodes: Iterable[SupportsIndex] | str | None = None,
        on_bad_episode: OnBadEpisode | None = None,
        rank: SupportsIndex | None = None,
        world_size: SupportsIndex | None = None,
        anchor: str | None = None,
        valid: bool = False,
        age: bool = False,
        framework: Framework | None = None,
    ) -> None:
        _check_window(window)
        self._store = _loaded(data, window, anchor, episodes, on_bad_episode)
        self._normalizers = _normalizers(self._store, window, normalize)
        windows = build_windows(self._store, window, anchor, self._normalizers, dtype)
        if windows.samples == 0:
            raise InvalidArgument("Loader: data has no samples, expected at least one")
        # The order has one definition; the loader goes through it.
        self._order = Sampler(
            windows.samples,
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        self._seeks = 0  # tells one who left a loop whether the place is still the one where it was left
        self._core = _core.Loader(
            windows, prototype(framework), **self._order._batches(), prefetch=prefetch, valid=valid, age=age
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        epoch = self.epoch
        while self.epoch == epoch:
            yield self._core.next()

    @property
    def batches_per_epoch(self) -> int:
        """Batches of a whole epoch."""
        order = self._order._batches()
        size: int = order["batch_size"]
        return self.samples // size if order["drop_last"] else -(-self.samples // size)

    def __len__(self) -> int:
        """Batches that the epoch still has."""
        return self._core.batches_left

    @property
    def store(self) -> Store:
        """What the batches are made from; another loader can have it as its `data`."""
        return self._store

    @property
    def normalizers(self) -> Mapping[str, Normalizer]:
        """What normalizes each stream, and restores it."""
        return MappingProxyType(self._normalizers)

    @property
    def samples(self) -> int:
        """Samples of an epoch, of all ranks."""
        return self._core.samples

    @property
    def state(self) -> tuple[int, int]:
        """Epoch and place in it of the next batch, in samples of all ranks."""
        return self._core.state

    @property
    def epoch(self) -> int:
        """Of the next batch."""
        return self._core.state[0]

    def set_epoch(self, epoch: SupportsIndex) -> None:
        """Goes to the begin of an epoch."""
        self._order.set_epoch(epoch)
        self._seek()

    def state_dict(self) -> dict[str, Any]:
        """How far all ranks together have come; plain numbers and lists. Batches made ahead do not count."""
        self._order._core.seek(*self._core.state)
        return self._order.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`. Batch size, windows, rank and world size may be others than when it was taken.

        Raises
        ------
        ValueError
            It is of another order: another number of samples, another seed or shuffle.
        """
        self._order.load_state_dict(state)
        self._seek()

    def _seek(self) -> None:
        """Goes where the order is."""
        self._core.seek(self._order.epoch, self._order.position)
        self._seeks += 1

    def close(self) -> None:
        """Ends the threads. A loader that is not used any more does so by itself."""
        self._core.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("Loader: pickling is not possible; make one in each process, which needs no workers of its own")

    def __repr__(self) -> str:
        return f"Loader({self.samples} samples, {len(self)} batches left in epoch {self.epoch})"


def _check_window(window: Mapping[str, Window]) -> None:
    if not isinstance(window, Mapping) or not window:
        raise InvalidArgument(f"Loader: window is {window!r}, expected a dict of stream names to windows")
    marks = {name + end for name in window for end in ("_is_pad", "_valid", "_age_ns")}
    taken = {"index", "episode_index", "t_ns", *marks}
    for name, wanted in window.items():
        if not isinstance(wanted, Window):
            raise InvalidArgument(f"Loader: window[{name!r}] is {wanted!r}, expected rc.past(...) or one of its kind")
        if name in taken:
            raise InvalidArgument(f"Loader: window has {name!r}, expected no name that batches have anyway")


def _loaded(
    data: Dataset | Store,
    window: Mapping[str, Window],
    anchor: str | None,
    episodes: Iterable[SupportsIndex] | str | None,
    on_bad_episode: OnBadEpisode | None,
) -> Store:
    names = [*window, *([anchor] if anchor is not None and anchor not in window else [])]
    if isinstance(data, Dataset):
        return Store.load(data, names, episodes, on_bad_episode)
    if not isinstance(data, Store):
        raise InvalidArgument(f"Loader: data is {type(data).__name__}, expected what rc.open or Store.load returned")
    if episodes is not None or on_bad_episode is not None:
        given = "episodes" if episodes is not None else "on_bad_episode"
        raise InvalidArgument(f"Loader: {given} is given beside a Store, expected to be said when that is loaded")
    for name in names:
        if name not in data.streams:
            subject = "window is of stream" if name in window else "anchor is"
            raise InvalidArgument(f"Loader: {subject} {name!r}, expected one of {', '.join(data.streams)}")
    return data


def _normalizers(store: Store, window: Mapping[str, Window], normalize: Any) -> dict[str, Normalizer]:
    if normalize is None:
        return {}
    if isinstance(normalize, str):
        normalize = {name: normalize for name in window if np.dtype(store.streams[name].dtype).kind == "f"}
    if not isinstance(normalize, Mapping):
        raise InvalidArgument(f"Loader: normalize is {normalize!r}, expected a mode or a dict of streams")
    for name in normalize:
        if name not in window:
            raise InvalidArgument(f"Loader: normalize has {name!r}, expected streams of window: {', '.join(window)}")
    return {name: normalizer(store, name, how) for name, how in normalize.items()}


def build_windows(
    store: Store, window: Mapping[str, Window], anchor: str | None, normalizers: Mapping[str, Normalizer], dtype: Any
) -> _core.Windows:
    """What reads these windows of a store."""

    def ask(name: str, wanted: Window, interp: str | None) -> _core.Window:
        norm = normalizers.get(name)
        is_float = np.dtype(store.streams[name].dtype).kind == "f"
        out = dtype if is_float or norm else None
        if out is None and norm and not is_float:
            out = "float32"
        return _core.Window(
            stream=name,
            offsets_s=wanted.offsets_s,
            last=wanted.last,
            on_samples=wanted.on_samples,
            scale=norm.scale.tolist() if norm else [],
            bias=norm.bias.tolist() if norm else [],
            dtype=out,
            **{**wanted.options, "interp": interp},
        )

    def made(interps: Mapping[str, str | None]) -> _core.Windows:
        asked = [ask(name, wanted, interps[name]) for name, wanted in window.items()]
        return _core.Windows(store._core, asked, anchor or "")

    interps = {name: wanted.options.get("interp") for name, wanted in window.items()}
    first = made(interps)
    # Where no row is between samples, they are as they were logged.
    for w, name in enumerate(window):
        if interps[name] is None and not first.takes_samples(w):
            info = store.streams[name]
            interps[name] = info.interp or ("slerp" if info.kind == "quaternion" else None)
    return made(interps)


def prototype(framework: Framework | None) -> Any:
    """An array of the library that batches are of."""
    if framework is None:
        framework = "torch" if "torch" in sys.modules else "numpy"
    if framework == "numpy":
        return np.empty(0)
    if framework == "torch":
        import torch

        return torch.empty(0)
    if framework == "jax":
        import jax.numpy

        return jax.numpy.zeros(0)
    raise InvalidArgument(f"Loader: framework is {framework!r}, expected 'torch', 'numpy' or 'jax'")
