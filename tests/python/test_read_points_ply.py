"""rc.read_points on PLY: every kind, type and place of the vertices; what is damaged is named."""

from __future__ import annotations

import struct

import make_points as make
import numpy as np
import pytest
import robocache as rc

KINDS = ["ascii", "binary_little_endian", "binary_big_endian"]
N = 5
EVERY_TYPE = [
    *make.xyz(N),
    make.Column("a", "b", [-128, 0, 1, 2, 127]),
    make.Column("b", "B", [0, 1, 2, 254, 255]),
    make.Column("c", "h", [-32768, 0, 1, 2, 32767]),
    make.Column("d", "H", [0, 1, 2, 3, 65535]),
    make.Column("e", "i", [-(2**31), 0, 1, 2, 2**31 - 1]),
    make.Column("f", "I", [0, 1, 2, 2**24 + 1, 2**32 - 1]),
    make.Column("g", "f", [-0.0, 1e-45, 0.1, 3.4028234663852886e38, float("inf")]),
    make.Column("h", "d", [-0.0, 5e-324, 0.1, 1.7976931348623157e308, float("-inf")]),
]


def read(tmp_path, data, **options):
    path = tmp_path / "cloud.ply"
    path.write_bytes(data)
    return rc.read_points(path, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("types", [make.PLY_TYPES, make.PLY_SIZED], ids=["char", "int8"])
def test_every_type(tmp_path, kind, types):
    cloud = read(tmp_path, make.ply(EVERY_TYPE, kind, types=types))
    make.assert_same(cloud, EVERY_TYPE)
    assert np.signbit(cloud.fields["g"][0])
    assert cloud.viewpoint is None


@pytest.mark.parametrize("kind", KINDS)
def test_64_bit_integers(tmp_path, kind):
    columns = [*make.xyz(2), make.Column("t", "Q", [0, 2**64 - 1]), make.Column("u", "q", [-(2**63), 2**63 - 1])]
    make.assert_same(read(tmp_path, make.ply(columns, kind, types=make.PLY_SIZED)), columns)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1])
def test_few_points(tmp_path, kind, n):
    columns = [*make.xyz(n), make.Column("i", "H", [7] * n)]
    cloud = read(tmp_path, make.ply(columns, kind))
    make.assert_same(cloud, columns)
    assert cloud.features("i").shape == (n, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", ["d", "b", "B", "i", "I"])
def test_points_are_float64_where_the_file_has_doubles_or_integers(tmp_path, kind, code):
    columns = [*make.xyz(N, "i" if code == "i" else "f")[:2], make.Column("z", code, [1, 2, 3, 4, 5])]
    cloud = read(tmp_path, make.ply(columns, kind))
    assert cloud.points.dtype == np.float64
    make.assert_same(cloud, columns)


@pytest.mark.parametrize("kind", KINDS)
def test_axes_anywhere_in_any_order(tmp_path, kind):
    x, y, z = make.xyz(N)
    columns = [z, make.Column("red", "B", [1, 2, 3, 4, 5]), x, make.Column("nx", "f", [0.5] * N), y]
    make.assert_same(read(tmp_path, make.ply(columns, kind)), columns)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counter", ["B", "b", "H", "I", "i"])
@pytest.mark.parametrize("sizes", [[3, 3, 3], [3, 4, 0, 3], [4], [], [0, 0], [3, 3, 5]], ids=str)
@pytest.mark.parametrize("with_quality", [False, True])
def test_lists_of_other_elements_are_stepped_over(tmp_path, kind, counter, sizes, with_quality):
    columns = [*make.xyz(N), make.Column("i", "H", [1, 2, 3, 4, 5])]
    polygons = make.faces(sizes, counter, with_quality)
    camera = make.Element("camera", "property float fov\n", [("0.5", {o: struct.pack(f"{o}f", 0.5) for o in "<>"})])
    empty = make.Element("nothing", "", [("", {"<": b"", ">": b""})] * 3)
    for before, after in ([polygons, camera], [empty]), ([camera, empty], [polygons]), ([polygons], [polygons]):
        make.assert_same(read(tmp_path, make.ply(columns, kind, before=before, after=after)), columns)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=repr)
