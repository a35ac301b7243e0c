"""The robomimic reader on a robosuite file (skipped where absent) and on files that the tests write with h5py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_data import only_problem, problems, read_all, real
from robocache.cli import main
from robocache.dataset import open
from robocache.errors import DataError

h5py = pytest.importorskip("h5py")

ENV_ARGS = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}


def demo(rows: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    quat = rng.standard_normal((rows, 4))
    return {
        "actions": rng.standard_normal((rows, 7)),
        "rewards": rng.standard_normal(rows).astype(np.float32),
        "dones": (np.arange(rows) == rows - 1).astype(np.int64),
        "obs/robot0_eef_quat": quat / np.linalg.norm(quat, axis=1, keepdims=True),
        "obs/agentview_image": rng.integers(0, 256, (rows, 4, 4, 3)).astype(np.uint8),
        "obs/robot0/gripper/qpos": rng.standard_normal((rows, 2)).astype(np.float32),
    }


def write(path: Path, demos: dict[int, dict[str, Any]], **changes: Any) -> Path:
    """`changes` are attributes of `data`; of None, the attribute is left out."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        total = sum(len(columns["actions"]) for columns in demos.values())
        for name, value in ({"total": total, "env_args": json.dumps(ENV_ARGS)} | changes).items():
            if value is not None:
                data.attrs[name] = value
        for index, columns in demos.items():
            group = data.create_group(f"demo_{index}")
            group.attrs["num_samples"] = len(columns["actions"])
            for name, values in columns.items():
                group.create_dataset(name, data=values)
    return path


# --- real data -------------------------------------------------------------------------------------------------------


def test_wipe():
    path = real("hdf5_robosuite_wipe") / "wipe/panda/demo.hdf5"
    data = read_all(open(path, fps=20))
    assert (data.format, len(data.episodes), data.fps) == ("robomimic", 1, 20.0)
    assert problems(data) == []
    shapes = {name: (info.dtype, info.shape) for name, info in data.streams.items()}
    assert shapes == {
        "actions": ("float64", (6,)),
        "joint_torques": ("float64", (7,)),
        "states": ("float64", (15,)),
    }
    episode = data.episodes[0]
    assert (episode.index, episode.length, episode.metadata) == (1, 174, {"model_file": "model_1.xml"})
    # states[:, 0] is the simulator's own time, which the stamps must follow.
    seconds = episode["states"].values[:, 0]
    np.testing.assert_allclose(episode["states"].stamps_ns * 1e-9, seconds - seconds[0], atol=1e-6)
    assert data.metadata["env"] == "Wipe"
    assert data.metadata["env_info"]["robots"] == "Panda"


def test_wipe_on_the_command_line(tmp_path, capsys):
    path = real("hdf5_robosuite_wipe") / "wipe/panda/demo.hdf5"
    assert main(["inspect", str(path), "--fps", "20"]) == 0
    assert "robomimic, 1 episode, 8.650 s, 20 fps" in capsys.readouterr().out
    out = tmp_path / "out.npz"
    assert main(["align", str(path), "--fps", "20", "--hz", "40", "-o", str(out)]) == 0
    with np.load(out) as arrays:
        assert len(arrays["t_ns"]) == 347


# --- what is in a file -----------------------------------------------------------------------------------------------


