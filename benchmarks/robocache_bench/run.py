"""`robocache-bench run`: the cases of each device that is here, into one JSON."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import robocache as rc

from robocache_bench import bars, machine, operators, report
from robocache_bench.operators import Case, Operator
from robocache_bench.power import METHOD, Meter, NoMeter
from robocache_bench.results import FORMAT, Log, Results, Row, save

Work = list[tuple[Operator, list[Case]]]

ROUNDS = {"cpu": 30, "cuda": 20}
QUICK_ROUNDS = 8


class Session:
    """One run in the making."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
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
                "points": None if options.points is None else options.points.name,
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

        meter = self._meter() if self.options.power else None
        self.results["copy"]["cuda"] = run_cuda.roofs()
        self._measure("cuda", work, partial(run_cuda.measure, meter=meter))

    def _measure(self, device: str, work: Work, measure: Callable[..., list[Row]]) -> None:
        """Every case, then the C++ benchmarks' rows of the same cases."""
        for op, cases in work:
            modules = [name for name in op.modules[device] if not self.options.peer or name in self.options.peer]
            for case in cases:
                self.keep(measure(op, case, modules, self.random, self.rounds(device), self.log))
            if self.options.cpp is not None:
                names = {case.name for case in cases}
                rows = op.cpp_rows(self.options.cpp, device, self.seed, self.log)
                self.keep([row for row in rows if row["case"] in names])

    def _meter(self) -> Meter | None:
        import torch

        torch.cuda.synchronize()  # makes the context
        try:
            meter = Meter(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        except NoMeter as why:
            self.log.skip("cuda", "energy", str(why))
            return None
        self.results["energy_method"] = METHOD
        return meter

    def device(self, name: str) -> int:
        """Measures the cases of a device; returns how many there were."""
        work: Work = []
        for op in operators.every().values():
            if self.options.operator and op.name not in self.options.operator:
                continue
            cases = op.cases(name, self.options.points)
            if chosen := operators.selected(cases, self.options.only, self.options.quick):
                work.append((op, chosen))
                if op.takes_scan and self.options.points is None:
                    self.log.skip(f"{name} {op.name}, scan", "every peer", "no scan is given; hint: --points FILE")
        if not work:
            return 0
        why = self._why_not(name)
        if why:
            self.log.skip(name, "every peer", why)
            return 0
        (self.cpu if name == "cpu" else self.cuda)(work)
        return sum(len(cases) for _, cases in work)

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
    measured = sum(session.device(name) for name in devices)
    if not measured:
        print("robocache-bench: run: nothing was measured, expected at least one case", file=sys.stderr)
        return 2
    print("\n" + report.text(report.by_operator([session.results])))
    if session.log.failures:
        print(f"robocache-bench: run: {session.log.failures} failures (seed {session.seed})", file=sys.stderr)
        return 1
    return 0
