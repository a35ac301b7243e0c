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
# value * scale + bias loses what is less than 2**-24 of the bias: a hundredth of the spread from here on.
_MOST_MIDDLE = 1e5
_LEAST_SPREAD = 1e-30


@dataclass(frozen=True)
class Normalizer:
    """`normalized = value * scale + bias` for the D columns of a stream, in float32.

    Attributes
    ----------
    mode : str
        "mean_std": to mean 0 and standard deviation 1 (of the population); "min_max": to [-1, 1]. A column that never
        changes becomes 0, also where it does in other data.
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
        first, second = (self.statistics[name] for name in _STATISTICS[self.mode])
        middle = (first if self.mode == "mean_std" else (first + second) / 2).astype(np.float32)
        constant = self.scale == 0
        scale = np.where(constant, np.float32(1), self.scale)
        offset = np.where(constant, -middle, self.bias)
        if type(normalized).__module__.partition(".")[0] == "torch":
            import torch

            scale, offset = (torch.from_numpy(a).to(normalized.device) for a in (scale, offset))
        return (normalized - offset) / scale


def normalizer(store: Store, stream: str, how: Any) -> Normalizer:
    """How a stream is normalized: `how` is a mode, for which the store is looked through, statistics, or a Normalizer.

    Raises
    ------
    InvalidArgument
        `how` is none of them; statistics of another length, or that no values have; columns whose spread is so small
        beside their mean that float32 does not hold it.
    DataError
        The stream has values that are no finite numbers, so that it has no such statistics.
    """
    subject = f"Loader: normalize[{stream!r}]"
    width = int(np.prod(store.streams[stream].shape))
    if isinstance(how, Normalizer):
        how = how.statistics
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
    if (spread < 0).any():
        column = int(np.flatnonzero(spread < 0)[0])
        wrong = "std is negative" if mode == "mean_std" else "min is more than max"
        raise InvalidArgument(f"{subject}: {wrong} in column {column}, expected statistics of some values")
    varies = spread > 0
    lost = varies & ((np.abs(middle) > _MOST_MIDDLE * spread) | (spread <= _LEAST_SPREAD))
    if lost.any():
        column = int(np.flatnonzero(lost)[0])
        raise InvalidArgument(
            f"{subject}: column {column} is {middle[column]:g} +- {spread[column]:g}, expected less than "
            f"{_MOST_MIDDLE:g} to 1, as values are scaled in float32; take something near {middle[column]:g} from them"
        )
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
    return Normalizer(mode, found, scale.astype(np.float32), (-middle * scale).astype(np.float32))


def _given(subject: str, how: Mapping[str, Any], width: int) -> tuple[str, dict[str, npt.NDArray[np.float64]]]:
    for mode, names in _STATISTICS.items():
        if not all(name in how for name in names):
            continue
        try:
            found = {name: np.asarray(how[name], np.float64).reshape(-1) for name in names}
        except (TypeError, ValueError) as error:
            raise InvalidArgument(
                f"{subject} has {names[0]} and {names[1]}, expected numbers in both: {error}"
            ) from None
        for name, values in found.items():
            if len(values) != width:
                raise InvalidArgument(f"{subject}[{name!r}] has {len(values)} numbers, expected {width}, one a column")
            if not np.isfinite(values).all():
                raise InvalidArgument(f"{subject}[{name!r}] is {values}, expected finite numbers")
        return mode, found
    raise InvalidArgument(
        f"{subject} has {', '.join(map(str, how)) or 'nothing'}, expected mean and std, or min and max"
    )


def _measured(store: Store, stream: str, mode: str) -> dict[str, npt.NDArray[np.float64]]:
    """Block by block: a float64 copy of the whole stream would be more than the store."""
    values = store.values(stream)
    rows = values.reshape(len(values), -1)
    if not len(rows):
        raise DataError(f"Loader: stream {stream!r} has no samples, expected some to normalize it by")
    blocks = [slice(first, first + _BLOCK_ROWS) for first in range(0, len(rows), _BLOCK_ROWS)]
    low = np.min([rows[b].min(axis=0) for b in blocks], axis=0).astype(np.float64)
    high = np.max([rows[b].max(axis=0) for b in blocks], axis=0).astype(np.float64)
    if mode == "min_max":
        found = {"min": low, "max": high}
    else:
        mean = np.sum([rows[b].sum(axis=0, dtype=np.float64) for b in blocks], axis=0) / len(rows)
        square = np.sum([((rows[b] - mean) ** 2).sum(axis=0) for b in blocks], axis=0) / len(rows)
        # The mean of equal numbers is rounded, and what is left would look like a spread.
        found = {"mean": mean, "std": np.where(low == high, 0.0, np.sqrt(square))}
    for name, numbers in found.items():
        if not np.isfinite(numbers).all():
            column = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise DataError(
                f"Loader: the {name} of stream {stream!r}, column {column}, is {numbers[column]}, expected a finite "
                "number; give statistics of your own in normalize"
            )
    return found
