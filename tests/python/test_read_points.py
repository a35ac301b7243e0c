"""rc.read_points: which format a file has, KITTI, what is loaded, features, and real clouds."""

from __future__ import annotations

import dataclasses
import doctest
import os
import struct
from pathlib import Path

import make_points as make
import numpy as np
import pytest
import robocache as rc
from real_data import real

COLUMNS = [
    *make.xyz(4),
    make.Column("intensity", "f", [0.0, 0.25, 0.5, 1.0]),
    make.Column("ring", "H", [3, 1, 2, 65535]),
]
KITTI = [*make.xyz(4), make.Column("intensity", "f", [0.0, 0.25, 0.5, 1.0])]
SCAN = b"".join(column.pack(i) for i in range(4) for column in KITTI)


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("as_path", [str, Path])
def test_kitti(tmp_path, as_path):
    cloud = rc.read_points(as_path(write(tmp_path, "000000.bin", SCAN)))
    make.assert_same(cloud, KITTI)
    assert cloud.viewpoint is None


def test_kitti_keeps_nan(tmp_path):
    scan = struct.pack("<8f", float("nan"), 1, 2, 3, 4, float("inf"), 6, float("nan"))
    cloud = rc.read_points(write(tmp_path, "a.bin", scan))
    np.testing.assert_array_equal(cloud.points, np.array([[np.nan, 1, 2], [4, np.inf, 6]], np.float32))
    assert np.isnan(cloud.fields["intensity"][1])


@pytest.mark.parametrize("size", [0, 1, 15, 17, 20, 63])
def test_a_scan_of_broken_points(tmp_path, size):
    with pytest.raises(rc.DataError, match=rf"a\.bin: has {size} bytes, expected points of 16 \(KITTI: float32 x y z"):
        rc.read_points(write(tmp_path, "a.bin", bytes(size)))


@pytest.mark.parametrize("name", ["a.ply", "a.PLY", "a.pcd", "a.bin", "a.txt", "a"])
@pytest.mark.parametrize("make_file", [make.ply, make.pcd])
def test_the_format_is_known_by_how_the_file_begins(tmp_path, name, make_file):
    make.assert_same(rc.read_points(write(tmp_path, name, make_file(COLUMNS))), COLUMNS)


def test_a_header_without_the_usual_comment(tmp_path):
    data = make.pcd(COLUMNS, first="# Made by hand\n")
    make.assert_same(rc.read_points(write(tmp_path, "a.PCD", data)), COLUMNS)
    make.assert_same(rc.read_points(write(tmp_path, "a.dat", make.pcd(COLUMNS, first=""))), COLUMNS)
    with pytest.raises(
        rc.DataError, match=r"a\.dat: begins with b'# Made b', expected PLY, PCD, or a scan of KITTI named"
    ):
        rc.read_points(write(tmp_path, "a.dat", data))


@pytest.mark.parametrize("name", ["a.npy", "a", "a.ply", "a.pcd"])
def test_what_is_no_cloud(tmp_path, name):
    for data in (b"", SCAN, b"\n" * 50, b"\xff" * 50):
        with pytest.raises(rc.DataError, match=rf"read_points: .*{name}.*, expected|{name}: is cut off"):
            rc.read_points(write(tmp_path, name, data))


