"""The reader of CSV folders: the Husky and x-io logs (skipped where absent), rules of naming."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import problems, real
from robocache.dataset import Dataset, open
from robocache.errors import DataError
from robocache.formats.columns import find_quaternions, in_vector, split_unit


def write(folder: Path, **files: str) -> Path:
    for stem, text in files.items():
        (folder / f"{stem}.csv").write_text(text)
    return folder


def shapes(data: Dataset) -> dict[str, tuple[str, str, tuple[str, ...] | None]]:
    return {name: (info.kind, info.dtype, info.names) for name, info in data.streams.items()}


EPOCH = 1432235497988949113


# --- real data -----------------------------------------------------------------------------------------------------


def test_husky():
    root = real("rosbag1_robot_localization/csv_from_test1")
    data = open(root)
    assert (data.format, len(data.episodes), data.fps, problems(data)) == ("csv", 1, None, [])
    assert shapes(data) == {
        "fix.integer": ("integer", "int64", ("status", "service")),
        "fix": ("float", "float64", ("lat_deg", "lon_deg", "alt_m")),
        "imu.orientation": ("quaternion", "float64", ("qx", "qy", "qz", "qw")),
        "imu": ("float", "float64", ("gx", "gy", "gz", "ax", "ay", "az")),
        "odom": ("float", "float64", ("px", "py", "pz", "vx", "vy", "vz", "wx", "wy", "wz")),
        "odom.orientation": ("quaternion", "float64", ("qx", "qy", "qz", "qw")),
    }
    assert data.streams["fix"].units == ("deg", "deg", "m")
    assert data.streams["imu"].clock == "column stamp_ns (record_ns not used)"
    rates = {name: info.rate_hz for name, info in data.streams.items()}
    assert rates["imu"] == pytest.approx(30.01, abs=0.01)
    assert rates["odom"] == pytest.approx(9.99, abs=0.01)
    assert rates["fix"] == pytest.approx(2.50, abs=0.01)

    episode = data.episodes[0]
    for stream, stem in (("imu", "imu"), ("odom.orientation", "odom"), ("fix", "fix"), ("fix.integer", "fix")):
        with (root / f"{stem}.csv").open() as file:
            rows = list(csv.DictReader(file))
        samples = episode[stream]
        assert samples.stamps_ns.tolist() == [int(row["stamp_ns"]) for row in rows]
        expected = [[float(row[name]) for name in samples.info.names] for row in rows]
        np.testing.assert_array_equal(samples.values, expected)


def test_xio():
    root = real("imu_xio_csv")
    data = open(root / "sensor_data.csv")
    assert list(open(root).streams) == list(data.streams) == ["sensor_data"]
    info = data.streams["sensor_data"]
    assert info.shape == (9,)
    assert info.units == ("deg/s",) * 3 + ("g",) * 3 + ("uT",) * 3
    samples = data.episodes[0]["sensor_data"]
    with (root / "sensor_data.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert samples.stamps_ns.tolist() == [int(Decimal(row[0]) * 10**9) for row in rows]
    np.testing.assert_array_equal(samples.values, [[float(cell) for cell in row[1:]] for row in rows])
    assert problems(data) == []
    assert data.episodes[0].duration_s == pytest.approx(135.326642)


# --- streams by the names of the columns ---------------------------------------------------------------------------


def test_a_robot_that_stood_still_has_the_same_streams(tmp_path):
    head = "stamp_ns,px,py,pz,qw,qx,qy,qz,alt_m,status\n"
    (tmp_path / "still").mkdir()
    (tmp_path / "moved").mkdir()
    still = open(write(tmp_path / "still", odom=head + "1,0,0,0,1,0,0,0,7,3\n2,0,0,0,1,0,0,0,7,3\n"))
    moved = open(write(tmp_path / "moved", odom=head + "1,0.5,0,0,1,0,0,0,7.5,3\n2,0,0,0,1,0,0,0,7,3\n"))
    assert shapes(still) == shapes(moved)
    assert shapes(still) == {
        "odom": ("float", "float64", ("px", "py", "pz", "alt_m")),
        "odom.orientation": ("quaternion", "float64", ("qw", "qx", "qy", "qz")),
        "odom.integer": ("integer", "int64", ("status",)),
    }


def test_one_kind_of_column_takes_the_name_of_the_file(tmp_path):
    data = open(
        write(tmp_path, gripper="t_s,open\n0,true\n1.5,false\n", ticks="stamp_us,n,uptime_ms\n1,9007199254740993,5\n")
    )
    assert shapes(data) == {"gripper": ("bool", "bool", ("open",)), "ticks": ("integer", "int64", ("n", "uptime_ms"))}
    assert data.episodes[0]["gripper"].values.tolist() == [[True], [False]]
    assert data.episodes[0]["gripper"].stamps_ns.tolist() == [0, 1_500_000_000]
    assert data.episodes[0]["ticks"].values[0, 0] == 9007199254740993  # not a float64


def test_text_and_two_quaternions(tmp_path):
    names = "time,left_qx,left_qy,left_qz,left_qw,right_qx,right_qy,right_qz,right_qw,frame\n"
    data = open(write(tmp_path, arms=names + "0.0,0,0,0,1,1,0,0,0,base\n0.5,0,0,0,1,1,0,0,0,base\n"))
    assert {name: info.kind for name, info in data.streams.items()} == {
        "arms.left_orientation": "quaternion",
        "arms.right_orientation": "quaternion",
        "arms.text": "text",
    }
    assert data.episodes[0]["arms.text"].values.tolist() == [["base"], ["base"]]
    assert data.streams["arms.text"].dtype == "string"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("qx qy qz qw", [(0, "xyzw", "")]),
        ("px qw qx qy qz", [(1, "wxyz", "")]),
        ("orientation.x orientation.y orientation.z orientation.w", [(0, "xyzw", "")]),
        ("pose.orientation_x pose.orientation_y pose.orientation_z pose.orientation_w", [(0, "xyzw", "pose")]),
        ("hand_quat_w hand_quat_x hand_quat_y hand_quat_z", [(0, "wxyz", "hand")]),
        ("Q_X Q_Y Q_Z Q_W", [(0, "xyzw", "")]),
        ("qx qy qz", []),
        ("qx qy qw qz", []),
        ("a_qx b_qy a_qz a_qw", []),
        ("x y z w", []),
        ("q0 q1 q2 q3", []),
    ],
)
def test_names_of_quaternions(names, found):
    assert [(q.start, q.order, q.prefix) for q in find_quaternions(names.split())] == found


def test_units_and_vectors():
    assert split_unit("Gyroscope X (deg/s)") == ("Gyroscope X", "deg/s")
    assert split_unit("#timestamp [ns]") == ("#timestamp", "ns")
    assert split_unit("w_rad_s") == ("w", "rad_s")
    assert split_unit("status") == ("status", None)
    assert split_unit("_m") == ("_m", None)
    assert in_vector(["px", "py", "pz", "index", "ax", "v_x_m", "v_y_m"]) == [True] * 3 + [False] * 2 + [True] * 2


# --- stamps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "cells", "stamps", "clock"),
    [
        ("stamp_ns", ["1432235497988949113", "1432235497988949114"], [EPOCH, EPOCH + 1], None),
        ("t", ["0.1", "2"], [100_000_000, 2_000_000_000], None),
        ("time [ms]", ["0.25", "1"], [250_000, 1_000_000], None),
        ("Timestamp_us", ["5", "1432235497988949.113"], [5_000, EPOCH], None),
        ("time_s", ["1432235497.988949113", "1432235497.9889491140000001"], [EPOCH, EPOCH + 1], None),
        ("time_s", ["1.432235497988949113e+09", "1.5E9"], [EPOCH, 1_500_000_000_000_000_000], None),
        ("time_s", [" -0.5", "5.000000000000000277e-02 "], [-500_000_000, 50_000_000], None),
        ("time_s", ["0.0000000005", "0.0000000015"], [0, 2], None),  # half to even
        ("%time", ["1432235497988949113", "1432235497988949114"], [EPOCH, EPOCH + 1], "read as ns"),
        ("time", ["1432235497988", "1432235497989"], [1432235497988000000, 1432235497989000000], "read as ms"),
        ("time", ["1", "2"], [1_000_000_000, 2_000_000_000], "integers are read as s"),
        ("field.header.stamp", ["2020-01-01T00:00:00.000000001Z", "2020-01-01 00:00:01Z"],
         [1577836800000000001, 1577836801000000000], None),
        ("camera_ns", ["5", "6"], [5, 6], None),
    ],
)  # fmt: skip
def test_stamp_columns(tmp_path, head, cells, stamps, clock):
    data = open(write(tmp_path, s=f"{head},v_m\n" + "".join(f"{cell},1\n" for cell in cells)))
    assert data.episodes[0]["s"].stamps_ns.tolist() == stamps
    if clock is None:
        assert problems(data) == []
    else:
        assert len(data.problems) == 1
        assert clock in problems(data)[0]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.decimals(-(10**9), 9 * 10**9, places=9), min_size=1, max_size=20))
def test_decimal_seconds_never_pass_through_float64(tmp_path_factory, seconds):
    folder = write(tmp_path_factory.mktemp("d"), s="time_s,v_m\n" + "".join(f"{second:f},0\n" for second in seconds))
    assert open(folder).episodes[0]["s"].stamps_ns.tolist() == [int(second * 10**9) for second in seconds]


def test_arrival_time_is_used_only_alone_and_reported(tmp_path):
    data = open(write(tmp_path, s="record_ns,v_m\n1,2\n"))
    assert problems(data) == ["s.csv: stamps are 'record_ns', the time of arrival: there is no time of the sample"]


def test_no_stamp_column(tmp_path):
    with pytest.raises(
        DataError, match=r"s.csv: columns are a, b, expected a stamp .* hint: name it in robocache.toml"
    ):
        open(write(tmp_path, s="a,b\n1,2\n"))


# --- odd but legal ---------------------------------------------------------------------------------------------------


def test_what_is_odd_but_legal_is_reported_by_line(tmp_path):
    text = "t_s,vx,vy,qx,qy,qz,qw\n0.0,1,2,0,0,0,1\n0.2,nan,2,0,0,0,0\n0.1,3,,0,0,0,1\n0.1,4,2,0,0,0,1\n"
    data = open(write(tmp_path, s=text))
    assert set(problems(data)) == {
        "s.csv:4: stamps decrease (1 in all)",
        "s.csv:5: stamps repeat (1 in all)",
        "s.csv:3: s has NaN (1 in all)",
        "s.csv:4: s has empty cells, those rows are no samples (1 of 4)",
        "s.csv:3: s.orientation is not of norm 1 (1 in all)",
    }
    episode = data.episodes[0]
    np.testing.assert_array_equal(episode["s"].values, [[1, 2], [np.nan, 2], [4, 2]])
    assert episode["s"].stamps_ns.tolist() == [0, 200_000_000, 100_000_000]
    assert len(episode["s.orientation"]) == episode.length == 4


def test_header_only(tmp_path):
    data = open(write(tmp_path, s="stamp_ns,vx,vy\n"))
    assert data.episodes[0]["s"].values.shape == (0, 2)
    assert data.streams["s"].rate_hz is None
    assert problems(data) == ["s.csv: has a header and no rows"]
    assert data.episodes[0].duration_s == 0


def test_a_column_that_is_always_empty(tmp_path):
    data = open(write(tmp_path, s="stamp_ns,vx,vy,temperature\n1,1,2,\n2,3,4,\n"))
    assert data.streams["s"].names == ("vx", "vy")
    assert problems(data) == ["s.csv: column 'temperature' is empty and is left out"]


@pytest.mark.parametrize(
    "text", ["\ufefft_s;vx;vy\r\n0.5;1;2\r\n", "\nt_s\tvx\tvy\n0.5\t1\t2\n", ' t_s ,"vx", vy \n0.5, 1 ,2\n']
)
def test_separators_and_spaces(tmp_path, text):
    data = open(write(tmp_path, s=text))
    assert data.streams["s"].names == ("vx", "vy")
    assert data.episodes[0]["s"].values.tolist() == [[1, 2]]
    assert data.episodes[0]["s"].stamps_ns.tolist() == [500_000_000]


# --- robocache.toml ------------------------------------------------------------------------------------------------


def test_toml_names_several_streams_in_a_file(tmp_path):
    write(
        tmp_path,
        log="clock,fx,fy,a,b,c,d,mode\n0,1,2,0,0,0,1,5\n1000,3,4,0,0,0,1,6\n2000,,,0,0,0,1,7\n",
        other="stamp_ns,vx,vy\n7,1,2\n",
    )
    (tmp_path / "robocache.toml").write_text("""
        [streams.wrench]
        file = "log.csv"
        stamp = "clock"
        stamp_unit = "us"
        columns = ["fx", "fy"]
        [streams.attitude]
        file = "log.csv"
        stamp = "clock"
        stamp_unit = "us"
        columns = ["a", "b", "c", "d"]
        interp = "slerp"
        [streams.mode]
        file = "log.csv"
        stamp = "clock"
        stamp_unit = "us"
        columns = ["mode"]
        interp = "nearest"
    """)
    data = open(tmp_path)
    assert {name: (i.kind, i.dtype, i.interp) for name, i in data.streams.items()} == {
        "wrench": ("float", "float64", None),
        "attitude": ("quaternion", "float64", "slerp"),
        "mode": ("integer", "int64", "nearest"),
        "other": ("float", "float64", None),
    }
    assert data.episodes[0]["wrench"].stamps_ns.tolist() == [0, 1_000_000]
    assert data.episodes[0]["mode"].stamps_ns.tolist() == [0, 1_000_000, 2_000_000]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[streams.a\n", "is not TOML"),
        ("[stream.a]\nfile='log.csv'\n", r"expected \[streams.NAME\] tables only"),
        ("[streams.a]\nstamp='t'\n", "streams.a has no file"),
        ("[streams.a]\nfile='log.csv'\nunits='m'\n", "has the key 'units', expected file, stamp"),
        ("[streams.a]\nfile='nope.csv'\n", "names nope.csv, which is no file"),
        ("[streams.a]\nfile='log.csv'\nstamp='x'\n", "has no column 'x', which robocache.toml names as stamps of a"),
        ("[streams.a]\nfile='log.csv'\ncolumns=['x']\n", "has no column 'x', which robocache.toml names in a"),
        ("[streams.a]\nfile='log.csv'\ncolumns=[]\n", "columns is .*, expected a list of column names"),
        ("[streams.a]\nfile='log.csv'\nstamp_unit='h'\n", "stamp_unit is 'h', expected one of ns, us, ms, s"),
        ("[streams.a]\nfile='log.csv'\ninterp='cubic'\n", "interp is 'cubic', expected one of hold"),
        ("[streams.a]\nfile='log.csv'\ninterp='slerp'\n", "expected four columns"),
        ("[streams.a]\nfile='log.csv'\ncolumns=['v', 'word']\n", "has text among numbers"),
        ("[streams.a]\nfile='log.csv'\ncolumns=['word']\ninterp='linear'\n", "text to be interpolated"),
        ("[streams.other]\nfile='log.csv'\n", "gives stream other, which another file gives too"),
    ],
)
def test_toml_that_is_wrong(tmp_path, toml, message):
    write(tmp_path, log="t_s,v,word\n0.5,1.5,a\n", other="t_s,v\n0.5,1.5\n")
    if "other" in toml:
        write(tmp_path, log="t_s,v\n0.5,1.5\n")
    (tmp_path / "robocache.toml").write_text(toml)
    with pytest.raises(DataError, match=message):
        open(tmp_path)
