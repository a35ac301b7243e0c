"""The robomimic reader on a robosuite file (skipped where absent) and on files that the tests write with h5py."""

from __future__ import annotations

import json

import numpy as np
import pytest
from make_robomimic import ENV_ARGS, demo, h5py, write
from real_data import only_problem, problems, read_all, real
from robocache.cli import main
from robocache.dataset import open

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
        "data/other: is not named demo_<number> and is left out",
        "data: odd holds void32, no numbers, and is left out: episode 0",
        "data: seed is a single value, no stream, and is left out: episode 0",
    ]


def test_the_rate(tmp_path):
    data = open(write(tmp_path / "a.hdf5", {0: demo(2)}), fps=10)
    assert data.fps == 10
    assert only_problem(data) == "data: the rate is 20 Hz, but fps is 10 and is used"
    for number, env_args in enumerate((None, "{", "[]", json.dumps({"env_kwargs": {"control_freq": 0}}))):
        data = open(write(tmp_path / f"{number}.hdf5", {0: demo(2)}, env_args=env_args))
        assert data.fps is None
        assert "has no time and no rate" in only_problem(data)


@pytest.mark.parametrize(
    ("name", "row", "dtype", "kind"),
    [
        ("obs/view_image", (4, 4, 3), "u1", "video"),
        ("obs/view_image", (3, 4, 4), "u1", "video"),
        ("obs/view_depth", (4, 4, 1), "f4", "video"),
        ("obs/view_depth", (4, 4), "u2", "video"),
        ("obs/pose", (4, 4), "f8", "float"),
        ("obs/poses", (3, 4, 4), "f8", "float"),
        ("obs/grid", (2, 2, 2), "u1", "integer"),
    ],
)
def test_what_is_an_image(tmp_path, name, row, dtype, kind):
    path = write(tmp_path / "d.hdf5", {0: demo(2) | {name: np.zeros((2, *row), dtype)}})
    assert open(path).streams[name].kind == kind


def test_values_are_of_the_machine_s_byte_order(tmp_path):
    values = np.arange(6.0).reshape(3, 2)
    path = write(tmp_path / "d.hdf5", {0: demo(3) | {"big": values.astype(">f8")}})
    read = open(path).episodes[0]["big"].values
    np.testing.assert_array_equal(read, values)
    assert read.dtype.isnative
