"""The command `robocache-bench`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from robocache_bench import compare, operators, report
from robocache_bench.loader import PEERS
from robocache_bench.results import BadResults, load
from robocache_bench.scan import BadScan


def _percentage(text: str) -> float:
    try:
        return compare.percentage(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a share such as 5% or 0.05") from None


def _file(text: str) -> Path:
    if not (path := Path(text)).is_file():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a file")
    return path


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="robocache-bench", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="measure us beside our peers, and keep every number in a JSON file")
    run.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.json")
    run.add_argument("--device", choices=("cpu", "cuda"), help="only this part; default: the CPU, and CUDA where it is")
    run.add_argument("--operator", action="append", default=[], choices=list(operators.every()), help="only these")
    run.add_argument("--only", action="append", default=[], metavar="TEXT", help="cases whose name contains it")
    names = sorted({n for op in operators.every().values() for modules in op.modules.values() for n in modules})
    run.add_argument(
        "--peer", action="append", default=[], choices=names, help="only these; 'ours' is enough to compare"
    )
    run.add_argument("--points", type=_file, metavar="FILE", help="a real scan (rc.read_points), for voxelize")
    run.add_argument("--quick", action="store_true", help="fewer rounds, and no case with a result of 64 MB and more")
    run.add_argument("--rounds", type=int, help="default: 30 on the CPU, 20 on CUDA")
    run.add_argument("--power", action="store_true", help="energy of a call, too (CUDA, through NVML)")
    run.add_argument("--cpp", type=Path, metavar="FOLDER", help="run the C++ benchmarks in it, too")
    run.add_argument("--seed", type=int, help="of the inputs; default: from the clock, printed and kept")

    loader = commands.add_parser("loader", help="rc.Loader beside LeRobot's loader and what people write with torch")
    loader.add_argument("--data", type=Path, required=True, metavar="DATASET", help="that both we and LeRobot can read")
    loader.add_argument("-o", "--output", type=Path, metavar="FILE.json")
    loader.add_argument("--peer", action="append", default=[], choices=PEERS, help="only these, beside ours")
    loader.add_argument("--quick", action="store_true", help="fewer and shorter turns")
    loader.add_argument(
        "--lerobot",
        type=Path,
        default=Path(".venv-lerobot"),
        metavar="FOLDER",
        help="LeRobot's environment, made by benchmarks/lerobot_env.sh; default: .venv-lerobot",
    )
    loader.add_argument(
        "--markdown",
        type=_file,
        action="append",
        default=[],
        metavar="FILE.md",
        help=f"put the tables between its markers there: {' and '.join(report.markers('loader'))}",
    )

    show = commands.add_parser("report", help="one HTML page with plots and tables, or Markdown tables")
    show.add_argument("results", type=Path, nargs="+", metavar="FILE.json", help="runs of one machine")
    show.add_argument("-o", "--output", type=Path, metavar="FILE.html")
    show.add_argument(
        "--markdown",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.md",
        help=f"put the tables of each operator between its markers there: {' and '.join(report.markers('align'))} ...",
    )

    gate = commands.add_parser("compare", help="exit with 1 when a time of ours got slower than allowed")
    gate.add_argument("before", type=Path, metavar="A.json")
    gate.add_argument("after", type=Path, metavar="B.json")
    gate.add_argument("--max-regression", type=_percentage, default=0.05, metavar="SHARE", help="default: 5%%")
    return top


def main(arguments: list[str] | None = None) -> int:
    """0: done; 1: slower than allowed, or a wrong result; 2: nothing to measure, compare or report."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "run":
            from robocache_bench import run

            return run.main(options)
        if options.command == "loader":
            if importlib.util.find_spec("torch") is None:
                print("SKIPPED: loader: every peer: torch, which they are written with, is not installed")
                return 0
            from robocache_bench.loader import run as loader

            return loader.main(options)
        if options.command == "report":
            return report.main([load(path) for path in options.results], options.output, options.markdown)
        found = compare.compare(load(options.before), load(options.after), options.max_regression)
    except (BadResults, BadScan, report.BadDocument) as error:
        print(f"robocache-bench: {error}", file=sys.stderr)
        return 2
    print(compare.text(found, options.max_regression))
    return found.exit_code
