"""What a call must move, whoever makes it."""

from __future__ import annotations

from robocache_bench.operators.voxelize.cases import COUNTS, DOWNSAMPLE, Case

ITEM = {"count": 4, "occupancy": 1, "occupancy_bits": 1}
COORDS, COUNT = 4 * 4, 4  # bytes of an occupied voxel: which one, and how many points


def bytes_moved(case: Case, occupied: int) -> int:
    """The fewest: points and features read once, and each voxel, or each occupied one, written once."""
    shape = case.shape
    read = shape.points * 3 * 4
    if case.work in COUNTS:
        return read + case.elements * ITEM[case.work]
    read += shape.points * shape.columns * 4
    if case.is_dense:
        return read + case.elements * 4
    if case.work == DOWNSAMPLE:
        return read + occupied * (3 * 4 + COUNT)
    return read + occupied * (shape.columns * 4 + COORDS + COUNT)
