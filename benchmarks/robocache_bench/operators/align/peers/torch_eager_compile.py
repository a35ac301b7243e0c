"""torch, eager and compiled: searchsorted, two reads of rows, a blend. float32 seconds, which suit it best.

Rows are read by index or by gather, whichever was faster in that place.

Replayed from a CUDA graph, as every device time here is, the compiled one is "torch.compile + CUDA graph", without the
copies into static inputs that `mode="reduce-overhead"` makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.peers import Bound, Peer
from robocache_bench.timing import Run

Tensor = Any  # torch is optional, so its types are unknown here
Located = tuple[Tensor, Tensor]  # after [B, T], weight [B, T, 1]


def peers(case: Case) -> list[Peer]:
    torch._dynamo.reset()
    if case.device == "cpu":
        return [peer("torch eager", case, False, Form()), peer("torch.compile", case, True, Form())]
    form = Form(gather=True, narrow=True, spelled_out=True)
    return [
        peer("torch eager", case, False, Form(gather=True)),
        peer("torch.compile", case, True, form),
        peer("torch.compile, two steps", case, True, replace(form, two_steps=True)),
    ]


@dataclass(frozen=True)
class Form:
    """How it is written: rows read by gather instead of by index; a search with 32-bit results; the blend spelled out,
    which compiled costs less than lerp's two branches; the search compiled apart, so that it runs once for a target and
    not for each column.
    """

    gather: bool = False
    narrow: bool = False
    spelled_out: bool = False
    two_steps: bool = False


def peer(name: str, case: Case, compiled: bool, form: Form) -> Peer:
    # On CUDA a kernel's blocks are tried out, as Triton's are; what is picked untried differs from run to run.
    options = {"max_autotune_pointwise": True} if case.device == "cuda" else None
    calls = Calls(case, form, lambda f: torch.compile(f, dynamic=False, options=options) if compiled else f)
    return Peer(name, "float32 s", calls.bind)


def locate(stamps: Tensor, at: Tensor, narrow: bool) -> Located:
    """The sample after each target, and the weight of that sample."""
    after = torch.searchsorted(stamps, at, right=True, out_int32=narrow).clamp(1, stamps.shape[1] - 1).long()
    start = stamps.gather(1, after - 1)
    # Of equal stamps at the very end a target on them makes 0/0; its chance is too small to slow this peer for it.
    weight = ((at - start) / (stamps.gather(1, after) - start)).clamp(0, 1)
    return after, weight[..., None]


def mark(stamps: Tensor, at: Tensor, located: Located) -> tuple[Tensor, Tensor]:
    """valid and age [B, T]."""
    after, _ = located
    start, end = stamps.gather(1, after - 1), stamps.gather(1, after)
    valid = (at >= stamps[:, :1]) & (at <= stamps[:, -1:])
    return valid, at - torch.where(at >= end, end, start)


def rows(values: Tensor, i: Tensor, gather: bool) -> Tensor:
    if gather:
        return values.gather(1, i[..., None].expand(-1, -1, values.shape[2]))
    return values[torch.arange(values.shape[0], device=values.device)[:, None], i]


def blend(interp: str, gather: bool, spelled_out: bool, values: Tensor, stamps: Tensor, located: Located) -> Tensor:
    after, weight = located
    a, b = rows(values, after - 1, gather).float(), rows(values, after, gather).float()
    if interp == "linear":
        return (a + weight * (b - a) if spelled_out else torch.lerp(a, b, weight)).to(values.dtype)
    if interp == "angle":
        return (a + weight * (torch.remainder(b - a + np.pi, 2 * np.pi) - np.pi)).to(values.dtype)
    if interp == "slerp":
        return slerp(a, b, weight).to(values.dtype)
    if interp == "se3":
        p, q = (x.unflatten(-1, (-1, 7)) for x in (a, b))
        position = torch.lerp(p[..., :3], q[..., :3], weight[..., None])
        turn = slerp(p[..., 3:].flatten(-2), q[..., 3:].flatten(-2), weight).unflatten(-1, (-1, 4))
        return torch.cat([position, turn], -1).flatten(-2).to(values.dtype)
    slopes = pchip_slopes(values.float(), stamps)
    slopes_a, slopes_b = rows(slopes, after - 1, gather), rows(slopes, after, gather)
    width = (stamps.gather(1, after) - stamps.gather(1, after - 1))[..., None]
    return pchip(a, b, width * slopes_a, width * slopes_b, weight).to(values.dtype)


def slerp(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    p, q = (torch.nn.functional.normalize(x.unflatten(-1, (-1, 4)), dim=-1) for x in (a, b))
    dot = (p * q).sum(-1, keepdim=True)
    angle = dot.abs().clamp(max=1).acos()
    sine = angle.sin()
    w = weight[..., None]
    close = sine < 1e-4
    u = torch.where(close, 1 - w, ((1 - w) * angle).sin() / sine)
    v = torch.where(close, w, (w * angle).sin() / sine)
    out = u * p + torch.where(dot < 0, -v, v) * q
    return torch.nn.functional.normalize(out, dim=-1).flatten(-2)


def pchip(a: Tensor, b: Tensor, rise_a: Tensor, rise_b: Tensor, w: Tensor) -> Tensor:
    """The cubic through a and b with these slopes, in units of the interval."""
    w2, w3 = w * w, w * w * w
    return a + (3 * w2 - 2 * w3) * (b - a) + (w3 - 2 * w2 + w) * rise_a + (w3 - w2) * rise_b


def pchip_slopes(values: Tensor, stamps: Tensor) -> Tensor:
    h = stamps.diff(dim=1)[..., None]
    d = values.diff(dim=1) / h
    h0, h1, d0, d1 = h[:, :-1], h[:, 1:], d[:, :-1], d[:, 1:]
    near, far = 2 * h1 + h0, h1 + 2 * h0
    inner = torch.where(d0 * d1 > 0, (near + far) / (near / d0 + far / d1), 0)
    first = end_slope(h[:, 0], h[:, 1], d[:, 0], d[:, 1])
    last = end_slope(h[:, -1], h[:, -2], d[:, -1], d[:, -2])
    return torch.cat([first[:, None], inner, last[:, None]], 1)


def end_slope(h0: Tensor, h1: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    slope = torch.where(slope.sign() != d0.sign(), 0, slope)
    return torch.where((d0.sign() != d1.sign()) & (slope.abs() > 3 * d0.abs()), 3 * d0, slope)


class Calls:
    """The functions of a case, each as `wrap` leaves it; they take what a call reads and writes as arguments."""

    def __init__(self, case: Case, form: Form, wrap: Callable[[Any], Any]) -> None:
        self.two_steps = form.two_steps
        # Plain values: each attribute that a compiled function reads would be checked at every call.
        interp, marks, gather, narrow, spelled_out = case.interp, case.marks, form.gather, form.narrow, form.spelled_out

        def joined(values: list[Tensor], stamps: list[Tensor], located: list[Located]) -> Tensor:
            parts = [blend(interp, gather, spelled_out, *each) for each in zip(values, stamps, located, strict=True)]
            return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

        def marked(stamps: list[Tensor], at: Tensor, located: list[Located]) -> list[Tensor]:
            if not marks:
                return []
            pairs = [mark(s, at, each) for s, each in zip(stamps, located, strict=True)]
            return [torch.stack([p[0] for p in pairs], -1), torch.stack([p[1] for p in pairs], -1)]

        def search(stamps: list[Tensor], at: Tensor) -> list[Located]:
            return [locate(s, at, narrow) for s in stamps]

        def fresh(values: list[Tensor], stamps: list[Tensor], at: Tensor) -> list[Tensor]:
            located = search(stamps, at)
            return [joined(values, stamps, located), *marked(stamps, at, located)]

        def copy(outs: list[Tensor], results: list[Tensor]) -> None:
            for out, result in zip(outs, results, strict=True):
                out.copy_(result)  # faster than a copy of each stream into its columns

        def given(values: list[Tensor], stamps: list[Tensor], at: Tensor, outs: list[Tensor]) -> None:
            copy(outs, fresh(values, stamps, at))

        def apply(values: list[Tensor], stamps: list[Tensor], located: list[Located], at: Tensor, outs: Any) -> None:
            copy(outs, [joined(values, stamps, located), *marked(stamps, at, located)])

        self.fresh, self.given, self.search, self.apply = (wrap(f) for f in (fresh, given, search, apply))

    def _arrays(self, x: Inputs) -> tuple[list[Tensor], list[Tensor], Tensor, list[Tensor]]:
        stamps, at = x.times("float32 s")
        if x.case.device == "cpu":
            clocks = [torch.from_numpy(s) for s in stamps]
            return [torch.from_numpy(v) for v in x.values], clocks, torch.from_numpy(at), _cpu_outputs(x)
        outs = [x.out, x.valid, x.age] if x.case.marks else [x.out]
        return x.values, [torch.from_numpy(s).cuda() for s in stamps], torch.from_numpy(at).cuda(), outs

    def bind(self, x: Inputs) -> Bound:
        values, stamps, at, outs = self._arrays(x)

        def two_steps() -> None:
            self.apply(values, stamps, self.search(stamps, at), at, outs)

        def given() -> None:
            self.given(values, stamps, at, outs)

        def fresh() -> list[Tensor]:
            return list(self.fresh(values, stamps, at))

        runs: dict[str, Run] = {"out given": two_steps if self.two_steps else given}
        if x.case.device == "cpu":
            runs["fresh"] = fresh
        return Bound(runs, lambda result: _answer(result or outs))


def _cpu_outputs(x: Inputs) -> list[Tensor]:
    outs = [torch.from_numpy(x.out)]
    if x.case.marks:
        shape = (*x.out.shape[:2], len(x.values))
        outs += [torch.zeros(shape, dtype=torch.bool), torch.zeros(shape)]
    return outs


def _answer(outs: list[Tensor]) -> tuple[Any, Any, Any]:
    return (outs[0], None, None) if len(outs) == 1 else (outs[0], outs[1], outs[2])
