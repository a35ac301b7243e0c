"""Numbers that bring the columns of a stream into one range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from robocache.errors import DataError, InvalidArgument
from robocache.store import Store

Mode = Literal["mean_std", "min_max"]
_STATISTICS: dict[str, tuple[str, str]] = {"mean_std": ("mean", "std"), "min_max": ("min", "max")}
_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Normalizer:
    """`normalized = value * scale + bias` for the D columns of a stream, in float32.

    Attributes
    ----------
    mode : str
        "mean_std": to mean 0 and standard deviation 1 (of the population); "min_max": to [-1, 1]. A column that never
        changes becomes 0.
    statistics : dict of str to float64 [D]
        "mean" and "std", or "min" and "max".
    scale, bias : float32 [D]
    """

    mode: Mode
    statistics: Mapping[str, npt.NDArray[np.float64]]
    scale: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def restore(self, normalized: Any) -> Any:
        """Values from normalized ones [..., D]: what a policy does to its actions. numpy or torch."""
        if type(normalized).__module__.partition(".")[0] == "torch":
            import torch

            scale, bias = (torch.from_numpy(a).to(normalized.device) for a in (self.scale, self.bias))
            return (normalized - bias) / scale
        return (normalized - self.bias) / self.scale


def normalizer(store: Store, stream: str, how: Any) -> Normalizer:
    """How a stream is normalized: `how` is a mode, for which the store is looked through, or the statistics themselves.

    Raises
    ------
    InvalidArgument
        `how` is neither; statistics of another length, or that are no numbers.
    DataError
        The stream has values that are no finite numbers, so that it has no such statistics.
    """
    subject = f"Loader: normalize[{stream!r}]"
    width = int(np.prod(store.streams[stream].shape))
    if isinstance(how, str):
        if how not in _STATISTICS:
            raise InvalidArgument(f"{subject} is {how!r}, expected 'mean_std', 'min_max' or a dict of statistics")
        mode: Any = how
        found = _measured(store, stream, mode)
    elif isinstance(how, Mapping):
        mode, found = _given(subject, how, width)
    else:
        raise InvalidArgument(f"{subject} is {how!r}, expected 'mean_std', 'min_max' or a dict of statistics")
    first, second = (found[name] for name in _STATISTICS[mode])
    spread, middle = (second, first) if mode == "mean_std" else ((second - first) / 2, (second + first) / 2)
    spread = np.where(spread > 0, spread, 1.0)
    return Normalizer(mode, found, (1 / spread).astype(np.float32), (-middle / spread).astype(np.float32))


def _given(subject: str, how: Mapping[str, Any], width: int) -> tuple[str, dict[str, npt.NDArray[np.float64]]]:
    for mode, names in _STATISTICS.items():
        if not all(name in how for name in names):
            continue
        found = {name: np.asarray(how[name], np.float64).reshape(-1) for name in names}
        for name, values in found.items():
            if len(values) != width:
                raise InvalidArgument(f"{subject}[{name!r}] has {len(values)} numbers, expected {width}, one a column")
            if not np.isfinite(values).all():
                raise InvalidArgument(f"{subject}[{name!r}] is {values}, expected finite numbers")
        return mode, found
    raise InvalidArgument(f"{subject} has {', '.join(how) or 'nothing'}, expected mean and std, or min and max")


def _measured(store: Store, stream: str, mode: str) -> dict[str, npt.NDArray[np.float64]]:
    """Block by block: a float64 copy of the whole stream would be more than the store."""
    values = store.values(stream)
    rows = values.reshape(len(values), -1)
    if not len(rows):
        raise DataError(f"Loader: stream {stream!r} has no samples, expected some to normalize it by")
    blocks = [slice(first, first + _BLOCK_ROWS) for first in range(0, len(rows), _BLOCK_ROWS)]
    if mode == "min_max":
        found = {
            "min": np.min([rows[b].min(axis=0) for b in blocks], axis=0).astype(np.float64),
            "max": np.max([rows[b].max(axis=0) for b in blocks], axis=0).astype(np.float64),
        }
    else:
        mean = np.sum([rows[b].sum(axis=0, dtype=np.float64) for b in blocks], axis=0) / len(rows)
        square = np.sum([((rows[b] - mean) ** 2).sum(axis=0) for b in blocks], axis=0) / len(rows)
        found = {"mean": mean, "std": np.sqrt(square)}
    for name, numbers in found.items():
        if not np.isfinite(numbers).all():
            column = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise DataError(
                f"Loader: the {name} of stream {stream!r}, column {column}, is {numbers[column]}, expected a finite "
                "number; give statistics of your own in normalize"
            )
    return found
