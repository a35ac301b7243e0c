"""RoboCache's operators for torch: differentiable, and understood by torch.compile, torch.export and CUDA graphs.

``align``, ``resample`` and ``voxelize`` here give what their namesakes in ``robocache`` give, for tensors, with
gradients by the values of the streams and by the features of points. docs/gradients.md says what is differentiable.
Importing this module registers the operators ``robocache::align``, ``robocache::align_gradient``,
``robocache::voxelize`` and ``robocache::voxelize_gradient`` with torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robocache import _core
from robocache.errors import InvalidArgument
from robocache.torch.eager import (
    EagerAlign,
    arrays_of,
    is_plain,
    refuse_others,
    refuse_time_gradients,
    wants_gradient,
)
from robocache.torch.loading import LoaderDataset
from robocache.torch.operators import refuse_transforms
from robocache.torch.streams import Interp, Missing, Order, Policy, Stream, arguments, columns_of, native
from robocache.torch.voxels import VoxelizeResult, voxelize

__all__ = ["AlignResult", "LoaderDataset", "Stream", "VoxelizeResult", "align", "resample", "voxelize"]


class AlignResult(NamedTuple):
    """The aligned streams.

    Attributes
    ----------
    values : Tensor [B, T, sum D], or list of Tensors [B, T, D]
        A list, one a stream, where ``split=True`` asked for it.
    valid : bool Tensor [B, T, N]
        In range, gap and age kept.
    age_ns : int64 Tensor [B, T, N]
        Target minus the stamp of the last sample at or before it.
    """

    values: Any
    valid: Tensor
    age_ns: Tensor


def align(
    streams: Sequence[Stream | _core.Stream] | Stream | _core.Stream,
    at: Tensor,
    *,
    dtype: torch.dtype | None = None,
    split: bool = False,
) -> AlignResult:
    """Put streams at the same instants; differentiable in their values.

    Parameters
    ----------
    streams : sequence of Stream or robocache.Stream
        N of them, of tensors on one device.
    at : Tensor [B, T] or [T]
        Target times in the stamps' dtype, in any order.
    dtype : torch.dtype, optional
        Of the result: any float dtype, or the dtype that all streams have. Default: the streams' own.
    split : bool
        One tensor a stream, each in its own dtype (or in `dtype`).

    Returns
    -------
    AlignResult
        ``values`` [B, T, sum D], ``valid`` bool [B, T, N], ``age_ns`` int64 [B, T, N]. Where neither streams nor `at`
        have a batch axis, the results have none.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit, or an array is no tensor; on the CPU also unsorted or NaN stamps. On CUDA
        those are raised by the next call on the device that sees them.
    NotImplementedError
        A dtype or interpolation that is not there; a transform of torch.func; a derivative by times, a second, a
        forward-mode or a batched one.
    """
    if isinstance(streams, (Stream, _core.Stream)):
        streams = [streams]
    if not streams:
        raise InvalidArgument("align: streams is empty, expected at least one Stream")
    made: list[_core.Stream] = []
    if not torch.compiler.is_compiling():  # to code that is traced the engine's streams mean nothing
        streams = made = [native(s) if isinstance(s, Stream) else s for s in streams]
    plain = bool(made) and is_plain(made, at)
    if not plain:
        arrays = arrays_of(streams, at)
        refuse_others(arrays)
        refuse_transforms("align", "[B, S, D]", arrays)
    dtypes = {stream.values.dtype for stream in streams}
    if not split and dtype is None and len(dtypes) > 1:
        mix = ", ".join(str(d).removeprefix("torch.") for d in sorted(dtypes, key=str))
        raise InvalidArgument(f"align: values is a mix of {mix}, expected one dtype; take dtype= or split=True")
    refuse_time_gradients(streams, at)
    if plain:
        if not wants_gradient(made):
            result = _core.align(made, at, dtype=dtype)
            return AlignResult(result.split() if split else result.values, result.valid, result.age_ns)
        *outputs, valid, age_ns = EagerAlign.apply(made, at, dtype, *[s.values for s in made])
    else:
        outputs, valid, age_ns = torch.ops.robocache.align(*arguments(streams, at), dtype)
    if not split:
        return AlignResult(outputs[0], valid, age_ns)
    if len(outputs) < len(streams):
        outputs = list(outputs[0].split([columns_of(s.values, s.stamps) for s in streams], dim=-1))
    return AlignResult(outputs, valid, age_ns)


def resample(
    values: Tensor,
    stamps: Tensor,
    at: Tensor,
    *,
    interp: Interp = None,
    outside: Policy | tuple[Policy, Policy] = "hold",
    max_gap_ns: int | None = None,
    max_age_ns: int | None = None,
    offset_ns: int = 0,
    lengths: Tensor | None = None,
    offsets: Tensor | None = None,
    mask: Tensor | None = None,
    missing: Missing = "propagate",
    quaternion: Order = "xyzw",
    name: str | None = None,
) -> Tensor:
    """Put one stream at new times: ``align`` without validity; differentiable in `values`.

    Parameters
    ----------
    values, stamps : Tensor
    interp, outside, max_gap_ns, max_age_ns, offset_ns, lengths, offsets, mask, missing, quaternion, name
        As in ``robocache.Stream``.
    at : Tensor [B, T] or [T]
        Target times in the stamps' dtype, in any order.

    Returns
    -------
    Tensor [B, T, D]
        Without the axes that `values` and `at` do not have: [T, D], [B, T] or [T].

    Raises
    ------
    ValueError, NotImplementedError
        As ``align``, whose name they bear.
    """
    stream = Stream(
        values,
        stamps,
        interp=interp,
        outside=outside,
        max_gap_ns=max_gap_ns,
        max_age_ns=max_age_ns,
        offset_ns=offset_ns,
        lengths=lengths,
        offsets=offsets,
        mask=mask,
        missing=missing,
        quaternion=quaternion,
        name=name,
    )
    out: Tensor = align([stream], at).values
    return out.squeeze(-1) if values.ndim == stamps.ndim else out
