"""Whether batches are right, before anybody's time counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import robocache as rc

from robocache_bench.loader.work import AT_50_HZ, BATCH, STEPS, Batch, Work
from robocache_bench.run_cpu import WrongResult

ON_END = 1e-6  # of a frame: nearer than that to an episode's end is at it
ROUNDING = 1e-6  # of the largest value: float32 arithmetic


def same(ours: Iterable[Batch], theirs: Iterable[Batch], stride: int = 1, tolerance: float = 0) -> int:
    """Compares values, masks, shapes and dtypes of batches; how many samples they have, which are `stride` apart.

    Raises
    ------
    WrongResult
        The first sample that differs. Values, but no masks, may be off by `tolerance`.
    """
    samples = 0
    for a, b in zip_longest(ours, theirs):
        if a is None or b is None:
            raise WrongResult(f"{'more' if a is None else 'no more'} than {samples} samples, expected as many as ours")
        for key in STEPS:
            _compare(key, a, b, samples, stride, tolerance)
            _compare(f"{key}_is_pad", a, b, samples, stride, 0)
        samples += len(a["action"])
    return samples


def _compare(key: str, ours: Batch, theirs: Batch, first: int, stride: int, tolerance: float) -> None:
    a, b = np.asarray(ours[key]), np.asarray(theirs[key])
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        raise _wrong(key, first * stride, f"is {b.dtype} {list(b.shape)}, expected {a.dtype} {list(a.shape)}")
    # Bits where nothing may differ: NaN is NaN.
    off = ~(np.abs(a - b) <= tolerance) if tolerance else _bits(a) != _bits(b)
    if off.any():
        row = int(np.argmax(off.reshape(len(a), -1).any(axis=1)))
        raise _wrong(key, (first + row) * stride, "differs from ours")


def _bits(array: Any) -> Any:
    return np.ascontiguousarray(array).view(np.uint8)


def _wrong(key: str, sample: int, what: str) -> WrongResult:
    return WrongResult(f"{key!r} of sample {sample} {what}")


def ours_in_order(store: rc.Store, window: Mapping[str, rc.Window]) -> Iterator[Batch]:
    """Every sample once."""
    with rc.Loader(store, window, BATCH, shuffle=False, framework="numpy") as loader:
        begin = 0
        for batch in loader:
            if not np.array_equal(batch["index"], np.arange(begin, begin + len(batch["index"]))):
                raise _wrong("index", begin, "is another one's")
            begin += len(batch["index"])
            yield batch


def every(batches: Iterable[Batch], stride: int) -> Iterator[Batch]:
    """The samples whose number `stride` divides."""
    for batch in batches:
        kept = np.flatnonzero(np.asarray(batch["index"]) % stride == 0)
        if len(kept):
            yield {key: np.asarray(values)[kept] for key, values in batch.items()}


def written(work: Work, folder: Path, stride: int) -> int:
    """Holds every `stride`-th sample that another process wrote into files KEY.npy against ours; how many there are.

    Raises
    ------
    WrongResult
        Something differs.
    """
    arrays = {name: np.load(folder / f"{name}.npy") for key in STEPS for name in (key, f"{key}_is_pad")}
    index = np.load(folder / "index.npy")
    if not np.array_equal(index, np.arange(0, work.samples, stride)):
        raise WrongResult(f"index has {len(index)} samples, expected every {stride}. of {work.samples}")

    def theirs() -> Iterator[Batch]:
        begin = 0
        for batch in every(ours_in_order(work.store, work.window), stride):
            end = begin + len(batch["index"])
            yield {name: array[begin:end] for name, array in arrays.items()}
            begin = end

    return same(every(ours_in_order(work.store, work.window), stride), theirs(), stride)


def interpolated(work: Work) -> int:
    """Holds our windows at 50 Hz against `by_numbers`; how many samples there are.

    Raises
    ------
    WrongResult
        Something differs.
    """
    largest = max(float(np.abs(work.store.values(key)).max()) for key in STEPS)
    return same(ours_in_order(work.store, AT_50_HZ), by_numbers(work), tolerance=ROUNDING * largest)


def by_numbers(work: Work) -> Iterator[Batch]:
    """The windows at 50 Hz by the numbers of frames, which tell their times, and in float64."""
    offsets = work.store.offsets("action")
    counts = np.diff(offsets)
    frame = np.arange(work.samples) - np.repeat(offsets[:-1], counts)
    last = np.repeat(counts - 1, counts)
    for first in range(0, work.samples, BATCH):
        of = slice(first, first + BATCH)
        begin = (np.arange(work.samples) - frame)[of, None]
        found: dict[str, Any] = {}
        for key, wanted in AT_50_HZ.items():
            at = frame[of, None] + np.array(wanted.offsets_s) * work.hz
            found[f"{key}_is_pad"] = (at < -ON_END) | (at > last[of, None] + ON_END)
            at = np.clip(at, 0, last[of, None])
            low = np.floor(at).astype(np.int64)
            values = work.store.values(key)
            a, b = (values[begin + np.minimum(rows, last[of, None])].astype(np.float64) for rows in (low, low + 1))
            found[key] = (a + (b - a) * (at - low)[..., None]).astype(values.dtype)
        yield found
