"""The way around torch's dispatcher, for calls that only want their result, or a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robocache import _core
from robocache.errors import Unsupported
from robocache.torch.operators import outputs_of
from robocache.torch.streams import LISTS, ROTATIONS, Interp, Stream, arguments

_PLAIN = (Tensor, torch.nn.Parameter)


def is_plain(streams: Sequence[Stream | _core.Stream], at: Tensor) -> bool:
    """Whether this is no more than a call: no tracing, no mode, no transform, no tensor of another kind."""
    if torch.compiler.is_compiling():
        return False
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None or torch._C._get_tracing_state() is not None:
        return False
    for stream in streams:
        if type(stream.values) not in _PLAIN:
            return False
    return type(at) in _PLAIN and torch.autograd.forward_ad._current_level < 0


def refuse_tangents(streams: Sequence[Stream | _core.Stream]) -> None:
    """Raise for forward-mode derivatives, which the operator would drop."""
    if torch.compiler.is_compiling() or torch.autograd.forward_ad._current_level < 0:
        return
    for i, stream in enumerate(streams):
        if torch.autograd.forward_ad.unpack_dual(stream.values).tangent is not None:
            raise Unsupported(
                f"align: streams[{i}].values has a tangent, expected none; there are no forward-mode derivatives"
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
        ctx.streams, ctx.at = streams, at
        kept = outputs if any(is_rotation(s.interp) for s in streams) else []
        others = [getattr(s, k) for s in streams for k in ("stamps", *LISTS)]
        ctx.kept = len(kept)
        ctx.save_for_backward(*kept, *values, *(t for t in (*others, at) if isinstance(t, Tensor)))
        return (*outputs, result.valid, result.age_ns)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Gradients by `values`."""
        grad_out, wanted = list(gradients[:-2]), list(ctx.needs_input_grad[3:])
        out = list(ctx.saved_tensors[: ctx.kept])  # also looks whether any of them was written to since
        if torch.is_grad_enabled():  # the gradient must say itself that it has none
            found = iter(torch.ops.robocache.align_gradient(grad_out, out, *arguments(ctx.streams, ctx.at), wanted))
            return None, None, None, *[next(found) if want else None for want in wanted]
        return (
            None,
            None,
            None,
            *_core.align_gradient(ctx.streams, ctx.at, grad_out, out=out or None, wanted=wanted, check="off"),
        )


def is_rotation(interp: Interp) -> bool:
    """Whether a stream has quaternions."""
    modes = (interp,) if interp is None or isinstance(interp, str) else (mode for mode, _ in interp)
    return any(mode in ROTATIONS for mode in modes)
