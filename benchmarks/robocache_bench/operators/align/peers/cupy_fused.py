"""CuPy: its searchsorted over all batch rows at once, and an elementwise kernel for the blend. float64 seconds.

cupy.interp takes one row and column a call, thousands of launches here, and cupyx's interpolators one clock for all
rows; this is what CuPy does well. It has no bfloat16, so it takes part in the float32 cases alone.
"""

from __future__ import annotations

from typing import Any

import cupy

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer

APART_S = 2.0  # batch rows lie this far apart on one clock; a row spans less

_blend = cupy.ElementwiseKernel(
    "raw float32 values, raw float64 stamps, raw float64 at, raw int64 above, int64 S, int64 T, int64 D",
    "float32 out",
    """
    long long row = i / D, first = row / T * S, after = above[row] - first;
    after = first + (after < 1 ? 1 : after > S - 1 ? S - 1 : after);
    double w = (at[row] - stamps[after - 1]) / (stamps[after] - stamps[after - 1]);
    float weight = (float)(w < 0 ? 0 : w < 1 ? w : 1);
    float a = values[(after - 1) * D + i % D], b = values[after * D + i % D];
    out = a + weight * (b - a);
    """,
    "blend",
)


def peers(case: Case) -> list[Peer]:
    if case.dtype != "float32" or case.interp != "linear" or len(case.shape.sources) > 1:
        raise NoPeer("float32, linear and one stream only: see peers/cupy_fused.py")
    return [Peer("CuPy", "float64 s", _bind, capturable=False)]


def _bind(x: Inputs) -> Bound:
    (clock,), targets = x.times("float64 s")
    batch, samples = clock.shape
    apart = APART_S * cupy.arange(batch)[:, None]
    stamps, at = (cupy.asarray(clock) + apart).ravel(), (cupy.asarray(targets) + apart).ravel()
    values, out = cupy.from_dlpack(x.values[0]).ravel(), cupy.from_dlpack(x.out)
    sizes = (samples, targets.shape[1], x.out.shape[2])

    def given() -> Any:
        above = cupy.searchsorted(stamps, at, side="right")
        return _blend(values, stamps, at, above, *sizes, out)

    return Bound({"out given": given}, lambda _: (x.out, None, None))
