"""rc.read_points on PCD: every kind, mixed types, padding, organised clouds, old headers; what is damaged is named."""

from __future__ import annotations

import struct

import make_points as make
import numpy as np
import pytest
import robocache as rc
from robocache.formats import lzf

KINDS = ["ascii", "binary", "binary_compressed"]
N = 6
EVERY_TYPE = [
    *make.xyz(N),
    make.Column("a", "b", [-128, 0, 1, 2, 3, 127]),
    make.Column("b", "B", [0, 1, 2, 3, 254, 255]),
    make.Column("c", "h", [-32768, 0, 1, 2, 3, 32767]),
    make.Column("d", "H", [0, 1, 2, 3, 4, 65535]),
    make.Column("e", "i", [-(2**31), 0, 1, 2, 3, 2**31 - 1]),
    make.Column("f", "I", [0, 1, 2, 3, 2**24 + 1, 2**32 - 1]),
    make.Column("g", "q", [-(2**63), 0, 1, 2, 2**53 + 1, 2**63 - 1]),
    make.Column("h", "Q", [0, 1, 2, 3, 2**53 + 1, 2**64 - 1]),
    make.Column("i", "f", [-0.0, 1e-45, 0.1, 3.4028234663852886e38, float("inf"), float("nan")]),
    make.Column("j", "d", [-0.0, 5e-324, 0.1, 1.7976931348623157e308, float("-inf"), float("nan")]),
    make.Column("k", "H", [(i, 2 * i, 65535 - i) for i in range(N)], 3),
]
# A point of a VLP-16 driver: 32 bytes.
VLP16 = [
    *make.xyz(N),
    make.padding(4),
    make.Column("intensity", "f", [0.0, 1.0, 2.0, 3.0, 254.0, 255.0]),
    make.Column("ring", "H", [0, 1, 2, 3, 4, 15]),
    make.padding(2),
    make.Column("time", "I", [0, 1, 2, 3, 4, 2**32 - 1]),
    make.Column("flags", "B", [0, 1, 2, 3, 4, 255]),
    make.padding(3),
]


def read(tmp_path, data, **options):
    path = tmp_path / "cloud.pcd"
    path.write_bytes(data)
    return rc.read_points(path, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [EVERY_TYPE, VLP16], ids=["types", "vlp16"])
def test_mixed_types_and_padding(tmp_path, kind, columns):
    cloud = read(tmp_path, make.pcd(columns, kind))
    make.assert_same(cloud, columns)
    assert cloud.viewpoint == (0, 0, 0, 1, 0, 0, 0)


def test_compressed_with_padding_kept(tmp_path):
    make.assert_same(read(tmp_path, make.pcd(VLP16, "binary_compressed", keep_padding=True)), VLP16)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1])
def test_few_points(tmp_path, kind, n):
    columns = [*make.xyz(n), make.padding(3), make.Column("d", "f", [(1.5,) * 33] * n, 33)]
    cloud = read(tmp_path, make.pcd(columns, kind))
    make.assert_same(cloud, columns)
    assert cloud.features("d").shape == (n, 33)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "height"), [(3, 2), (1, 6), (2, 3)])
def test_organised_with_missing_points(tmp_path, kind, width, height):
    nan = float("nan")
    columns = [make.Column(c.name, c.code, [*c.values[:2], nan, *c.values[3:]]) for c in make.xyz(N)] + EVERY_TYPE[3:]
    cloud = read(tmp_path, make.pcd(columns, kind, WIDTH=str(width), HEIGHT=str(height)))
    make.assert_same(cloud, columns, (height, width))
    assert cloud.fields["k"].shape == (height, width, 3)
    assert np.isnan(cloud.points.reshape(-1, 3)).all(axis=1).tolist() == [i == 2 for i in range(N)]
    np.testing.assert_array_equal(cloud.features("k", "d")[:, :3], columns[-1].array)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (0, 2**32 - 1)])
def test_organised_without_points(tmp_path, kind, width, height):
    cloud = read(tmp_path, make.pcd(make.xyz(0), kind, WIDTH=str(width), HEIGHT=str(height)))
    assert cloud.points.size == 0
    assert cloud.points.shape == ((height, width, 3) if height > 1 else (0, 3))