def test_an_error_is_short_however_long_the_names_are(tmp_path):
    columns = [make.Column("a" * 50_000, "f", [1.0]), *(make.Column(f"field_{i}", "f", [1.0]) for i in range(1000))]
    for data in (make.ply(columns), make.pcd(columns), make.ply(columns).replace(b"float", b"floats", 1)):
        with pytest.raises(rc.DataError, match=r"a: fields are aaa|a:6: header line is 'property floats aaa") as raised:
            rc.read_points(write(tmp_path, "a", data))
        assert len(str(raised.value)) < 1200 + len(str(tmp_path))


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"read_points: no such file: .*nowhere\.ply"):
        rc.read_points(tmp_path / "nowhere.ply")
    os.mkfifo(tmp_path / "pipe.ply")  # opening it would wait for ever
    for path in (tmp_path, tmp_path / "pipe.ply", "/dev/zero"):
        with pytest.raises(rc.DataError, match=r"is a folder or a device, expected a file"):
            rc.read_points(path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    """As for users without the right; root has it always."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(rc.DataError, match=r"a\.ply: cannot be read: \[Errno 13\] Permission denied"):
        rc.read_points(write(tmp_path, "a.ply", make.ply(COLUMNS)))


@pytest.mark.parametrize(
    "fields", [[], ["ring"], ("ring", "intensity"), iter(["intensity"]), {"ring": 0}, ["ring", "ring"]]
)
@pytest.mark.parametrize("data", [make.ply(COLUMNS), make.pcd(COLUMNS), make.pcd(COLUMNS, "ascii")])
def test_some_fields_only(tmp_path, fields, data):
    fields = list(fields)
    cloud = rc.read_points(write(tmp_path, "a", data), fields=iter(fields))
    assert list(cloud.fields) == list(dict.fromkeys(fields))
    for name, values in cloud.fields.items():
        np.testing.assert_array_equal(values, next(c.array for c in COLUMNS if c.name == name), strict=True)
    assert cloud.points.shape == (4, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["rings"], r"fields has 'rings', expected names of .*a: intensity, ring; hint: x, y, z are always there"),
        (["ring", "x"], r"fields has 'x', expected names of .*a: intensity, ring; hint"),
        ([3], r"fields has 3, expected names of"),
        ("ring", r"fields is 'ring', expected a list of names"),
    ],
)
def test_fields_that_are_not_there(tmp_path, fields, message):
    with pytest.raises(rc.InvalidArgument, match=message):
        rc.read_points(write(tmp_path, "a", make.ply(COLUMNS)), fields=fields)


def test_features(tmp_path):
    columns = [*COLUMNS, make.Column("k", "d", [(1.5, 1e300)] * 4, 2), make.Column("t", "I", [2**24 + 1] * 4)]
    cloud = rc.read_points(write(tmp_path, "a", make.pcd(columns, WIDTH="2", HEIGHT="2")))
    features = cloud.features("ring", "k", "t", "intensity")
    expected = [[ring, 1.5, np.inf, 2**24, i] for ring, i in zip(COLUMNS[4].values, COLUMNS[3].values, strict=True)]
    np.testing.assert_array_equal(features, np.array(expected, np.float32), strict=True)
    assert cloud.features().shape == (4, 0)
    assert cloud.features("ring", "ring").shape == (4, 2)
    with pytest.raises(rc.InvalidArgument, match=r"features: name is 'x', expected one of intensity, ring, k, t"):
        cloud.features("ring", "x")
    assert repr(cloud) == "PointCloud(2x2 points float32, fields intensity, ring, k, t)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        cloud.points = cloud.points


def test_the_file_is_not_held(tmp_path):
    path = write(tmp_path, "a.ply", make.ply(COLUMNS))
    cloud = rc.read_points(path)
    path.write_bytes(bytes(path.stat().st_size))
    path.unlink()
    cloud.points[...] += 1
    assert cloud.points[0, 0] == np.float32(COLUMNS[0].values[0]) + 1


def test_the_example_of_the_document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = Path(__file__).parents[2] / "docs" / "points.md"
    failed, tried = doctest.testfile(str(document), module_relative=False)
    assert tried >= 5
    assert failed == 0


@pytest.mark.parametrize(
    ("folder", "name", "n", "fields"),
    [
        ("lidar_gicp_pair", "source.ply", 69_792, ["scalar_intensity"]),
        ("lidar_gicp_pair", "target.ply", 69_088, ["scalar_intensity"]),
        ("lidar_ouster", "osfs/OS-1-128_v2.3.0_1024x10_lb_n3_map-000.ply", 155_000, []),
    ],
)
def test_real_clouds(tmp_path, folder, name, n, fields):
    """Read number by number, then as they are, then in all formats."""
    path = real(folder) / name
    cloud = rc.read_points(path)
    assert cloud.points.shape == (n, 3)
    assert list(cloud.fields) == fields
    table = np.concatenate([cloud.points, cloud.features(*fields)], axis=1)
    data = path.read_bytes()
    body = data[data.index(b"end_header\n") + len(b"end_header\n") :]
    width = 3 + len(fields)
    rows = list(struct.iter_unpack(f"<{width}f", body))
    assert len(rows) == n
    np.testing.assert_array_equal(table, np.array(rows, np.float32), strict=True)
    assert 1 < np.abs(cloud.points).max() < 300

    columns = [make.Column(each, "f", table[:3000, i].tolist()) for i, each in enumerate(["x", "y", "z", *fields])]
    for kind in ("ascii", "binary", "binary_compressed"):
        make.assert_same(rc.read_points(write(tmp_path, "a.pcd", make.pcd(columns, kind))), columns)
    for kind in ("ascii", "binary_little_endian", "binary_big_endian"):
        make.assert_same(rc.read_points(write(tmp_path, "a.ply", make.ply(columns, kind))), columns)
    if fields:
        (tmp_path / "a.bin").write_bytes(body)
        np.testing.assert_array_equal(rc.read_points(tmp_path / "a.bin").points, cloud.points, strict=True)
