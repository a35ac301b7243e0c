"""What is measured of voxelization: the results, shapes and clouds, and what the project asks of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

UNIFORM, SCAN, ONE_VOXEL = "uniform", "scan", "one voxel"
VOXEL_M = 0.05  # where no scan says how large the grid is

COUNTS = ("count", "occupancy", "occupancy_bits")
SPARSE, DOWNSAMPLE = "sparse mean", "downsample"  # occupied voxels alone, in a grid or in one without bounds


@dataclass(frozen=True)
class Shape:
    """B clouds of N points of F features, and a cube of voxels for each."""

    name: str
    clouds: int
    samples: int
    columns: int
    side: int

    @property
    def points(self) -> int:
        return self.clouds * self.samples

    @property
    def voxels(self) -> int:
        return self.clouds * self.side**3


@dataclass(frozen=True)
class Case:
    """One row of the tables: the same work for each peer.

    `asked` maps a comparison to a limit: microseconds of device time ("us"), or the ratio of a peer's time to ours.
    What is asked of clouds that are not uniform follows from those that are (`bars.py`).
    """

    device: str
    shape: Shape
    work: str
    cloud: str = UNIFORM
    scan: npt.NDArray[Any] | None = field(default=None, compare=False, repr=False)
    voxel_m: float = VOXEL_M
    asked: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        return f"{self.device} voxelize {self.shape.name} {self.work}, {self.cloud}"

    @property
    def facts(self) -> dict[str, Any]:
        """What a row of any peer says of it."""
        return {
            "shape": self.shape.name,
            "work": self.work,
            "cloud": self.cloud,
            "operations": None,
            "asked": self.asked,
        }

    @property
    def is_dense(self) -> bool:
        return self.work not in (SPARSE, DOWNSAMPLE)

    @property
    def elements(self) -> int:
        """Bits are counted as bytes of eight."""
        if self.work == "occupancy_bits":
            return self.shape.voxels // 8
        if self.work in COUNTS:
            return self.shape.voxels
        return (self.shape.voxels if self.is_dense else self.shape.points) * max(1, self.shape.columns)

    @property
    def takes_power(self) -> bool:
        return False


FRAME = Shape("500K->128^3", 1, 500_000, 0, 128)
BATCH = Shape("64x65536->128^3", 64, 65_536, 0, 128)
FEATURES = Shape("1Mx16->200^3", 1, 1_000_000, 16, 200)
ON_CPU = Shape("1Mx4->128^3", 1, 1_000_000, 4, 128)


def cuda_cases(scan: npt.NDArray[Any] | None) -> list[Case]:
    """Each result on each kind of cloud, one kind behind the other: peers compile once for all of them."""
    asked = [
        (FRAME, "count", 8.5),
        (FRAME, "occupancy", 8.5),
        (FRAME, "occupancy_bits", 7.0),
        (BATCH, "count", 200.0),
        (BATCH, "occupancy_bits", 45.0),
        (FEATURES, "mean", 240.0),
        (FEATURES, "max", 240.0),
        (FEATURES, SPARSE, 110.0),
    ]
    return [
        Case("cuda", shape, work, cloud, scan, asked={"us": us} if cloud == UNIFORM else {})
        for shape, work, us in asked
        for cloud in _clouds(scan)
    ]


def cpu_cases(scan: npt.NDArray[Any] | None) -> list[Case]:
    """A million points with few features; with a scan also the scan itself, in the voxels that registration takes."""
    mean = {"torch eager": 3.0, "numpy": 10.0}
    cases = [
        Case("cpu", ON_CPU, work, cloud, scan, asked=mean if (work, cloud) == ("mean", UNIFORM) else {})
        for work in ("count", "mean", "max")
        for cloud in _clouds(scan)
    ]
    if scan is None:
        return cases
    for voxel_m in (0.05, 0.2, 0.5):
        shape = Shape(f"{len(scan)}->{100 * voxel_m:g} cm", 1, len(scan), 0, 0)
        cases.append(Case("cpu", shape, DOWNSAMPLE, SCAN, scan, voxel_m, {"Open3D": 3.0}))
    return cases


def _clouds(scan: npt.NDArray[Any] | None) -> tuple[str, ...]:
    return (UNIFORM, ONE_VOXEL) if scan is None else (UNIFORM, SCAN, ONE_VOXEL)


def points_of(scan: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The finite points of a scan, [N, 3]."""
    points = scan.reshape(-1, 3).astype(np.float32)
    return np.ascontiguousarray(points[np.isfinite(points).all(axis=1)])
