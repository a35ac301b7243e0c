"""The command line: `robocache inspect`, `robocache align` and `robocache voxelize`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import robocache
from robocache.cli import align, inspect, voxelize
from robocache.cli.plan import MODES

_EPILOG = (
    "PATH is a LeRobot v2.0, v2.1 or v3.0 folder, an RLDS folder of TFRecord files, a robomimic HDF5 file, a CALVIN "
    "folder, a folder of CSV files, or one CSV file."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, or 2 with one line on stderr for what the user can put right."""
    arguments = _parser().parse_args(_with_negatives(sys.argv[1:] if argv is None else argv))
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output, `head` say, has seen enough; Python flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("robocache: interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, NotImplementedError, RuntimeError, MemoryError, ImportError) as error:
        print(f"robocache: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _with_negatives(argv: Sequence[str]) -> list[str]:
    """`--origin -3,0,1` as `--origin=-3,0,1`: argparse takes what begins with a minus for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and re.fullmatch(r"--[a-z-]+", joined[-1]) and re.fullmatch(r"-(\d|\.\d|inf).*", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="robocache", description=robocache.__doc__, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"robocache {robocache.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_inspect(commands)
    _add_align(commands)
    _add_voxelize(commands)
    return parser


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser(
        "inspect", help="what a dataset holds, its timing, and what is wrong with it", epilog=_EPILOG
    )
    show.add_argument("path", type=Path, metavar="PATH")
    _add_fps(show)
    show.add_argument("--json", action="store_true", help="print JSON instead of a table")
    show.set_defaults(run=inspect.run)


def _add_fps(command: argparse.ArgumentParser) -> None:
    command.add_argument("--fps", type=float, metavar="HZ", help="rate of data that has steps and no time")


def _add_align(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    line_up = commands.add_parser("align", help="every stream at the same instants, into one file", epilog=_EPILOG)
    line_up.add_argument("path", type=Path, metavar="PATH")
    _add_fps(line_up)
    line_up.add_argument("--hz", type=float, required=True, help="rate of the output")
    line_up.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help=".parquet, .npz or .safetensors"
    )
    line_up.add_argument("--start", type=float, metavar="S", help="first second of each episode, from its beginning")
    line_up.add_argument("--end", type=float, metavar="S", help="last second of each episode, from its beginning")
    line_up.add_argument(
        "--interp",
        action="append",
        default=[],
        metavar="NAME=MODE",
        help=f"one of {', '.join(MODES)} for one stream; unsaid, floats are linear, quaternions slerp, others hold",
    )
    line_up.add_argument(
        "--max-gap-ms", type=float, metavar="MS", help="rows in a longer gap of a stream are not valid"
    )
    line_up.add_argument("--max-age-ms", type=float, metavar="MS", help="rows farther from a sample are not valid")
    line_up.add_argument("--streams", metavar="A,B", help="only these streams")
    line_up.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    line_up.add_argument("--on-bad-episode", choices=("raise", "skip"), default="raise")
    line_up.set_defaults(run=align.run)


def _add_voxelize(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fill = commands.add_parser("voxelize", help="point clouds into one dense grid of voxels, and a picture of it")
    fill.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a cloud: PLY, PCD or KITTI (.bin)")
    fill.add_argument("--voxel", required=True, metavar="M", help="size of a voxel: 0.1, or 0.1,0.1,0.2")
    fill.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help=".npz, .safetensors, or .ply: occupied voxels"
    )
    fill.add_argument("--view", type=Path, metavar="PNG", help="draw the occupied voxels")
    fill.add_argument("--origin", metavar="X,Y,Z", help="low corner of the grid; unsaid, below all points")
    fill.add_argument("--shape", metavar="X,Y,Z", help="voxels of the grid; unsaid, up to the last point")
    fill.add_argument(
        "--reduce",
        default="count",
        metavar="A,B",
        help=f"some of {', '.join(voxelize.COUNTS + voxelize.FEATURES)}; unsaid, count",
    )
    fill.add_argument("--features", metavar="A,B", help="fields of the clouds to reduce; unsaid, x,y,z")
    fill.add_argument("--empty", type=float, metavar="V", help="features of a voxel without points; unsaid, 0")
    fill.add_argument(
        "--transform", type=Path, metavar="FILE", help="T_grid_points, 4x4 as text or .npy, applied first"
    )
    fill.set_defaults(run=voxelize.run)
