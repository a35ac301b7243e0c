"""The benchmark suite's voxelize: what it draws, counts, refuses and judges, and a tiny run beside the peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import voxelize_oracle as naive
from robocache_bench import bars, cli, operators, results
from robocache_bench.operators.voxelize import cases, cpp, oracle
from robocache_bench.operators.voxelize.cases import DOWNSAMPLE, ONE_VOXEL, SCAN, SPARSE, UNIFORM, Case, Shape
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.operators.voxelize.needs import bytes_moved

VOXELIZE = operators.every()["voxelize"]
DENSE = ("count", "occupancy", "occupancy_bits", "mean", "max")


def scan_of(random: np.random.Generator) -> np.ndarray:
    """Points on a wavy floor, far from the origin."""
    xy = random.uniform(-20, 20, (500, 2))
    return np.column_stack([xy + 1000, np.sin(xy[:, 0])]).astype(np.float32)


# --- Inputs and what must move ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clouds", [1, 3])
@pytest.mark.parametrize("cloud", [UNIFORM, SCAN, ONE_VOXEL])
def test_all_points_are_in_the_grid(cloud: str, clouds: int) -> None:
    random = np.random.default_rng()
    for side in (8, 200):
        shape = Shape("some", clouds, 700, 2, side)
        x = Inputs(Case("cpu", shape, "mean", cloud, scan_of(random)), random)
        assert x.points.shape == ((clouds, 700, 3) if clouds > 1 else (700, 3))
        assert len(x.voxels) == 700 * clouds
        occupied = oracle.occupied(x)
        assert occupied == clouds if cloud == ONE_VOXEL else occupied > clouds
        grid = naive.Grid((x.voxel_m,) * 3, x.origin, (side,) * 3)
        for b, points in enumerate(x.points.reshape(clouds, -1, 3)):
            want = naive.voxel_of(points, grid) + b * side**3
            np.testing.assert_array_equal(x.voxels.reshape(clouds, -1)[b], want)


def test_bytes_of_a_call() -> None:
    frame, batch, features = cases.FRAME, cases.BATCH, cases.FEATURES
    assert bytes_moved(Case("cuda", frame, "count"), 0) == 500_000 * 12 + 128**3 * 4
    assert bytes_moved(Case("cuda", frame, "occupancy"), 0) == 500_000 * 12 + 128**3
    assert bytes_moved(Case("cuda", batch, "occupancy_bits"), 0) == 64 * (65_536 * 12 + 128**3 // 8)
    assert bytes_moved(Case("cuda", features, "mean"), 0) == 10**6 * (12 + 64) + 200**3 * 64
    assert bytes_moved(Case("cuda", features, SPARSE), 1000) == 10**6 * (12 + 64) + 1000 * (64 + 16 + 4)
    scan = Shape("scan", 1, 5000, 0, 0)
    assert bytes_moved(Case("cpu", scan, DOWNSAMPLE), 1000) == 5000 * 12 + 1000 * (12 + 4)


def test_without_a_scan_its_cases_are_missing(tmp_path: Path) -> None:
    np.ones((4, 4), "<f4").tofile(tmp_path / "scan.bin")
    for device in ("cpu", "cuda"):
        without, with_scan = VOXELIZE.cases(device, None), VOXELIZE.cases(device, tmp_path / "scan.bin")
        assert {c.name for c in without} == {c.name for c in with_scan if c.cloud != SCAN}
        assert any(c.cloud == SCAN for c in with_scan)


# --- The oracle -------------------------------------------------------------------------------------------------------


def right_answer(x: Inputs) -> np.ndarray:
    """By the naive voxelizer, cloud by cloud, side by side."""
    case, shape = x.case, x.case.shape
    grid = naive.Grid((x.voxel_m,) * 3, x.origin, (shape.side,) * 3)
    features = np.zeros((shape.points, 0), np.float32) if x.features is None else x.features.reshape(shape.points, -1)
    clouds = zip(x.points.reshape(shape.clouds, -1, 3), np.split(features, shape.clouds), strict=True)
    return np.stack([naive.voxelize(points, each, grid, case.work, 0.0)[0] for points, each in clouds])


@pytest.mark.parametrize("clouds", [1, 2])
@pytest.mark.parametrize("work", DENSE)
def test_oracle_finds_a_wrong_voxel(work: str, clouds: int) -> None:
    random = np.random.default_rng()
    case = Case("cpu", Shape("tiny", clouds, 100, 3, 8), work)
    x = Inputs(case, random)
    judge, limit = oracle.Oracle(x), oracle.tolerance(case)
    right = right_answer(x)
    assert judge.error("points", right) <= limit
    flat = right.reshape(-1)
    for at in (np.flatnonzero(flat)[-1], np.flatnonzero(flat == 0)[0]):
        wrong = flat.copy()
        wrong[at] = 1 - wrong[at] if wrong.dtype == bool else wrong[at] + 1
        assert judge.error("points", wrong) > limit
    if right.dtype == np.float32:
        wrong = flat.copy()
        wrong[np.flatnonzero(flat)[0]] = np.nan
        assert judge.error("points", wrong) == float("inf")


def test_oracle_of_occupied_voxels() -> None:
    random = np.random.default_rng()
    x = Inputs(Case("cpu", Shape("tiny", 2, 300, 3, 8), SPARSE), random)
    judge = oracle.Oracle(x)
    voxels, inverse, counts = np.unique(x.voxels, return_inverse=True, return_counts=True)
    coords = np.stack(np.unravel_index(voxels, (2, 8, 8, 8)), axis=1)
    sums = np.stack([np.bincount(inverse, column) for column in x.features.reshape(-1, 3).T.astype(np.float64)], axis=1)
    right = oracle.Voxels(coords, counts, sums / counts[:, None])
    assert judge.error("points", right) < 1e-12
    for wrong in (
        oracle.Voxels(coords[::-1], right.counts, right.means),
        oracle.Voxels(coords[:-1], right.counts[:-1], right.means[:-1]),
        oracle.Voxels(coords, right.counts + 1, right.means),
        oracle.Voxels(coords, right.counts, right.means + 1),
    ):
        assert judge.error("points", wrong) > oracle.TOLERANCE


@pytest.mark.parametrize("reads", ["points", oracle.OWN_GRID])
def test_oracle_of_downsampling(reads: str) -> None:
    random = np.random.default_rng()
    scan = scan_of(random)
    x = Inputs(Case("cpu", Shape("scan", 1, len(scan), 0, 0), DOWNSAMPLE, SCAN, scan, 2.0), random)
    points = scan.astype(np.float64)
    origin = points.min(axis=0) - 1.0 if reads == oracle.OWN_GRID else np.zeros(3)
    at = np.floor((points - origin) / 2.0).astype(int)
    members = [np.flatnonzero((at == voxel).all(axis=1)) for voxel in np.unique(at, axis=0)]
    means = np.stack([points[m].mean(axis=0) for m in members])
    judge = oracle.Oracle(x)
    assert judge.error(reads, random.permutation(means)) < 1e-12
    assert judge.error(reads, means[1:]) == float("inf")
    assert judge.error(reads, means + [[0, 0, 0.1]] * len(means)) > oracle.TOLERANCE


# --- A run ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON of a run of small cases, a scan among them."""
    folder = tmp_path_factory.mktemp("bench")
    random = np.random.default_rng()
    np.column_stack([scan_of(random), np.ones(500)]).astype("<f4").tofile(folder / "scan.bin")
    options = ["--device=cpu", "--operator=voxelize", "--rounds=2", f"--points={folder / 'scan.bin'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "ON_CPU", Shape("tiny", 1, 3000, 4, 16))
        patch.setattr("robocache_bench.run_cpu.COPY_BYTES", 1 << 20)
        assert cli.main(["run", *options, "-o", str(folder / "tiny.json")]) == 0
    return folder / "tiny.json"


def test_run_measures_every_cloud(tiny: Path) -> None:
    found = results.load(tiny)
    assert found["options"]["points"] == "scan.bin"
    for work in ("count", "mean", "max"):
        for cloud in (UNIFORM, SCAN, ONE_VOXEL):
            peers = results.of_case(found["rows"], f"cpu voxelize tiny {work}, {cloud}")
            assert {"robocache", "numpy"} <= set(peers)
            assert all(row["bytes"] > 0 and row["times"]["fresh"]["median_us"] > 0 for row in peers.values())
    ours = results.of_case(found["rows"], f"cpu voxelize tiny mean, {UNIFORM}")["robocache"]
    assert ">= 10x faster than numpy" in {bar["asked"] for bar in ours["bars"]}
    assert sum(row["work"] == DOWNSAMPLE and row["peer"] == "robocache" for row in found["rows"]) == 3


def test_report_and_gate_know_the_rows(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tiny), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "RoboCache: voxelize" in page
    assert page.count("<svg") == 2  # no operations are counted: no roofline
    assert cli.main(["report", str(tiny)]) == 0
    assert "| tiny mean, one voxel |" in capsys.readouterr().out
    assert cli.main(["compare", str(tiny), str(tiny), "--max-regression", "900%"]) == 0


def test_a_wrong_peer_is_not_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--device=cpu", "--operator=voxelize", "--rounds=1", "--only=count, one voxel"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "ON_CPU", Shape("tiny", 1, 3000, 4, 16))
        patch.setattr("robocache_bench.run_cpu.COPY_BYTES", 1 << 20)
        wrong = lambda voxels, minlength: np.ones(minlength, int)  # noqa: E731
        patch.setattr("robocache_bench.operators.voxelize.peers.numpy_ufuncs.np.bincount", wrong)
        chosen = ["--peer=ours", "--peer=numpy_ufuncs"]
        assert cli.main(["run", *options, *chosen, "-o", str(tmp_path / "x.json")]) == 1
    said = capsys.readouterr().out
    assert "SKIPPED: cpu voxelize, scan: every peer: no scan is given" in said
    assert "numpy: WRONG RESULT: numpy is off by inf, expected at most 0.0" in said
    assert [row["peer"] for row in results.load(tmp_path / "x.json")["rows"]] == ["robocache"]


# --- Bars on CUDA, and the C++ results --------------------------------------------------------------------------------


def cuda_row(peer: str, us: float, work: str, cloud: str = UNIFORM, time: str = bars.COLD) -> dict[str, Any]:
    case = next(c for c in cases.cuda_cases(scan_of(np.random.default_rng())) if (c.work, c.cloud) == (work, cloud))
    times = {time: {"median_us": us, "p10_us": us, "p90_us": us}}
    row = {"operator": "voxelize", "case": case.name, "device": "cuda", "peer": peer, "bytes": 8_000_000}
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


PRINTED = """seed 5
500K->128^3        count          even      asked    8.5 MORE     10.42    10.40 us  naive    10.06 (1.0x)  0 wrong
1Mx16->200^3       mean, sparse   even      asked  110.0 MORE    175.36   175.49 us  940258 voxels
1Mx16->200^3       sum grad       even                            58.03    58.13 us
500K->128^3        occupancy_bits one voxel asked   21.0  met     15.75    15.76 us  naive   381.54 (24.2x)  0 wrong
another shape      count          even      asked    8.5  met      1.00     1.00 us  naive    10.06 (1.0x)  0 wrong
"""


def test_cpp_results_join_the_cases() -> None:
    found = {(row["case"], row["peer"]): row for row in cpp.rows(PRINTED.replace("another shape", "2K->8^3"))}
    assert set(found) == {
        (f"cuda voxelize 500K->128^3 count, {UNIFORM}", "robocache, C++"),
        (f"cuda voxelize 500K->128^3 count, {UNIFORM}", cpp.PLAIN),
        (f"cuda voxelize 1Mx16->200^3 {SPARSE}, {UNIFORM}", "robocache, C++"),
        (f"cuda voxelize 500K->128^3 occupancy_bits, {ONE_VOXEL}", "robocache, C++"),
    }
    row = found[f"cuda voxelize 500K->128^3 count, {UNIFORM}", "robocache, C++"]
    assert row["times"][bars.COLD]["median_us"] == pytest.approx(10.41)
    assert row["asked"] == {"us": 8.5}
    assert {name for name, _ in found} <= {case.name for case in cases.cuda_cases(None)}
    with pytest.raises(ValueError, match="line is 'another shape"):
        cpp.rows(PRINTED)
    with pytest.raises(ValueError, match="elements are wrong, expected none"):
        cpp.rows(PRINTED.replace("  0 wrong", "  3 wrong"))
