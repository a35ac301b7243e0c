"""`robocache align`: values against numpy and scipy, every option, and what goes wrong."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import make_lerobot as make
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_data import real
from robocache.cli import main
from robocache.cli.align import Options, align_episode
from robocache.cli.plan import plan_streams
from robocache.dataset import open
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp
from test_cli import error_line


def align(*argv: object) -> None:
    assert main(["align", *map(str, argv)]) == 0


def table(path: Path) -> dict[str, np.ndarray]:
    """The columns of a Parquet output, [T, ...]."""
    return {name: np.array(column.to_pylist()) for name, column in columns(path).items()}


def columns(path: Path) -> dict[str, pa.ChunkedArray]:
    read = pq.read_table(path)
    return dict(zip(read.column_names, read.columns, strict=True))


def grid(start: int, end: int, hz: int) -> np.ndarray:
    count = (end - start) * hz // 10**9 + 1
    return start + np.array([round(k * 10**9 / hz) for k in range(count)])


def interpolate(stamps: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """np.interp a column, on nanoseconds from the first stamp, which float64 holds."""
    since, xp = (at - stamps[0]).astype(np.float64), (stamps - stamps[0]).astype(np.float64)
    return np.stack([np.interp(since, xp, column) for column in values.T], axis=1)


def bookkeeping(stamps: np.ndarray, at: np.ndarray, *, held: bool) -> tuple[np.ndarray, np.ndarray]:
    """valid and age_ns of the contract. Held streams are valid after their last sample too."""
    last = np.searchsorted(stamps, at, "right") - 1
    age = at - stamps[np.maximum(last, 0)]
    return (at >= stamps[0]) & (held | (at <= stamps[-1])), age


# --- real data against numpy and scipy -----------------------------------------------------------------------------


def test_husky_at_50_hz(tmp_path, capsys):
    root = real("rosbag1_robot_localization/csv_from_test1")
    align(root, "--hz", "50", "-o", tmp_path / "x.parquet")
    assert capsys.readouterr() == (f"{tmp_path}/x.parquet: 19,768 rows, 1 episode, 6 streams\n", "")
    got = table(tmp_path / "x.parquet")
    episode = open(root).episodes[0]
    stamps = {name: episode[name].stamps_ns for name in episode}
    at = grid(min(s[0] for s in stamps.values()), max(s[-1] for s in stamps.values()), 50)
    np.testing.assert_array_equal(got["t_ns"], at)
    assert not got["episode_index"].any()

    for name in ("imu", "odom", "fix"):
        np.testing.assert_allclose(
            got[name], interpolate(stamps[name], episode[name].values, at), rtol=1e-14, atol=1e-15, err_msg=name
        )
    for name in ("imu.orientation", "odom.orientation"):
        since = np.clip(at, stamps[name][0], stamps[name][-1]) - stamps[name][0]
        rotations = Rotation.from_quat(episode[name].values)
        expected = Slerp((stamps[name] - stamps[name][0]).astype(np.float64), rotations)(since.astype(np.float64))
        off = (Rotation.from_quat(got[name]) * expected.inv()).magnitude()
        assert off.max() < 1e-7, name  # acos near 1 in scipy's magnitude; see the next line for the components
        agree = np.sign(np.sum(got[name] * expected.as_quat(), axis=1, keepdims=True))
        np.testing.assert_allclose(got[name] * agree, expected.as_quat(), atol=1e-12)
    last = np.maximum(np.searchsorted(stamps["fix"], at, "right") - 1, 0)
    np.testing.assert_array_equal(got["fix.integer"], episode["fix.integer"].values[last])
    for name in episode:
        valid, age = bookkeeping(stamps[name], at, held=name == "fix.integer")
        np.testing.assert_array_equal(got[f"{name}.valid"], valid, err_msg=name)
        np.testing.assert_array_equal(got[f"{name}.age_ns"], age, err_msg=name)


@pytest.mark.parametrize("name", ["lerobot_v21_g1_real", "lerobot_v30_g1_real", "lerobot_v20_gr1_sim"])
def test_lerobot_episodes(tmp_path, capsys, name):
    root = real(name)
    align(root, "--hz", "50", "-o", tmp_path / "x.parquet")
    got = table(tmp_path / "x.parquet")
    data = open(root)
    for episode in data.episodes:
        rows = got["episode_index"] == episode.index
        stamps = episode["action"].stamps_ns
        at = grid(int(stamps[0]), int(stamps[-1]), 50)
        np.testing.assert_array_equal(got["t_ns"][rows], at)
        expected = interpolate(stamps, episode["action"].values.astype(np.float64), at)
        np.testing.assert_allclose(got["action"][rows], expected, rtol=1e-6, atol=1e-6)
        held = np.searchsorted(stamps, at, "right") - 1
        np.testing.assert_array_equal(got["task_index"][rows], episode["task_index"].values[held, 0])
        assert got["action.valid"][rows].all()
    assert len(np.unique(got["episode_index"])) == len(data.episodes)
    capsys.readouterr()


# --- options -------------------------------------------------------------------------------------------------------

LOG = {
    "arm": "t_ms,x_m,y_m\n0,0,10\n100,1,20\n200,2,30\n900,9,100\n1000,10,110\n",
    "gripper": "t_ms,open\n50,0\n450,1\n",
    "words": "t_ms,text\n0,hello\n1000,bye\n",
}


@pytest.fixture
def log(tmp_path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    for stem, text in LOG.items():
        (folder / f"{stem}.csv").write_text(text)
    return folder


def test_defaults_and_what_is_left_out(log, tmp_path, capsys):
    align(log, "--hz", "10", "-o", tmp_path / "x.parquet")
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/x.parquet: 11 rows, 1 episode, 2 streams\n"
    assert err == "left out, no numbers: words\n"
    got = table(tmp_path / "x.parquet")
    assert got["t_ns"].tolist() == [k * 100_000_000 for k in range(11)]
    np.testing.assert_allclose(got["arm"], np.stack([np.arange(11), 10 * np.arange(1, 12)], 1), rtol=1e-15)
    assert got["gripper"].tolist() == [0] * 5 + [1] * 6
    assert got["gripper.valid"].tolist() == [False] + [True] * 10
    assert got["gripper.age_ns"].tolist() == [x * 10**6 for x in (-50, 50, 150, 250, 350, 50, 150, 250, 350, 450, 550)]
    assert pq.read_schema(tmp_path / "x.parquet").field("arm").type == pa.list_(pa.float64(), 2)


def test_start_and_end_keep_the_grid(log, tmp_path):
    align(log, "--hz", "10", "--start", "0.25", "--end", "0.6", "-o", tmp_path / "x.parquet")
    assert table(tmp_path / "x.parquet")["t_ns"].tolist() == [300_000_000, 400_000_000, 500_000_000, 600_000_000]


@pytest.mark.parametrize(("hz", "rate"), [("29.97002997", Fraction(30000, 1001)), (repr(1 / 0.03), Fraction(100, 3))])
def test_rates_that_are_no_decimals(tmp_path, hz, rate):
    """The last second of an hour: there, products of stamps and rates have left int64."""
    (tmp_path / "s.csv").write_text("t_s,v_m\n0.0,0\n3600.0,1\n")
    align(tmp_path / "s.csv", "--hz", hz, "--start", "3599", "-o", tmp_path / "x.parquet")
    want = [round(k * 10**9 / rate) for k in range(3598 * int(rate), 3602 * int(rate + 1))]
    assert table(tmp_path / "x.parquet")["t_ns"].tolist() == [t for t in want if 3599 * 10**9 <= t <= 3600 * 10**9]


def test_start_and_end_make_a_high_rate_affordable(tmp_path):
    """A day at 10 MHz is 8.6e11 rows; the microsecond that is asked for is 11."""
    (tmp_path / "s.csv").write_text("t_s,v_m\n0.0,0\n86400.0,1\n")
    align(tmp_path / "s.csv", "--hz", "1e7", "--start", "7", "--end", "7.000001", "-o", tmp_path / "x.parquet")
    assert table(tmp_path / "x.parquet")["t_ns"].tolist() == [7 * 10**9 + 100 * k for k in range(11)]


def test_modes_gaps_and_ages(log, tmp_path):
    align(
        log, "--hz", "20", "--interp", "arm=nearest", "--interp", "gripper=nearest", "--max-gap-ms", "500",
        "--max-age-ms", "40", "--streams", "gripper, arm", "-o", tmp_path / "x.parquet"
    )  # fmt: skip
    got = table(tmp_path / "x.parquet")
    assert list(got)[2:] == ["gripper", "gripper.valid", "gripper.age_ns", "arm", "arm.valid", "arm.age_ns"]
    assert got["arm"][:6].tolist() == [[0, 10], [0, 10], [1, 20], [1, 20], [2, 30], [2, 30]]
    at = got["t_ns"] // 1_000_000
    assert at[got["arm.valid"]].tolist() == [0, 100, 200, 900, 1000]
    assert at[got["gripper.valid"]].tolist() == [50, 450]


def test_a_monotone_cubic_and_angles(tmp_path):
    stamps = np.array([0, 9, 21, 30, 44]) * 10**6
    arm = np.array([[0.0, 3.0], [1.0, 3.1], [1.0, -3.1], [4.0, -3.0], [5.0, 3.0]])
    folder = tmp_path / "log"
    folder.mkdir()
    for name, column in (("lift", arm[:, 0]), ("yaw", arm[:, 1])):
        lines = [f"{t},{v}" for t, v in zip(stamps, column, strict=True)]
        (folder / f"{name}.csv").write_text(f"stamp_ns,{name}\n" + "\n".join(lines) + "\n")
    align(folder, "--hz", "250", "--interp", "lift=pchip", "--interp", "yaw=angle", "-o", tmp_path / "x.parquet")
    out = table(tmp_path / "x.parquet")
    t = out["t_ns"].astype(np.float64)
    np.testing.assert_allclose(out["lift"], PchipInterpolator(stamps.astype(np.float64), arm[:, 0])(t), atol=1e-12)
    unwrapped = np.interp(t, stamps, np.unwrap(arm[:, 1]))
    np.testing.assert_allclose(np.exp(1j * out["yaw"]), np.exp(1j * unwrapped), atol=1e-12)
    assert ((out["yaw"] >= -np.pi) & (out["yaw"] < np.pi)).all()


def test_quaternion_columns_among_others_are_slerped(tmp_path):
    source = make.episodes(2)
    pose = np.array([[0, 0, 0, 0, 0, 0, 1, 5], [1, 2, 3, 0, 0, 1, 0, 7]], np.float64)  # half a turn about z
    source[0]["observation.state"] = make.vectors(pose)
    features = make.info(source, "v2.1", 30)["features"]
    features["observation.state"]["names"] = ["x", "y", "z", "qx", "qy", "qz", "qw", "grip"]
    root = make.write_v21(tmp_path / "d", source, features=features)
    align(root, "--hz", "60", "--streams", "observation.state", "-o", tmp_path / "x.parquet")
    got = table(tmp_path / "x.parquet")["observation.state"]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(got[1], [0.5, 1, 1.5, 0, 0, half, half, 6], rtol=1e-7)
    metadata = json.loads(pq.read_schema(tmp_path / "x.parquet").metadata[b"robocache"])
    assert [part["mode"] for part in metadata["streams"]["observation.state"]["interp"]] == [
        "linear",
        "slerp",
        "linear",
    ]


def test_interp_of_the_dataset_and_of_the_call(log, tmp_path):
    (log / "robocache.toml").write_text('[streams.arm]\nfile = "arm.csv"\ninterp = "nearest"\n')
    align(log, "--hz", "20", "-o", tmp_path / "a.parquet")
    align(log, "--hz", "20", "--interp", "arm=linear", "-o", tmp_path / "b.parquet")
    assert table(tmp_path / "a.parquet")["arm"][1].tolist() == [0, 10]
    assert table(tmp_path / "b.parquet")["arm"][1].tolist() == [0.5, 15]


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--streams", "leg"], "there is no stream 'leg', expected arm, gripper, words"),
        (["--streams", "words"], "stream words is text, expected numbers"),
        (["--interp", "leg=hold"], "there is no stream 'leg'"),
        (["--interp", "arm=cubic"], "interp of arm is 'cubic', expected one of hold, nearest, linear, pchip,"),
        (["--interp", "arm"], "--interp is 'arm', expected NAME=MODE"),
        (["--interp", "arm=slerp"], "interp of arm is slerp, expected linear: it has 2 columns, not 4"),
        (["--interp", "gripper=linear"], "interp of gripper is linear, expected hold or nearest: it is int64"),
        (["--start", "-1"], "--start is -1.0, expected a number that is not negative"),
        (["--start", "nan"], "--start is nan"),
        (["--start", "2", "--end", "1"], "--end is 1.0, expected --start or later"),
        (["--start", "5"], "with these --start and --end"),
        (["--start", "0.55", "--end", "0.58"], "with these --start and --end"),
        (["--hz", "0"], "--hz is 0.0, expected a positive rate"),
        (["--max-gap-ms", "-3"], "--max-gap-ms is -3.0"),
        (["-o", "x.csv"], "output is x.csv, expected a name that ends in .parquet, .npz, .safetensors"),
        (["-o", "nowhere/x.npz"], "output folder nowhere does not exist"),
        (["-o", "folder.npz"], "output folder.npz is a folder"),
    ],
)
def test_options_that_cannot_be(log, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    before = sorted(tmp_path.iterdir())
    assert message in error_line(capsys, "align", log, "--hz", "10", "-o", "x.parquet", *arguments)
    assert sorted(tmp_path.iterdir()) == before


def test_nobody_lerps_a_quaternion(tmp_path, capsys):
    (tmp_path / "q.csv").write_text("t_s,qx,qy,qz,qw\n0.0,0,0,0,1\n1.0,0,0,1,0\n")
    argv = ("align", tmp_path / "q.csv", "--hz", "10", "-o", tmp_path / "x.npz", "--interp", "q=linear")
    assert "interp of q is linear, expected slerp: it is a quaternion" in error_line(capsys, *argv)


def test_unsorted_stamps_are_named(tmp_path, capsys):
    (tmp_path / "s.csv").write_text("t_s,v_m\n0.0,1\n0.3,2\n0.2,3\n")
    err = error_line(capsys, "align", tmp_path / "s.csv", "--hz", "10", "-o", tmp_path / "x.parquet")
    assert "episode 0: " in err
    assert "'s'" in err


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_unsorted_stamps_are_skipped_on_request(tmp_path, capsys, device):
    if device == "cuda" and not cuda_usable():
        pytest.skip("no CUDA device")
    source = make.episodes(4, 4, 4)
    source[1]["timestamp"] = pa.array([0.0, 0.5, 0.25, 0.75])
    root = make.write_v21(tmp_path / "d", source)
    argv = (root, "--hz", "30", "--device", device, "-o", tmp_path / "x.parquet")
    assert "episode 1: align: " in error_line(capsys, "align", *argv)
    align(*argv, "--on-bad-episode", "skip")
    out, err = capsys.readouterr()
    assert out.endswith("8 rows, 2 episodes, 3 streams\n")
    assert "skipped, damaged: episodes 1\n" in err
    assert "problems with the files" in err
    assert table(tmp_path / "x.parquet")["episode_index"].tolist() == [0] * 4 + [2] * 4


def test_nothing_left_but_skipped_episodes(tmp_path, capsys):
    (tmp_path / "s.csv").write_text("t_s,v_m\n0.0,1\n0.3,2\n0.2,3\n")
    argv = ("align", tmp_path / "s.csv", "--hz", "10", "-o", tmp_path / "x.parquet", "--on-bad-episode", "skip")
    err = error_line(capsys, *argv)
    assert "s.csv can be aligned; data: skipped, damaged: episode 0 (episode 0: align: " in err
    assert "decreasing" in err
    assert not (tmp_path / "x.parquet").exists()


def test_more_rows_than_memory(tmp_path, capsys):
    (tmp_path / "s.csv").write_text("t_s,v_m\n0.0,1\n1000000.0,2\n")
    err = error_line(capsys, "align", tmp_path / "s.csv", "--hz", "1e9", "-o", tmp_path / "x.npz")
    assert "--hz is 1e+09, which gives 1,000,000,000,000,001 rows in the 1,000,000.000 s of episode 0, expected" in err
    assert not (tmp_path / "x.npz").exists()


def test_datasets_without_rows(tmp_path, capsys):
    argv = ("align", real("lerobot_v30_meta_so101"), "--hz", "10", "-o", tmp_path / "x.parquet")
    assert "has no episode that can be read: data: 50 of 50 listed episodes are missing" in error_line(capsys, *argv)
    (tmp_path / "s.csv").write_text("t_s,v_m\n")
    err = error_line(capsys, "align", tmp_path / "s.csv", "--hz", "10", "-o", tmp_path / "x.npz")
    assert err.endswith("s.csv because no stream of numbers has a sample\n")
    assert "no row in 1 episode" in err


# --- devices -------------------------------------------------------------------------------------------------------


def cuda_usable() -> bool:
    import robocache

    torch = pytest.importorskip("torch") if robocache.is_cuda_available() else None
    return torch is not None and torch.cuda.is_available()


def test_arrays_through_torch_give_the_same_columns(log):
    torch = pytest.importorskip("torch")
    assert torch.device("cpu:0").type == "cpu"  # not the string "cpu", so the arrays become tensors
    data = open(log)
    plans = plan_streams(data, None, {})
    ours, through_torch = (
        align_episode(data.episodes[0], plans, Options(50.0, 0, None, None, None, device))
        for device in ("cpu", "cpu:0")
    )
    for name, column in ours.items():
        np.testing.assert_array_equal(through_torch[name], column)
        assert through_torch[name].dtype == column.dtype


def test_cuda_gives_the_same_file(log, tmp_path, capsys):
    if not cuda_usable():
        pytest.skip("no CUDA device")
    align(log, "--hz", "50", "--device", "cpu", "-o", tmp_path / "a.parquet")
    align(log, "--hz", "50", "--device", "cuda", "-o", tmp_path / "b.parquet")
    assert pq.read_table(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "b.parquet"))
    capsys.readouterr()


def test_cuda_that_is_not_there(log, tmp_path, capsys):
    if cuda_usable():
        pytest.skip("there is a CUDA device")
    argv = ("align", log, "--hz", "10", "--device", "cuda", "-o", tmp_path / "x.parquet")
    assert "--device is cuda, but " in error_line(capsys, *argv)
