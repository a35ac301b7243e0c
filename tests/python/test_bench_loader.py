"""The loader's benchmark: who is right, what counts as fastest, and a short run from the command to its JSON."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_lerobot import episodes, write_v30
from robocache_bench import cli
from robocache_bench.loader import COMPILED, DATASET, HAND, LEROBOT
from robocache_bench.peers import NoPeer
from robocache_bench.results import OURS, Log
from robocache_bench.run_cpu import WrongResult

pytest.importorskip("torch")

from robocache_bench.loader import check, preloaded, run
from robocache_bench.loader.live import LeRobot
from robocache_bench.loader.work import BATCH, INTERPOLATED, NATIVE, STEPS, Batch, Contestant, Work

LENGTHS = (300, 1, 61, 2)  # longer and shorter than a batch and a window


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v30(tmp_path_factory.mktemp("loader") / "data", episodes(*LENGTHS))


@pytest.fixture(scope="module")
def work(dataset: Path) -> Work:
    return Work(dataset)


# --- Who is right -----------------------------------------------------------------------------------------------------


def ours(work: Work) -> list[dict[str, Any]]:
    return [{k: np.array(v) for k, v in batch.items()} for batch in check.ours_in_order(work.store, work.window)]


def by_hand(work: Work) -> Iterator[Batch]:
    data = preloaded.preload(work.store, STEPS)
    return preloaded.in_order(data, preloaded.gather(data), BATCH)


def test_ours_is_what_people_write_and_what_numpy_interpolates(work: Work) -> None:
    assert work.samples == sum(LENGTHS)
    assert check.same(ours(work), by_hand(work)) == work.samples
    assert (
        check.same(ours(work), preloaded.collated_in_order(preloaded.preload(work.store, STEPS), BATCH)) == work.samples
    )
    assert check.interpolated(work) == work.samples


def change_value(batches: list[dict[str, Any]]) -> None:
    batches[1]["action"][44, 49, 1] += 1e-6


def flip_mask(batches: list[dict[str, Any]]) -> None:
    batches[0]["observation.state_is_pad"][3, 6] ^= True


def narrow(batches: list[dict[str, Any]]) -> None:
    batches[0]["action"] = batches[0]["action"][:, :49]


def widen(batches: list[dict[str, Any]]) -> None:
    batches[0]["action"] = batches[0]["action"].astype(np.float64)


def shorten(batches: list[dict[str, Any]]) -> None:
    batches.pop()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change_value, "'action' of sample 300 differs from ours"),
        (flip_mask, "'observation.state_is_pad' of sample 3 differs from ours"),
        (narrow, "'action' of sample 0 is float32 [256, 49, 2], expected float32 [256, 50, 2]"),
        (widen, "'action' of sample 0 is float64 [256, 50, 2], expected float32 [256, 50, 2]"),
        (shorten, "no more than 256 samples, expected as many as ours"),
    ],
)
def test_a_wrong_batch_is_found(work: Work, spoil: Callable[[list[dict[str, Any]]], None], message: str) -> None:
    theirs = ours(work)
    spoil(theirs)
    with pytest.raises(WrongResult) as error:
        check.same(ours(work), theirs)
    assert str(error.value) == message


@pytest.mark.parametrize("stride", [1, 7])
def test_what_another_process_wrote_is_held_against_ours(work: Work, tmp_path: Path, stride: int) -> None:
    parts = list(check.every(ours(work), stride))
    for key in ("index", *STEPS, *(f"{key}_is_pad" for key in STEPS)):
        np.save(tmp_path / f"{key}.npy", np.concatenate([part[key] for part in parts]))
    assert check.written(work, tmp_path, stride) == len(range(0, work.samples, stride))
    actions = np.load(tmp_path / "action.npy")
    actions[-1, 0, 0] += 1
    np.save(tmp_path / "action.npy", actions)
    with pytest.raises(WrongResult, match=f"of sample {(len(actions) - 1) * stride} differs"):
        check.written(work, tmp_path, stride)


# --- Bars -------------------------------------------------------------------------------------------------------------


def row(case: str, peer: str, *rounds_us: float) -> dict[str, Any]:
    return {"case": case, "peer": peer, "times": {"sample": {"rounds_us": list(rounds_us)}}}


def test_the_fastest_setting_of_each_round_counts() -> None:
    rows = [
        row(NATIVE, OURS, 1, 1, 2),
        row(INTERPOLATED, OURS, 3, 3, 3),
        row(NATIVE, HAND, 9, 1.5, 5),
        row(NATIVE, HAND, 1.1, 9, 9),
        row(NATIVE, COMPILED, 8, 8, 8),
        row(NATIVE, DATASET, 31, 40, 20),
        row(NATIVE, LEROBOT, 1999),
    ]
    bars = run.speed_bars(rows)
    assert [(bar["value"], bar["holds"]) for bar in bars] == [
        (1999, False),
        (31, True),
        (1.5, True),
        (pytest.approx(1 / 3, abs=1e-4), False),
    ]
    assert [bar["asked"] for bar in run.speed_bars(rows[:2])] == [bars[-1]["asked"]]


def test_memory_is_judged_by_the_values_and_by_a_batch() -> None:
    memory = {"values_bytes": 100, "store_bytes": 131, "batch_bytes": 10, "epochs": 20, "resident_bytes": [50, 61]}
    assert [bar["holds"] for bar in run.memory_bars(memory)] == [False, False]
    memory |= {"store_bytes": 130, "resident_bytes": [50, 60]}
    assert [bar["holds"] for bar in run.memory_bars(memory)] == [True, True]


def test_turns_take_turns_and_who_fails_leaves() -> None:
    asked: list[str] = []

    def contestant(peer: str, us: float | None, rounds: int | None = None) -> Contestant:
        def turn() -> float:
            asked.append(peer)
            if us is None:
                raise NoPeer("it broke")
            return 1e6 / us

        return Contestant(NATIVE, peer, "", 0, turn, rounds)

    found = [contestant(OURS, 2), contestant(LEROBOT, 500, rounds=1), contestant(HAND, None)]
    log = Log()
    run.in_turns(found, 2, log)
    assert asked == [OURS, LEROBOT, HAND, OURS]
    assert [(one.peer, one.row()["samples_per_s"], one.times.rounds) for one in found] == [
        (OURS, 500_000, [[2], [2]]),
        (LEROBOT, 2000, [[500]]),
    ]
    assert [skipped["why"] for skipped in log.skipped] == ["it broke"]


# --- The command ------------------------------------------------------------------------------------------------------


def test_a_run(dataset: Path, tmp_path: Path) -> None:
    out, document = tmp_path / "loader.json", tmp_path / "page.md"
    document.write_text("before\n<!-- bench loader: begin -->\nstale\n<!-- bench loader: end -->\nafter\n")
    peers = [argument for peer in (LEROBOT, DATASET, HAND) for argument in ("--peer", peer)]
    command = [sys.executable, "-m", "robocache_bench", "loader", "--data", str(dataset), "--quick", *peers]
    places = ["-o", str(out), "--markdown", str(document), "--lerobot", str(tmp_path / "nowhere")]
    ran = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SKIPPED: loader: LeRobot: " in ran.stdout
    assert "hint: benchmarks/lerobot_env.sh" in ran.stdout

    results = json.loads(out.read_text())
    assert [skipped["peer"] for skipped in results["skipped"]] == [LEROBOT]
    assert {row["peer"] for row in results["rows"]} == {OURS, DATASET, HAND}
    assert all(row["checked"] == sum(LENGTHS) and row["samples_per_s"] > 0 for row in results["rows"])
    assert len(results["bars"]) == 5
    speed = {(row["case"], row["peer"]): row["samples_per_s"] for row in results["rows"]}
    assert speed[NATIVE, OURS] > 2 * speed[NATIVE, DATASET]
    text = document.read_text()
    assert text.startswith("before\n")
    assert "stale" not in text
    assert f"| {NATIVE} | {HAND} | threads=1 | " in text


def test_data_without_windows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = [{key: column for key, column in columns.items() if key != "action"} for columns in episodes(5)]
    assert cli.main(["loader", "--data", str(write_v30(tmp_path / "data", data))]) == 2
    assert "has no 'action', expected observation.state, action" in capsys.readouterr().err


# --- LeRobot's process ------------------------------------------------------------------------------------------------


def environment(folder: Path, script: str) -> Path:
    python = folder / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


def test_a_process_is_asked_line_by_line(tmp_path: Path) -> None:
    script = (
        """echo '{"samples": 7}'; read line; echo '{"samples_per_s": 2.5}'; echo "$line" > "$(dirname "$0")/asked" """
    )
    with LeRobot(environment(tmp_path / "env", script), tmp_path, {"action": [0.0]}, 4) as live:
        assert live.samples == 7
        assert live.rate(workers=2, threads=1, batches=3) == 2.5
    asked = json.loads((tmp_path / "env/bin/asked").read_text())
    assert asked == {"workers": 2, "threads": 1, "batches": 3}


def test_a_process_ends_though_a_fork_keeps_its_stdin(tmp_path: Path) -> None:
    script = """echo '{"samples": 7}'; while read line && [ -n "$line" ]; do :; done"""
    live = LeRobot(environment(tmp_path / "env", script), tmp_path, {}, 4)
    assert live._process.stdin is not None
    kept = os.dup(live._process.stdin.fileno())
    with live:
        pass
    assert live._process.returncode == 0
    os.close(kept)


def test_a_process_that_ends_is_no_peer(tmp_path: Path) -> None:
    with pytest.raises(NoPeer, match="its process ended with 3"):
        LeRobot(environment(tmp_path / "env", "exit 3"), tmp_path, {}, 4)
    quitter = environment(tmp_path / "quitter", """echo '{"samples": 7}'""")
    with LeRobot(quitter, tmp_path, {}, 4) as live, pytest.raises(NoPeer, match="its process ended with 0"):
        live.rate(workers=0, threads=1, batches=1)
