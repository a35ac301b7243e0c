"""What the project asks of voxelize and whether it holds, and what its C++ benchmark reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robocache_bench import bars, cli, operators, run
from robocache_bench.operators.voxelize import bars as voxelize_bars
from robocache_bench.operators.voxelize import cases, cpp
from robocache_bench.operators.voxelize.cases import DOWNSAMPLE, ONE_VOXEL, SPARSE, UNIFORM
from robocache_bench.results import SCAN

VOXELIZE = operators.every()["voxelize"]
SOME_SCAN = np.random.default_rng().uniform(-20, 20, (500, 3)).astype(np.float32)

# --- Bars -------------------------------------------------------------------------------------------------------------


def cuda_row(
    peer: str, us: float, work: str, cloud: str = UNIFORM, time: str = bars.COLD, shape: str = ""
) -> dict[str, Any]:
    made = cases.cuda_cases(SOME_SCAN)
    case = next(c for c in made if (c.work, c.cloud) == (work, cloud) and shape in c.name)
    times = {time: {"median_us": us, "p10_us": us, "p90_us": us}}
    row = {"operator": "voxelize", "case": case.name, "device": "cuda", "peer": peer, "bytes": 8_000_000}
    return row | case.facts | {"times": times, "bars": []}


def cpu_row(peer: str, us: float, work: str, shape: str = "") -> dict[str, Any]:
    made = cases.cpu_cases(SOME_SCAN)
    case = next(c for c in made if c.work == work and shape in c.name and c.asked)
    times = {"fresh": {"median_us": us, "p10_us": us, "p90_us": us, "rounds_us": [us, us]}}
    row = {"operator": "voxelize", "case": case.name, "device": "cpu", "peer": peer, "bytes": 8_000_000}
    return row | case.facts | {"times": times, "bars": []}


def judged(*rows: dict[str, Any]) -> dict[str, bool]:
    found = {"rows": list(rows), "copy": {"cuda": {"bytes_per_s": 4e12}}}
    bars.judge(found)
    return {bar["asked"]: bar["holds"] for row in rows for bar in row["bars"]}


def test_cuda_bars() -> None:
    ours = cuda_row("robocache", 9, "count")
    assert judged(ours) == {"robocache: <= 8.5 us": False}
    # The C++ call does what the peers do: where it is there, it is the one.
    both = judged(ours, cuda_row("robocache, C++", 8, "count"), cuda_row("torch eager", 1, "count"))
    assert both == {"robocache, C++: <= 8.5 us": True}
    cliff = judged(ours, cuda_row("robocache", 28, "count", ONE_VOXEL), cuda_row("robocache", 26, "count", SCAN))
    even = "robocache: <= 3x points spread evenly"
    assert cliff == {"robocache: <= 8.5 us": False, even: True}
    assert judged(cuda_row("robocache", 28, "count", ONE_VOXEL)) == {}
    one_voxel = cuda_row("robocache", 28, "count", ONE_VOXEL)
    assert judged(ours, one_voxel)[even] is False
    # What waits for the device has no device time.
    waits = cuda_row("robocache", 300, SPARSE, time="stream")
    assert judged(waits, cuda_row("robocache", 400, SPARSE, SCAN, time="stream")) == {even: True}


def test_what_is_asked() -> None:
    """The numbers of the project's bars."""
    made = [c for device in ("cpu", "cuda") for c in VOXELIZE.cases(device, SOME_SCAN)]
    assert {(c.device, c.shape.name, c.work): c.asked for c in made if c.asked} == {
        ("cuda", "500K->128^3", "count"): {"us": 8.5},
        ("cuda", "500K->128^3", "occupancy"): {"us": 8.5},
        ("cuda", "500K->128^3", "occupancy_bits"): {"us": 7.0},
        ("cuda", "64x65536->128^3", "count"): {"us": 200},
        ("cuda", "64x65536->128^3", "occupancy_bits"): {"us": 45},
        ("cuda", "1Mx16->200^3", "mean"): {"us": 240},
        ("cuda", "1Mx16->200^3", "max"): {"us": 240},
        ("cuda", "1Mx16->200^3", SPARSE): {"us": 110},
        ("cpu", "1Mx4->128^3", "mean"): {"torch eager": 3, "numpy": 10},
        ("cpu", "500->5 cm", DOWNSAMPLE): {"Open3D": 3},
        ("cpu", "500->20 cm", DOWNSAMPLE): {"Open3D": 3},
        ("cpu", "500->50 cm", DOWNSAMPLE): {"Open3D": 3},
    }
    assert {c.cloud for c in made if c.asked} == {UNIFORM, SCAN}
    assert voxelize_bars.NO_CLIFF == 3