@pytest.mark.parametrize("kind", ["binary", "binary_compressed"])
def test_packed_colour_is_kept_bit_for_bit(tmp_path, kind):
    """As a float many colours are subnormal, and some NaN with a payload."""
    colours = [0x00010203, 0x00FFFFFF, 0x7FA00001, 0xFFC12345, 0x7F800001, 0xFF000000]
    columns = [*make.xyz(N), make.Column("rgb", "I", colours)]
    cloud = read(tmp_path, make.pcd(columns, kind, TYPE="F F F F"))
    assert cloud.fields["rgb"].dtype == np.float32
    assert cloud.fields["rgb"].view(np.uint32).tolist() == colours
    assert cloud.features("rgb").view(np.uint32)[:, 0].tolist() == colours


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changed", "viewpoint"),
    [
        ({"VERSION": "0.7", "VIEWPOINT": "1 -2 3.5 0.5 0.5 -0.5 0.5"}, (1, -2, 3.5, 0.5, 0.5, -0.5, 0.5)),
        ({"VERSION": ".6", "VIEWPOINT": None, "first": "# .PCD v.6 - Point Cloud Data file format\n"}, None),
        ({"VERSION": ".5", "VIEWPOINT": None, "COUNT": None, "first": "# .PCD v.5\n"}, None),
        ({"VERSION": None, "VIEWPOINT": None, "COUNT": None, "HEIGHT": None, "first": "\n#\n# any\n"}, None),
        ({"VIEWPOINT": None, "WIDTH": None, "HEIGHT": None, "SIZE": None, "TYPE": None, "COUNT": None}, None),
        ({"VIEWPOINT": None, "FIELDS": None, "first": "COLUMNS x y z\n"}, None),
        ({"VIEWPOINT": None, "POINTS": None}, None),
    ],
)
def test_headers_of_all_versions(tmp_path, kind, changed, viewpoint):
    cloud = read(tmp_path, make.pcd(make.xyz(N), kind, **changed))
    make.assert_same(cloud, make.xyz(N))
    assert cloud.viewpoint == viewpoint


@pytest.mark.parametrize("kind", ["binary", "binary_compressed"])
def test_a_page_of_zeros_behind_the_data_is_no_damage(tmp_path, kind):
    """PCL left it there for years."""
    data = make.pcd(VLP16, kind)
    for zeros in (1, 3900, 4096):
        make.assert_same(read(tmp_path, data + bytes(zeros)), VLP16)
    for tail in (bytes(4097), b"\1", bytes(80) + b"\1"):
        with pytest.raises(rc.DataError, match=rf"goes on: has .* expected {len(data)} for .*\(at byte {len(data)}\)"):
            read(tmp_path, data + tail)


