"""The benchmark suite's voxelize: what it draws, counts and refuses, and a tiny run beside the peers."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import numpy as np
import pytest
from reference import voxelize_oracle as naive
from robocache_bench import cli, compare, operators, report, results, scan
from robocache_bench.operators.voxelize import cases, oracle
from robocache_bench.operators.voxelize.cases import DOWNSAMPLE, ONE_VOXEL, SPARSE, UNIFORM, Case, Shape
from robocache_bench.operators.voxelize.inputs import Inputs
from robocache_bench.operators.voxelize.needs import bytes_moved
from robocache_bench.results import SCAN

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


def test_without_a_scan_its_cases_are_missing() -> None:
    for device in ("cpu", "cuda"):
        without, with_scan = VOXELIZE.cases(device, None), VOXELIZE.cases(device, scan_of(np.random.default_rng()))
        assert {c.name for c in without} == {c.name for c in with_scan if c.cloud != SCAN}
        assert any(c.cloud == SCAN for c in with_scan)


def test_a_quick_run_has_no_result_of_64_mb() -> None:
    for device in ("cpu", "cuda"):
        made = VOXELIZE.cases(device, None)
        quick = operators.selected(made, [], quick=True)
        assert {c for c in made if bytes_moved(c, 0) - c.shape.points * 4 * (3 + c.shape.columns) >= 64e6}.isdisjoint(
            quick
        )
        assert all(c.out_bytes < 64e6 for c in quick)
    names = {c.name for c in quick}
    assert f"cuda voxelize 64x65536->128^3 occupancy_bits, {UNIFORM}" in names  # 17 MB, of 134 million voxels
    assert f"cuda voxelize 1Mx16->200^3 {SPARSE}, {UNIFORM}" not in names  # 64 MB, where every point has its own


# --- Scans ------------------------------------------------------------------------------------------------------------


def pcd_of(points: np.ndarray, path: Path) -> Path:
    """The points as a PCD of their own type."""
    size, fields = points.dtype.itemsize, "FIELDS x y z\nTYPE F F F\nCOUNT 1 1 1"
    head = f"VERSION 0.7\n{fields}\nSIZE {size} {size} {size}\nWIDTH {len(points)}\nHEIGHT 1\n"
    path.write_bytes(f"{head}POINTS {len(points)}\nDATA binary\n".encode() + points.tobytes())
    return path


def test_a_scan_far_away_keeps_its_shape(tmp_path: Path) -> None:
    random = np.random.default_rng()
    near = random.uniform(0, 30, (1000, 3))
    near[0] = 0
    far = np.concatenate([near + np.array([5e5, 5.4e6, 300]), np.full((3, 3), np.nan)])
    path = pcd_of(far, tmp_path / "far.pcd")
    found = scan.read(path)
    assert found.name == "far.pcd"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert found.points.dtype == np.float32
    np.testing.assert_allclose(found.points, near, atol=1e-5)  # float32 holds 5.4e6 to half a metre


@pytest.mark.parametrize(
    ("points", "want"),
    [
        (None, "a.pcd"),
        (np.full((5, 3), np.nan, np.float32), "a.pcd has no finite point among 5, expected at least two places"),
        (np.full((5, 3), 7.5), "a.pcd has all of its 5 points in one place, expected at least two places"),
        (np.array([[0, 0, 0], [1e300, 0, 0]]), "a.pcd extends over 1e+300 m, expected less than float32 holds"),
    ],
)
def test_a_bad_scan_is_refused_before_anything_is_measured(
    points: np.ndarray | None, want: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pcd"
    if points is None:
        path.write_text("no cloud at all\n")
    else:
        pcd_of(points, path)
    output = tmp_path / "x.json"
    assert cli.main(["run", "--device=cpu", "--operator=voxelize", f"--points={path}", "-o", str(output)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("robocache-bench: run: ")
    assert want in said.err
    assert not output.exists()


def test_rows_of_different_scans_are_not_compared(tiny: Path) -> None:
    found = results.load(tiny)
    digest = found["options"]["points_sha256"]
    assert f"; scan scan.bin (sha256 {digest}); commit" in report.machine_line(found)
    other = copy.deepcopy(found)
    other["options"]["points_sha256"] = "0" * 12
    refusal = rf"scan: file is scan.bin \(sha256 000000000000\), expected scan.bin \(sha256 {digest}\)"
    with pytest.raises(results.BadResults, match=refusal):
        compare.compare(found, other, 9.0)
    with pytest.raises(results.BadResults, match=refusal):
        results.merged([found, other])
    # Without rows of a scan, which file the options name says nothing.
    other["rows"] = [row for row in other["rows"] if row["cloud"] != SCAN]
    assert "scan.bin" not in report.machine_line(other)
    assert compare.compare(found, other, 9.0).exit_code == 0
    for runs in ([found, other], [other, found]):
        assert results.scan_of(results.merged(runs)) == f"scan.bin (sha256 {digest})"


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


def test_open3d_divides_by_the_voxel() -> None:
    points = np.array([[0, 0, 0], [24.5, 0, 0]], np.float32)  # 49 * (1 / 49) is less than 1
    x = Inputs(Case("cpu", Shape("two", 1, 2, 0, 0), DOWNSAMPLE, SCAN, points, 49.0), np.random.default_rng())
    judge = oracle.Oracle(x)
    assert judge.error(oracle.OWN_GRID, points.astype(np.float64)) == 0
    assert judge.error(oracle.OWN_GRID, points.mean(axis=0, keepdims=True)) == float("inf")


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
    assert ">= 10x faster than numpy's add.at of rows" in {bar["asked"] for bar in ours["bars"]}
    for work in ("mean", "max"):
        assert "numpy, flat" in results.of_case(found["rows"], f"cpu voxelize tiny {work}, {UNIFORM}")
    assert not [s for s in found["skipped"] if "WRONG" in s["why"]]
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
