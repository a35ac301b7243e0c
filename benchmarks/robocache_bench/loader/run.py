"""`robocache-bench loader`: peers checked, then timed in turns, into one JSON and a table."""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from robocache_bench import machine, report
from robocache_bench.bars import Bar, bar, per_round
from robocache_bench.loader import COMPILED, DATASET, HAND, LEROBOT, peers, tables
from robocache_bench.loader.work import INTERPOLATED, NATIVE, SAMPLE, STEPS, Contestant, Work
from robocache_bench.peers import NoPeer
from robocache_bench.results import OURS, Log, Results, Row, save
from robocache_bench.run_cpu import WrongResult

FORMAT = "robocache-bench loader 1"
ROUNDS, SECONDS = 15, 0.3  # of a turn
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.02

EPOCHS, EPOCHS_BEFORE = 20, 10
STORE_LIMIT = 1.3
AT_50_HZ_LIMIT = 0.5
LIMITS = (((LEROBOT,), 2000), ((DATASET,), 30), ((HAND, COMPILED), 1.2))


def main(options: argparse.Namespace) -> int:
    """0: done; 1: a wrong result, or a failure of ours."""
    facts, quick = machine.facts(), options.quick  # the load is that of others
    work, log = Work(options.data), Log()
    memory = measured_memory(work)
    with ExitStack() as ends:
        found = contestants(work, options, QUICK_SECONDS if quick else SECONDS, log, ends)
        in_turns(found, QUICK_ROUNDS if quick else ROUNDS, log)
    rows = [one.row() for one in found]
    results: Results = {
        "format": FORMAT,
        "machine": facts,
        "data": {"name": work.data.name, "episodes": len(work.store), "samples": work.samples, "hz": work.hz},
        "quick": quick,
        "rows": rows,
        "memory": memory,
        "bars": [*speed_bars(rows), *memory_bars(memory)],
        "skipped": log.skipped,
    }
    if options.output is not None:
        save(results, options.output)
    text = tables.markdown(results)
    for document in options.markdown:
        document.write_text(report.between_markers(document.read_text(), "loader", text, str(document)))
    print(text)
    return 1 if log.failures else 0


def contestants(work: Work, options: argparse.Namespace, seconds: float, log: Log, ends: ExitStack) -> list[Contestant]:
    """Those that are right; the log says why another one does not take part."""
    live = peers.QUICK_LIVE if options.quick else peers.LIVE
    makers: dict[str, Callable[[], list[Contestant]]] = {
        OURS: lambda: peers.ours(work, seconds),
        LEROBOT: lambda: peers.lerobot(work, options.lerobot, live, ends),
        DATASET: lambda: peers.torch_dataset(work, seconds),
        HAND: lambda: peers.by_hand(work, seconds, HAND),
        COMPILED: lambda: peers.by_hand(work, seconds, COMPILED),
    }
    found: list[Contestant] = []
    for peer, make in makers.items():
        if peer != OURS and options.peer and peer not in options.peer:
            continue
        print(f"checking {peer}", flush=True)
        try:
            found += make()
        except NoPeer as why:
            log.skip("loader", peer, str(why))
        except WrongResult as error:
            log.fail("loader", peer, f"WRONG RESULT: {error}")
        except Exception as error:  # whatever a peer's library raises
            (log.fail if peer == OURS else log.skip)("loader", peer, f"{type(error).__name__}: {error}")
    return found


def in_turns(found: list[Contestant], rounds: int, log: Log) -> None:
    """Times all of them, round by round; one whose process ends leaves."""
    for k in range(rounds):
        print(f"round {k + 1} of {rounds}", flush=True)
        for one in list(found):
            if one.rounds is not None and k >= one.rounds:
                continue
            time.sleep(0.02)  # the threads of the one before stop spinning
            try:
                one.times.add([1e6 / one.turn()])
            except NoPeer as why:
                found.remove(one)
                log.skip("loader", f"{one.peer}, {one.setting}", str(why))


def speed_bars(rows: list[Row]) -> list[Bar]:
    """Ours beside the fastest setting of each peer, in each round."""
    ours: dict[str, tuple[Row, str]] = {row["case"]: (row, SAMPLE) for row in rows if row["peer"] == OURS}
    bars: list[Bar] = []
    if NATIVE not in ours:
        return bars
    for names, limit in LIMITS:
        settings = [(row, SAMPLE) for row in rows if row["peer"] in names]
        if settings:
            value = per_round(settings, ours[NATIVE], min)
            bars.append(bar(f">= {limit:,g}x {names[0]}", value, limit, at_least=True))
    value = per_round([ours[NATIVE]], ours[INTERPOLATED], min)
    bars.append(bar(f"{INTERPOLATED}: >= {AT_50_HZ_LIMIT}x of {NATIVE}", value, AT_50_HZ_LIMIT, at_least=True))
    return bars


def measured_memory(work: Work) -> dict[str, Any]:
    """Of the store beside that of the values in it; what the process has after epochs and after more of them."""
    batches = peers.forever(work, work.window)

    def resident_after(epochs: int) -> int:
        samples = 0
        while samples < epochs * work.samples:
            samples += len(next(batches)["action"])
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident_after(EPOCHS_BEFORE)
    return {
        "values_bytes": sum(work.store.values(key).nbytes for key in STEPS),
        "store_bytes": sum(work.store.memory().values()),
        "batch_bytes": sum(np.asarray(array).nbytes for array in next(batches).values()),
        "epochs": EPOCHS,
        "resident_bytes": [before, resident_after(EPOCHS)],
    }


def memory_bars(memory: dict[str, Any]) -> list[Bar]:
    """How much of it a batch is says what growth is: batches in flight come and go."""
    before, after = memory["resident_bytes"]
    share = memory["store_bytes"] / memory["values_bytes"]
    return [
        bar(f"store.memory(): <= {STORE_LIMIT}x the values", share, STORE_LIMIT, at_least=False),
        bar(
            f"growth over {memory['epochs']} epochs: <= 1 batch",
            (after - before) / memory["batch_bytes"],
            1,
            at_least=False,
        ),
    ]
