"""Fresh random clouds of a case, on the CPU as numpy arrays, on CUDA as torch tensors."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache_bench.operators.voxelize.cases import COUNTS, ONE_VOXEL, SCAN, Case

Array = npt.NDArray[Any]
WITHIN = 0.999  # of the grid: no point is so near to a face that its rounding matters
POISON = 0x55  # each byte of an output: no count, no bool, no value that is near another


def voxel_indices(points: Array, voxel_m: float, origin: tuple[float, ...]) -> npt.NDArray[np.int64]:
    """x, y and z of each point's voxel, in the arithmetic of the points' type, as docs/voxelization.md has it."""
    C = points.dtype.type
    at: Array = np.floor((points - np.array(origin, C)) * (C(1) / C(voxel_m)))
    return at.astype(np.int64)


class Inputs:
    """What one call reads and, where outputs are given, writes. All points are in the grid.

    Attributes
    ----------
    points, features : float32 array [B, N, 3], [B, N, F]
        Without B for a single cloud; features may be None.
    voxel_m, origin : float, tuple of 3 floats
        The grid, of `case.shape.side` voxels along each axis.
    out : array [R + 1] or [R + 1, F]
        Of a dense result on CUDA, for the peers that take outputs: R voxels of all clouds, or bytes of eight, and one
        more row, where a peer may put the points outside.
    """

    def __init__(self, case: Case, random: np.random.Generator) -> None:
        self.case = case
        shape = case.shape
        self.voxel_m = case.voxel_m
        self.origin: tuple[float, ...] = (0.0, 0.0, 0.0)
        self.out: Any = None
        lead = (shape.clouds, shape.samples) if shape.clouds > 1 else (shape.samples,)
        points = self._points(random).reshape(*lead, 3)
        columns = shape.columns if case.work not in COUNTS else 0
        self.points: Any = points
        self.features: Any = None
        if case.device == "cpu":
            if columns:
                self.features = random.standard_normal((*lead, columns), dtype=np.float32)
            return
        import torch

        self.points = torch.from_numpy(points).cuda()
        if columns:
            generator = torch.Generator("cuda").manual_seed(int(random.integers(2**62)))
            self.features = torch.randn((*lead, columns), generator=generator, device="cuda")
        if case.is_dense:
            rows = shape.voxels // 8 if case.work == "occupancy_bits" else shape.voxels
            size = (rows + 1, columns) if columns else (rows + 1,)
            dtypes = {"count": torch.int32, "occupancy": torch.bool, "occupancy_bits": torch.uint8}
            self.out = torch.zeros(size, dtype=dtypes.get(case.work, torch.float32), device="cuda")

    def _points(self, random: np.random.Generator) -> npt.NDArray[np.float32]:
        """Anywhere in the grid, in one of its voxels, or a scan as often as it takes; then the grid is around it."""
        case, shape = self.case, self.case.shape
        if case.cloud == SCAN and case.scan is not None:
            low, high = case.scan.min(axis=0), case.scan.max(axis=0)
            if shape.side:
                self.voxel_m = float((high - low).max() / shape.side / WITHIN)
                self.origin = tuple(float(v) for v in (low + high) / 2 - self.voxel_m * shape.side / 2)
            return np.resize(case.scan, (shape.points, 3))
        low, size = (shape.side // 2, 1) if case.cloud == ONE_VOXEL else (0, shape.side)
        inside = random.random((shape.points, 3), dtype=np.float32) * WITHIN + (1 - WITHIN) / 2
        return (low + inside * size) * np.float32(self.voxel_m)

    @property
    def host_points(self) -> npt.NDArray[np.float32]:
        """All of them, [B * N, 3]."""
        points = self.points if self.case.device == "cpu" else self.points.cpu().numpy()
        return np.asarray(points).reshape(-1, 3)

    @cached_property
    def voxels(self) -> npt.NDArray[np.int64]:
        """The flat voxel of each point; those of a cloud lie behind those of the one before."""
        at = voxel_indices(self.host_points, self.voxel_m, self.origin)
        side = self.case.shape.side
        if at.min() < 0 or at.max() >= side:
            raise ValueError(f"voxelize: a point is in voxel {at.min()} or {at.max()}, expected 0 to {side - 1}")
        cloud = np.arange(len(at)) // self.case.shape.samples
        return ((cloud * side + at[:, 0]) * side + at[:, 1]) * side + at[:, 2]

    @property
    def nbytes(self) -> int:
        return sum(int(a.nbytes) for a in (self.points, self.features, self.out) if a is not None)

    def poison(self) -> None:
        """Fills the output with what no correct call leaves there."""
        if self.out is not None:
            import torch

            self.out.view(torch.uint8).fill_(POISON)
