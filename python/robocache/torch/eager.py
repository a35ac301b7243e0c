"""The way around torch's dispatcher, for calls that only want their result, or a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robocache import _core
from robocache.errors import InvalidArgument, Unsupported
from robocache.torch.operators import outputs_of, refuse_batches
from robocache.torch.streams import ARRAYS, LISTS, ROTATIONS, Interp, Stream, arguments

_PLAIN = frozenset((Tensor, torch.nn.Parameter))


def is_plain(streams: Sequence[_core.Stream], at: Tensor) -> bool:
    """Whether this is no more than a call: no mode, no transform, nothing but tensors of torch's own kind."""
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None or torch._C._get_tracing_state() is not None:
        return False
    return type(at) in _PLAIN and _core.made_of(streams, _PLAIN) and torch.autograd.forward_ad._current_level < 0


def arrays_of(streams: Sequence[Stream | _core.Stream], at: Tensor) -> list[tuple[str, Any]]:
    """All arrays of a call, and what errors call them."""
    given = [("at", at)]
    for i, stream in enumerate(streams):
        lists = [k for k in LISTS if getattr(stream, k) is not None]
        given += [(f"streams[{i}].{k}", getattr(stream, k)) for k in ("values", "stamps", *lists)]
    return given


def refuse_others(arrays: list[tuple[str, Any]]) -> None:
    """Raise for arrays that are no tensors."""
    for name, array in arrays:
        if not isinstance(array, Tensor):
            raise InvalidArgument(
                f"align: {name} is {type(array).__name__}, expected torch.Tensor; torch.as_tensor makes one, and "
                "robocache.align takes arrays of any library"
            )


def refuse_time_gradients(streams: Sequence[Stream | _core.Stream], at: Tensor) -> None:
    """Raise for targets and stamps that require grad: there are gradients by values alone."""
    if at.dtype is torch.int64 or not torch.is_grad_enabled():
        return
    times = [("at", at), *((f"streams[{i}].stamps", s.stamps) for i, s in enumerate(streams))]
    for name, array in times:
        if getattr(array, "requires_grad", False):
            raise Unsupported(
                f"align: {name} requires grad, expected a tensor without; there are gradients by values alone, "
                "so .detach() it"
            )


def wants_gradient(streams: Sequence[_core.Stream]) -> bool:
    """Whether autograd would record the call."""
    if torch.is_grad_enabled():
        for stream in streams:
            if stream.values.requires_grad:
                return True
    return False


class EagerAlign(torch.autograd.Function):  # type: ignore[misc]
    """What robocache::align does under autograd, at a fifth of its price: the dispatcher calls Python many times."""

    @staticmethod
    def forward(ctx: Any, streams: list[_core.Stream], at: Tensor, dtype: torch.dtype | None, *values: Tensor) -> Any:
        """What robocache::align returns, flat; `values` are those of the streams."""
        result = _core.align(streams, at, dtype=dtype)
        outputs = outputs_of(result, values, dtype)
        ctx.mark_non_differentiable(result.valid, result.age_ns, *[o for o in outputs if not o.is_floating_point()])
        ctx.options, arrays = _core.take_apart(streams)
        kept = outputs if any(is_rotation(s.interp) for s in streams) else []
        ctx.save_for_backward(at, *arrays, *kept)
        return (*outputs, result.valid, result.age_ns)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Gradients by `values`."""
        grad_out, wanted = list(gradients[:-2]), list(ctx.needs_input_grad[3:])
        at, *saved = ctx.saved_tensors  # also looks whether any of them was written to since
        count = ARRAYS * len(ctx.options)
        streams, out = _core.put_together(ctx.options, saved[:count]), saved[count:]
        if torch.is_grad_enabled():  # the gradient must say itself that it has none
            refuse_batches("align", grad_out)
            found = iter(torch.ops.robocache.align_gradient(grad_out, out, *arguments(streams, at), wanted))
            return None, None, None, *[next(found) if want else None for want in wanted]
        try:
            found = _core.align_gradient(streams, at, grad_out, out=out or None, wanted=wanted, check="off")
        except InvalidArgument:  # perhaps for a batch of gradients, which it cannot read
            refuse_batches("align", grad_out)
            raise
        return None, None, None, *found


def is_rotation(interp: Interp) -> bool:
    """Whether a stream has quaternions."""
    modes = (interp,) if interp is None or isinstance(interp, str) else (mode for mode, _ in interp)
    return any(mode in ROTATIONS for mode in modes)