def test_windows_line_ends(tmp_path):
    data = make.pcd(VLP16, "ascii").replace(b"\n", b"\r\n")
    make.assert_same(read(tmp_path, data), VLP16)
    head, body = make.pcd_header(VLP16, "binary").encode(), make.pcd(VLP16, "binary")
    make.assert_same(read(tmp_path, head.replace(b"\n", b"\r\n") + body[len(head) :]), VLP16)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"FIELDS": None}, r"header names no FIELDS"),
        ({"FIELDS": "x y z w"}, r"SIZE has 3 entries, expected 4 as FIELDS has"),
        ({"FIELDS": "x y x"}, r"field 'x' occurs twice"),
        ({"FIELDS": "a b c"}, r"fields are a, b, c, expected x, y and z"),
        ({"FIELDS": "x y _"}, r"fields are x, y, expected x, y and z"),
        ({"SIZE": "4 4"}, r"SIZE has 2 entries, expected 3"),
        ({"SIZE": None}, r"header has one of SIZE and TYPE"),
        ({"SIZE": "4 4 2"}, r"type of field z is F2, expected one of I1, I2, I4, I8, U1, U2, U4, U8, F4, F8"),
        ({"SIZE": "4 4 -4"}, r"type of field z is F-4, expected one of"),
        ({"TYPE": "F F X"}, r"type of field z is X4, expected one of"),
        ({"COUNT": "1 1 0"}, r"COUNT of field z is '0', expected 1 or more"),
        ({"COUNT": "1 1 -1"}, r"COUNT of field z is '-1', expected 1 or more"),
        ({"COUNT": "1 1 1000000000000"}, r"a point has 4000000000008 bytes, expected 16777216 at most"),
        ({"COUNT": "1 1 " + "9" * 5000}, r"COUNT of field z is '9{60}'"),
        ({"WIDTH": None, "POINTS": None}, r"header has neither WIDTH nor POINTS"),
        ({"WIDTH": "-6"}, r"WIDTH is '-6', expected a whole number below 2\*\*32"),
        ({"WIDTH": ""}, r"WIDTH is '', expected a whole number"),
        ({"WIDTH": "6 6"}, r"WIDTH is '6 6', expected a whole number"),
        ({"WIDTH": "1e3"}, r"WIDTH is '1e3', expected a whole number"),
        ({"HEIGHT": "2"}, r"POINTS is 6, expected WIDTH \* HEIGHT = 6 \* 2"),
        ({"POINTS": "5"}, r"POINTS is 5, expected WIDTH \* HEIGHT = 6 \* 1"),
        ({"POINTS": "9" * 18, "WIDTH": "9" * 18}, r"WIDTH is '9{18}', expected a whole number below"),
        ({"POINTS": "4000000000", "WIDTH": "4000000000"}, r"is cut off: has|size of the unpacked data is"),
        (
            {"POINTS": None, "WIDTH": "4000000000", "HEIGHT": "4000000000"},
            r"is cut off: has|size of the unpacked data is",
        ),
        ({"VIEWPOINT": "0 0 0 1 0 0"}, r"VIEWPOINT is '0 0 0 1 0 0', expected 7 numbers"),
        ({"VIEWPOINT": "0 0 0 1 0 0 a"}, r"VIEWPOINT is '0 0 0 1 0 0 a', expected 7 numbers"),
        (
            {"VIEWPOINT": "0 0 0 1 0 0 0\nVIEWPOINT 0 0 0 1 0 0 0"},
            r"cloud.pcd:10: VIEWPOINT occurs twice in the header",
        ),
        (
            {"VIEWPOINT": "0 0 0 1 0 0 0\nCOLOR red"},
            r"cloud.pcd:10: header line is 'COLOR red', expected one of VERSION",
        ),
        ({"DATA": None}, r"header line is|is cut off: header has no DATA"),
        ({"DATA": "binary_zipped"}, r"DATA is 'binary_zipped', expected ascii, binary or binary_compressed"),
        ({"DATA": ""}, r"DATA is '', expected ascii, binary or binary_compressed"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_headers_are_named(tmp_path, kind, changed, message):
    with pytest.raises(rc.DataError, match=message):
        read(tmp_path, make.pcd(make.xyz(N), kind, **changed))


@pytest.mark.parametrize("kind", KINDS)
def test_an_axis_of_several_numbers(tmp_path, kind):
    columns = [*make.xyz(N)[:2], make.Column("z", "f", [(1.0, 2.0)] * N, 2)]
    with pytest.raises(rc.DataError, match=r"cloud.pcd: field z has 2 numbers a point, expected one"):
        read(tmp_path, make.pcd(columns, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_beyond_float64(tmp_path, kind):
    for largest in (2**53, -(2**53)):
        columns = [make.Column("x", "q", [0, 1, 2, 3, 4, largest]), *make.xyz(N)[1:]]
        make.assert_same(read(tmp_path, make.pcd(columns, kind)), columns)
        columns[0] = make.Column("x", "q", [0, 1, 2, 3, 4, largest + (1 if largest > 0 else -1)])
        with pytest.raises(rc.DataError, match=r"field x has integers beyond 2\*\*53, expected what float64 can hold"):
            read(tmp_path, make.pcd(columns, kind))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_cut_off(tmp_path, kind):
    data = make.pcd(VLP16, kind)
    with pytest.raises(rc.DataError, match=rf"is cut off: has {len(data) - 1} bytes, expected {len(data)} for"):
        read(tmp_path, data[:-1])
    head = len(make.pcd_header(VLP16, kind))
    with pytest.raises(rc.DataError, match=r"is cut off: "):
        read(tmp_path, data[: head + 7])
    with pytest.raises(rc.DataError, match=r"is cut off: header has no DATA \(at byte 40\)"):
        read(tmp_path, data[:40])


def test_damaged_text_is_named_by_line(tmp_path):
    lines = make.pcd(EVERY_TYPE, "ascii").decode().splitlines()
    with pytest.raises(rc.DataError, match=r"cloud.pcd: is cut off: has 5 lines of data, expected 6 for 6 points"):
        read(tmp_path, "\n".join(lines[:-1]).encode())
    with pytest.raises(rc.DataError, match=r"cloud.pcd:17: row has 15 numbers, expected 16"):
        read(tmp_path, "\n".join([*lines[:-1], lines[-1].rsplit(" ", 1)[0]]).encode())
    with pytest.raises(rc.DataError, match=r"cloud.pcd:17: k is '65536', expected uint16"):
        read(tmp_path, "\n".join([*lines[:-1], lines[-1].rsplit(" ", 1)[0] + " 65536"]).encode())
    wide = make.pcd(make.xyz(1), "ascii", COUNT="1 1 4000000")
    with pytest.raises(rc.DataError, match=r"cloud.pcd:12: row has 3 numbers, expected 4000002"):
        read(tmp_path, wide)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (struct.pack("<II", 4, 72) + b"\0\0\0\0", r"compressed data unpack to 2 bytes, expected 72"),
        (
            struct.pack("<II", 1, 72) + b"\0",
            r"compressed data are damaged: ends in the middle, at byte 1 of the packed data",
        ),
        (
            struct.pack("<II", 2, 72) + b"\x20\0",
            r"copies from 1 bytes before the beginning, at byte 0 of the packed data",
        ),
        (struct.pack("<II", 3, 72) + b"\0\0\xe0", r"damaged: ends in the middle, at byte 3"),
        (struct.pack("<II", 4, 72) + b"\0\0\xe0\0", r"damaged: ends in the middle, at byte 4"),
        (struct.pack("<II", 5, 72) + b"\0\0\xe0\0\0", r"compressed data unpack to 10 bytes, expected 72"),
        (struct.pack("<II", 5, 72) + b"\0\0\xe0\xff\0", r"compressed data unpack to 265 bytes, expected 72"),
        (struct.pack("<II", 5, 71) + b"\0\0\xe0\xff\0", r"size of the unpacked data is 71, expected 72 for 6 points"),
        (struct.pack("<II", 0, 72), r"compressed data have 0 bytes, too few for 72"),
        (struct.pack("<II", 2**32 - 1, 2**32 - 1), r"is cut off: .* for 4294967295 bytes of compressed data"),
    ],
)
def test_damaged_compression_is_named(tmp_path, body, message):
    with pytest.raises(rc.DataError, match=message):
        read(tmp_path, make.pcd_header(make.xyz(N), "binary_compressed").encode() + body)


def test_a_small_file_does_not_unpack_to_gigabytes(tmp_path):
    n = 2**32 // 12
    header = make.pcd_header(make.xyz(0), "binary_compressed", WIDTH=str(n), POINTS=str(n)).encode()
    with pytest.raises(rc.DataError, match=rf"compressed data have 900 bytes, too few for {n * 12}"):
        read(tmp_path, header + struct.pack("<II", 900, n * 12) + bytes(900))


@pytest.mark.parametrize("n", [0, 1, 3, 31, 32, 33, 264, 265, 8192, 8195, 20_000])
def test_lzf(n):
    rng = np.random.default_rng(n)
    for data in (bytes(n), rng.bytes(n), rng.integers(0, 3, n, np.uint8).tobytes(), (b"abcdefg" * n)[:n]):
        assert lzf.decompress(make.lzf_compress(data)) == data
