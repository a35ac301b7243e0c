"""robocache.torch: the same as robocache.align, and what torch asks of an operator."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import robocache as rc
from arrays import Home
from torch_logs import call, captured, log, mixed, rt, targets, torch


def native(stream: Any) -> Any:
    names = ("interp", "outside", "lengths", "offsets", "mask", "missing", "quaternion")
    return rc.Stream(stream.values.detach(), stream.stamps, **{k: getattr(stream, k) for k in names})


# --- The same as robocache.align --------------------------------------------------------------------------------------


def test_gives_what_align_gives(where: Any) -> None:
    streams, at = mixed(where)
    want = rc.align([native(s) for s in streams], at)
    for got in (rt.align(streams, at), torch.no_grad()(rt.align)(streams, at)):
        torch.testing.assert_close(got.values, want.values, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(got.valid, want.valid)
        assert torch.equal(got.age_ns, want.age_ns)
    parts = rt.align(streams, at, dtype=torch.float32, split=True)
    assert [p.shape[-1] for p in parts.values] == [8, 7, 2]
    assert all(p.dtype == torch.float32 for p in parts.values)


def test_takes_native_streams_too(where: Any) -> None:
    values, stamps = log(where, 3)
    at = targets(where)
    got = rt.align([rc.Stream(values, stamps)], at)
    got.values.sum().backward()
    assert torch.equal(got.values, rt.align([rt.Stream(values, stamps)], at).values)
    assert values.grad is not None


@pytest.mark.parametrize("batch", [None, 2])
def test_resample_keeps_the_axes(where: Any, batch: int | None) -> None:
    values, stamps = log(where, 1, batch=batch)
    at = targets(where, batch)
    flat = rt.resample(values[..., 0], stamps, at)
    assert flat.shape == at.shape
    assert torch.equal(flat, rt.resample(values, stamps, at)[..., 0])
    assert torch.equal(flat.detach(), rc.resample(values.detach()[..., 0], stamps, at))


def test_a_mix_of_dtypes(where: Any) -> None:
    values, stamps = log(where, 3)
    half, _ = log(where, 2, dtype=torch.bfloat16)
    count = torch.arange(6, device=where).expand(2, 6)
    streams = [rt.Stream(values, stamps), rt.Stream(half, stamps), rt.Stream(count, stamps)]
    at = targets(where)
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled), pytest.raises(ValueError, match="mix of bfloat16, float64, int64"):
            rt.align(streams, at)
    parts = rt.align(streams, at, split=True).values
    assert [p.dtype for p in parts] == [torch.float64, torch.bfloat16, torch.int64]
    (parts[0].sum() + parts[1].sum()).backward()
    assert (values.grad.dtype, half.grad.dtype) == (torch.float64, torch.bfloat16)


def test_errors_are_those_of_align(where: Any) -> None:
    values, stamps = log(where, 3)
    with pytest.raises(ValueError, match=r"streams\[0\].values is \[2, 6, 3\], expected a multiple of 4 columns"):
        rt.align([rt.Stream(values, stamps, interp="slerp")], targets(where))
    with pytest.raises(ValueError, match="align: streams is empty"):
        rt.align([], targets(where))
    with pytest.raises(NotImplementedError, match=r"requires grad.*robocache.torch"):
        rc.align([rc.Stream(values, stamps)], targets(where))


# --- What torch asks of an operator -----------------------------------------------------------------------------------


def sample_calls(where: Any) -> list[tuple[Any, ...]]:
    streams, at = mixed(where, before="hold")  # opcheck takes no NaN
    plain, stamps = log(where, 3)
    packed, packed_ns = log(where, 4, batch=None)
    offsets = torch.tensor([0, 2, 6], device=where)
    return [
        call(streams, at),
        call(streams, at, torch.float32),
        call([rt.Stream(plain, stamps)], targets(where, None)),
        call([rt.Stream(plain.detach(), stamps, interp="nearest")], at),
        call([rt.Stream(plain, stamps), rt.Stream(plain.detach().long(), stamps)], at),
        call([rt.Stream(packed, packed_ns, interp="slerp", offsets=offsets)], targets(where)),
        call([rt.Stream(packed[:, 0].detach().requires_grad_(), packed_ns)], targets(where, None)),
    ]


@pytest.mark.parametrize("which", range(7))
def test_opcheck(where: Any, which: int) -> None:
    torch.library.opcheck(torch.ops.robocache.align.default, sample_calls(where)[which])


def test_opcheck_of_the_gradient(where: Any) -> None:
    values, stamps, at, lists, options, _ = sample_calls(where)[0]
    outputs, *_ = torch.ops.robocache.align(values, stamps, at, lists, options, None)
    upstream = [torch.ones_like(o) for o in outputs]
    arguments = (upstream, outputs, values, stamps, at, lists, options, [True, False, True])
    detached = torch.utils._pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, arguments)
    torch.library.opcheck(torch.ops.robocache.align_gradient.default, detached)


def loss(state: Any, state_ns: Any, pose: Any, pose_ns: Any, at: Any) -> Any:
    result = rt.align(
        [
            rt.Stream(state, state_ns, interp=[("linear", 4), ("slerp", 4)], max_gap_ns=50, name="state"),
            rt.Stream(pose, pose_ns, interp="se3", outside=("nan", "extrapolate")),
        ],
        at,
    )
    again = rt.resample(state, state_ns, at, interp="pchip")
    return (result.values.nan_to_num() ** 2).sum() + (again * result.valid[..., :1]).sum(), result.age_ns


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_graph_breaks(where: Any, dynamic: bool) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for samples, count in ((6, 7), (6, 7), (9, 4)) if dynamic else ((6, 7),):
        arguments = [*log(where, 8, samples=samples), *log(where, 7, seed=1, samples=samples)]
        at = targets(where, count=count)
        gradients = []
        for f in (loss, compiled):
            value, age_ns = f(*arguments, at)
            gradients.append((value.detach(), age_ns, *torch.autograd.grad(value, [arguments[0], arguments[2]])))
        torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_inductor_compiles_it(where: Any) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True)
    arguments = [*log(where, 8), *log(where, 7, seed=1), targets(where)]
    for f in (loss, compiled):
        f(*arguments)[0].backward()
    torch.testing.assert_close(arguments[0].grad / 2, torch.autograd.grad(loss(*arguments)[0], arguments[0])[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
def test_replayed_graphs_give_the_same(cuda: Home) -> None:
    """mode="reduce-overhead" captures forward and backward, whose memory is then the graphs' own."""
    torch._dynamo.reset()
    where = torch.device("cuda")
    compiled = torch.compile(loss, fullgraph=True, mode="reduce-overhead")
    for step in range(5):  # the first warm up, the second captures
        arguments = [*log(where, 8, seed=2 * step), *log(where, 7, seed=2 * step + 1), targets(where)]
        found = []
        for f in (loss, compiled):
            torch.compiler.cudagraph_mark_step_begin()
            value, age_ns = f(*arguments)
            gradients = torch.autograd.grad(value, [arguments[0], arguments[2]])
            found.append([t.detach().clone() for t in (value, age_ns, *gradients)])  # the next replay writes there
        torch.testing.assert_close(found[1], found[0])


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, values: Any, stamps: Any, at: Any) -> Any:
        return self.weights(rt.resample(values, stamps, at, interp=[("angle", 1), ("hold", 3)], max_age_ns=5))


