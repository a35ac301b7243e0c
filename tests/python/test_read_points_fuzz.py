"""rc.read_points on clouds of any layout, and on files that are cut, flipped and pieced together."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import make_points as make
import numpy as np
import pytest
import robocache as rc
from hypothesis import given, settings
from hypothesis import strategies as st

LIMIT_S = 5  # a read of such a file takes a millisecond
COLUMNS = [
    *make.xyz(3),
    make.Column("intensity", "f", [0.5, 0.25, 1.5]),
    make.Column("ring", "H", [1, 65535, 3]),
    make.Column("t", "I", [0, 2**32 - 1, 7]),
]
PADDED = [*COLUMNS[:4], make.padding(2), make.Column("d", "d", [(1.0, 2.0)] * 3, 2), make.padding(1), *COLUMNS[4:]]
AROUND = {"before": [make.faces([3, 4], "i")], "after": [make.faces([3, 3])]}
FILES = {
    "ply-text": make.ply(COLUMNS, "ascii", **AROUND),
    "ply-little": make.ply(COLUMNS, "binary_little_endian", **AROUND),
    "ply-big": make.ply(COLUMNS, "binary_big_endian", **AROUND),
    "pcd-text": make.pcd(PADDED, "ascii"),
    "pcd-binary": make.pcd(PADDED, "binary"),
    "pcd-packed": make.pcd(PADDED, "binary_compressed", HEIGHT="3", WIDTH="1"),
    "kitti.bin": b"".join(column.pack(i) for i in range(3) for column in COLUMNS[:4]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def read(folder: Path, name: str, data: bytes) -> rc.PointCloud | None:
    """What is read; None where the file is refused as it should be."""
    path = folder / f"{name}{'' if '.' in name else '.' + name[:3]}"
    path.touch()
    with path.open("r+b") as file:  # overwritten: many file systems flush a file that is emptied first
        file.write(data)
        file.truncate()
    start, refused = time.monotonic(), ""
    try:
        cloud = rc.read_points(path)
    except (rc.DataError, rc.Unsupported) as error:
        refused = str(error)
    assert time.monotonic() - start < LIMIT_S
    if refused:
        assert str(path) in refused
        assert len(refused) < 1200
        return None
    assert cloud.points.shape[-1] == 3
    for values in cloud.fields.values():
        assert values.shape[: cloud.points.ndim - 1] == cloud.points.shape[:-1]
        assert values.size <= 8 * len(data)
    return cloud


@pytest.mark.parametrize("name", FILES)
def test_cut_anywhere(folder, name):
    data = FILES[name]
    whole = read(folder, name, data)
    assert whole is not None
    for end in range(len(data)):
        cloud = read(folder, name, data[:end])
        if cloud is None:
            continue
        if name == "kitti.bin":
            assert end % 16 == 0
            continue
        assert name.endswith("text")  # cut inside of the last number, or behind it: nothing shows it
        assert len(data) - end <= len(data.split()[-1])
        np.testing.assert_array_equal(cloud.points, whole.points)


@pytest.mark.parametrize("name", FILES)
def test_too_long(folder, name):
    for tail in (b"\1", b"0", b"0 0 0\n", b"\0" * 5000):
        assert read(folder, name, FILES[name] + tail) is None


@pytest.mark.parametrize("name", FILES)
def test_one_byte_wrong(folder, name):
    data = FILES[name]
    rng = np.random.default_rng(7)
    for at in range(len(data)):
        for byte in {data[at] ^ 1 << int(rng.integers(8)), int(rng.integers(256)), int(rng.choice(list(b"0 9-\n")))}:
            read(folder, name, data[:at] + bytes([byte]) + data[at + 1 :])


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_pieced_together(folder, data):
    name = data.draw(st.sampled_from(sorted(FILES)))
    parts = []
    for _ in range(data.draw(st.integers(1, 4))):
        source = FILES[data.draw(st.sampled_from([name, name, *sorted(FILES)]))]
        start = data.draw(st.integers(0, len(source)))
        parts.append(source[start : data.draw(st.integers(start, len(source)))])
        parts.append(data.draw(st.binary(max_size=6)))
    head = FILES[name][: data.draw(st.integers(0, len(FILES[name])))]
    read(folder, name, head + b"".join(parts))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_compressed_bytes(folder, body, size):
    """All sizes are as claimed, so that decompression sees the bytes."""
    n = size % (1 + 88 * len(body) // 12)
    header = make.pcd_header(make.xyz(0), "binary_compressed", WIDTH=str(n), POINTS=str(n)).encode()
    read(folder, "pcd-packed", header + struct.pack("<II", len(body), 12 * n) + body)


def numbers(code: str) -> st.SearchStrategy[float | int]:
    if code in "fd":
        return st.floats(width=32 if code == "f" else 64)
    limits = np.iinfo(make.CODES[code])
    return st.integers(int(limits.min), int(limits.max))


@st.composite
def clouds(draw, codes: str, counts: st.SearchStrategy[int]) -> list[make.Column]:
    """Columns of any types in any order, x, y and z among them."""
    n = draw(st.integers(0, 5))
    names = draw(st.permutations(["x", "y", "z", *draw(st.sets(st.sampled_from(["i", "rgb", "t", "ring_2"])))]))
    columns = []
    for name in names:
        axis = name in "xyz"
        code = draw(st.sampled_from(codes.replace("q", "").replace("Q", "") if axis else codes))
        count = 1 if axis else draw(counts)
        row = numbers(code) if count == 1 else st.tuples(*[numbers(code)] * count)
        columns.append(make.Column(name, code, draw(st.lists(row, min_size=n, max_size=n)), count))
    return columns


@settings(max_examples=200, deadline=None)
@given(clouds("bBhHiIqQfd", st.just(1)), st.sampled_from(["ascii", "binary_little_endian", "binary_big_endian"]))
def test_any_ply(folder, columns, kind):
    cloud = read(folder, "ply", make.ply(columns, kind, types=make.PLY_SIZED, before=[make.faces([3, 4])]))
    make.assert_same(cloud, columns)


@settings(max_examples=200, deadline=None)
@given(clouds("bBhHiIqQfd", st.integers(1, 4)), st.sampled_from(["ascii", "binary", "binary_compressed"]), st.data())
def test_any_pcd(folder, columns, kind, data):
    padded = list(columns)
    for _ in range(data.draw(st.integers(0, 3))):
        padded.insert(data.draw(st.integers(1, len(padded))), make.padding(data.draw(st.integers(1, 5))))
    n = make.length(columns)
    shape = data.draw(st.sampled_from([(h, n // h) for h in range(1, n + 1) if n % h == 0] or [(1, 0)]))
    keep = data.draw(st.booleans())
    content = make.pcd(padded, kind, keep_padding=keep, HEIGHT=str(shape[0]), WIDTH=str(shape[1]))
    make.assert_same(read(folder, "pcd", content), columns, shape if shape[0] > 1 else None)