def test_line_ends(tmp_path, kind, newline):
    columns = [make.Column("first", "B", [10, 13, 10, 32, 9]), *make.xyz(N)]  # a body that begins with an end of line
    make.assert_same(read(tmp_path, make.ply(columns, kind, newline=newline)), columns)


def test_text_as_people_write_it(tmp_path):
    head = HEAD.replace("vertex 2", "vertex 3").replace("uchar r", "int i")
    body = "\n  +1   2e0\t.5 +7 \n\n-nan NaN nan(ind) -3\r\n1e-50 -Infinity inf 0007"
    cloud = read(tmp_path, (head + "end_header\n" + body).encode())
    np.testing.assert_array_equal(cloud.points, np.array([[1, 2, 0.5], [np.nan] * 3, [0, -np.inf, np.inf]], np.float32))
    assert cloud.fields["i"].tolist() == [7, -3, 7]


def test_text_without_arrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    make.assert_same(read(tmp_path, make.ply(EVERY_TYPE, "ascii")), EVERY_TYPE)


HEAD = (
    "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nproperty uchar r\n"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 2 3 4\n", r"cloud\.ply: is cut off: has 1 lines of data, expected 2 for element vertex of 2"),
        ("1 2 3 4\n\n1 2 3 4\n\n5\n", r"cloud\.ply:13: goes on: has 3 lines of data, expected 2"),
        ("1 2 3 4\n\n1 2 3\n", r"cloud\.ply:11: row has 3 numbers, expected 4"),
        ("1 2 3 4 5\n1 2 3 4\n", r"cloud\.ply:9: row has 5 numbers, expected 4"),
        ("1\n2\n", r"cloud\.ply:9: row has 1 numbers, expected 4"),
        ("1 2 3 4\n1 2 3 256\n", r"cloud\.ply:10: r is '256', expected uint8"),
        ("1 2 3 4\n1 2 3 -1\n", r"cloud\.ply:10: r is '-1', expected uint8"),
        ("1 2 3 4\n1 2 3 4.0\n", r"cloud\.ply:10: r is '4.0', expected uint8"),
        ("1 2 3 0x4\n1 2 3 4\n", r"cloud\.ply:9: r is '0x4', expected uint8"),
        ("1 2 3 nan\n1 2 3 4\n", r"cloud\.ply:9: r is 'nan', expected uint8"),
        ("1 2 3 4\n1 2 1e39 4\n", r"cloud\.ply:10: z is '1e39', expected float32"),
        ("1 2 3 4\n1 2_0 3 4\n", r"cloud\.ply:10: y is '2_0', expected float32"),
        ("1 2 3 4\n1 oops 3 4\n", r"cloud\.ply:10: y is 'oops', expected float32"),
        ('"1" 2 3 4\n1 2 3 4\n', r"cloud\.ply:9: x is '\"1\"', expected float32"),
        ("1 2 3 " + "9" * 5000 + "\n1 2 3 4\n", r"cloud\.ply:9: r is '9{60}', expected uint8"),
        ("1 2 3 4\n1 \xff 3 4\n", rf"cloud\.ply: is not ASCII text \(at byte {len(HEAD) + 21}\)"),
    ],
)
def test_damaged_text_is_named_by_line(tmp_path, body, message):
    with pytest.raises(rc.DataError, match=message):
        read(tmp_path, (HEAD + "end_header\n" + body).encode("latin-1"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", r"first line is '', expected 'ply'"),
        ("plyx\n", r"first line is 'plyx', expected 'ply'"),
        (HEAD, rf"is cut off: header has no end_header \(at byte {len(HEAD)}\)"),
        ("ply\nend_header\n", r"cloud\.ply:2: header line is 'end_header'"),
        ("ply\nformat ascii 2.0\n", r"cloud\.ply:2: header line is 'format ascii 2.0'"),
        ("ply\nformat binary 1.0\n", r"header line is 'format binary 1.0'"),
        ("ply\nformat ascii 1.0\nformat ascii 1.0\n", r"cloud\.ply:3: header line"),
        ("ply\nformat ascii 1.0\nproperty float x\n", r"cloud\.ply:3: header line is 'property float x'"),
        ("ply\nformat ascii 1.0\nelement vertex -1\n", r"header line is 'element vertex -1'"),
        ("ply\nformat ascii 1.0\nelement vertex 1.5\n", r"header line is 'element vertex 1.5'"),
        ("ply\nformat ascii 1.0\nelement vertex " + "9" * 5000 + "\n", r"header line is 'element vertex 9+'"),
        (HEAD + "property half h\nend_header\n", r"cloud\.ply:8: header line is 'property half h'"),
        (HEAD + "property list float int h\nend_header\n", r"cloud\.ply:8: header line is 'property list float int h'"),
        (HEAD + "property list int h\nend_header\n", r"cloud\.ply:8: header line is 'property list int h'"),
        (HEAD + "property float x\nend_header\n", r"property 'x' of vertex occurs twice"),
        (HEAD + "element vertex 2\nend_header\n", r"elements are vertex, vertex, expected one vertex"),
        (HEAD.replace("vertex", "corner") + "end_header\n", r"elements are corner, expected one vertex"),
        (
            HEAD.replace("float x", "float u") + "end_header\n1 2 3 4\n1 2 3 4\n",
            r"fields are u, y, z, r, expected x, y and z",
        ),
        ("ply\nformat ascii 1.0\nelement vertex 2\nend_header\n", r"fields are none, expected x, y and z"),
        ("ply\nformat ascii 1.0\nend_header\n", r"elements are none, expected one vertex"),
    ],
)
def test_damaged_headers_are_named(tmp_path, header, message):
    with pytest.raises(rc.DataError, match=message):
        read(tmp_path, header.encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [10**9, 2**63 - 1, 10**18, 10**30])
