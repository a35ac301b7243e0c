"""The RLDS reader on real data (skipped where absent) and on folders that the tests write."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import make_rlds as make
import numpy as np
import pytest
from real_data import only_problem, problems, read_all, real
from robocache.cli import main
from robocache.dataset import open
from robocache.errors import DataError

# --- real data -------------------------------------------------------------------------------------------------------

BRIDGE = "rlds_bridge_octo/bridge_dataset/1.0.0"


def test_bridge_reads_what_is_there_and_reports_what_is_not():
    data = read_all(open(real(BRIDGE), fps=5))
    assert (data.format, len(data.episodes), data.fps) == ("rlds", 25, 5.0)
    assert [(e.index, e.length) for e in data.episodes] == [(i, 10) for i in range(25)]
    assert data.splits == {"train": list(range(25))}
    kinds = {name: (info.dtype, info.shape, info.kind) for name, info in data.streams.items()}
    image = ("image", (64, 64, 3), "video")
    scalar = ("float32", (1,), "float")
    assert kinds == {
        "action": ("float32", (7,), "float"),
        "language_embedding": ("float32", (512,), "float"),
        "is_terminal": ("bool", (1,), "bool"),
        "is_last": ("bool", (1,), "bool"),
        "language_instruction": ("string", (1,), "text"),
        "observation/image_1": image,
        "observation/state": ("float32", (7,), "float"),
        "observation/image_0": image,
        "observation/image_2": image,
        "observation/image_3": image,
        "is_first": ("bool", (1,), "bool"),
        "discount": scalar,
        "reward": scalar,
    }
    assert problems(data) == [
        "dataset_info.json: split val: 1 of 1 files are missing, with 25 episodes",
        # Each was cut to ten steps.
        "data: steps/is_last is not true in the last row alone: 25 episodes, 0-24 (first: row 9, 1 in all)",
    ]


def test_bridge_values():
    episode = open(real(BRIDGE), fps=5).episodes[3]
    assert episode.tasks == ["turn lever vertical to front"]
    assert episode["action"].stamps_ns.tolist() == [200_000_000 * k for k in range(10)]
    assert episode["is_first"].values[:, 0].tolist() == [True] + [False] * 9
    assert episode["language_instruction"].values.tolist() == [["turn lever vertical to front"]] * 10
    # The embedding belongs to the instruction: the same in each step, of norm 1.
    embedding = episode["language_embedding"].values
    np.testing.assert_array_equal(embedding, np.tile(embedding[0], (10, 1)))
    assert np.linalg.norm(embedding[0]) == pytest.approx(1, abs=1e-3)
    frames = episode["observation/image_0"].encoded
    assert len(frames) == 10
    assert all(frame[:3] == b"\xff\xd8\xff" and frame[-2:] == b"\xff\xd9" for frame in frames)
    assert episode.metadata["episode_metadata/file_path"].endswith("turn_lever_vertical_to-front/val/out.npy")
    assert episode.metadata["episode_metadata/has_language"] is True


def test_bridge_on_the_command_line(tmp_path, capsys):
    root = real(BRIDGE)
    assert main(["inspect", str(root), "--fps", "5"]) == 0
    assert "rlds, 25 episodes, 45.000 s, 5 fps" in capsys.readouterr().out
    out = tmp_path / "out.npz"
    assert main(["align", str(root), "--fps", "5", "--hz", "10", "-o", str(out)]) == 0
    with np.load(out) as arrays:
        assert len(arrays["t_ns"]) == 25 * 19


# --- what is in a folder ---------------------------------------------------------------------------------------------


def test_values_are_what_was_written(tmp_path):
    source = [make.episode(5, 1), make.episode(3, 2), make.episode(4, 3)]
    data = read_all(open(make.write(tmp_path / "d", {"train": [source[:1], source[1:2]], "val": [source[2:]]}), fps=30))
    assert problems(data) == []
    assert data.splits == {"train": [0, 1], "val": [2]}
    assert data.metadata == {"name": "cups", "version": "1.0.0"}
    for seed, (episode, columns) in enumerate(zip(data.episodes, source, strict=True), 1):
        assert list(episode) == list(data.streams)
        for name in ("observation/state", "action"):
            np.testing.assert_array_equal(episode[name].values, columns[f"steps/{name}"])
            assert episode[name].values.dtype == np.float32
        assert episode["observation/camera"].encoded == columns["steps/observation/camera"]
        assert episode.tasks == ["stack the cups"]
        assert episode.metadata == {"episode_metadata/file_path": f"log_{seed}.h5", "episode_metadata/id": seed}
    assert data.episodes[0]["action"].stamps_ns.tolist() == [0, 33_333_333, 66_666_667, 100_000_000, 133_333_333]


def test_images_are_not_decoded_and_numbers_are_not_encoded(tmp_path):
    episode = open(make.write(tmp_path / "d", {"train": [[make.episode(2)]]}), fps=30).episodes[0]
    with pytest.raises(NotImplementedError, match=r"values: stream observation/camera is image.*not decoded yet"):
        _ = episode["observation/camera"].values
    with pytest.raises(NotImplementedError, match=r"encoded: stream action is float32, expected images in records"):
        _ = episode["action"].encoded


def test_without_a_rate_stamps_count_seconds(tmp_path):
    data = open(make.write(tmp_path / "d", {"train": [[make.episode(3)]]}))
    assert data.fps is None
    assert data.streams["action"].rate_hz is None
    assert data.episodes[0]["action"].stamps_ns.tolist() == [0, 10**9, 2 * 10**9]
    assert only_problem(data) == (
        "features.json: has no time and no rate: stamps count a second a step; hint: open(path, fps=...)"
    )


@pytest.mark.parametrize(
    "fps", [0.0, -1.0, float("nan"), float("inf"), True, "5", 10**400, 1e300, 1e-300], ids="{!r:.9}".format
)
def test_a_rate_that_is_none(tmp_path, fps):
    root = make.write(tmp_path / "d", {"train": [[make.episode(3)]]})
    with pytest.raises(ValueError, match=r"open: fps is .*, expected a positive number"):
        open(root, fps=fps)


def test_dtypes_and_encodings(tmp_path):
    rng = np.random.default_rng(0)
    depth = rng.integers(0, 65535, (4, 2, 3)).astype(np.uint16)
    wide = rng.standard_normal((4, 3))
    steps = {
        "is_first": make.tensor("bool"),
        "u8": make.tensor("uint8", 2, 2),
        "i64": make.tensor("int64"),
        "f64": make.tensor("float64", 3),
        "raw": make.tensor("uint16", 2, 3, encoding="bytes"),
        "packed": make.tensor("float64", 3, encoding="zlib"),
        "pair": make.sequence(make.tensor("float32", 2), 3),
        "ragged": make.sequence(make.tensor("float32", 2)),
        "free": make.tensor("float32", -1),
        "wave": make.tensor("complex64", 2),
        "clip": {"video": {}},
        "label": {"classLabel": {"numClasses": "3"}},
        "eef_quat": make.tensor("float32", 4),
        "name": make.tensor("string", 2),
    }
    columns = {
        "steps/is_first": np.array([1, 0, 0, 0]),
        "steps/u8": rng.integers(0, 256, (4, 2, 2)),
        "steps/i64": np.array([-1, 2**62, -(2**63), 0]),
        "steps/f64": wide,
        "steps/raw": [row.tobytes() for row in depth],
        "steps/packed": [zlib.compress(row.tobytes()) for row in wide],
        "steps/pair": rng.standard_normal((4, 3, 2)).astype(np.float32),
        "steps/eef_quat": np.tile(np.array([0, 0, 0, 1], np.float32), (4, 1)),
        "steps/name": ["a", "b"] * 4,
        "steps/label": np.array([2, 1, 0, 2]),
    }
    data = read_all(open(make.write(tmp_path / "d", {"train": [[columns]]}, steps=steps), fps=10))
    assert problems(data) == [
        "features.json: steps/ragged is no numbers or text of one shape and is left out",
        "features.json: steps/free is no numbers or text of one shape and is left out",
        "features.json: steps/wave is no numbers or text of one shape and is left out",
        "features.json: steps/clip is no numbers or text of one shape and is left out",
    ]
    episode = data.episodes[0]
    for name in ("u8", "i64", "pair", "label"):
        wanted = columns[f"steps/{name}"].reshape(4, *data.streams[name].shape)
        np.testing.assert_array_equal(episode[name].values, wanted)
    assert episode["u8"].values.dtype == np.uint8
    np.testing.assert_array_equal(episode["f64"].values, wide.astype(np.float32))  # the file holds float32
    assert episode["f64"].values.dtype == np.float64
    np.testing.assert_array_equal(episode["raw"].values, depth)
    np.testing.assert_array_equal(episode["packed"].values, wide)
    assert episode["name"].values.tolist() == [["a", "b"]] * 4
    assert data.streams["eef_quat"].kind == "quaternion"
    assert episode.length == 4


def test_images_of_any_size_and_several_a_step(tmp_path, capsys):
    steps = {
        "is_first": make.tensor("bool"),
        "any": make.image(-1, -1, 3),
        "none": {"image": {"shape": {"dimensions": [None, None, 3]}}},
        "pair": make.sequence(make.image(8, 8, 3), 2),
        "many": make.sequence(make.image(8, 8, 3)),
        "packed": make.sequence(make.tensor("uint8", 3, encoding="zlib"), 2),
    }
    columns = {
        "steps/is_first": np.array([1, 0]),
        "steps/any": [b"a", b"b"],
        "steps/none": [b"c", b"d"],
        "steps/pair": [b"e", b"f", b"g", b"h"],
        "steps/packed": [zlib.compress(bytes([i, i + 1, i + 2])) for i in range(4)],
    }
    data = read_all(open(make.write(tmp_path / "d", {"train": [[columns]]}, steps=steps), fps=10))
    assert only_problem(data) == "features.json: steps/many is no numbers or text of one shape and is left out"
    shapes = {name: info.shape for name, info in data.streams.items() if info.kind == "video"}
    assert shapes == {"any": (-1, -1, 3), "none": (-1, -1, 3), "pair": (2, 8, 8, 3)}
    episode = data.episodes[0]
    for name in shapes:
        assert episode[name].encoded == columns[f"steps/{name}"]
    assert episode["packed"].values.tolist() == [[[0, 1, 2], [1, 2, 3]], [[2, 3, 4], [3, 4, 5]]]
    assert main(["inspect", str(tmp_path / "d"), "--fps", "10"]) == 0
    assert "?x?x3" in capsys.readouterr().out


def test_dtypes_that_the_file_or_numpy_does_not_have(tmp_path):
    steps = {
        "is_first": make.tensor("bool"),
        "nibble": make.tensor("int4"),
        "eighth": make.tensor("float8_e4m3fn"),
        "brain": make.tensor("bfloat16"),
        "wide": make.tensor("uint64"),
        "half": make.tensor("float16"),
    }
    columns = {
        "steps/is_first": np.array([1, 0]),
        "steps/nibble": np.array([1, 2]),
        "steps/eighth": np.array([1.0, 2.0]),
        "steps/brain": np.array([1.5, np.inf]),
        "steps/wide": np.array([2**64 - 1, 5], np.uint64),
        "steps/half": np.array([1e6, np.inf]),
    }
    data = read_all(open(make.write(tmp_path / "d", {"train": [[columns]]}, steps=steps), fps=10))
    assert problems(data) == [
        "features.json: steps/nibble is no numbers or text of one shape and is left out",
        "features.json: steps/eighth is no numbers or text of one shape and is left out",
        "data: steps/half has values that float16 cannot hold: episode 0 (1e+06 in entry 0)",
    ]
    values = {name: data.episodes[0][name].values[:, 0].tolist() for name in ("brain", "wide", "half")}
    assert values == {"brain": [1.5, np.inf], "wide": [2**64 - 1, 5], "half": [np.inf, np.inf]}


def test_metadata_of_every_kind(tmp_path):
    told = {
        "thumb": make.image(8, 8, 3),
        "thumbs": make.sequence(make.image(8, 8, 3)),
        "clip": {"video": {}},
        "marks": make.sequence(make.tensor("int64")),
    }
    columns = make.episode(2) | {
        "episode_metadata/thumb": [b"a"],
        "episode_metadata/thumbs": [b"b", b"c"],
        "episode_metadata/marks": np.array([3, 4, 5]),
    }
    root = make.write(tmp_path / "d", {"train": [[columns]]})
    features = json.loads((root / "features.json").read_text())
    features["featuresDict"]["features"]["episode_metadata"] = make.tree(told)
    (root / "features.json").write_text(json.dumps(features))
    data = open(root, fps=10)
    assert only_problem(data) == "features.json: episode_metadata/clip is no numbers, text or image and is left out"
    metadata = dict(data.episodes[0].metadata)
    assert metadata.pop("episode_metadata/marks").tolist() == [3, 4, 5]
    assert metadata == {"episode_metadata/thumb": b"a", "episode_metadata/thumbs": [b"b", b"c"]}


def test_an_episode_of_no_steps_and_a_feature_that_one_lacks(tmp_path):
    lacking = make.episode(3)
    del lacking["steps/action"]
    data = read_all(open(make.write(tmp_path / "d", {"train": [[make.episode(0), lacking]]}), fps=30))
    assert data.episodes[0].length == 0
    assert data.episodes[0]["action"].values.shape == (0, 2)
    assert "action" not in data.episodes[1]
    assert only_problem(data) == "data: steps/action is not in the record: episode 1"


def test_nan_is_kept_and_reported(tmp_path):
    columns = make.episode(3)
    columns["steps/action"][1, 0] = np.nan
    data = read_all(open(make.write(tmp_path / "d", {"train": [[columns]]}), fps=30))
    assert np.isnan(data.episodes[0]["action"].values[1, 0])
    assert only_problem(data) == "data: action has NaN: episode 0 (row 1, 1 in all)"


# --- detection -------------------------------------------------------------------------------------------------------


def test_the_folder_above_gives_a_hint(tmp_path):
    root = make.write(tmp_path / "cups/1.0.0", {"train": [[make.episode(3)]]})
    with pytest.raises(DataError, match=rf"hint: {root} is one"):
        open(root.parent)
    (root / "dataset_info.json").unlink()
    data = open(root, "rlds", fps=30)
    assert (len(data.episodes), data.splits) == (1, {"train": [0]})
    assert only_problem(data) == "dataset_info.json: is missing; splits are taken from the names of the files"


def test_a_folder_that_may_not_be_read_gives_no_hint_and_hides_none(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    root = make.write(tmp_path / "b", {"train": [[make.episode(3)]]})
    listed = Path.iterdir

    def deny(path):
        if path.name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(DataError, match=rf"hint: {root} is one"):
        open(tmp_path)


def test_what_is_no_rlds(tmp_path):
    root = make.write(tmp_path / "d", {"train": [[make.episode(3)]]}, fileFormat="array_record")
    with pytest.raises(NotImplementedError, match=r"dataset_info.json is 'array_record', expected 'tfrecord'"):
        open(root)
    (root / "dataset_info.json").write_text("{}")
    (root / "features.json").write_text(json.dumps(make.tree({"image": make.image(2, 2, 3)})))
    with pytest.raises(
        NotImplementedError, match=r"features.json has no sequence 'steps', expected a dataset of episo"
    ):
        open(root)
    of_null = json.dumps(make.tree({"steps": make.sequence(make.tree({"x": make.tensor(None)}))}))
    for text in ("{", "[]", '{"featuresDict": {"features": {"steps": {"sequence": {}}}}}', of_null):
        (root / "features.json").write_text(text)
        with pytest.raises(DataError, match=r"features.json (cannot be read|is not as TFDS writes it)"):
            open(root)
    (root / "features.json").unlink()
    with pytest.raises(DataError, match=r"has no features.json to tell what its records hold"):
        open(root)


def test_options_of_other_formats(tmp_path):
    (tmp_path / "a.csv").write_text("t_s,v\n0,1\n1,2\n")
    with pytest.raises(ValueError, match=r"open: fps is 5, expected none: csv data takes none"):
        open(tmp_path, fps=5)
    with pytest.raises(ValueError, match=r"open: index is True, expected none: csv data takes none"):
        open(tmp_path, index=True)


def test_an_episode_of_no_steps_whose_lists_are_not_written(tmp_path):
    data = read_all(open(make.write(tmp_path / "d", {"train": [[{}]]}), fps=30))
    episode = data.episodes[0]
    assert problems(data) == []
    assert {name: stream.values.shape for name, stream in episode.load().items() if stream.info.kind != "video"} == {
        "observation/state": (0, 3),
        "action": (0, 2),
        "is_first": (0, 1),
        "language_instruction": (0, 1),
    }
    assert episode["observation/camera"].encoded == []


def test_flags_that_are_not_of_their_rows(tmp_path):
    steps = make.STEPS | {"is_last": make.tensor("bool")}
    source = [make.episode(3, seed) for seed in range(3)]
    for columns in source:
        columns["steps/is_last"] = np.array([False, False, True])
    source[1]["steps/is_last"] = np.array([False, True, True])
    source[2]["steps/is_first"] = np.array([False, False, False])
    source.append(make.episode(1) | {"steps/is_last": np.array([True])})
    data = read_all(open(make.write(tmp_path / "d", {"train": [source]}, steps=steps), fps=30))
    assert sorted(problems(data)) == [
        "data: steps/is_first is not true in the first row alone: episode 2 (row 0, 1 in all)",
        "data: steps/is_last is not true in the last row alone: episode 1 (row 1, 1 in all)",
    ]
