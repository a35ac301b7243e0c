"""`robocache voxelize`: hand-made clouds with exact answers, every output and option, pictures, and what goes wrong."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import robocache as rc
from make_points import Column, pcd, ply
from real_data import real
from reference.voxelize_oracle import Grid, voxel_of
from robocache.cli import main
from robocache.cli.outputs import METADATA_MEMBER
from robocache.cli.voxelize import COUNTS, FEATURES
from test_cli import error_line

# In voxels of 1 m from (0, -1, 0): two in one voxel, one beyond, one without a return.
XYZ = [(0.25, -0.5, 0.5), (0.75, -0.25, 0.5), (2.5, 0.5, 3.5), (float("nan"), 0, 0)]
INTENSITY, RING = [3.0, 5.0, 7.0, 100.0], [1, 2, 3, 4]


def columns(xyz: Any = XYZ, code: str = "f") -> list[Column]:
    n = len(xyz)
    axes = [Column(name, code, values) for name, values in zip("xyz", zip(*xyz, strict=True), strict=True)]
    return [*axes, Column("intensity", "f", INTENSITY[:n]), Column("ring", "H", RING[:n])]


@pytest.fixture
def scan(tmp_path) -> Path:
    path = tmp_path / "scan.pcd"
    path.write_bytes(pcd(columns()))
    return path


def voxelize(*argv: object) -> None:
    assert main(["voxelize", *map(str, argv)]) == 0


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            metadata = json.loads(arrays[METADATA_MEMBER])
            return {name: arrays[name] for name in arrays.files if name != METADATA_MEMBER}, metadata
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["robocache"])  # noqa: SIM118


# --- grids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_tight_box_counts_and_means(scan, tmp_path, capsys, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    out = tmp_path / f"grid{suffix}"
    voxelize(scan, "--voxel", "1", "--reduce", "count,mean", "--features", "intensity,ring", "--empty", "-1", "-o", out)
    said, err = capsys.readouterr()
    assert said == f"{out}: 4 points, 1 cloud, 3x2x4 voxels of 1 m from (0, -1, 0), 2 occupied (8.33%)\n"
    assert err == "dropped: 1 point, 0 outside the grid, 1 not finite\n"
    arrays, metadata = load(out)
    assert set(arrays) == {"count", "mean", "origin", "voxel_m", "dropped"}
    assert (arrays["origin"].tolist(), arrays["voxel_m"].tolist(), int(arrays["dropped"])) == ([0, -1, 0], [1] * 3, 1)
    count = np.zeros((3, 2, 4), np.int32)
    count[0, 0, 0], count[2, 1, 3] = 2, 1
    np.testing.assert_array_equal(arrays["count"], count, strict=True)
    mean = np.full((3, 2, 4, 2), -1, np.float32)
    mean[0, 0, 0], mean[2, 1, 3] = (4, 1.5), (7, 3)
    np.testing.assert_array_equal(arrays["mean"], mean, strict=True)
    assert metadata == {
        "version": rc.__version__,
        "files": [str(scan)],
        "origin": [0, -1, 0],
        "voxel_m": [1, 1, 1],
        "shape": [3, 2, 4],
        "features": ["intensity", "ring"],
        "empty": -1,
        "dropped": 1,
    }


def test_a_box_as_asked(scan, tmp_path, capsys):
    box = ("--voxel", "1,0.5,2", "--origin", "-1,-1,0", "--shape", "2,3,1")
    voxelize(scan, *box, "-o", tmp_path / "x.npz")
    said, err = capsys.readouterr()
    assert "2x3x1 voxels of 1x0.5x2 m from (-1, -1, 0), 1 occupied (16.67%)" in said
    assert err == "dropped: 2 points, 1 outside the grid, 1 not finite\n"
    assert load(tmp_path / "x.npz")[0]["count"].tolist() == [[[0], [0], [0]], [[0], [2], [0]]]


@pytest.mark.parametrize(
    ("option", "origin", "shape"),
    [(("--origin", "-2,0,0"), [-2, 0, 0], (5, 1, 4)), (("--shape", "1,1,1"), [0, -1, 0], (1, 1, 1))],
)
def test_half_a_box_is_completed(scan, tmp_path, option, origin, shape):
    voxelize(scan, "--voxel", "1", *option, "-o", tmp_path / "x.npz")
    arrays, _ = load(tmp_path / "x.npz")
    assert (arrays["origin"].tolist(), arrays["count"].shape) == (origin, shape)


@pytest.mark.parametrize("seed", range(20))
def test_the_tight_box_holds_every_point(tmp_path, seed):
    """Far from zero float32 rounds a coordinate past a multiple of the voxel."""
    made = np.random.default_rng(seed)
    voxel, far = made.choice([0.1, 0.03, 0.7]), made.choice([0, 1e3, -4e5])
    xyz = (made.integers(0, 20, (100, 3)) * voxel + far).astype(np.float32)
    (tmp_path / "x.ply").write_bytes(ply([Column(n, "f", v.tolist()) for n, v in zip("xyz", xyz.T, strict=True)]))
    voxelize(tmp_path / "x.ply", "--voxel", voxel, "-o", tmp_path / "x.npz")
    arrays, metadata = load(tmp_path / "x.npz")
    assert int(arrays["dropped"]) == 0
    grid = Grid((voxel,) * 3, tuple(metadata["origin"]), tuple(metadata["shape"]))
    np.testing.assert_array_equal(
        arrays["count"].ravel(), np.bincount(voxel_of(xyz, grid), minlength=arrays["count"].size)
    )


def test_several_files_are_a_batch(scan, tmp_path, capsys):
    """Also of different sizes, formats and types; an organised cloud is flattened."""
    (tmp_path / "b.ply").write_bytes(ply(columns([(1.5, 0.5, 1.5)], "d")))
    (tmp_path / "c.bin").write_bytes(struct.pack("<8f", 0.5, -0.5, 0.5, 2.0, 0.5, -0.5, 0.5, 4.0))
    (tmp_path / "d.pcd").write_bytes(pcd(columns(), WIDTH="2", HEIGHT="2"))
    paths = [scan, tmp_path / "b.ply", tmp_path / "c.bin", tmp_path / "d.pcd"]
    voxelize(*paths, "--voxel", "1", "--reduce", "count,max", "--features", "intensity", "-o", tmp_path / "x.npz")
    assert "11 points, 4 clouds, 3x2x4 voxels" in capsys.readouterr().out
    arrays, metadata = load(tmp_path / "x.npz")
    assert arrays["count"].shape == (4, 3, 2, 4)
    assert np.argwhere(arrays["count"]).tolist() == (
        [[0, 0, 0, 0], [0, 2, 1, 3], [1, 1, 1, 1], [2, 0, 0, 0], [3, 0, 0, 0], [3, 2, 1, 3]]
    )
    assert arrays["max"][arrays["count"] > 0][:, 0].tolist() == [5, 7, 3, 4, 5, 7]
    assert arrays["dropped"].tolist() == metadata["dropped"] == [1, 0, 0, 1]
    assert metadata["files"] == [str(path) for path in paths]


def test_every_reduction(scan, tmp_path):
    voxelize(scan, "--voxel", "1", "--reduce", ",".join(COUNTS + FEATURES), "-o", tmp_path / "x.npz")
    arrays, metadata = load(tmp_path / "x.npz")
    cloud = rc.read_points(scan)
    box = {"voxel_m": 1, "origin": (0, -1, 0), "shape": (3, 2, 4)}
    want = rc.voxelize(cloud.points, **box, reduce=COUNTS + FEATURES)
    for reduce in COUNTS + FEATURES:
        np.testing.assert_array_equal(arrays[reduce], want[reduce], strict=True)
    assert metadata["features"] == ["x", "y", "z"]


def test_a_field_of_several_numbers_and_an_axis(tmp_path):
    normals = Column("normal", "f", [(0, 0, 1)] * 4, 3)
    (tmp_path / "n.pcd").write_bytes(pcd([*columns(), normals]))
    argv = ("--voxel", "1", "--reduce", "last", "--features", "z,normal")
    voxelize(tmp_path / "n.pcd", *argv, "-o", tmp_path / "x.npz")
    arrays, metadata = load(tmp_path / "x.npz")
    assert metadata["features"] == ["z", "normal_0", "normal_1", "normal_2"]
    assert arrays["last"][2, 1, 3].tolist() == [3.5, 0, 0, 1]


def test_empty_may_be_nan(scan, tmp_path):
    voxelize(scan, "--voxel", "1", "--reduce", "max", "--empty", "nan", "-o", tmp_path / "x.npz")
    arrays, metadata = load(tmp_path / "x.npz")
    assert np.isnan(arrays["max"]).sum() == 22 * 3
    assert metadata["empty"] == "nan"


@pytest.mark.parametrize("name", ["T.txt", "T.npy"])
def test_a_transform_comes_first(scan, tmp_path, name):
    T_grid_points = np.array([[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]])  # a quarter turn about z
    np.save(tmp_path / name, T_grid_points) if name == "T.npy" else np.savetxt(tmp_path / name, T_grid_points)
    argv = ("--voxel", "1", "--transform", tmp_path / name, "--reduce", "count,first")
    voxelize(scan, *argv, "-o", tmp_path / "x.npz")
    arrays, _ = load(tmp_path / "x.npz")
    assert arrays["origin"].tolist() == [9, 20, 30]
    assert np.argwhere(arrays["count"]).tolist() == [[0, 2, 3], [1, 0, 0]]
    assert arrays["first"][1, 0, 0].tolist() == [10.5, 20.25, 30.5]


# --- voxels as points ----------------------------------------------------------------------------------------------


def test_ply_is_read_again(scan, tmp_path):
    argv = ("--voxel", "1", "--reduce", "occupancy,mean,max", "--features", "intensity,ring")
    voxelize(scan, *argv, "-o", tmp_path / "x.ply")
    cloud = rc.read_points(tmp_path / "x.ply")
    np.testing.assert_array_equal(cloud.points, np.array([[0.5, -0.5, 0.5], [2.5, 0.5, 3.5]], np.float32), strict=True)
    fields = {name: values.tolist() for name, values in cloud.fields.items()}
    assert fields == {
        "count": [2, 1],
        "mean_intensity": [4, 7],
        "mean_ring": [1.5, 3],
        "max_intensity": [5, 7],
        "max_ring": [2, 3],
    }
    assert cloud.fields["count"].dtype == np.int32
    header = (tmp_path / "x.ply").read_bytes().split(b"end_header")[0].decode()
    assert header.startswith("ply\nformat binary_little_endian 1.0\ncomment robocache {")
    assert json.loads(header.splitlines()[2].removeprefix("comment robocache "))["files"] == [str(scan)]
    voxelize(tmp_path / "x.ply", "--voxel", "1", "-o", tmp_path / "y.npz")  # its own input
    assert load(tmp_path / "y.npz")[0]["count"].sum() == 2


def test_ply_of_a_batch_says_which_cloud(scan, tmp_path):
    (tmp_path / "b.ply").write_bytes(ply(columns([(500000.5, 0.5, 1.5)], "d")))
    box = ("--voxel", "1", "--origin", "500000,-1,0", "--shape", "3,2,4")
    voxelize(scan, tmp_path / "b.ply", *box, "-o", tmp_path / "x.ply")
    cloud = rc.read_points(tmp_path / "x.ply")
    np.testing.assert_array_equal(cloud.points, [[500000.5, 0.5, 1.5]], strict=True)  # float64, as the second cloud
    assert {name: values.tolist() for name, values in cloud.fields.items()} == {"cloud": [1], "count": [1]}


def test_ply_without_an_occupied_voxel(scan, tmp_path, capsys):
    voxelize(scan, "--voxel", "1", "--origin", "50,0,0", "--shape", "2,2,2", "-o", tmp_path / "x.ply")
    assert "0 occupied (0.00%)" in capsys.readouterr().out
    assert rc.read_points(tmp_path / "x.ply").points.shape == (0, 3)


# --- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [(), ("--origin", "50,0,0", "--shape", "2,2,2"), ("--shape", "1,1,1")])
def test_a_view_is_a_png(scan, tmp_path, capsys, box):
    image = pytest.importorskip("matplotlib.image")
    voxelize(scan, "--voxel", "1", *box, "-o", tmp_path / "x.npz", "--view", tmp_path / "x.png")
    assert f"{tmp_path}/x.png: seen from above, from the side and from a corner\n" in capsys.readouterr().out
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert np.ptp(image.imread(tmp_path / "x.png")) > 0.5  # something is drawn


def test_the_corner_view_shows_the_nearest_cube():
    """Two cubes one behind the other along the line of sight: the front one hides most of the other."""
    from robocache.cli.voxel_raster import Camera, is_hidden, paint

    camera = Camera.at(np.radians(45), np.radians(35))
    for order in ([0, 1], [1, 0]):
        centres = np.stack([np.zeros(3), 5 * camera.towards])[order]
        picture = paint(centres, np.ones(3), camera, 10_000)
        assert set(np.unique(picture.index)) == {-1, order.index(1)}
    assert picture.light.max() == 1  # the top, where nothing is beside it
    occupied = np.ones((3, 3, 3), bool)
    at = np.argwhere(occupied)
    assert is_hidden(occupied, at, camera.towards).sum() == 2**3  # all that is on none of three outer faces


def test_without_matplotlib(scan, tmp_path, capsys, monkeypatch):
    for name in ("matplotlib", "robocache.cli.voxel_view"):
        monkeypatch.setitem(sys.modules, name, None)
    err = error_line(capsys, "voxelize", scan, "--voxel", "1", "-o", tmp_path / "x.npz", "--view", tmp_path / "x.png")
    assert "--view is given, which needs matplotlib; hint: pip install matplotlib" in err
    assert [path.name for path in tmp_path.iterdir()] == ["scan.pcd"]


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--voxel", "0"], "--voxel is '0', expected metres above 0: one number, or three as X,Y,Z"),
        (["--voxel", "1,2"], "--voxel is '1,2', expected"),
        (["--voxel", "1e-300"], "--voxel is '1e-300', expected"),
        (["--voxel", "1,nan,1"], "--voxel is '1,nan,1', expected"),
        (["--voxel", "1e-6"], "box of all points is 2250001x1000001x3000001 voxels, expected 2^30 or less; hint: "),
        (["--voxel", "1e-30"], "voxels, expected 2^30 or less; hint: a larger --voxel, or --origin and --shape"),
        (["--origin", "-1,2"], "--origin is '-1,2', expected three numbers of metres as X,Y,Z"),
        (["--origin", "inf,0,0"], "--origin is 'inf,0,0', expected"),
        (["--origin", "0,0,9"], "--origin is 0,0,9, expected at most 2.5,0.5,3.5, the largest coordinates"),
        (["--shape", "2,x,3"], "--shape is '2,x,3', expected three whole numbers above 0 as X,Y,Z"),
        (["--shape", "2,0,3"], "--shape is '2,0,3', expected"),
        (["--shape", "-1,2,3"], "--shape is '-1,2,3', expected"),
        (["--shape", "99999999,1,1"], "shape is 99999999 along x, expected 0 to 16777216"),
        (["--shape", "999999,999999,999"], "voxels of 4 bytes for 1 cloud, expected what"),
        (["--reduce", "median"], "--reduce has 'median', expected some of count, occupancy, occupancy_bits, sum, mean"),
        (["--reduce", "mean", "--features", "colour"], "scan.pcd: intensity, ring"),
        (["--features", "ring"], "--features is given with --reduce count, expected one of sum, mean"),
        (["--empty", "-inf"], "--empty is given with --reduce count, expected one of sum, mean"),
        (["--transform", "T.txt"], "--transform is T.txt, expected a file; there is none"),
        (["--transform", "scan.pcd"], "scan.pcd: cannot be read as a matrix"),
        (["--transform", "nothing.txt"], "nothing.txt: matrix is [0], expected [4, 4]"),
        (["--transform", "three.txt"], "three.txt: matrix is [3, 3], expected [4, 4]"),
        (["--transform", "turned.txt"], "turned.txt: last row is [1.0, 2.0, 3.0, 1.0], expected [0, 0, 0, 1]"),
        (["--transform", "nan.txt"], "nan.txt: matrix has numbers that are not finite"),
        (["-o", "x.csv"], "output is x.csv, expected a name that ends in .npz, .safetensors, .ply"),
        (["-o", "nowhere/x.npz"], "voxelize: output folder nowhere does not exist"),
        (["--view", "x.gif"], "view is x.gif, expected a name that ends in .png"),
        (["--view", "nowhere/x.png"], "view folder nowhere does not exist"),
    ],
)
def test_options_that_cannot_be(scan, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("nothing.txt").touch()
    np.savetxt("three.txt", np.eye(3))
    turned = np.eye(4)
    turned[3, :3] = [1, 2, 3]
    np.savetxt("turned.txt", turned)
    np.savetxt("nan.txt", np.eye(4) * np.nan)
    before = sorted(tmp_path.iterdir())
    assert message in error_line(capsys, "voxelize", "scan.pcd", "--voxel", "1", "-o", "x.npz", *arguments)
    assert sorted(tmp_path.iterdir()) == before


def test_files_that_cannot_be_read(scan, tmp_path, capsys):
    out = tmp_path / "x.npz"
    out.write_text("what was there before")
    (tmp_path / "cut.pcd").write_bytes(scan.read_bytes()[:-1])
    (tmp_path / "empty.pcd").write_bytes(pcd(columns(XYZ[3:])))
    argv = ("--voxel", "1", "-o", out)
    assert "no such file: " in error_line(capsys, "voxelize", scan, tmp_path / "none.ply", *argv)
    assert "cut.pcd: is cut off: has " in error_line(capsys, "voxelize", scan, tmp_path / "cut.pcd", *argv)
    err = error_line(capsys, "voxelize", tmp_path / "empty.pcd", *argv)
    assert "no file has a finite point, expected one, or both --origin and --shape" in err
    assert out.read_text() == "what was there before"
    voxelize(tmp_path / "empty.pcd", *argv, "--origin", "0,0,0", "--shape", "1,1,1")
    assert not load(out)[0]["count"].any()


def test_fields_of_another_width(scan, tmp_path, capsys):
    (tmp_path / "b.pcd").write_bytes(pcd([*columns()[:3], Column("ring", "H", [(1, 2)] * 4, 2)]))
    argv = ("--voxel", "1", "--reduce", "mean", "--features", "ring", "-o", tmp_path / "x.npz")
    err = error_line(capsys, "voxelize", scan, tmp_path / "b.pcd", *argv)
    assert "b.pcd are ring_0, ring_1, expected ring" in err


def test_a_cloud_is_never_overwritten(tmp_path, capsys):
    path = tmp_path / "scan.ply"
    path.write_bytes(ply(columns()))
    assert "it is one of the clouds" in error_line(capsys, "voxelize", path, "--voxel", "1", "-o", path)
    assert path.read_bytes() == ply(columns())


# --- real scans ----------------------------------------------------------------------------------------------------


def test_a_registered_pair_of_scans(tmp_path, capsys):
    """In one frame the two scans share far more voxels than each in its own."""
    root = real("lidar_gicp_pair")
    box = ("--voxel", "0.5", "--origin", "-30,-80,-4", "--shape", "100,200,40", "--reduce", "occupancy")
    moved = ("--transform", root / "T_target_source.txt")
    for name, argv in (("target", ()), ("source", ()), ("moved", moved)):
        path = root / ("target.ply" if name == "target" else "source.ply")
        voxelize(path, *box, *argv, "-o", tmp_path / f"{name}.npz", "--view", tmp_path / f"{name}.png")
    grids = {name: load(tmp_path / f"{name}.npz")[0]["occupancy"] for name in ("target", "source", "moved")}
    shared = {name: (grids[name] & grids["target"]).sum() / grids[name].sum() for name in grids}
    assert shared["moved"] > 1.3 * shared["source"], shared
    assert capsys.readouterr().out.count("69,792 points, 1 cloud, 100x200x40 voxels of 0.5 m") == 2


def test_an_ouster_map(tmp_path, capsys):
    path = real("lidar_ouster") / "osfs/OS-1-128_v2.3.0_1024x10_lb_n3_map-000.ply"
    box = ("--origin", "-60,-30,-5", "--shape", "600,320,100")
    voxelize(path, "--voxel", "0.2", *box, "-o", tmp_path / "x.ply")
    assert "155,000 points, 1 cloud, 600x320x100 voxels of 0.2 m from (-60, -30, -5)" in capsys.readouterr().out
    grid = Grid((0.2, 0.2, 0.2), (-60.0, -30.0, -5.0), (600, 320, 100))
    want, counts = np.unique(voxel_of(rc.read_points(path).points, grid), return_counts=True)
    cloud = rc.read_points(tmp_path / "x.ply")
    np.testing.assert_array_equal(voxel_of(cloud.points, grid), want[1:])  # the first, -1, is no voxel
    np.testing.assert_array_equal(cloud.fields["count"], counts[1:])
