"""Streams of tensors, and how a call travels as the arguments of an operator."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from robocache import _core
from robocache.errors import Unsupported

Interp: TypeAlias = str | Sequence[tuple[str | None, int]] | None
Policy: TypeAlias = str | float
Missing: TypeAlias = Literal["propagate", "skip", "hold"]
Order: TypeAlias = Literal["xyzw", "wxyz"]

LISTS = ("lengths", "offsets", "mask")  # arrays that a stream may have
ARRAYS = 2 + len(LISTS)  # of a stream, as take_apart() and put_together() count them: values and stamps come first
_OPTIONS = ("interp", "outside", "max_gap_ns", "max_age_ns", "offset_ns", "missing", "quaternion", "name")
ROTATIONS = ("slerp", "se3", "screw")


@dataclass(frozen=True)
class Stream:
    """``robocache.Stream`` for code that torch.compile or torch.export traces; outside of it, both will do.

    Parameters
    ----------
    values, stamps : Tensor
    interp, outside, max_gap_ns, max_age_ns, offset_ns, lengths, offsets, mask, missing, quaternion, name
        As of ``robocache.Stream``. Errors in them are found by the call that takes the stream. In code that is traced
        numbers are Python's own.
    """

    values: Tensor
    stamps: Tensor
    _: KW_ONLY
    interp: Interp = None
    outside: Policy | tuple[Policy, Policy] = "hold"
    max_gap_ns: int | None = None
    max_age_ns: int | None = None
    offset_ns: int = 0
    lengths: Tensor | None = None
    offsets: Tensor | None = None
    mask: Tensor | None = None
    missing: Missing = "propagate"
    quaternion: Order = "xyzw"
    name: str | None = None


def columns_of(values: Tensor, stamps: Tensor) -> Any:
    """D, an int or a symbol."""
    return 1 if values.ndim == stamps.ndim else values.shape[-1]


def native(stream: Stream) -> _core.Stream:
    """The stream that the engine takes."""
    return _core.Stream(
        stream.values,
        stream.stamps,
        interp=stream.interp,
        outside=stream.outside,
        max_gap_ns=stream.max_gap_ns,
        max_age_ns=stream.max_age_ns,
        offset_ns=stream.offset_ns,
        lengths=stream.lengths,
        offsets=stream.offsets,
        mask=stream.mask,
        missing=stream.missing,
        quaternion=stream.quaternion,
        name=stream.name,
    )


# An operator takes tensors and plain values alone: a call's options travel as one JSON text.


def arguments(streams: Sequence[Stream | _core.Stream], at: Tensor) -> tuple[Any, ...]:
    """What torch.ops.robocache.align takes before the dtype."""
    lists = [getattr(s, k) for s in streams for k in LISTS if getattr(s, k) is not None]
    return [s.values for s in streams], [s.stamps for s in streams], at, lists, _encode_all(streams)


def _encode_all(streams: Sequence[Stream | _core.Stream]) -> str:
    plain = []
    for stream in streams:
        given = tuple(k for k in LISTS if getattr(stream, k) is not None)
        plain.append((given, *(_constant(k, getattr(stream, k)) for k in _OPTIONS)))
    text: str = _encode(tuple(plain))
    return text


def _constant(name: str, option: Any) -> Any:
    """An option as JSON has it. A number may be a symbol in code that is traced: it becomes what it stands for."""
    if option is None or isinstance(option, str):
        return option
    if isinstance(option, (tuple, list)):
        return tuple([_constant(name, part) for part in option])
    if isinstance(option, float):
        return float.fromhex(float(option).hex())
    if isinstance(option, int):
        return operator.index(option)
    raise Unsupported(
        f"align: {name} is an array or a number of numpy or torch in code that is traced, expected an int, a float or "
        f"a str; write int({name}) or float({name}) outside of that code"
    )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _encode(streams: tuple[tuple[Any, ...], ...]) -> str:
    return json.dumps([dict(zip(("lists", *_OPTIONS), stream, strict=True)) for stream in streams])


@lru_cache(maxsize=256)
def decoded(text: str) -> tuple[list[_core.Stream], list[list[str]]]:
    """The streams without arrays, and the names of the lists that each has."""
    streams = json.loads(text)
    lists = [stream.pop("lists") for stream in streams]
    return [_core.Stream(None, None, **options) for options in streams], lists


def restored(values: list[Tensor], stamps: list[Tensor], lists: list[Tensor], options: str) -> list[_core.Stream]:
    """The streams of a call from the arguments of the operator."""
    bare, given = decoded(options)
    arrays, left = [], iter(lists)
    for own_values, own_stamps, own in zip(values, stamps, given, strict=True):
        arrays += [own_values, own_stamps, *(next(left) if k in own else None for k in LISTS)]
    return _core.put_together(bare, arrays)
