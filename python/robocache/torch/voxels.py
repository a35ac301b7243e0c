"""voxelize for torch: the operators robocache::voxelize and robocache::voxelize_gradient, and what calls them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robocache import _core
from robocache.errors import InvalidArgument, Unsupported
from robocache.torch.operators import refuse_batches, refuse_transforms

_LISTS = "Tensor points, Tensor? features, Tensor? lengths, Tensor? offsets, Tensor? transform"
_GRID = "float[] voxel_m, float[] origin, int[] shape, str reduce"
torch.library.define(
    "robocache::voxelize",
    f"({_LISTS}, {_GRID}, float[] empty) -> (Tensor[], Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    "robocache::voxelize_gradient",
    f"(Tensor[] grad_out, {_LISTS}, {_GRID}) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)

_ARRAYS = ("points", "features", "lengths", "offsets", "transform")
_DTYPES = {"count": torch.int32, "occupancy": torch.bool, "occupancy_bits": torch.uint8}
Arrays = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]  # _LISTS


class VoxelizeResult(NamedTuple):
    """The voxels of a grid.

    Attributes
    ----------
    values : Tensor, or dict of Tensors
        As ``robocache.voxelize`` has them: of the reduction that was asked for, or of each where several were.
    dropped : int64 Tensor [B] or []
        Points of each cloud that are in no voxel.
    """

    values: Any
    dropped: Tensor


def _options(arrays: Arrays, voxel_m: list[float], origin: list[float], shape: list[int], names: str) -> dict[str, Any]:
    _, _, lengths, offsets, transform = arrays
    grid = {"voxel_m": voxel_m, "origin": origin, "shape": shape, "reduce": names.split(",")}
    return {**grid, "lengths": lengths, "offsets": offsets, "transform": transform}


@torch.library.impl("robocache::voxelize", ("cpu", "cuda"))  # type: ignore[untyped-decorator]
def _voxelize(
    points: Tensor,
    features: Tensor | None,
    lengths: Tensor | None,
    offsets: Tensor | None,
    transform: Tensor | None,
    voxel_m: list[float],
    origin: list[float],
    shape: list[int],
    reduce: str,
    empty: list[float],
) -> tuple[list[Tensor], Tensor]:
    options = _options((points, features, lengths, offsets, transform), voxel_m, origin, shape, reduce)
    names = reduce.split(",")
    with torch.no_grad():
        result = _core.voxelize(points, features, **options, empty=dict(zip(names, empty, strict=True)))
    return [result[name] for name in names], result.dropped


@torch.library.impl("robocache::voxelize_gradient", ("cpu", "cuda"))  # type: ignore[untyped-decorator]
def _voxelize_gradient(
    grad_out: list[Tensor],
    points: Tensor,
    features: Tensor | None,
    lengths: Tensor | None,
    offsets: Tensor | None,
    transform: Tensor | None,
    voxel_m: list[float],
    origin: list[float],
    shape: list[int],
    reduce: str,
) -> Tensor:
    options = _options((points, features, lengths, offsets, transform), voxel_m, origin, shape, reduce)
    with torch.no_grad():
        reduced = points if features is None else features
        found: Tensor = _core.voxelize_gradient(points, reduced, [g.contiguous() for g in grad_out], **options)
    return found


def _batch(points: Tensor, offsets: Tensor | None) -> list[Any]:
    """The batch axis of the results, or none."""
    if offsets is not None:
        return [offsets.shape[0] - 1]
    return [points.shape[0]] if points.ndim == 3 else []


@torch.library.register_fake("robocache::voxelize")  # type: ignore[untyped-decorator]
def _voxelize_fake(
    points: Tensor,
    features: Tensor | None,
    lengths: Tensor | None,
    offsets: Tensor | None,
    transform: Tensor | None,
    voxel_m: list[float],
    origin: list[float],
    shape: list[int],
    reduce: str,
    empty: list[float],
) -> tuple[list[Tensor], Tensor]:
    batch = _batch(points, offsets)
    reduced = points if features is None else features
    made = []
    for name in reduce.split(","):
        sizes = [*batch, *shape]
        if name == "occupancy_bits":
            sizes[-1] = (shape[-1] + 7) // 8
        elif name not in _DTYPES:
            sizes.append(reduced.shape[-1])
        made.append(points.new_empty(sizes, dtype=_DTYPES.get(name, reduced.dtype)))
    return made, points.new_empty(batch, dtype=torch.int64)


@torch.library.register_fake("robocache::voxelize_gradient")  # type: ignore[untyped-decorator]
def _voxelize_gradient_fake(grad_out: list[Tensor], points: Tensor, features: Tensor | None, *_: Any) -> Tensor:
    reduced = points if features is None else features
    return reduced.new_empty(reduced.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[list[Tensor], Tensor]) -> None:
    *arrays, ctx.voxel_m, ctx.origin, ctx.shape, ctx.reduce, _ = inputs
    outputs, dropped = output
    names = ctx.reduce.split(",")
    ctx.mark_non_differentiable(dropped, *[o for o, name in zip(outputs, names, strict=True) if name in _DTYPES])
    ctx.given = [array is not None for array in arrays]
    ctx.save_for_backward(*[array for array in arrays if array is not None])


def _backward(ctx: Any, grad_out: list[Tensor | None], _dropped: Any) -> tuple[Any, ...]:
    refuse_batches("voxelize", grad_out)
    saved = iter(ctx.saved_tensors)
    arrays = [next(saved) if given else None for given in ctx.given]
    names = ctx.reduce.split(",")
    used = [(g, n) for g, n in zip(grad_out, names, strict=True) if g is not None and n not in _DTYPES]
    found = None
    if used:
        reduce = ",".join(name for _, name in used)
        found = torch.ops.robocache.voxelize_gradient(
            [g for g, _ in used], *arrays, ctx.voxel_m, ctx.origin, ctx.shape, reduce
        )
    by_points, by_features = (found, None) if arrays[1] is None else (None, found)
    return by_points, by_features, *[None] * 8


def _no_second_derivative(ctx: Any, *_: Any) -> Any:
    raise Unsupported("voxelize: a second derivative is asked for, expected the first; the gradient itself has none")


torch.library.register_autograd("robocache::voxelize", _backward, setup_context=_keep)
torch.library.register_autograd("robocache::voxelize_gradient", _no_second_derivative)


def _check_names(names: Sequence[str], empty: float | dict[str, float]) -> None:
    """Raise for reductions that the fake operator would not know either."""
    known = (*_DTYPES, "sum", "mean", "min", "max", "first", "last")
    if not names:
        raise InvalidArgument(f"voxelize: reduce is empty, expected one or more of {', '.join(known)}")
    for subject, given in (("reduce", names), ("empty", empty if isinstance(empty, dict) else ())):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise InvalidArgument(f"voxelize: {subject} is {unknown[0]!r}, expected one of {', '.join(known)}")


def _refuse(arrays: Arrays) -> None:
    """Raise for arrays that are no tensors, for transforms of torch.func, and for what has no gradient."""
    for name, array in zip(_ARRAYS, arrays, strict=True):
        if array is not None and not isinstance(array, Tensor):
            raise InvalidArgument(
                f"voxelize: {name} is {type(array).__name__}, expected torch.Tensor; robocache.voxelize takes arrays "
                "of any library"
            )
        reduced = name == "features" or (name == "points" and arrays[1] is None)
        if array is not None and array.requires_grad and not reduced and torch.is_grad_enabled():
            raise Unsupported(
                f"voxelize: {name} requires grad, expected a tensor without; there are gradients by features alone, "
                "so .detach() it"
            )
    refuse_transforms("voxelize", "[B, N, 3]", zip(_ARRAYS, arrays, strict=True))


def voxelize(
    points: Tensor,
    features: Tensor | None = None,
    *,
    voxel_m: float | Sequence[float],
    origin: Sequence[float],
    shape: Sequence[int],
    reduce: str | Sequence[str] = "count",
    empty: float | dict[str, float] = 0.0,
    lengths: Tensor | None = None,
    offsets: Tensor | None = None,
    transform: Tensor | None = None,
) -> VoxelizeResult:
    """Put points into a dense grid of voxels; differentiable in `features`.

    Parameters
    ----------
    points, features, voxel_m, origin, shape, reduce, empty, lengths, offsets, transform
        As in ``robocache.voxelize``; arrays are tensors. Without `features` the points are reduced, and differentiated.

    Returns
    -------
    VoxelizeResult
        ``values`` is a tensor where `reduce` is one name, else a dict of one for each.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit, an array is no tensor, or a grid makes no sense.
    NotImplementedError
        Points or a transform that require grad beside features; a transform of torch.func; a second derivative, a
        forward-mode or a batched one; on CUDA reductions of features of more than 2^31 - 1 points.
    """
    names = [reduce] if isinstance(reduce, str) else list(reduce)
    arrays = (points, features, lengths, offsets, transform)
    _check_names(names, empty)
    _refuse(arrays)
    if isinstance(shape, str) or not all(hasattr(n, "__index__") for n in shape):
        raise InvalidArgument(f"voxelize: shape is {shape!r}, expected 3 whole numbers")
    voxel = [float(v) for v in voxel_m] if isinstance(voxel_m, Sequence) else [float(voxel_m)] * 3
    fills = [float(empty.get(n, 0.0) if isinstance(empty, dict) else empty) for n in names]
    outputs, dropped = torch.ops.robocache.voxelize(
        *arrays, voxel, [float(v) for v in origin], [int(n) for n in shape], ",".join(names), fills
    )
    return VoxelizeResult(outputs[0] if isinstance(reduce, str) else dict(zip(names, outputs, strict=True)), dropped)
