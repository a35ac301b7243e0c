"""`robocache-bench run`: the cases of each device that is here, into one JSON."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import robocache as rc

from robocache_bench import bars, machine, operators, report, scan
from robocache_bench.operators import Case, Operator
from robocache_bench.power import METHOD, Meter, NoMeter
from robocache_bench.results import FORMAT, OURS, Log, Results, Row, save

Work = list[tuple[Operator, list[Case]]]

ROUNDS = {"cpu": 30, "cuda": 20}
QUICK_ROUNDS = 8


class Session:
    """One run in the making."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.scan = None if options.points is None else scan.read(options.points)
        self.seed = time.time_ns() % 2**31 if options.seed is None else options.seed
        self.random = np.random.default_rng(self.seed)
        self.log = Log()
        self.results: Results = {
            "format": FORMAT,
            "machine": machine.facts(),
            "options": {
                "seed": self.seed,
                "operator": options.operator,
                "only": options.only,
                "peer": options.peer,
                "quick": options.quick,
                "points": None if self.scan is None else self.scan.name,
                "points_sha256": None if self.scan is None else self.scan.sha256,
            },
            "copy": {},
            "rows": [],
            "skipped": self.log.skipped,
        }

    def keep(self, rows: list[Row]) -> None:
        """Adds rows and writes the file at once: a run that is cut short keeps what it has."""
        self.results["rows"] += rows
        bars.judge(self.results)
        save(self.results, self.options.output)
        for row in rows:
            print(report.line(self.results, row), flush=True)

    def rounds(self, device: str) -> int:
        return int(self.options.rounds or (QUICK_ROUNDS if self.options.quick else ROUNDS[device]))

    def cpu(self, work: Work) -> None:
        from robocache_bench import run_cpu

        self.results["copy"]["cpu"] = run_cpu.roofs()
        self._measure("cpu", work, run_cpu.measure)

    def cuda(self, work: Work) -> None:
        from robocache_bench import run_cuda

        meter = self._meter(work) if self.options.power else None
        self.results["copy"]["cuda"] = run_cuda.roofs()
        self._measure("cuda", work, partial(run_cuda.measure, meter=meter))

    def _measure(self, device: str, work: Work, measure: Callable[..., list[Row]]) -> None:
        """Every case, then the C++ benchmarks' rows of the same cases."""
        for op, cases in work:
            modules = [name for name in op.modules[device] if not self.options.peer or name in self.options.peer]
            for case in cases:
                self.keep(measure(op, case, modules, self.random, self.rounds(device), self.log))
            if self.options.cpp is not None:
                self._cpp(op, device, {case.name for case in cases}, self.options.cpp)

    def _cpp(self, op: Operator, device: str, names: set[str], folder: Path) -> None:
        """The rows of the C++ benchmarks; a table of theirs that does not hold is a failure of ours."""
        try:
            rows = op.cpp_rows(folder, device, self.seed, self.log)
        except ValueError as error:
            self.log.fail(f"{device} {op.name} C++", OURS, str(error))
            return
        self.keep([row for row in rows if row["case"] in names])

    def _meter(self, work: Work) -> Meter | None:
        if not any(case.takes_power for _, cases in work for case in cases):
            self.log.skip("cuda", "energy", "--power measures nothing: none of the chosen cases is one that it is for")
            return None
        import torch

        torch.cuda.synchronize()  # makes the context
        try:
            meter = Meter(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        except NoMeter as why:
            self.log.skip("cuda", "energy", str(why))
            return None
        self.results["energy_method"] = METHOD
        return meter

    def device(self, name: str) -> None:
        """Measures the cases of a device."""
        work: Work = []
        for op in operators.every().values():
            if self.options.operator and op.name not in self.options.operator:
                continue
            cases = op.cases(name, None if self.scan is None else self.scan.points)
            if chosen := operators.selected(cases, self.options.only, self.options.quick):
                work.append((op, chosen))
                if op.takes_scan and self.scan is None:
                    self.log.skip(f"{name} {op.name}, scan", "every peer", "no scan is given; hint: --points FILE")
        if not work:
            return
        if why := self._why_not(name):
            self.log.skip(name, "every peer", why)
        elif name == "cpu":
            self.cpu(work)
        else:
            self.cuda(work)

    @staticmethod
    def _why_not(device: str) -> str:
        if device == "cpu":
            return ""
        if not rc.is_cuda_available():
            return str(rc.check_installation()["cuda_reason"])
        return "" if importlib.util.find_spec("torch") else "torch, which makes the arrays and graphs, is not installed"


def main(options: argparse.Namespace) -> int:
    """Runs, prints each row as it comes and the tables at the end, and leaves the JSON."""
    session = Session(options)
    print(f"seed {session.seed}, commit {session.results['machine']['commit']}", flush=True)
    devices = [options.device] if options.device else ["cpu", "cuda"]
    for name in devices:
        session.device(name)
    rows, failures = session.results["rows"], session.log.failures
    if rows:
        print("\n" + report.text(report.by_operator([session.results])))
    else:
        print("robocache-bench: run: nothing was measured, expected at least one row", file=sys.stderr)
    if failures:
        print(f"robocache-bench: run: {failures} failures (seed {session.seed})", file=sys.stderr)
        return 1
    return 0 if rows else 2