@pytest.mark.parametrize(("factor", "holds"), [(0, (False, True)), (0.99, (False, True)), (1.01, (True, False))])
def test_bars_hold_on_the_right_side(factor: float, holds: tuple[bool, bool]) -> None:
    """Limits just above and below what is measured, on either device: the peers' ratio, then our times."""
    for peer, work, limit in (("torch eager", "mean", 3), ("numpy", "mean", 10), ("Open3D", DOWNSAMPLE, 3)):
        found = judged(cpu_row("robocache", 100, work), cpu_row(peer, 100 * limit * factor, work))
        assert list(found.values()) == [holds[0]], peer
    for case in cases.cuda_cases(None):
        if case.cloud != UNIFORM or case.work == SPARSE:
            continue
        row = cuda_row("robocache", case.asked["us"] * factor, case.work, shape=case.shape.name)
        assert list(judged(row).values()) == [holds[1]], case.name
    even = cuda_row("robocache", 1, "count")
    cliff = cuda_row("robocache", 3 * factor, "count", ONE_VOXEL)
    assert judged(even, cliff)["robocache: <= 3x points spread evenly"] is holds[1]


@pytest.mark.parametrize(("factor", "holds"), [(0, True), (1e9, False)])
def test_a_limit_of_nothing_and_one_out_of_reach(factor: float, holds: bool) -> None:
    """What is at least zero times faster holds, a milliard times does not; for times it is the other way round."""
    ours, theirs = cpu_row("robocache", 10, "mean"), cpu_row("numpy", 200, "mean")
    ours["asked"] = {who: limit * factor for who, limit in ours["asked"].items()}
    assert list(judged(ours, theirs).values()) == [holds]
    on_cuda = cuda_row("robocache", 9, "count")
    on_cuda["asked"] = {"us": 8.5 * factor}
    assert list(judged(on_cuda).values()) == [not holds]


# --- The C++ results --------------------------------------------------------------------------------------------------

PRINTED = """seed 5
1Mx16->200^3       sum grad       even                            58.03    58.13 us
"""


def printed() -> list[str]:
    """What the benchmark prints: a line for each case, met or not."""
    lines = PRINTED.splitlines()
    for cloud in ("even", "one voxel"):
        for case in cases.cuda_cases(None):
            if case.cloud != (UNIFORM if cloud == "even" else ONE_VOXEL):
                continue
            work = "mean, sparse" if case.work == SPARSE else case.work
            more = "940258 voxels" if case.work == SPARSE else "naive   381.54 (24.2x)  0 wrong"
            lines.append(f"{case.shape.name:18} {work:14} {cloud:9} asked    8.5 MORE     10.42    10.40 us  {more}")
    return lines


def test_cpp_results_join_the_cases() -> None:
    found = {(row["case"], row["peer"]): row for row in cpp.rows("\n".join(printed()))}
    made = cases.cuda_cases(None)
    assert {name for name, peer in found if peer == "robocache, C++"} == {case.name for case in made}
    dense = {case.name for case in made if case.cloud == UNIFORM and case.work != SPARSE}
    assert {name for name, peer in found if peer == cpp.PLAIN} == dense
    row = found[f"cuda voxelize 500K->128^3 count, {UNIFORM}", "robocache, C++"]
    assert row["times"][bars.COLD]["median_us"] == pytest.approx(10.41)
    assert row["asked"] == {"us": 8.5}


def test_cpp_results_that_do_not_hold() -> None:
    lines = printed()
    with pytest.raises(ValueError, match="line is 'what asked nobody'"):
        cpp.rows("\n".join([*lines, "what asked nobody"]))
    with pytest.raises(ValueError, match="elements are wrong, expected none"):
        cpp.rows("\n".join(lines).replace("  0 wrong", "  3 wrong"))
    missing = f"cases without a line are cuda voxelize 1Mx16->200\\^3 {SPARSE}, {ONE_VOXEL}, expected none"
    with pytest.raises(ValueError, match=missing):
        cpp.rows("\n".join(lines[:-1]))
    for unknown in (lines[-1], lines[-1].replace("1Mx16", "2Mx16")):
        with pytest.raises(ValueError, match="expected one of a case that is left"):
            cpp.rows("\n".join([*lines, unknown]))


def test_a_run_with_a_broken_cpp_table_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = run.Session(cli.parser().parse_args(["run", "-o", str(tmp_path / "x.json")]))

    def broken(*arguments: object) -> None:
        cpp.rows("")

    monkeypatch.setattr(cpp, "run", broken)
    session._cpp(VOXELIZE, "cuda", set(), tmp_path)
    assert session.log.failures == 1
    assert "cases without a line are cuda voxelize" in session.log.skipped[0]["why"]


def test_power_of_nothing_is_said(tmp_path: Path) -> None:
    session = run.Session(cli.parser().parse_args(["run", "--power", "-o", str(tmp_path / "x.json")]))
    assert session._meter([(VOXELIZE, VOXELIZE.cases("cuda", None))]) is None
    assert "--power measures nothing" in session.log.skipped[0]["why"]
