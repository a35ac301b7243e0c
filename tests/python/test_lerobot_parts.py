"""Named parts of LeRobot streams by meta/modality.json: views of columns, or a word why not."""

from __future__ import annotations

import json

import make_lerobot as make
import numpy as np
import pyarrow as pa
import pytest
from real_data import only_problem, problems, read_all, real
from robocache.cli import main
from robocache.dataset import open
from robocache.errors import DataError, Unsupported


def dataset(tmp_path, modality):
    """Two episodes with a state of 3 and an action of 2 columns."""
    root = make.write_v21(tmp_path / "d", make.episodes(4, 5))
    text = modality if isinstance(modality, str) else json.dumps(modality)
    (root / "meta/modality.json").write_text(text)
    return root


def test_gr1_has_the_parts_of_its_robot():
    data = read_all(open(real("lerobot_v20_gr1_sim")))
    parts = {name: (info.shape, info.part_of) for name, info in data.streams.items() if info.part_of}
    arms = {"left_arm": 7, "left_hand": 6, "left_leg": 6, "neck": 3, "right_arm": 7, "right_hand": 6, "right_leg": 6}
    columns = [*arms.items(), ("waist", 3)]
    assert parts == (
        {f"state.{name}": ((width,), "observation.state") for name, width in columns}
        | {f"action.{name}": ((width,), "action") for name, width in columns}
        | {
            "video.ego_view": ((256, 256, 3), "observation.images.ego_view"),
            "annotation.human.coarse_action": ((1,), "annotation.human.action.task_description"),
        }
    )
    episode = data.episodes[1]
    for section, whole in (("state", "observation.state"), ("action", "action")):
        joined = np.concatenate([episode[f"{section}.{name}"].values for name, _ in columns], axis=1)
        np.testing.assert_array_equal(joined, episode[whole].values)
    assert episode["state.neck"].values.base is not None  # a view
    np.testing.assert_array_equal(episode["state.neck"].stamps_ns, episode["observation.state"].stamps_ns)
    coarse = episode["annotation.human.coarse_action"].values
    np.testing.assert_array_equal(coarse, episode["annotation.human.action.task_description"].values)
    with pytest.raises(Unsupported):
        _ = episode["video.ego_view"].values


@pytest.mark.parametrize("write", [make.write_v21, make.write_v30])
def test_any_layout_may_have_them(tmp_path, write):
    source = make.episodes(4, 5)
    features = make.info(source, "v2.1", 30)["features"]
    features["observation.state"]["names"] = ["pan", "tilt", "grip"]
    root = write(tmp_path / "d", source, features=features)
    (root / "meta/modality.json").write_text(json.dumps({"state": {"head": {"start": 0, "end": 2, "absolute": True}}}))
    data = read_all(open(root))
    assert problems(data) == []
    head = data.streams["state.head"]
    assert (head.shape, head.names, head.part_of) == ((2,), ("pan", "tilt"), "observation.state")
    for episode in data.episodes:
        np.testing.assert_array_equal(episode["state.head"].values, episode["observation.state"].values[:, :2])


@pytest.mark.parametrize(
    ("modality", "text"),
    [
        ("{", "cannot be read: Expecting property name"),
        ("[" * 100_000, "cannot be read: "),
        (make.POINTER.decode(), "is a Git-LFS pointer"),
        ("[]", "state is no object of named parts"),
        ({"state": []}, "state is no object of named parts"),
        ({"action": {"arm": 5}}, "action.arm is no object, and is left out"),
        (
            {"action": {"arm": {"start": 0, "end": 3}}},
            "action.arm is columns 0 to 3 of the 2 of action, and is left out",
        ),
        ({"action": {"arm": {"start": -1, "end": 1}}}, "action.arm is columns -1 to 1 of the 2 of action"),
        ({"action": {"arm": {"start": 1, "end": 1}}}, "action.arm is columns 1 to 1 of the 2 of action"),
        ({"action": {"arm": {"start": "0", "end": 1.5}}}, "action.arm is columns '0' to 1.5 of the 2 of action"),
        ({"state": {"arm": {"original_key": "torque"}}}, "state.arm is of 'torque', which is no stream"),
        ({"state": {"arm": {"original_key": ["a"]}}}, "state.arm is of ['a'], which is no stream"),
        ({"video": {"front": {}}}, "video.front is of 'observation.images.front', which is no stream"),
    ],
)
def test_parts_that_cannot_be(tmp_path, modality, text):
    data = read_all(open(dataset(tmp_path, modality)))
    assert {str(problem.where) for problem in data.problems} == {"meta/modality.json"}
    assert text in problems(data)[0]
    assert list(data.streams) == ["observation.state", "action", "task_index"]


def test_text_has_no_columns(tmp_path):
    source = make.episodes(4)
    source[0]["note"] = pa.array(["a", "b", "c", "d"])
    root = make.write_v21(tmp_path / "d", source)
    modality = {"state": {"note": {"original_key": "note"}}, "annotation": {"human": {"original_key": "note"}}}
    (root / "meta/modality.json").write_text(json.dumps(modality))
    data = open(root)
    assert only_problem(data) == "meta/modality.json: state.note is of note, which is text, and is left out"
    assert data.episodes[0]["annotation.human"].values[:, 0].tolist() == ["a", "b", "c", "d"]


def test_a_column_keeps_its_name(tmp_path):
    source = make.episodes(4)
    source[0]["state.arm"] = source[0]["action"]
    root = make.write_v21(tmp_path / "d", source)
    (root / "meta/modality.json").write_text(json.dumps({"state": {"arm": {"start": 0, "end": 1}}}))
    data = open(root)
    assert only_problem(data) == "meta/modality.json: state.arm is a column in the data, too, and is left out"
    assert data.streams["state.arm"].part_of is None


def test_a_quaternion_among_other_columns(tmp_path):
    source = make.episodes(4)
    state = np.zeros((4, 7), np.float32)
    state[:, 6] = [1, 1, 2, 1]
    source[0]["observation.state"] = make.vectors(state)
    root = make.write_v21(tmp_path / "d", source)
    (root / "meta/modality.json").write_text(json.dumps({"state": {"eef_quat": {"start": 3, "end": 7}}}))
    data = read_all(open(root))
    assert data.streams["state.eef_quat"].kind == "quaternion"
    assert only_problem(data) == "data: state.eef_quat is not of norm 1: episode 0 (row 2, 1 in all)"


def test_align_takes_parts_by_name_alone(tmp_path):
    root, out = dataset(tmp_path, {"state": {"arm": {"start": 1, "end": 3}}}), tmp_path / "out.npz"
    assert main(["align", str(root), "--hz", "30", "-o", str(out)]) == 0
    with np.load(out) as arrays:
        assert not any("state.arm" in name for name in arrays)
    assert main(["align", str(root), "--hz", "30", "-o", str(out), "--streams", "state.arm"]) == 0
    with np.load(out) as arrays:
        assert any("state.arm" in name for name in arrays)


def test_a_damaged_episode_has_damaged_parts(tmp_path):
    root = dataset(tmp_path, {"state": {"arm": {"start": 1, "end": 3}}})
    path = root / "data/chunk-000/episode_000001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    data = open(root)
    with pytest.raises(DataError, match="episode 1"):
        _ = data.episodes[1]["state.arm"].values
    assert [e.index for e in open(root, on_bad_episode="skip").episodes] == [0]
