"""RoboCache: every sensor at the same instants, on the CPU and on the GPU."""

from importlib.metadata import version as _version

from robocache._core import (
    AlignResult,
    Plan,
    Stream,
    VoxelizeResult,
    align,
    align_gradient,
    plan,
    resample,
    voxelize,
)
from robocache.dataset import Dataset, Episode, Problem, StreamInfo, open
from robocache.errors import CudaError, DataError, InvalidArgument, OutOfMemory, Unsupported
from robocache.grid import grid
from robocache.installation import check_installation, is_cuda_available, self_test
from robocache.points import PointCloud, read_points
from robocache.predecessor import fuse_multimodal, resample_trajectories, voxelize_occupancy, voxelize_pointcloud

__version__ = _version("robocache")

__all__ = [
    "AlignResult",
    "CudaError",
    "DataError",
    "Dataset",
    "Episode",
    "InvalidArgument",
    "OutOfMemory",
    "Plan",
    "PointCloud",
    "Problem",
    "Stream",
    "StreamInfo",
    "Unsupported",
    "VoxelizeResult",
    "__version__",
    "align",
    "align_gradient",
    "check_installation",
    "fuse_multimodal",
    "grid",
    "is_cuda_available",
    "open",
    "plan",
    "read_points",
    "resample",
    "resample_trajectories",
    "self_test",
    "voxelize",
    "voxelize_occupancy",
    "voxelize_pointcloud",
]
