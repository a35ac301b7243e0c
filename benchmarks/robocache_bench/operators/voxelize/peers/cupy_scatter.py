"""CuPy: an elementwise kernel for the voxel of each point, then cupyx's scatters on a result cleared just before.

It works on torch's stream and on arrays that exist beforehand, so that torch captures it in a graph. The mean of the
occupied voxels alone takes `unique`, which waits for the device: no graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import cupyx
import numpy as np
import torch

from robocache_bench.operators.voxelize.cases import SPARSE, Case
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.operators.voxelize.oracle import Voxels
from robocache_bench.peers import Bound, Peer

_voxel = cupy.ElementwiseKernel(
    "raw float32 points, raw float32 origin, float32 scale, int64 side, int64 samples, int64 outside",
    "int64 voxel",
    """
    voxel = i / samples;
    for (int axis = 0; axis < 3; ++axis) {
      float at = floorf((points[3 * i + axis] - origin[axis]) * scale);
      bool inside = at >= 0 && at < side && voxel != outside;
      voxel = inside ? voxel * side + (long long)at : outside;
    }
    """,
    "voxel_of_point",
)
_divide = cupy.ElementwiseKernel(
    "raw float32 count, int64 columns",
    "float32 total",
    "float n = count[i / columns]; if (n > 1) total /= n;",
    "divide_by_count",
)
_clear_unset = cupy.ElementwiseKernel("", "float32 most", "if (isinf(most)) most = 0;", "clear_unset")


def peers(case: Case) -> list[Peer]:
    if case.work == SPARSE:
        return [Peer("CuPy", "points", _sparse, capturable=False)]
    return [Peer("CuPy", "points", _dense)]


class Points:
    """Views of a call's inputs, and room for the voxel of each point."""

    def __init__(self, x: Inputs) -> None:
        shape = x.case.shape
        self._points = cupy.from_dlpack(x.points).ravel()
        self._origin = cupy.asarray(x.origin, cupy.float32)
        scale = np.float32(1) / np.float32(x.voxel_m)
        self._sizes = (scale, shape.side, shape.samples, shape.voxels)
        self.voxels = cupy.empty(shape.points, cupy.int64)
        self.features = None
        if x.features is not None:
            self.features = cupy.from_dlpack(x.features).reshape(-1, shape.columns)

    def locate(self) -> Any:
        return _voxel(self._points, self._origin, *self._sizes, self.voxels)


def _on_torch_stream(work: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            return work()

    return run


def _dense(x: Inputs) -> Bound:
    return Bound({"out given": _on_torch_stream(_work(x))}, lambda _: x.out[:-1])


def _work(x: Inputs) -> Callable[[], None]:
    shape, work, given = x.case.shape, x.case.work, Points(x)
    # CuPy takes no bool by DLPack from every torch; a byte is a byte.
    out = cupy.from_dlpack(x.out.view(torch.uint8) if work == "occupancy" else x.out)

    if work == "count":
        ones = cupy.ones(shape.points, cupy.int32)

        def count() -> None:
            out.fill(0)
            cupyx.scatter_add(out, given.locate(), ones)

        return count
    if work in ("occupancy", "occupancy_bits"):
        true = cupy.ones(shape.points, cupy.uint8)
        grid = out if work == "occupancy" else cupy.empty(shape.voxels + 1, cupy.uint8)

        def occupancy() -> None:
            grid.fill(0)
            grid[given.locate()] = true
            if work == "occupancy_bits":
                out[:-1] = cupy.packbits(grid[:-1], bitorder="little")

        return occupancy
    if work == "mean":
        ones, total = cupy.ones(shape.points, cupy.float32), cupy.empty(shape.voxels + 1, cupy.float32)

        def mean() -> None:
            out.fill(0)
            total.fill(0)
            voxels = given.locate()
            cupyx.scatter_add(out, voxels, given.features)
            cupyx.scatter_add(total, voxels, ones)
            _divide(total, shape.columns, out)

        return mean

    def most() -> None:
        out.fill(-np.inf)
        cupyx.scatter_max(out, given.locate(), given.features)
        _clear_unset(out)

    return most


def _sparse(x: Inputs) -> Bound:
    shape, given = x.case.shape, Points(x)

    def fresh() -> Voxels:
        voxels, row, counts = cupy.unique(given.locate(), return_inverse=True, return_counts=True)
        total = cupy.zeros((len(voxels), shape.columns), cupy.float32)
        cupyx.scatter_add(total, row, given.features)
        inside = int((voxels < shape.voxels).sum())  # those outside are the last
        coords = cupy.stack(cupy.unravel_index(voxels[:inside], (shape.clouds, *(shape.side,) * 3)), -1)
        means, counts = total[:inside], counts[:inside]
        means /= counts[:, None].astype(cupy.float32)
        return Voxels(coords, counts, means)

    def read(result: Voxels) -> Voxels:
        return Voxels(*(torch.from_dlpack(part) for part in (result.coords, result.counts, result.means)))

    return Bound({"fresh": _on_torch_stream(fresh)}, read)
