"""Streams of tensors, and how a call travels as the arguments of an operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from robocache import _core

Interp: TypeAlias = str | Sequence[tuple[str | None, int]] | None
Policy: TypeAlias = str | float
Missing: TypeAlias = Literal["propagate", "skip", "hold"]
Order: TypeAlias = Literal["xyzw", "wxyz"]

LISTS = ("lengths", "offsets", "mask")  # arrays that a stream may have
_OPTIONS = ("interp", "outside", "max_gap_ns", "max_age_ns", "offset_ns", "missing", "quaternion", "name")
ROTATIONS = ("slerp", "se3", "screw")


@dataclass(frozen=True)
class Stream:
    """``robocache.Stream`` for code that torch.compile or torch.export traces; outside of it, both will do.

    Parameters
    ----------
    values, stamps : Tensor
    interp, outside, max_gap_ns, max_age_ns, offset_ns, lengths, offsets, mask, missing, quaternion, name
        As of ``robocache.Stream``. Errors in them are found by the call that takes the stream.
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
        plain.append((given, *(getattr(stream, k) for k in _OPTIONS)))
    text: str = _encode(tuple(plain))
    return text


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _encode(streams: tuple[tuple[Any, ...], ...]) -> str:
    return json.dumps([dict(zip(("lists", *_OPTIONS), stream, strict=True)) for stream in streams])


@lru_cache(maxsize=256)
def decoded_options(text: str) -> list[dict[str, Any]]:
    """Of each stream, its options, and which `lists` it has."""
    options: list[dict[str, Any]] = json.loads(text)
    return options


def restored(values: list[Tensor], stamps: list[Tensor], lists: list[Tensor], options: str) -> list[_core.Stream]:
    """The streams of a call from the arguments of the operator."""
    streams, used = [], 0
    for own_values, own_stamps, decoded in zip(values, stamps, decoded_options(options), strict=True):
        arguments = {k: decoded[k] for k in _OPTIONS}
        for k in decoded["lists"]:
            arguments[k] = lists[used]
            used += 1
        streams.append(_core.Stream(own_values, own_stamps, **arguments))
    return streams
