"""The operators that torch knows: robocache::align and robocache::align_gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from robocache import _core
from robocache.errors import Unsupported
from robocache.torch.streams import ROTATIONS, columns_of, decoded, restored

torch.library.define(
    "robocache::align",
    "(Tensor[] values, Tensor[] stamps, Tensor at, Tensor[] lists, str options, ScalarType? dtype) -> "
    "(Tensor[], Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    "robocache::align_gradient",
    "(Tensor[] grad_out, Tensor[] out, Tensor[] values, Tensor[] stamps, Tensor at, Tensor[] lists, str options, "
    "bool[] wanted) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def outputs_of(result: _core.AlignResult, values: Sequence[Tensor], dtype: torch.dtype | None) -> list[Tensor]:
    """One tensor where the dtypes allow it."""
    joined = dtype is not None or all(v.dtype == values[0].dtype for v in values)
    return [result.values] if joined else result.split()


def has_quaternions(options: str) -> bool:
    """Whether a call has quaternions; a name that is a mode's counts, too."""
    return any(f'"{mode}"' in options for mode in ROTATIONS)


@torch.library.impl("robocache::align", ("cpu", "cuda"))  # type: ignore[untyped-decorator]
def _align(
    values: list[Tensor],
    stamps: list[Tensor],
    at: Tensor,
    lists: list[Tensor],
    options: str,
    dtype: torch.dtype | None,
) -> tuple[list[Tensor], Tensor, Tensor]:
    with torch.no_grad():
        result = _core.align(restored(values, stamps, lists, options), at, dtype=dtype)
    return outputs_of(result, values, dtype), result.valid, result.age_ns


@torch.library.impl("robocache::align_gradient", ("cpu", "cuda"))  # type: ignore[untyped-decorator]
def _align_gradient(
    grad_out: list[Tensor],
    out: list[Tensor],
    values: list[Tensor],
    stamps: list[Tensor],
    at: Tensor,
    lists: list[Tensor],
    options: str,
    wanted: list[bool],
) -> list[Tensor]:
    with torch.no_grad():
        # align has looked at the data already.
        gradients = _core.align_gradient(
            restored(values, stamps, lists, options), at, grad_out, out=out or None, wanted=wanted, check="off"
        )
    return [g for g, want in zip(gradients, wanted, strict=True) if want]


def _batch(values: list[Tensor], stamps: list[Tensor], at: Tensor, lists: list[Tensor], options: str) -> list[Any]:
    """The batch axis of the result, or none."""
    if at.ndim == 2:
        return [at.shape[0]]
    used = 0
    for own_values, own_stamps, names in zip(values, stamps, decoded(options)[1], strict=True):
        packed = "offsets" in names
        if not packed and (own_values.ndim == 3 or own_stamps.ndim == 2):
            return [own_values.shape[0]]
        for k in names:
            own, used = lists[used], used + 1
            if k != "mask":
                return [own.shape[0] - (1 if packed else 0)]
            if own.ndim == 2:
                return [own.shape[0]]
    return []


@torch.library.register_fake("robocache::align")  # type: ignore[untyped-decorator]
def _align_fake(
    values: list[Tensor],
    stamps: list[Tensor],
    at: Tensor,
    lists: list[Tensor],
    options: str,
    dtype: torch.dtype | None,
) -> tuple[list[Tensor], Tensor, Tensor]:
    rows = [*_batch(values, stamps, at, lists, options), at.shape[-1]]
    columns = [columns_of(*pair) for pair in zip(values, stamps, strict=True)]
    made = [dtype or v.dtype for v in values]
    if len(set(made)) == 1:
        columns, made = [sum(columns)], made[:1]
    outputs = [at.new_empty([*rows, D], dtype=own) for D, own in zip(columns, made, strict=True)]
    marks = [*rows, len(values)]
    return outputs, at.new_empty(marks, dtype=torch.bool), at.new_empty(marks, dtype=torch.int64)


@torch.library.register_fake("robocache::align_gradient")  # type: ignore[untyped-decorator]
def _align_gradient_fake(
    grad_out: list[Tensor],
    out: list[Tensor],
    values: list[Tensor],
    stamps: list[Tensor],
    at: Tensor,
    lists: list[Tensor],
    options: str,
    wanted: list[bool],
) -> list[Tensor]:
    return [v.new_empty(v.shape) for v, want in zip(values, wanted, strict=True) if want]


def refuse_transforms(op: str, batch: str, arrays: Iterable[tuple[str, Tensor | None]]) -> None:
    """Raise for transforms of torch.func, and for forward-mode derivatives, which an operator would drop."""
    if torch.compiler.is_compiling():
        return
    transform = torch._C._functorch.peek_interpreter_stack()
    if transform is not None and transform.key() != torch._C._functorch.TransformType.Functionalize:
        raise Unsupported(
            f"{op}: the call is under torch.func's {transform.key().name.lower()}, expected none of its transforms; "
            f"torch.autograd has the gradients, and a batch axis {batch} does what vmap would"
        )
    if torch.autograd.forward_ad._current_level < 0:
        return
    for name, array in arrays:
        if array is not None and torch.autograd.forward_ad.unpack_dual(array).tangent is not None:
            raise Unsupported(f"{op}: {name} has a tangent, expected none; there are no forward-mode derivatives")


def refuse_batches(op: str, grad_out: Sequence[Tensor | None]) -> None:
    """Raise for gradients that stand for a batch of such."""
    for gradient in grad_out:
        if gradient is not None and (
            torch._C._functorch.is_legacy_batchedtensor(gradient) or torch._C._functorch.is_batchedtensor(gradient)
        ):
            raise Unsupported(
                f"{op}: grad_out is a batch of gradients (is_grads_batched, vectorize or vmap), expected one; call "
                "torch.autograd.grad for each"
            )


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[list[Tensor], Tensor, Tensor]) -> None:
    values, stamps, at, lists, ctx.options, _ = inputs
    outputs, valid, age_ns = output
    ctx.mark_non_differentiable(valid, age_ns)
    # The sign that each quaternion was written with is known from the result alone.
    kept = outputs if has_quaternions(ctx.options) else []
    ctx.counts = len(values), len(lists)
    ctx.save_for_backward(*values, *stamps, at, *lists, *kept)


def _backward(ctx: Any, grad_out: list[Tensor | None], *_: Any) -> tuple[Any, ...]:
    refuse_batches("align", grad_out)
    streams, lists = ctx.counts
    saved = list(ctx.saved_tensors)
    values, stamps, at = saved[:streams], saved[streams : 2 * streams], saved[2 * streams]
    rest = saved[2 * streams + 1 :]
    wanted = list(ctx.needs_input_grad[0])
    gradients = iter(
        torch.ops.robocache.align_gradient(
            grad_out, rest[lists:], values, stamps, at, rest[:lists], ctx.options, wanted
        )
    )
    of_values = [next(gradients) if want else None for want in wanted]
    return of_values, [None] * streams, None, [None] * lists, None, None


def _no_second_derivative(ctx: Any, *_: Any) -> Any:
    raise Unsupported("align: a second derivative is asked for, expected the first; the gradient itself has none")


torch.library.register_autograd("robocache::align", _backward, setup_context=_keep)
torch.library.register_autograd("robocache::align_gradient", _no_second_derivative)
