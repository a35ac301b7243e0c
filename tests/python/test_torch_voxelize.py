"""robocache.torch.voxelize: the same as robocache.voxelize, its gradients, and what torch asks of an operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home
from torch_logs import captured, rt, torch

GRID = {"voxel_m": 0.5, "origin": (-1.0, -1.0, -1.0), "shape": (4, 3, 5)}
FEATURES = ("sum", "mean", "min", "max", "first", "last")


def scene(where: Any, dtype: Any = torch.float64, columns: int = 3) -> tuple[Any, Any]:
    made = torch.Generator().manual_seed(3)
    points = torch.randn(2, 40, 3, generator=made, dtype=torch.float64)
    points[0, ::7] = float("nan")
    features = torch.randn(2, 40, columns, generator=made, dtype=torch.float64)
    return points.to(where), features.to(where, dtype).requires_grad_()


def test_gives_what_voxelize_gives(where: Any) -> None:
    points, features = scene(where)
    names = ("count", "occupancy", "occupancy_bits", *FEATURES)
    lengths = torch.tensor([40, 11], device=where)
    want = rc.voxelize(points, features.detach(), **GRID, reduce=names, empty={"max": -3.0}, lengths=lengths)
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            got = rt.voxelize(points, features, **GRID, reduce=names, empty={"max": -3.0}, lengths=lengths)
        assert list(got.values) == list(names)
        for name in names:
            assert torch.equal(got.values[name], want[name])
            assert got.values[name].dtype == want[name].dtype
            assert got.values[name].requires_grad == (enabled and name in FEATURES)
        assert torch.equal(got.dropped, want.dropped)
    assert torch.equal(rt.voxelize(points, **GRID, lengths=lengths).values, want["count"])


@pytest.mark.parametrize("reduce", [*FEATURES, FEATURES])
def test_gradcheck(where: Any, reduce: Any) -> None:
    points, features = scene(where)
    offsets = torch.tensor([0, 13, 13, 40], device=where)

    def run(features: Any) -> Any:
        values = rt.voxelize(points[1], features, **GRID, reduce=reduce, offsets=offsets).values
        return values if isinstance(reduce, str) else tuple(values.values())

    assert torch.autograd.gradcheck(run, (features[1].detach().requires_grad_(),))


def test_without_features_the_points_have_the_gradient(where: Any) -> None:
    points = torch.tensor([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [9.0, 9.0, 9.0]], device=where)
    points.requires_grad_()
    rt.voxelize(points, **GRID, reduce="mean").values.sum().backward()
    assert points.grad.tolist() == [[0.5] * 3, [0.5] * 3, [0.0] * 3]


def test_a_result_that_is_not_used_has_no_gradient(where: Any) -> None:
    points, features = scene(where)
    values = rt.voxelize(points, features, **GRID, reduce=FEATURES).values
    values["max"].sum().backward()
    got, features.grad = features.grad, None
    rt.voxelize(points, features, **GRID, reduce="max").values.sum().backward()
    assert torch.equal(got, features.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gradients_have_the_dtype_of_features(where: Any, dtype: Any) -> None:
    points, features = scene(where, dtype)
    rt.voxelize(points, features, **GRID, reduce="mean").values.float().square().sum().backward()
    assert features.grad.dtype == dtype
    assert features.grad.abs().sum() > 0


@pytest.mark.parametrize("columns", [1, 3])
def test_opcheck(where: Any, columns: int) -> None:
    points, features = scene(where, columns=columns)
    call = (
        points,
        features,
        torch.tensor([40, 3], device=where),
        None,
        None,
        [0.5] * 3,
        [-1.0] * 3,
        [4, 3, 5],
        "mean,count,max",
        [0.0] * 3,
    )
    torch.library.opcheck(torch.ops.robocache.voxelize.default, call)
    offsets = torch.tensor([0, 20, 40], device=where)
    packed = (points[0], None, None, offsets, None, [0.5] * 3, [-1.0] * 3, [4, 3, 5], "sum,occupancy_bits", [0.0] * 2)
    torch.library.opcheck(torch.ops.robocache.voxelize.default, packed)
    grad_out = [torch.ones(2, 4, 3, 5, columns, dtype=torch.float64, device=where)]
    gradient = (grad_out, points, features.detach(), None, None, None, [0.5] * 3, [-1.0] * 3, [4, 3, 5], "mean")
    torch.library.opcheck(torch.ops.robocache.voxelize_gradient.default, gradient)


def test_compiles_whole_with_its_backward(where: Any) -> None:
    points, features = scene(where)

    def loss(points: Any, features: Any) -> Any:
        grid = rt.voxelize(points, features, **GRID, reduce=("mean", "count", "max"))
        return (grid.values["mean"] * grid.values["count"][..., None]).sum() + grid.values["max"].square().sum()

    want = loss(points, features)
    want.backward()
    expected, features.grad = features.grad, None
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    got = compiled(points, features)
    got.backward()
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(features.grad, expected)
    fewer = points[:, :20], features.detach()[:, :20]
    torch.testing.assert_close(compiled(*fewer), loss(*fewer))


def test_a_graph_captures_forward_and_backward(cuda: Home) -> None:
    points, features = scene(torch.device("cuda"), torch.float32)

    def step() -> Any:
        values = rt.voxelize(points, features, **GRID, reduce=("mean", "sum", "max")).values
        return torch.autograd.grad(sum(v.square().sum() for v in values.values()), features)[0]

    graph, made = captured(step)
    with torch.no_grad():
        features.mul_(1.5).add_(0.1)
        points.mul_(0.9)
    graph.replay()
    assert torch.equal(made, step())


def test_exports(where: Any) -> None:
    class Voxels(torch.nn.Module):
        def forward(self, points: Any, features: Any) -> Any:
            return rt.voxelize(points, features, **GRID, reduce="mean").values

    points, features = scene(where)
    features = features.detach()
    program = torch.export.export(Voxels(), (points, features))
    assert torch.equal(program.module()(points, features), Voxels()(points, features))


def test_what_has_no_gradient_is_refused(where: Any) -> None:
    points, features = scene(where)
    with pytest.raises(rc.Unsupported, match="voxelize: points requires grad, expected a tensor without"):
        rt.voxelize(points.requires_grad_(), features, **GRID)
    points = points.detach()
    with pytest.raises(rc.Unsupported, match=r"voxelize: the call is under torch\.func's grad"):
        torch.func.grad(lambda f: rt.voxelize(points, f, **GRID, reduce="sum").values.sum())(features.detach())
    values = rt.voxelize(points, features, **GRID, reduce="sum").values
    (first,) = torch.autograd.grad(values.square().sum(), features, create_graph=True)
    with pytest.raises(rc.Unsupported, match="voxelize: a second derivative is asked for"):
        first.sum().backward()
    with pytest.raises(rc.Unsupported, match=r"points is a tensor that requires grad.*resample and voxelize"):
        rc.voxelize(features, **GRID)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"points": np.zeros((4, 3))}, "points is ndarray, expected torch.Tensor"),
        ({"reduce": "median"}, "reduce is 'median', expected one of count, "),
        ({"reduce": ()}, "reduce is empty, expected one or more of count, "),
        ({"empty": {"median": 1.0}}, "empty is 'median', expected one of count, "),
        ({"shape": (4.5, 3, 5)}, r"shape is \(4.5, 3, 5\), expected 3 whole numbers"),
        ({"shape": "435"}, "shape is '435', expected 3 whole numbers"),
        ({"shape": (2, -1, 2)}, "shape is -1 along y"),
        ({"offsets": torch.tensor([0, 5])}, "offsets is 0 to 5 of cloud 0"),
    ],
)
def test_errors_name_what_is_wrong(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(rc.InvalidArgument, match=f"voxelize: {text}"):
        rt.voxelize(**{"points": torch.zeros(4, 3), **GRID, **wrong})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of make_dual's own
@pytest.mark.parametrize("name", ["points", "features", "transform"])
def test_tangents_are_refused_not_dropped(name: str) -> None:
    import torch.autograd.forward_ad as forward

    given_ = {"points": torch.rand(4, 3), "features": torch.rand(4, 2), "transform": torch.eye(4)}
    with forward.dual_level(), pytest.raises(rc.Unsupported, match=f"voxelize: {name} has a tangent"):
        rt.voxelize(**{**given_, name: forward.make_dual(given_[name], torch.ones_like(given_[name]))}, **GRID)


def test_batches_of_gradients_are_refused() -> None:
    features = torch.rand(4, 2, requires_grad=True)
    got = rt.voxelize(torch.rand(4, 3), features, **GRID, reduce="sum").values
    with pytest.raises(rc.Unsupported, match="voxelize: grad_out is a batch of gradients"):
        torch.autograd.grad(got, features, torch.ones(3, *got.shape), is_grads_batched=True)