def test_exports_and_loads(where: Any, tmp_path: Any) -> None:
    values, stamps = log(where, 4)
    model = Model().to(where)
    arguments = (values.detach(), stamps, targets(where))
    samples, count = torch.export.Dim("S", min=2), torch.export.Dim("T", min=2)
    shapes = ({1: samples}, {1: samples}, {1: count})
    torch.export.save(torch.export.export(model, arguments, dynamic_shapes=shapes), tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(loaded(*arguments), model(*arguments))
    longer, longer_ns = log(where, 4, samples=11)
    arguments = (longer.detach(), longer_ns, targets(where, count=5))
    torch.testing.assert_close(loaded(*arguments), model(*arguments))


def test_a_graph_captures_forward_and_backward(cuda: Home) -> None:
    where = torch.device("cuda")
    streams, at = mixed(where)
    values = [s.values for s in streams]

    def step() -> list[Any]:
        return list(torch.autograd.grad(rt.align(streams, at).values.nan_to_num().square().sum(), values))

    graph, made = captured(step)
    with torch.no_grad():
        for v in values:
            v.mul_(1.5).add_(0.1)
    graph.replay()
    torch.testing.assert_close(made, step(), rtol=1e-9, atol=1e-9)


def test_the_package_does_not_import_torch() -> None:
    code = "import sys, robocache; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
