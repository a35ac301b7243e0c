"""robocache.torch: gradients by values, and what is refused instead of dropped."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from arrays import Home
from torch_logs import call, log, mixed, rt, targets, torch

MODES = {"hold": 3, "nearest": 3, "linear": 3, "pchip": 3, "angle": 3, "slerp": 8, "se3": 7, "screw": 7}


@pytest.mark.parametrize("outside", ["hold", "nan", "extrapolate"])
@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(where: Any, mode: str, outside: str) -> None:
    values, stamps = log(where, MODES[mode])
    at = targets(where)

    def aligned(v: Any) -> Any:
        return rt.align([rt.Stream(v, stamps, interp=mode, outside=outside)], at).values.nan_to_num()

    assert torch.autograd.gradcheck(aligned, values, fast_mode=False)


def test_gradcheck_of_several_streams(where: Any) -> None:
    streams, at = mixed(where)

    def aligned(*values: Any) -> Any:
        from dataclasses import replace

        return rt.align([replace(s, values=v) for s, v in zip(streams, values, strict=True)], at).values.nan_to_num()

    assert torch.autograd.gradcheck(aligned, [s.values for s in streams])


def test_gradcheck_of_packed_samples(where: Any) -> None:
    values, stamps = log(where, 4, batch=None)
    offsets = torch.tensor([0, 2, 6], device=where)
    at = targets(where)
    for interp in ("linear", "slerp"):
        assert torch.autograd.gradcheck(lambda v: rt.resample(v, stamps, at, interp=interp, offsets=offsets), values)  # noqa: B023


def plain_linear(values: Any, stamps: Any, at: Any) -> Any:
    """Linear interpolation of one log without duplicates in torch's own operators; ends are held."""
    i = torch.searchsorted(stamps, at, right=True).clamp(1, len(stamps) - 1)
    w = ((at - stamps[i - 1]).double() / (stamps[i] - stamps[i - 1])).clamp(0, 1)[:, None]
    return values[i - 1] + w * (values[i] - values[i - 1])