def test_values_are_what_was_written_in_the_order_of_the_numbers(tmp_path):
    source = {10: demo(3, 10), 2: demo(5, 2)}
    data = read_all(open(write(tmp_path / "d.hdf5", source)))
    assert problems(data) == []
    assert [(e.index, e.length) for e in data.episodes] == [(2, 5), (10, 3)]
    assert data.fps == 20.0
    assert data.metadata == {"total": 8, "env_args": ENV_ARGS}
    kinds = {name: (info.shape, info.kind) for name, info in data.streams.items()}
    assert kinds == {
        "actions": ((7,), "float"),
        "rewards": ((1,), "float"),
        "dones": ((1,), "integer"),
        "obs/robot0_eef_quat": ((4,), "quaternion"),
        "obs/agentview_image": ((4, 4, 3), "video"),
        "obs/robot0/gripper/qpos": ((2,), "float"),
    }
    for episode in data.episodes:
        for name, values in source[episode.index].items():
            found = episode[name].values
            np.testing.assert_array_equal(found, values.reshape(found.shape))
            assert found.dtype == values.dtype
        assert episode["actions"].stamps_ns.tolist() == [50_000_000 * k for k in range(episode.length)]
        assert episode.metadata == {"num_samples": episode.length}


def test_only_what_is_asked_for_is_read(tmp_path, monkeypatch):
    read = []
    whole = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: (read.append(self.name), whole(self, key))[1])
    episode = open(write(tmp_path / "d.hdf5", {0: demo(3)})).episodes[0]
    assert episode.duration_s == pytest.approx(0.1)
    assert read == []
    _ = episode["actions"].values
    _ = episode["actions"].values
    assert read == ["/data/demo_0/actions"]
    episode.load()
    assert sorted(read) == sorted(f"/data/demo_0/{name}" for name in demo(1) if "image" not in name)


def test_masks_are_splits(tmp_path):
    path = write(tmp_path / "d.hdf5", {1: demo(2), 3: demo(2), 4: demo(2)})
    with h5py.File(path, "a") as file:
        file["mask/train"] = np.array([b"demo_4", b"demo_1"])
        file["mask/20_percent/valid"] = np.array(["demo_3", "demo_7"], h5py.string_dtype())
    data = open(path)
    assert data.splits == {"train": [0, 2], "20_percent/valid": [1]}
    assert only_problem(data) == "mask/20_percent/valid: names 1 demos that are not there, first demo_7"


def test_compressed_chunks_text_and_what_is_no_stream(tmp_path):
    path = write(tmp_path / "d.hdf5", {0: demo(4)})
    packed = np.arange(4000.0).reshape(4, 1000)
    with h5py.File(path, "a") as file:
        group = file["data/demo_0"]
        group.create_dataset("packed", data=packed, chunks=(1, 100), compression="gzip")
        group.create_dataset("note", data=np.array(["a", "b", "c", "d"], h5py.string_dtype()))
        group["seed"] = 5
        group["odd"] = np.zeros(4, [("x", "f4")])
        file["data/other/x"] = 1
    data = read_all(open(path))
    np.testing.assert_array_equal(data.episodes[0]["packed"].values, packed)
    assert data.episodes[0]["note"].values.tolist() == [["a"], ["b"], ["c"], ["d"]]
    assert problems(data) == [
        "data: odd holds void32, no numbers, and is left out: episode 0",
        "data: seed is a single value, no stream, and is left out: episode 0",
        "data/other: is not named demo_<number> and is left out",
    ]


def test_the_rate(tmp_path):
    data = open(write(tmp_path / "a.hdf5", {0: demo(2)}), fps=10)
    assert data.fps == 10
    assert only_problem(data) == "data: the rate is 20 Hz, but fps is 10 and is used"
    for number, env_args in enumerate((None, "{", "[]", json.dumps({"env_kwargs": {"control_freq": 0}}))):
        data = open(write(tmp_path / f"{number}.hdf5", {0: demo(2)}, env_args=env_args))
        assert data.fps is None
        assert "has no time and no rate" in only_problem(data)


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


def test_flipped_bytes_never_crash(tmp_path):
    """HDF5 has no checksum to tell by: values, or an error."""
    path = write(tmp_path / "d.hdf5", {0: demo(3), 1: demo(3)})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            data = open(path, "robomimic", on_bad_episode="skip")
            for episode in data.episodes:
                assert episode.length >= 0
        except (DataError, MemoryError):  # a flipped size asks for all the memory there is
            pass


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