@pytest.mark.parametrize("element", ["vertex", "face"])
def test_headers_that_claim_too_much(tmp_path, kind, count, element):
    data = make.ply(make.xyz(N), kind, before=[make.faces([3, 3])], after=[make.faces([4])])
    old = {"vertex": b"vertex 5", "face": b"face 2"}[element]
    with pytest.raises(rc.DataError, match=r"is cut off"):
        read(tmp_path, data.replace(old, f"{element} {count}".encode()))


@pytest.mark.parametrize("order", "<>")
def test_lists_that_claim_too_much(tmp_path, order):
    kind = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    three = struct.pack(f"{order}i", 3)
    for before, after in ([make.faces([3, 3], "i")], []), ([], [make.faces([3, 3], "i")]):
        data = make.ply(make.xyz(N), kind, before=before, after=after)
        begin = data.index(three + struct.pack(f"{order}3i", 0, 1, 2))
        for claimed, message in ((2**31 - 1, "is cut off"), (-1, f"list has the length -1, .* byte {begin}")):
            with pytest.raises(rc.DataError, match=message):
                read(tmp_path, data[:begin] + struct.pack(f"{order}i", claimed) + data[begin + 4 :])


@pytest.mark.parametrize("kind", KINDS[1:])
def test_too_short_and_too_long(tmp_path, kind):
    data = make.ply(make.xyz(N), kind)
    with pytest.raises(rc.DataError, match=rf"is cut off: has {len(data) - 1} bytes, expected {len(data)} for element"):
        read(tmp_path, data[:-1])
    with pytest.raises(
        rc.DataError, match=rf"goes on: .* expected {len(data)} for .*vertex of 5 \(at byte {len(data)}\)"
    ):
        read(tmp_path, data + b"\0")


@pytest.mark.parametrize(
    "row", [b"0.5 3 0 1 2", b"0.5 3 0 1", b"0.5 3", b"0.5", b"0.5 3 0 1 2 0.25 7", b"0.5 x 0 1 2 0.25"]
)
def test_text_that_ends_in_another_element(tmp_path, row):
    data = make.ply(make.xyz(N), "ascii", after=[make.faces([4, 3], with_quality=True)])
    assert data.endswith(b"0.5 3 0 1 2 0.25\n")
    with pytest.raises(rc.DataError, match=r"cloud\.ply:20: is cut off: last row is not a whole face"):
        read(tmp_path, data.replace(b"0.5 3 0 1 2 0.25\n", row))


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_vertices_are_not_read(tmp_path, kind):
    data = make.ply(make.xyz(N), kind).replace(b"float z", b"float z\nproperty list uchar int neighbours")
    with pytest.raises(rc.Unsupported, match=r"property 'neighbours' of vertex is a list, expected a number"):
        read(tmp_path, data)