def plain_pchip(y: Any, x: Any, at: Any) -> Any:
    """Cubic Hermite with the slopes of Fritsch and Butland, of one log of three samples or more, within its range."""
    h, m = (x[1:] - x[:-1]).double()[:, None], (y[1:] - y[:-1]) / (x[1:] - x[:-1])[:, None]
    w0, w1 = h[:-1] + 2 * h[1:], 2 * h[:-1] + h[1:]
    same = m[:-1] * m[1:] > 0
    inner = torch.where(same, (w0 + w1) / (w1 / torch.where(same, m[1:], 1) + w0 / torch.where(same, m[:-1], 1)), 0)

    def end(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
        d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
        d = torch.where(d * m0 <= 0, 0, d)
        return torch.where((m0 * m1 <= 0) & (d.abs() > 3 * m0.abs()), 3 * m0, d)

    d = torch.cat([end(h[:1], h[1:2], m[:1], m[1:2]), inner, end(h[-1:], h[-2:-1], m[-1:], m[-2:-1])])
    i = (torch.searchsorted(x, at, right=True) - 1).clamp(0, len(x) - 2)
    t = (at - x[i]).double()[:, None] / h[i]
    return y[i] + t * h[i] * (d[i] + t * ((3 * m[i] - 2 * d[i] - d[i + 1]) + t * (d[i] + d[i + 1] - 2 * m[i])))


@pytest.mark.parametrize(("mode", "plain"), [("linear", plain_linear), ("pchip", plain_pchip)])
def test_gradients_are_those_of_plain_torch(where: Any, mode: str, plain: Any) -> None:
    made = np.random.default_rng(5)
    for n in (3, 4, 20):
        stamps = torch.from_numpy(np.cumsum(made.integers(1, 50, n))).to(where)
        values = torch.from_numpy(made.normal(size=(n, 4))).to(where).requires_grad_()
        at = torch.from_numpy(made.integers(int(stamps[0]), int(stamps[-1]), 60)).to(where)
        upstream = torch.from_numpy(made.normal(size=(60, 4))).to(where)
        expected = torch.autograd.grad(plain(values, stamps, at), values, upstream)[0]
        got = torch.autograd.grad(rt.resample(values, stamps, at, interp=mode), values, upstream)[0]
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_gradients_of_hold_are_counts(where: Any) -> None:
    stamps = torch.tensor([0, 10, 10, 20], device=where)
    values = torch.zeros(4, 2, device=where, dtype=torch.bfloat16, requires_grad=True)
    rt.resample(values, stamps, torch.tensor([0, 5, 10, 15, 30, -5], device=where), interp="hold").sum().backward()
    assert values.grad[:, 0].tolist() == [3, 0, 2, 1]


def test_only_what_requires_grad_gets_one(where: Any) -> None:
    streams, at = mixed(where)
    streams[1].values.requires_grad_(False)
    rt.align(streams, at).values.nan_to_num().sum().backward()
    assert [s.values.grad is not None for s in streams] == [True, False, True]


@pytest.mark.parametrize(("S", "T", "D"), [(0, 3, 2), (4, 0, 2), (4, 3, 0)])
@pytest.mark.parametrize("batch", [None, 2, 0])
def test_empty_gradients(where: Any, S: int, T: int, D: int, batch: int | None) -> None:
    lead = [] if batch is None else [batch]
    values = torch.ones([*lead, S, D], device=where, requires_grad=True)
    stamps = torch.arange(S, device=where).expand([*lead, S])
    rt.resample(values, stamps, torch.arange(T, device=where).expand([*lead, T])).sum().backward()
    torch.testing.assert_close(values.grad, torch.zeros_like(values))


def test_there_is_no_second_derivative(where: Any) -> None:
    values, stamps = log(where, 3)
    streams, at = [rt.Stream(values, stamps)], targets(where)
    for out in (rt.align(streams, at).values, torch.ops.robocache.align(*call(streams, at))[0][0]):
        (gradient,) = torch.autograd.grad((out**2).sum(), values, create_graph=True)
        with pytest.raises(NotImplementedError, match="second derivative"):
            gradient.sum().backward()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of make_dual's own
def test_a_tangent_is_refused_not_dropped(where: Any) -> None:
    values, stamps = log(where, 3)
    ad = torch.autograd.forward_ad
    with ad.dual_level():
        assert rt.resample(values, stamps, stamps).requires_grad  # within a level, but without a tangent
        with pytest.raises(NotImplementedError, match=r"streams\[0\].values has a tangent"):
            rt.resample(ad.make_dual(values.detach(), values.detach()), stamps, stamps)
        with pytest.raises(NotImplementedError, match="at has a tangent"):
            rt.resample(values.detach(), stamps.double(), ad.make_dual(stamps.double(), values[..., 0].double()))


@pytest.mark.parametrize("tracked", [True, False])
def test_a_gradient_by_times_is_refused_not_dropped(where: Any, tracked: bool) -> None:
    values, stamps = log(where, 3)
    values = values.detach().requires_grad_(tracked)
    seconds = (stamps - stamps[..., :1]).double() * 1e-9
    learned = seconds.clone().requires_grad_()
    with pytest.raises(NotImplementedError, match="align: at requires grad"):
        rt.resample(values, seconds, learned)
    with pytest.raises(NotImplementedError, match=r"align: streams\[0\].stamps requires grad"):
        rt.resample(values, learned, seconds)
    with torch.no_grad():
        assert rt.resample(values, learned, learned).shape == values.shape


def test_the_operator_has_the_same_gradients(where: Any) -> None:
    streams, at = mixed(where)
    values = [s.values for s in streams]
    for dtype in (None, torch.float32):
        gradients = []
        for out in (
            rt.align(streams, at, dtype=dtype).values,
            torch.ops.robocache.align(*call(streams, at, dtype))[0][0],
        ):
            gradients.append(torch.autograd.grad(out.nan_to_num().square().sum(), values))
        torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("given", ["values", "stamps", "at", "mask", "lengths"])
def test_inputs_written_to_since_are_noticed(where: Any, given: str) -> None:
    values, stamps = log(where, 3)
    inputs = {"values": values * 1, "stamps": stamps, "at": targets(where)}
    inputs["mask"] = torch.ones(stamps.shape, dtype=torch.bool, device=where)
    inputs["lengths"] = torch.tensor([6, 6], device=where)
    out = rt.resample(**inputs, interp="pchip")
    with torch.no_grad():
        inputs[given].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("mode", ["linear", "se3"])
def test_backward_reads_what_hooks_hand_it(where: Any, mode: str) -> None:
    """Offloading and checkpointing replace what was saved: nothing else may be looked at."""
    values, stamps = log(where, MODES[mode])
    want = torch.autograd.grad(rt.resample(values, stamps, targets(where), interp=mode).square().sum(), values)

    inputs = {"values": values * 1, "stamps": stamps.clone(), "at": targets(where)}
    inputs["mask"] = torch.ones(stamps.shape, dtype=torch.bool, device=where)
    inputs["lengths"] = torch.tensor([6, 6], device=where)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().cpu().clone(), lambda t: t.to(where)):
        out = rt.resample(**inputs, interp=mode)
        loss = out.square().sum()
    with torch.no_grad():
        for array in (*inputs.values(), out):
            array.zero_()
    torch.testing.assert_close(torch.autograd.grad(loss, values), want, rtol=0, atol=0)


def test_checkpoints_have_the_same_gradients(where: Any) -> None:
    streams, at = mixed(where)
    values = [s.values for s in streams]

    def total() -> Any:
        return rt.align(streams, at).values.nan_to_num().square().sum()

    kept = torch.utils.checkpoint.checkpoint(total, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(kept, values), torch.autograd.grad(total(), values))


def test_what_was_saved_is_free_after_backward(where: Any) -> None:
    values, stamps = log(where, 3)
    at, mask = targets(where), torch.ones(stamps.shape, dtype=torch.bool, device=where)
    out = rt.resample(values, stamps, at, mask=mask)
    out.sum().backward()
    saved = [weakref.ref(array) for array in (stamps, at, mask)]
    del stamps, at, mask
    gc.collect()
    assert [array() for array in saved] == [None] * 3
    assert out.grad_fn is not None  # the node is still there


def test_cuda_gradients_are_those_of_the_cpu(cuda: Home) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        found = []
        for where in ("cpu", "cuda"):
            streams, at = mixed(torch.device(where), dtype)
            rt.align(streams, at).values.nan_to_num().sum().backward()
            found.append([s.values.grad.cpu() for s in streams])
        torch.testing.assert_close(found[1], found[0])
        assert torch.equal(found[1][2], found[0][2])  # pchip: arithmetic alone
