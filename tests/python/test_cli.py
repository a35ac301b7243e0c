"""`robocache inspect` and what both commands share: exit codes, one line of error, progress, broken pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import make_lerobot as make
import pyarrow as pa
import pytest
from real_data import real
from robocache.cli import main
from robocache.cli.progress import progress


def error_line(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Runs a command that must fail with code 2 and one line; nothing on stdout."""
    assert main([str(a) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("robocache: error: ")
    assert err.count("\n") == 1
    return err


def inspect(capsys: pytest.CaptureFixture[str], path: Path) -> str:
    assert main(["inspect", str(path)]) == 0
    return capsys.readouterr().out


# --- inspect -------------------------------------------------------------------------------------------------------


def test_inspect_husky(capsys):
    lines = inspect(capsys, real("rosbag1_robot_localization/csv_from_test1")).splitlines()
    assert lines[0].endswith("csv, 1 episode, 395.343 s")
    rows = {line.split()[0]: line.split() for line in lines[3:9]}
    #                                                               samples   rate      p50      p99      gap     drops
    assert rows["imu"][1:10] == ["float", "float64", "6", "11,865", "30.013", "0.000", "0.000", "33.320", "0"]
    assert rows["odom.orientation"][1:10] == (
        ["quaternion", "float64", "4", "3,952", "9.995", "0.202", "11.359", "208.241", "2"]
    )
    assert rows["fix.integer"][1:7] == ["integer", "int64", "2", "989", "2.500", "1.871"]
    assert lines[-3:] == [  # it drives on a plane
        "doctor: 2 problems:",
        "  data: odom never changes in columns 2, 4-7 of 9 (pz, vy, vz, wx, wy)",
        "  data: odom.orientation never changes in columns 0-1 of 4 (qx, qy)",
    ]


def test_inspect_says_what_is_wrong(capsys):
    text = inspect(capsys, real("lerobot_v21_g1_real"))
    assert "lerobot v2.1, 50 episodes, 605.100 s, 30 fps, 1 task" in text
    assert text.rstrip().endswith(
        "doctor: 2 problems:\n"
        "  data: 50 of 100 listed episodes are missing: 50-99\n"
        "  observation.images.cam_high: 47 of 50 videos are missing: episodes 0-27, 31-49"
    )


def test_inspect_survives_damage_and_counts_it(tmp_path, capsys):
    source = make.episodes(30, 40, 50)
    source[1]["action"] = pa.array([[1.0, 2.0], [3.0]] * 20, pa.list_(pa.float32()))
    root = make.write_v21(tmp_path / "d", source)
    assert main(["inspect", str(root), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["episodes"], report["skipped_episodes"], report["fps"]) == (2, [1], 30.0)
    assert report["duration_s"] == pytest.approx((29 + 49) / 30, abs=1e-6)
    action = next(stream for stream in report["streams"] if stream["name"] == "action")
    assert (action["shape"], action["dtype"], action["samples"], action["drops"]) == ([2], "float32", 80, 0)
    assert [problem["where"] for problem in report["problems"]] == ["data"]
    assert "rows differ in width" in report["problems"][0]["what"]


def test_inspect_a_stream_that_runs_backwards(tmp_path, capsys):
    (tmp_path / "back.csv").write_text("stamp_ns,v_m\n3,1\n2,2\n1,3\n")
    text = inspect(capsys, tmp_path)
    assert "-0.000" not in text
    assert "stamps decrease" in text


def test_inspect_metadata_alone(capsys):
    text = inspect(capsys, real("lerobot_v30_meta_so101"))
    assert "0 episodes" in text
    assert "50 of 50 listed episodes are missing" in text


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["inspect"], ["align", "--hz", "50", "-o", "out.parquet"]])
def test_paths_without_a_dataset(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    assert "no such file or folder: nowhere" in error_line(capsys, *command, "nowhere")
    assert "empty is no dataset that can be read, looked for meta/info.json" in error_line(capsys, *command, "empty")
    assert "notes.txt is no dataset" in error_line(capsys, *command, "notes.txt")
    assert not (tmp_path / "out.parquet").exists()


def test_usage_errors_have_code_2_too(capsys):
    for argv in ([], ["fly"], ["align", "x"], ["align", "x", "--hz", "fast", "-o", "y.npz"]):
        with pytest.raises(SystemExit) as exit_:
            main(argv)
        assert exit_.value.code == 2
    capsys.readouterr()


def test_a_message_of_many_lines_becomes_one(tmp_path, capsys):
    root = make.write_v21(tmp_path / "d", make.episodes(3))
    (root / "meta/info.json").write_text("{\n\n}}")
    assert "info.json is not JSON" in error_line(capsys, "inspect", root)


# --- as a process --------------------------------------------------------------------------------------------------


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    root = make.write_v21(tmp_path / "d", make.episodes(*[3] * 5))
    child = subprocess.Popen(
        [sys.executable, "-m", "robocache", "inspect", str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0


def test_progress_only_on_a_terminal(capsys, monkeypatch):
    assert list(progress([1, 2], 2, "reading")) == [1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    assert list(progress([1, 2], 2, "reading")) == [1, 2]
    err = capsys.readouterr().err
    assert err.startswith("\rreading [....")
    assert err.endswith("\r\033[K")
