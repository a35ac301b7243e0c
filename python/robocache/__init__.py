"""RoboCache: every sensor at the same instants, on the CPU and on the GPU."""

from importlib.metadata import version as _version

from robocache._core import (
    AlignResult,
    CropResult,
    DepthPoints,
    Plan,
    Stream,
    VoxelDownsampleResult,
    VoxelizeMemory,
    VoxelizeResult,
    VoxelizeSparseResult,
    align,
    align_gradient,
    crop,
    depth_to_points,
    plan,
    resample,
    transform_points,
    voxel_downsample,
    voxelize,
    voxelize_gradient,
    voxelize_plan_memory,
    voxelize_sparse,
)
from robocache.dataset import Dataset, open
from robocache.episode import Episode, StreamInfo
from robocache.errors import CudaError, DataError, InvalidArgument, OutOfMemory, Unsupported
from robocache.grid import grid
from robocache.installation import check_installation, is_cuda_available, self_test
from robocache.loader import Loader
from robocache.normalize import Normalizer
from robocache.points import PointCloud, read_points
from robocache.predecessor import fuse_multimodal, resample_trajectories, voxelize_occupancy, voxelize_pointcloud
from robocache.problems import Problem
from robocache.sampler import Sampler
from robocache.store import Store, StoreBuilder
from robocache.windows import Window, future, last, offsets, past

__version__ = _version("robocache")

__all__ = [
    "AlignResult",
    "CropResult",
    "CudaError",
    "DataError",
    "Dataset",
    "DepthPoints",
    "Episode",
    "InvalidArgument",
    "Loader",
    "Normalizer",
    "OutOfMemory",
    "Plan",
    "PointCloud",
    "Problem",
    "Sampler",
    "Store",
    "StoreBuilder",
    "Stream",
    "StreamInfo",
    "Unsupported",
    "VoxelDownsampleResult",
    "VoxelizeMemory",
    "VoxelizeResult",
    "VoxelizeSparseResult",
    "Window",
    "__version__",
    "align",
    "align_gradient",
    "check_installation",
    "crop",
    "depth_to_points",
    "fuse_multimodal",
    "future",
    "grid",
    "is_cuda_available",
    "last",
    "offsets",
    "open",
    "past",
    "plan",
    "read_points",
    "resample",
    "resample_trajectories",
    "self_test",
    "transform_points",
    "voxel_downsample",
    "voxelize",
    "voxelize_gradient",
    "voxelize_occupancy",
    "voxelize_plan_memory",
    "voxelize_pointcloud",
    "voxelize_sparse",
]
