"""Logs and calls that the tests of robocache.torch share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import robocache.torch as rt  # noqa: E402
from robocache.torch.streams import arguments  # noqa: E402


def log(where: Any, columns: int, *, batch: int | None = 2, dtype: Any = None, seed: int = 0, samples: int = 6) -> Any:
    """Values that require grad, and their stamps with a duplicate among them."""
    made = torch.Generator().manual_seed(seed)
    shape = [batch] if batch else []
    stamps = torch.sort(torch.randint(0, 60, [*shape, samples], generator=made), dim=-1).values
    stamps[..., 3] = stamps[..., 2]
    values = torch.randn([*shape, samples, columns], generator=made, dtype=torch.float64)
    return values.to(where, dtype or torch.float64).requires_grad_(), stamps.to(where)


def targets(where: Any, batch: int | None = 2, count: int = 7) -> Any:
    made = torch.Generator().manual_seed(9)
    at = torch.randint(-9, 70, [batch, count] if batch else [count], generator=made)
    return torch.sort(at, dim=-1).values.to(where)


def mixed(where: Any, dtype: Any = None, before: Any = "nan") -> tuple[list[Any], Any]:
    """A robot's state, a camera pose and a shared signal with holes, and when to have them."""
    state, state_ns = log(where, 8, seed=1, dtype=dtype)
    pose, pose_ns = log(where, 7, seed=2, dtype=dtype)
    signal, signal_ns = log(where, 2, batch=None, seed=3, dtype=dtype)
    there = torch.tensor([True, True, False, True, False, True], device=where)
    return [
        rt.Stream(state, state_ns, interp=[("linear", 3), ("slerp", 4), ("hold", 1)], outside="extrapolate"),
        rt.Stream(pose, pose_ns, interp="screw", lengths=torch.tensor([6, 4], device=where)),
        rt.Stream(signal, signal_ns, interp="pchip", mask=there, missing="skip", outside=(before, 2.0), name="signal"),
    ], targets(where)


def call(streams: list[Any], at: Any, dtype: Any = None) -> tuple[Any, ...]:
    """The arguments of the operator itself."""
    return (*arguments(streams, at), dtype)


def captured(step: Callable[[], Any]) -> tuple[Any, Any]:
    """A CUDA graph of `step`, and the results that its replays write."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = step()
    return graph, made
