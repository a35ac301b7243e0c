"""Which streams `robocache align` takes and how it interpolates each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from robocache.dataset import Dataset
from robocache.episode import NUMERIC_KINDS, StreamInfo
from robocache.errors import InvalidArgument
from robocache.formats.columns import find_quaternions

Mode = Literal["hold", "nearest", "linear", "pchip", "angle", "slerp", "se3", "screw"]
MODES: tuple[Mode, ...] = get_args(Mode)
_UNITS = {"slerp": 4, "se3": 7, "screw": 7}  # columns of a quaternion, of a pose
_DEFAULTS = {"float": "linear", "quaternion": "slerp", "integer": "hold", "bool": "hold"}


@dataclass(frozen=True)
class Part:
    """Columns [start, stop) of a stream, all with one interpolation."""

    start: int
    stop: int
    interp: Mode


@dataclass(frozen=True)
class StreamPlan:
    """A stream of the output. More than one part where a quaternion sits among other columns: nobody may lerp one."""

    info: StreamInfo
    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """Columns, all axes of a sample flattened."""
        return int(np.prod(self.info.shape))


def plan_streams(data: Dataset, only: Sequence[str] | None, interps: Mapping[str, str]) -> list[StreamPlan]:
    """The numeric streams that are no parts of others, or those of `only`; `interps` overrides the mode of a stream.

    Raises
    ------
    InvalidArgument
        A name or a mode is unknown, or the stream cannot be interpolated like that.
    """
    for name in (*(only or ()), *interps):
        if name not in data.streams:
            raise InvalidArgument(f"align: there is no stream {name!r}, expected {_listed(data)}")
    for name in only or ():
        if data.streams[name].kind not in NUMERIC_KINDS:
            raise InvalidArgument(f"align: stream {name} is {data.streams[name].kind}, expected numbers")
    names = only or [n for n, info in data.streams.items() if info.kind in NUMERIC_KINDS and info.part_of is None]
    if not names:
        raise InvalidArgument(f"align: {data.path} has no stream of numbers, it has {_listed(data)}")
    return [_plan(data.streams[name], interps.get(name)) for name in dict.fromkeys(names)]


def _listed(data: Dataset) -> str:
    return ", ".join(data.streams) or "none"


def _plan(info: StreamInfo, asked: str | None) -> StreamPlan:
    wanted = asked or info.interp or _DEFAULTS[info.kind]
    mode = next((known for known in MODES if known == wanted), None)
    if mode is None:
        raise InvalidArgument(f"align: interp of {info.name} is {wanted!r}, expected one of {', '.join(MODES)}")
    if mode not in ("hold", "nearest") and info.kind in ("integer", "bool"):
        raise InvalidArgument(f"align: interp of {info.name} is {mode}, expected hold or nearest: it is {info.dtype}")
    width = int(np.prod(info.shape))
    unit = _UNITS.get(mode, 1)
    if width % unit != 0:
        raise InvalidArgument(
            f"align: interp of {info.name} is {mode}, expected linear: it has {width} columns, not {unit}"
        )
    if mode in ("linear", "pchip", "angle") and info.kind == "quaternion":
        raise InvalidArgument(f"align: interp of {info.name} is {mode}, expected slerp: it is a quaternion")
    return StreamPlan(info, _parts(info, mode, width))


def _parts(info: StreamInfo, mode: Mode, width: int) -> tuple[Part, ...]:
    parts: list[Part] = []
    done = 0
    for found in find_quaternions(info.names or ()) if mode in ("linear", "pchip") else ():
        if found.start > done:
            parts.append(Part(done, found.start, mode))
        done = found.start + 4
        parts.append(Part(found.start, done, "slerp"))
    if done < width:
        parts.append(Part(done, width, mode))
    return tuple(parts)
