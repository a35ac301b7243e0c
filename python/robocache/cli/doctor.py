"""What a look at all samples tells that their reader does not: columns that never change, images that are none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.episode import Episode, SampleStream
from robocache.errors import Unsupported
from robocache.formats.image_header import image_size
from robocache.problems import Problem, ProblemLog, index_ranges

# Integers and bools are flags and labels, which may well be the same throughout.
_MEASURED = ("float", "quaternion")
_NAMED_AT_MOST = 6


@dataclass
class _Seen:
    """Which columns of a stream changed so far, and the episodes in which none did."""

    first: npt.NDArray[Any]
    changed: npt.NDArray[np.bool_]
    samples: int = 0
    episodes: int = 0
    still: dict[int, int] = field(default_factory=dict)


class Doctor:
    """Takes the episodes one by one, and sums up."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._names: dict[str, tuple[str, ...] | None] = {}
        self._log = ProblemLog()

    def add(self, episode: Episode) -> None:
        """Looks at all streams of an episode."""
        for name in episode.names:
            stream = episode[name]
            if stream.info.part_of is not None:
                continue
            if stream.info.kind in _MEASURED and len(stream):
                self._add_values(episode.index, stream)
            elif stream.info.dtype == "image":
                self._add_images(episode.index, stream)

    def problems(self) -> list[Problem]:
        """What was found so far."""
        log = ProblemLog()
        for name, seen in self._seen.items():
            still = np.flatnonzero(~seen.changed)
            if len(still) and seen.samples > 1:
                log.add("data", f"{name} never changes{self._columns(name, still, len(seen.changed))}")
            # One column may rest for an episode, as that of a gripper does. All at once are a sensor that hangs.
            if len(seen.changed) > 1 and len(seen.still) < seen.episodes:
                for index, samples in seen.still.items():
                    log.add_episode("data", f"{name} does not change in all of an episode", index, f"{samples} samples")
        return log.problems() + self._log.problems()

    def _columns(self, name: str, still: npt.NDArray[np.int64], count: int) -> str:
        if len(still) == count:
            return ""
        names = self._names[name]
        text = f" in columns {index_ranges(set(still.tolist()))} of {count}"
        return f"{text} ({', '.join(names[i] for i in still)})" if names and len(still) <= _NAMED_AT_MOST else text

    def _add_values(self, index: int, stream: SampleStream) -> None:
        values = stream.values.reshape(len(stream), -1)
        name = stream.info.name
        if name not in self._seen:
            self._seen[name] = _Seen(values[0].copy(), np.zeros(values.shape[1], np.bool_))
            self._names[name] = stream.info.names
        seen = self._seen[name]
        changed = _differ(values, values[0]).any(axis=0)
        seen.changed |= changed | _differ(values[0], seen.first)
        seen.samples += len(values)
        seen.episodes += 1
        if len(values) > 1 and not changed.any():
            seen.still[index] = len(values)

    def _add_images(self, index: int, stream: SampleStream) -> None:
        try:
            images = stream.encoded
        except Unsupported:  # of this format nobody hands them out
            return
        told = stream.info.shape[-3:]
        for i, image in enumerate(images):
            row = i * len(stream) // len(images)
            try:
                size = image_size(image)
            except ValueError as error:
                self._log.add_episode("data", f"{stream.info.name} {error}", index, f"row {row}")
                continue
            if any(want not in (-1, got) for want, got in zip(told, size, strict=True)):
                text = "x".join("?" if want < 0 else str(want) for want in told)
                detail = f"row {row} is {'x'.join(map(str, size))}"
                self._log.add_episode("data", f"{stream.info.name} has images that are not {text}", index, detail)


def _differ(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where two values are not the same; NaN is the same as NaN."""
    different: npt.NDArray[np.bool_] = (a != b) & ~(np.isnan(a) & np.isnan(b))
    return different
