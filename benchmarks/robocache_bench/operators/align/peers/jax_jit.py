"""JAX, jit over the whole call: searchsorted, two gathers, a blend. float32 seconds; outputs are always new arrays.

Its time on CUDA is that of calls back to back ("stream"): JAX replays no graph of ours.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # beside torch on one device

import jax
import jax.numpy as jnp

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer


def peers(case: Case) -> list[Peer]:
    if case.interp != "linear":
        raise NoPeer(f"no {case.interp} of JAX is written here")
    if case.device == "cuda" and not any(d.platform == "gpu" for d in jax.devices()):
        raise NoPeer("jax has no CUDA device here")
    return [Peer("JAX jit", "float32 s", _bind, capturable=False)]


def _resample(values: Any, stamps: Any, at: Any) -> tuple[Any, Any, Any]:
    last = stamps.shape[1] - 1
    above = jax.vmap(lambda s, t: jnp.searchsorted(s, t, side="right"))(stamps, at)
    after = above.clip(1, last)
    start = jnp.take_along_axis(stamps, after - 1, 1)
    width = jnp.take_along_axis(stamps, after, 1) - start
    weight = jnp.where(width > 0, ((at - start) / width).clip(0, 1), 1)[..., None]
    a = jnp.take_along_axis(values, after[..., None] - 1, 1).astype(jnp.float32)
    b = jnp.take_along_axis(values, after[..., None], 1).astype(jnp.float32)
    valid = (at >= stamps[:, :1]) & (at <= stamps[:, -1:])
    age = at - jnp.take_along_axis(stamps, (above - 1).clip(0), 1)
    return (a + weight * (b - a)).astype(values.dtype), valid, age


def _align(values: list[Any], stamps: list[Any], at: Any) -> tuple[Any, Any, Any]:
    parts = [_resample(v, s, at) for v, s in zip(values, stamps, strict=True)]
    return (
        jnp.concatenate([p[0] for p in parts], -1),
        jnp.stack([p[1] for p in parts], -1),
        jnp.stack([p[2] for p in parts], -1),
    )


def _values(values: list[Any], stamps: list[Any], at: Any) -> tuple[Any, None, None]:
    return _align(values, stamps, at)[0], None, None


def _bind(x: Inputs) -> Bound:
    device = jax.devices("cpu" if x.case.device == "cpu" else "gpu")[0]
    clocks, at = x.times("float32 s")
    if x.case.device == "cpu":
        values = [jax.device_put(v, device) for v in x.values]
    else:
        values = [jax.dlpack.from_dlpack(v) for v in x.values]
    stamps, targets = [jax.device_put(s, device) for s in clocks], jax.device_put(at, device)
    call = _compiled_align if x.case.marks else _compiled_values

    def fresh() -> Any:
        result = call(values, stamps, targets)
        return jax.block_until_ready(result) if x.case.device == "cpu" else result

    def read(result: Any) -> tuple[Any, Any, Any]:
        return result[0].astype(jnp.float32), result[1], result[2]

    return Bound({"fresh": fresh}, read, jax.block_until_ready)


_compiled_align, _compiled_values = jax.jit(_align), jax.jit(_values)
