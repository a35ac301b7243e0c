"""The robomimic reader on damage, odd names and links out of the file: values, or an error that says where."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from make_robomimic import demo, h5py, write
from real_data import only_problem, problems, read_all
from robocache.dataset import open
from robocache.errors import DataError

# --- names and links -------------------------------------------------------------------------------------------------


def test_numbers_as_they_are_written(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(2), 1: demo(3, 1), 10: demo(4)})
    with h5py.File(path, "a") as file:
        file.move("data/demo_0", "data/demo_000")
        file["mask/train"] = np.array([b"demo_000", b"demo_01", b"demo_10"])
        file.copy("data/demo_1", "data/demo_01")
        file["data/demo_01/rewards"][:] = 777
    data = read_all(open(path))
    assert [(e.index, e.length) for e in data.episodes] == [(0, 2), (1, 3), (10, 4)]
    np.testing.assert_array_equal(data.episodes[1]["rewards"].values[:, 0], demo(3, 1)["rewards"])
    assert data.splits == {"train": [0, 2]}
    assert problems(data)[0] == "data/demo_01: has the number of demo_1 and is left out"
    assert "mask/train: names 1 demos that are not there, first demo_01" in problems(data)


def test_what_an_episode_has_once_is_left_out(tmp_path):
    once = {
        "initial_state/articulation/robot/joint_position": np.zeros((1, 9)),
        "camera_params/K": np.zeros((3, 3)),
        "src_demo_inds": np.arange(4),
    }
    data = read_all(open(write(tmp_path / "d.hdf5", {0: demo(30) | once})))
    assert list(data.streams) == sorted(demo(1))
    assert problems(data) == [
        f"data: {name} has no row for each step, and is left out: episode 0 ({len(once[name])} of 30)"
        for name in sorted(once)
    ]


@pytest.mark.parametrize("name", ["obs/x", "next_obs/x", "rewards", "dones", "states"])
def test_what_each_step_has_is_damage_where_rows_lack(tmp_path, name):
    path = write(tmp_path / "d.hdf5", {0: demo(3) | {name: np.zeros(2)}})
    with pytest.raises(DataError, match=rf"{name} has 2 rows, expected 3 as actions has"):
        open(path).episodes[0].load()


def test_nothing_is_read_from_other_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    other = write(tmp_path / "other.hdf5", {0: demo(16)})
    path = write(tmp_path / "d.hdf5", {0: demo(16)})
    with h5py.File(path, "a") as file:
        group = file["data/demo_0"]
        group.create_dataset("external", (16,), "u1", external=[(str(secret), 0, 16)])
        layout = h5py.VirtualLayout((16,), "f4")
        layout[:] = h5py.VirtualSource(str(other), "data/demo_0/rewards", (16,), "f4")
        group.create_virtual_dataset("virtual", layout)
        group["linked"] = h5py.ExternalLink(str(other), "data/demo_0/rewards")
        file["door"] = h5py.ExternalLink(str(other), "/")
        group["through"] = h5py.SoftLink("/door/data/demo_0/rewards")
        group["nothing"] = h5py.SoftLink("/nowhere")
        file["data/demo_1"] = h5py.ExternalLink(str(other), "data/demo_0")
        file["mask"] = h5py.ExternalLink(str(other), "data")
    data = open(path, on_bad_episode="skip")
    assert [sorted(e) for e in data.episodes] == [sorted(demo(1))]
    with pytest.raises(DataError, match=r"data/demo_1: cannot be read: demo_1 is a link into another file"):
        data.episodes[1].load()
    assert problems(data)[:6] == [
        "data: external has its values in another file (external), and is left out: episode 0",
        "data: linked is a link into another file, and is left out: episode 0",
        "data: nothing is a link to nothing, and is left out: episode 0",
        "data: through is a link into another file, and is left out: episode 0",
        "data: virtual has the values of other datasets (virtual), and is left out: episode 0",
        "mask: cannot be read: mask is a link into another file",
    ]
    with h5py.File(path, "a") as file:
        del file["data"]
        file["data"] = h5py.ExternalLink(str(other), "data")
    with pytest.raises(DataError, match=r"d.hdf5 cannot be read: data is a link into another file"):
        open(path)


def test_links_that_make_loops(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(3)})
    with h5py.File(path, "a") as file:
        file["data/demo_0/self"] = h5py.SoftLink("/data/demo_0")
        file["data/demo_0/obs/up"] = file["data/demo_0"]
        file["data/demo_0/round"] = h5py.SoftLink("/data/demo_0/round")
    data = read_all(open(path))
    assert list(data.streams) == sorted(demo(1))
    assert problems(data) == [
        "data: obs/up is another name of a group that is read already, and is left out: episode 0",
        "data: round is a link to nothing, and is left out: episode 0",
        "data: self is another name of a group that is read already, and is left out: episode 0",
    ]


# --- damage ----------------------------------------------------------------------------------------------------------


def test_wrong_counts(tmp_path):
    source = {0: demo(3), 1: demo(3)}
    source[1]["rewards"] = source[1]["rewards"][:2]
    path = write(tmp_path / "d.hdf5", source, total=7)
    with h5py.File(path, "a") as file:
        file["data/demo_0"].attrs["num_samples"] = 9
    with pytest.raises(DataError, match=r"episode 1: .*d.hdf5: data/demo_1: rewards has 2 rows, expected 3 as actions"):
        open(path).episodes[1].load()
    data = open(path, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0]
    assert data.episodes.skipped == [1]
    assert problems(data)[:2] == [
        "data: num_samples is not the rows that are there: episode 0 (9, found 3)",
        "data: total is 7, but the demos have 6 samples",
    ]


def test_demos_that_differ(tmp_path):
    source = {0: demo(3), 1: demo(3), 2: demo(3)}
    source[1]["actions"] = source[1]["actions"][:, :6]
    source[2]["rewards"] = source[2]["rewards"].astype(np.float64)
    del source[2]["dones"]
    path = write(tmp_path / "d.hdf5", source)
    with pytest.raises(DataError, match=r"data/demo_1/actions: a row is \[6\], expected \[7\] as in the first demo"):
        open(path).episodes[1]["actions"]
    data = open(path, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0, 2]
    assert "dones" not in data.episodes[1:][1]
    assert problems(data)[0] == "data: rewards is not float32: episode 2 (it is float64)"
    assert "data: dones is not in the demo: episode 2" in problems(data)


def test_text_where_numbers_were(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(3) | {"z": np.zeros(3)}, 1: demo(3)})
    with h5py.File(path, "a") as file:
        file["data/demo_1/z"] = np.array(["a", "b", "c"], h5py.string_dtype())
    with pytest.raises(DataError, match=r"data/demo_1/z: is string, expected float64 as in the first demo"):
        open(path).episodes[1].load()


def test_a_demo_that_is_no_group_damages_itself_alone(tmp_path):
    path = write(tmp_path / "d.hdf5", {1: demo(2)})
    with h5py.File(path, "a") as file:
        file["data/demo_0"] = np.zeros(3)
    with pytest.raises(DataError, match=r"data/demo_0: is a Dataset, expected a group"):
        open(path).episodes[0].load()
    assert [e.index for e in open(path, on_bad_episode="skip").episodes] == [1]


def test_attributes_that_are_odd(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(2)}, total=[1, 2], env_args='{"a":' * 5000)
    with h5py.File(path, "a") as file:
        file["data/demo_0"].attrs["num_samples"] = "many"
        file["mask/one"] = "demo_0"
        file["mask/numbers"] = np.array([1, 2])
    data = read_all(open(path, fps=20))
    assert data.splits == {"one": [0], "numbers": []}
    assert problems(data) == [
        "data: num_samples is not the rows that are there: episode 0 (many, found 2)",
        "mask/numbers: names 2 demos that are not there, first 1",
    ]


def test_nan_is_kept_and_reported(tmp_path):
    source = {0: demo(3)}
    source[0]["actions"][2, 1] = np.nan
    data = read_all(open(write(tmp_path / "d.hdf5", source)))
    assert np.isnan(data.episodes[0]["actions"].values[2, 1])
    assert only_problem(data) == "data: actions has NaN: episode 0 (row 2, 1 in all)"


def test_a_truncated_file(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(30)})
    whole = path.read_bytes()
    for size in (8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"open: .*d.hdf5 cannot be read: "):
            open(path)


def test_a_damaged_chunk_damages_its_episode_alone(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(3), 1: demo(3)})
    with h5py.File(path, "a") as file:
        packed = file["data/demo_1"].create_dataset(
            "packed", data=np.arange(3000.0).reshape(3, 1000), chunks=(3, 1000), compression="gzip"
        )
        at = packed.id.get_chunk_info(0).byte_offset
    whole = bytearray(path.read_bytes())
    whole[at : at + 64] = bytes(64)
    path.write_bytes(whole)
    episode = open(path).episodes[1]
    assert len(episode["actions"].values) == 3
    with pytest.raises(DataError, match=r"episode 1: .*d.hdf5: data/demo_1/packed: "):
        _ = episode["packed"].values
    assert [e.index for e in open(path, on_bad_episode="skip").episodes] == [0]


def test_flipped_bytes_raise_nothing_of_ours(tmp_path):
    """HDF5 has no checksum to tell by: values, or an error of the promised kind where libhdf5 returns at all."""
    path = write(tmp_path / "d.hdf5", {0: demo(3), 1: demo(3)})
    with h5py.File(path, "a") as file:
        file["data/demo_1/note"] = np.array(["a", "b", "c"], h5py.string_dtype())
        file["data/demo_0"].create_dataset("packed", data=np.ones((3, 100)), chunks=(1, 100), compression="gzip")
        file["mask/train"] = np.array([b"demo_0"])
    script = Path(__file__).parent / "flipped_hdf5.py"
    done = subprocess.run([sys.executable, script, path, "120"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_no_robomimic_file(tmp_path):
    path = tmp_path / "d.hdf5"
    with h5py.File(path, "w") as file:
        file["observations/qpos"] = np.zeros(3)
    with pytest.raises(DataError, match=r"d.hdf5 has no group data/demo_<number>, expected a robomimic file"):
        open(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"d.hdf5 is a Git-LFS pointer.*git lfs pull"):
        open(path)
    path.write_bytes(b"text")
    with pytest.raises(DataError, match=r"is no dataset that can be read, .* an HDF5 file \(robomimic\)"):
        open(path)
    with pytest.raises(DataError, match=r"hint: .*e.hdf5 is one"):
        open(write(tmp_path / "e.hdf5", {0: demo(1)}).parent)


def test_without_h5py(tmp_path, monkeypatch):
    path = write(tmp_path / "d.hdf5", {0: demo(1)})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"needs h5py, which is not installed; hint: pip install 'robocache\[hdf5\]'"
    ):
        open(path)


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ({"shape": (3, 2)}, "0 bytes in the file, expected 48"),
        ({"shape": (3, 2), "chunks": (2, 2)}, "0 chunks in the file, expected 2"),
        ({"shape": (10**12, 2), "chunks": (1000, 2)}, "0 chunks in the file, expected 1000000000"),
    ],
    ids=["whole", "chunks", "more than fits anywhere"],
)
def test_actions_that_were_never_written(tmp_path, layout, text):
    path = write(tmp_path / "d.hdf5", {0: demo(3), 1: demo(3)})
    with h5py.File(path, "r+") as file:
        del file["data/demo_1/actions"]
        file.create_dataset("data/demo_1/actions", dtype="f8", **layout)
    data = open(path, on_bad_episode="skip")
    assert [episode.index for episode in data.episodes] == [0]
    assert f"data/demo_1: actions has {text}" in str(data.problems[-1])


@pytest.mark.parametrize("written", [0, 1])
def test_chunks_that_were_never_written(tmp_path, written):
    path = write(tmp_path / "d.hdf5", {0: demo(3)})
    with h5py.File(path, "r+") as file:
        file.create_dataset("data/demo_0/obs/x", (3, 2), "f8", chunks=(1, 2))[:written] = 5
    with pytest.raises(DataError, match=rf"demo_0/obs/x: has {written} chunks in the file, expected 3"):
        _ = open(path).episodes[0]["obs/x"].values


def test_a_mask_of_more_names_than_fit_anywhere(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(3)})
    with h5py.File(path, "r+") as file:
        file.create_dataset("mask/train", (10**12,), "S8", chunks=(1000,))
    assert only_problem(open(path)) == ("mask/train: cannot be read: has 0 chunks in the file, expected 1000000000")


def test_threads_read_one_file(tmp_path):
    demos = {i: demo(50, i) for i in range(8)}
    data = open(write(tmp_path / "d.hdf5", demos))

    def read(i):
        np.testing.assert_array_equal(data.episodes[i % 8]["actions"].values, demos[i % 8]["actions"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(200)))
