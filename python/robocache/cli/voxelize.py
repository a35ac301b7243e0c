"""`robocache voxelize`: clouds on disk into one dense grid, and a picture of it."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

import robocache
from robocache.cli.outputs import appearing
from robocache.cli.progress import count
from robocache.cli.voxel_box import Bounds, Box, fit, parse_bounds
from robocache.cli.voxel_clouds import AXES, Clouds, read_clouds, read_transform
from robocache.cli.voxel_files import GRID_SUFFIXES, Grid, grid_saver
from robocache.errors import InvalidArgument

COUNTS = ("count", "occupancy", "occupancy_bits")
FEATURES = ("sum", "mean", "min", "max", "first", "last")


def run(arguments: argparse.Namespace) -> None:
    """Makes the grid, writes it and the picture, and says on stderr which points are in no voxel."""
    reduce, features = _reductions(arguments)
    bounds = parse_bounds(arguments.voxel, arguments.origin, arguments.shape)
    _keep_inputs(arguments)
    with ExitStack() as files:
        output = files.enter_context(appearing(arguments.output, GRID_SUFFIXES, op="voxelize"))
        save = grid_saver(arguments.output.suffix.lower())
        view = None
        if arguments.view is not None:
            view = files.enter_context(appearing(arguments.view, [".png"], op="voxelize", what="view"))
            draw = _drawing()
        T_grid_points = None if arguments.transform is None else read_transform(arguments.transform)
        clouds = read_clouds(arguments.files, features, T_grid_points)
        grid = make_grid(clouds, bounds, reduce, arguments.empty or 0.0, arguments.files)
        save(output, grid)
        if view is not None:
            first, *more = arguments.files
            title = f"{first.name} and {len(more)} more" if more else first.name
            draw(view, np.asarray(grid.clouds.any(axis=0)), grid.box, title)
    _summarise(arguments, clouds, grid)


def _reductions(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """What to reduce, and the features that this needs."""
    reduce = list(dict.fromkeys(word.strip() for word in arguments.reduce.split(",")))
    for name in reduce:
        if name not in COUNTS + FEATURES:
            raise InvalidArgument(f"voxelize: --reduce has {name!r}, expected some of {', '.join(COUNTS + FEATURES)}")
    if set(reduce) & set(FEATURES):
        features = ",".join(AXES) if arguments.features is None else arguments.features
        return reduce, list(dict.fromkeys(word.strip() for word in features.split(",")))
    for option in ("features", "empty"):
        if getattr(arguments, option) is not None:
            raise InvalidArgument(
                f"voxelize: --{option} is given with --reduce {arguments.reduce}, expected one of {', '.join(FEATURES)}"
            )
    return reduce, []


def _keep_inputs(arguments: argparse.Namespace) -> None:
    for path in arguments.files:
        if arguments.output.exists() and path.exists() and path.samefile(arguments.output):
            raise InvalidArgument(f"voxelize: output is {path}, expected another file: it is one of the clouds")


def _drawing() -> Callable[[Path, npt.NDArray[np.bool_], Box, str], None]:
    try:
        from robocache.cli.voxel_view import draw
    except ModuleNotFoundError as error:
        text = "voxelize: --view is given, which needs matplotlib; hint: pip install matplotlib"
        raise ModuleNotFoundError(text) from error
    return draw


def make_grid(clouds: Clouds, bounds: Bounds, reduce: Sequence[str], empty: float, paths: Sequence[Path]) -> Grid:
    """Voxelizes; one cloud has no batch axis.

    Raises
    ------
    DataError, InvalidArgument
        There is no box, or memory does not hold its grid.
    """
    box = fit(bounds, clouds.points[clouds.finite])
    _check_memory(clouds, box, reduce)
    batch = clouds.count > 1
    result = robocache.voxelize(
        clouds.points,
        clouds.features,
        voxel_m=box.voxel_m,
        origin=box.origin,
        shape=box.shape,
        reduce=list(dict.fromkeys([*reduce, "count"])),
        empty=empty,
        offsets=clouds.offsets if batch else None,
    )
    metadata = {
        "version": robocache.__version__,
        "files": [str(path) for path in paths],
        "origin": box.origin,
        "voxel_m": box.voxel_m,
        "shape": box.shape,
        "features": clouds.names,
        "empty": empty if math.isfinite(empty) else str(empty),  # JSON has no NaN
        "dropped": np.asarray(result.dropped).tolist(),
    }
    arrays = {name: result[name] for name in reduce}
    dropped = np.asarray(result.dropped)
    return Grid(box, batch, result["count"], dropped, arrays, clouds.names, clouds.points.dtype, metadata)


def _check_memory(clouds: Clouds, box: Box, reduce: Sequence[str]) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    reduced = sum(name in FEATURES for name in reduce) * clouds.features.dtype.itemsize * len(clouds.names)
    needed = clouds.count * box.voxels * (np.dtype(np.int32).itemsize + reduced)
    if needed > memory:
        raise InvalidArgument(
            f"voxelize: grid is {_sizes(box)} voxels of {needed / clouds.count / box.voxels:g} bytes for "
            f"{count(clouds.count, 'cloud')}, expected what {memory >> 30} GiB of memory hold; "
            "hint: a larger --voxel or a smaller --shape"
        )


def _sizes(box: Box) -> str:
    return "x".join(map(str, box.shape))


def _summarise(arguments: argparse.Namespace, clouds: Clouds, grid: Grid) -> None:
    box, occupied = grid.box, np.count_nonzero(grid.count)
    voxel = f"{box.voxel_m[0]:g}" if len(set(box.voxel_m)) == 1 else "x".join(f"{v:g}" for v in box.voxel_m)
    origin = ", ".join(f"{v:g}" for v in box.origin)
    print(
        f"{arguments.output}: {count(len(clouds.points), 'point')}, {count(clouds.count, 'cloud')}, "
        f"{_sizes(box)} voxels of {voxel} m from ({origin}), {occupied:,} occupied ({occupied / grid.count.size:.2%})"
    )
    if arguments.view is not None:
        print(f"{arguments.view}: seen from above, from the side and from a corner")
    dropped, damaged = int(grid.dropped.sum()), int(np.count_nonzero(~clouds.finite))
    if dropped:
        what = [f"{dropped - damaged:,} outside the grid", f"{damaged:,} not finite"]
        print(f"dropped: {count(dropped, 'point')}, {', '.join(what)}", file=sys.stderr)
