"""The LeRobot reader on real data (skipped where absent) and on traps that both layouts can have."""

from __future__ import annotations

from fractions import Fraction

import make_lerobot as make
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_data import only_problem, problems, read_all, real
from robocache.dataset import open
from robocache.errors import DataError

# --- real data -------------------------------------------------------------------------------------------------------


def test_g1_v21_reads_what_is_there_and_reports_what_is_not():
    root = real("lerobot_v21_g1_real")
    data = read_all(open(root))
    assert data.format == "lerobot v2.1"
    assert (len(data.episodes), data.fps) == (50, 30.0)
    assert [e.index for e in data.episodes] == list(range(50))
    assert sum(e.length for e in data.episodes) == 18_203
    assert data.tasks == {0: "Pick up the yellow bottle on the table."}
    assert data.episodes[7].tasks == ["Pick up the yellow bottle on the table."]
    assert list(data.streams) == ["observation.state", "action", "observation.images.cam_high", "task_index"]
    state = data.streams["observation.state"]
    assert (state.shape, state.dtype, state.kind, state.rate_hz) == ((26,), "float32", "float", 30.0)
    assert state.names is not None
    assert state.names[:2] == ("kLeftShoulderPitch", "kLeftShoulderRoll")
    assert problems(data) == [
        "data: 50 of 100 listed episodes are missing: 50-99",
        "observation.images.cam_high: 47 of 50 videos are missing: episodes 0-27, 31-49",
    ]


def test_g1_v21_values_and_stamps_are_the_file_s():
    root = real("lerobot_v21_g1_real")
    data = open(root)
    for index in (0, 28, 49):
        table = pq.read_table(root / f"data/chunk-000/episode_{index:06d}.parquet")
        episode = data.episodes[index]
        for name in ("observation.state", "action"):
            np.testing.assert_array_equal(episode[name].values, np.array(table[name].to_pylist(), np.float32))
            assert episode[name].values.dtype == np.float32
        assert episode["task_index"].values.shape == (table.num_rows, 1)
        exact = [round(Fraction(k * 10**9, 30)) for k in range(table.num_rows)]
        assert episode["action"].stamps_ns.tolist() == exact
        assert episode["action"].stamps_ns.dtype == np.int64


def test_g1_v30_is_complete_and_equal_to_v21():
    new, old = open(real("lerobot_v30_g1_real")), open(real("lerobot_v21_g1_real"))
    assert new.format == "lerobot v3.0"
    assert len(new.episodes) == len(old.episodes) == 50
    for a, b in zip(new.episodes, old.episodes, strict=True):
        assert (a.index, a.length, a.tasks) == (b.index, b.length, b.tasks)
        for name in ("observation.state", "action", "task_index"):
            np.testing.assert_array_equal(a[name].values, b[name].values)
            np.testing.assert_array_equal(a[name].stamps_ns, b[name].stamps_ns)
    # LeRobot 0.4.4's converter names the file before in the first episode of each data file.
    assert only_problem(new) == (
        "meta/episodes: names the wrong data file: 4 episodes, 9, 19, 31, 41 "
        "(first: it names data/chunk-000/file-000.parquet, found in data/chunk-000/file-001.parquet)"
    )


def test_g1_v30_with_video_lists_it_and_does_not_decode_it():
    data, old = open(real("lerobot_v30_g1_video")), open(real("lerobot_v21_g1_real"))
    assert [e.length for e in data.episodes] == [278, 221, 277]
    assert data.streams["observation.images.cam_high"].kind == "video"
    for episode, whole in zip(data.episodes, old.episodes[28:31], strict=True):
        video = episode["observation.images.cam_high"]
        assert len(video) == episode.length
        with pytest.raises(NotImplementedError, match=r"cam_high is video.*not decoded yet"):
            _ = video.values
        np.testing.assert_array_equal(episode["action"].values, whole["action"].values)
    assert problems(data) == []


def test_so101_metadata_alone_opens():
    data = open(real("lerobot_v30_meta_so101"))
    assert len(data.episodes) == 0
    assert data.tasks == {0: "Pick the tiger and place near elephant"}
    assert data.streams["action"].names is not None
    assert data.streams["action"].shape == (6,)
    assert data.streams["observation.images.top_phone"].kind == "video"
    assert only_problem(data) == "data: 50 of 50 listed episodes are missing: 0-49"


def test_gr1_v20_survives_its_metadata():
    root = real("lerobot_v20_gr1_sim")
    data = read_all(open(root))
    assert [e.length for e in data.episodes] == [416, 470, 470, 412, 328]
    assert data.format == "lerobot v2.0"
    columns = {name: info for name, info in data.streams.items() if info.part_of is None}
    kinds = {name: (info.dtype, info.shape, info.kind) for name, info in columns.items()}
    assert kinds == {
        "observation.images.ego_view": ("video", (256, 256, 3), "video"),
        "observation.state": ("float64", (44,), "float"),
        "action": ("float64", (44,), "float"),
        "annotation.human.action.task_description": ("int64", (1,), "integer"),
        "task_index": ("int64", (1,), "integer"),
        "annotation.human.validity": ("int64", (1,), "integer"),
        "next.reward": ("float64", (1,), "float"),
        "next.done": ("bool", (1,), "bool"),
    }
    for episode in data.episodes:
        # The first stamp is 1 / fps; the column accumulates 4.8e-8 s of error a frame.
        assert episode["action"].stamps_ns.tolist() == [50_000_000 * (k + 1) for k in range(episode.length)]
        table = pq.read_table(root / f"data/chunk-000/episode_{episode.index:06d}.parquet")
        np.testing.assert_array_equal(episode["action"].values, np.array(table["action"].to_pylist()))
        assert episode["next.done"].values[:, 0].tolist() == table["next.done"].to_pylist()
    assert data.episodes[1].tasks[0].startswith("pick the sweet potato")
    assert problems(data) == [
        "meta/info.json: split train is 0:100, but 5 episodes are listed",
        "meta/info.json: data_path does not give the file: 4 episodes, 1-4 (first: it gives "
        "data/chunk-001/episode_000001.parquet, found data/chunk-000/episode_000001.parquet)",
        "meta/info.json: total_chunks is 0, but the data is in 1",
        "meta/info.json: feature observation.images.egoview has no video files and is left out",
    ]


# --- synthetic: both layouts -----------------------------------------------------------------------------------------

LAYOUTS = pytest.mark.parametrize("write", [make.write_v21, make.write_v30], ids=["v2.1", "v3.0"])


@LAYOUTS
def test_a_clean_dataset_has_no_problems(tmp_path, write):
    source = make.episodes(5, 1, 7)
    data = read_all(open(write(tmp_path / "d", source)))
    assert problems(data) == []
    assert [(e.index, e.length, e.tasks) for e in data.episodes] == [
        (i, n, ["Stack the cups."]) for i, n in enumerate((5, 1, 7))
    ]
    for episode, columns in zip(data.episodes, source, strict=True):
        np.testing.assert_array_equal(episode["observation.state"].values, columns["observation.state"].to_pylist())
    assert data.episodes[2].duration_s == pytest.approx(6 / 30, abs=1e-9)
    assert data.episodes[-1].index == 2
    assert [e.index for e in data.episodes[::2]] == [0, 2]
    with pytest.raises(KeyError, match=r"no stream 'velocity'; it has observation.state"):
        data.episodes[0]["velocity"]


@LAYOUTS
def test_splits_are_positions_of_the_episodes_that_are_there(tmp_path, write):
    odd = {"a": "all", "b": "0:\N{SUPERSCRIPT TWO}", "c": "0:" + "9" * 5000, "d": ":", "e": None}
    splits = {"train": "0:2", "val": "2:9"} | odd
    data = open(write(tmp_path / "d", make.episodes(3, 3, 3), splits=splits))
    assert data.splits == {"train": [0, 1], "val": [2]}


@LAYOUTS
def test_column_order_and_nested_shapes(tmp_path, write):
    rng = np.random.default_rng(1)
    source = make.episodes(4, 3)
    grids = [rng.integers(0, 9, (len(c["index"]), 2, 3, 2)) for c in source]
    fixed = [rng.standard_normal((len(c["index"]), 5)).astype(np.float16) for c in source]
    for columns, grid, row in zip(source, grids, fixed, strict=True):
        columns["observation.grid"] = make.vectors(grid)
        columns["observation.half"] = pa.FixedSizeListArray.from_arrays(pa.array(row.reshape(-1)), 5)
        columns["note"] = pa.array(["a", "b", "c", "d"][: len(row)])
    source = [dict(reversed(list(columns.items()))) for columns in source]
    data = read_all(open(write(tmp_path / "d", source)))
    assert problems(data) == []
    assert (data.streams["observation.grid"].shape, data.streams["observation.grid"].dtype) == ((2, 3, 2), "int64")
    assert (data.streams["observation.half"].shape, data.streams["observation.half"].dtype) == ((5,), "float16")
    for episode, grid, row in zip(data.episodes, grids, fixed, strict=True):
        np.testing.assert_array_equal(episode["observation.grid"].values, grid)
        np.testing.assert_array_equal(episode["observation.half"].values, row)
    assert data.streams["note"].kind == "text"
    assert data.episodes[1]["note"].values.tolist() == [["a"], ["b"], ["c"]]


@LAYOUTS
def test_info_json_that_lies_about_features(tmp_path, write):
    source = make.episodes(4, 4)
    features = make.info(source, "v2.1", 30)["features"]
    features["observation.state"] = {"dtype": "float64", "shape": [7], "names": ["a"] * 7}
    features["ghost"] = {"dtype": "float32", "shape": [2], "names": None}
    features["camera"] = {"dtype": "video", "shape": [8, 8, 3], "names": None}
    features["odd"] = "what"
    del features["action"]
    data = read_all(open(write(tmp_path / "d", source, features=features)))
    assert (data.streams["observation.state"].shape, data.streams["observation.state"].dtype) == ((3,), "float32")
    assert data.streams["observation.state"].names is None
    assert "ghost" not in data.streams
    assert set(problems(data)) == {
        "meta/info.json: dtype of feature observation.state is float64, found float32",
        "meta/info.json: shape of feature observation.state is [7], found [3]",
        "meta/info.json: feature ghost has no column in the data files and is left out",
        "meta/info.json: feature camera has no video files and is left out",
        "meta/info.json: feature odd is 'what', expected an object",
        "data: column action is not a feature of info.json",
    }


@LAYOUTS
def test_totals_that_do_not_add_up(tmp_path, write):
    root = write(
        tmp_path / "d", make.episodes(4, 4), total_episodes=9, total_frames=1, total_tasks=3, splits={"train": "0:9"}
    )
    assert len(open(root).problems) == 4


@LAYOUTS
def test_nulls_are_no_samples(tmp_path, write):
    source = make.episodes(4, 4)
    source[1]["action"] = pa.array([[1.0, 2.0], None, [3.0, None], [4.0, 5.0]], pa.list_(pa.float32()))
    source[1]["task_index"] = pa.array([0, None, None, 0])
    data = read_all(open(write(tmp_path / "d", source)))
    action = data.episodes[1]["action"]
    assert action.values.tolist() == [[1.0, 2.0], [4.0, 5.0]]
    assert action.stamps_ns.tolist() == [0, 100_000_000]
    assert data.episodes[1]["task_index"].values.dtype == np.int64
    assert len(data.episodes[1]["observation.state"]) == 4
    assert problems(data) == [
        "data: column action has nulls, those rows are no samples: episode 1 (2 of 4 rows)",
        "data: column task_index has nulls, those rows are no samples: episode 1 (2 of 4 rows)",
    ]


def test_nan_values_are_kept_and_reported(tmp_path):
    source = make.episodes(3, 3)
    source[0]["action"] = make.vectors(np.array([[0, 1], [np.nan, 1], [0, 1]], np.float32))
    data = read_all(open(make.write_v21(tmp_path / "d", source)))
    assert np.isnan(data.episodes[0]["action"].values[1, 0])
    assert only_problem(data) == "data: action has NaN: episode 0 (row 1, 1 in all)"


@LAYOUTS
def test_a_ragged_column_is_damage(tmp_path, write):
    source = make.episodes(3, 3)
    source[1]["action"] = pa.array([[1.0, 2.0], [3.0], [4.0, 5.0]], pa.list_(pa.float32()))
    root = write(tmp_path / "d", source)
    with pytest.raises(
        DataError, match=r"episode 1: .*\.parquet: column action: rows differ in width: 2 .* 1 in entry 1"
    ):
        open(root).episodes[1].load()
    data = open(root, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0]
    assert [e.index for e in data.episodes] == [0]
    assert data.episodes.skipped == [1]
    assert only_problem(data).startswith("data: skipped, damaged: episode 1 (episode 1: ")


@LAYOUTS
def test_a_damaged_file_is_named_with_its_episodes(tmp_path, write):
    root = write(tmp_path / "d", make.episodes(40, 40))
    path = max(root.glob("data/*/*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    data = open(root)
    assert len(data.episodes) == 2
    assert path.name in problems(data)[0]
    with pytest.raises(DataError, match=rf"episode 1: .*{path.name}"):
        data.episodes[1]["action"]
    path.write_bytes(whole[:200] + bytes(400) + whole[600:])  # the footer is intact, a page is not
    data = open(root, on_bad_episode="skip")
    left = [e.index for e in data.episodes]
    assert 1 not in left or 0 not in left
    assert data.episodes.skipped == sorted({0, 1} - set(left))


def test_empty_episodes_and_a_shape_that_only_a_later_file_shows(tmp_path):
    source = make.episodes(0, 4)
    data = read_all(open(make.write_v21(tmp_path / "d", source, features=...)))
    assert data.streams["action"].shape == (2,)
    assert data.episodes[0]["action"].values.shape == (0, 2)
    assert data.episodes[0].duration_s == 0
    np.testing.assert_array_equal(data.episodes[1]["action"].values, source[1]["action"].to_pylist())


@LAYOUTS
def test_git_lfs_pointers(tmp_path, write):
    root = write(tmp_path / "d", make.episodes(4, 4))
    paths = sorted(root.glob("data/*/*.parquet"))
    for path in paths:
        path.write_bytes(make.POINTER)
    data = open(root)
    assert len(data.episodes) == 0
    first = paths[0].relative_to(root)
    assert problems(data) == [
        f"data: {len(paths)} of {len(paths)} files are Git-LFS pointers, first {first}; hint: git lfs pull",
        "data: 2 of 2 listed episodes are missing: 0-1",
    ]
    (root / "meta/info.json").write_bytes(make.POINTER)
    with pytest.raises(DataError, match=r"info.json is a Git-LFS pointer.*git lfs pull"):
        open(root)


@LAYOUTS
def test_a_column_that_some_files_lack(tmp_path, write):
    source = make.episodes(4, 4)
    if write is make.write_v21:
        del source[1]["action"]
        root = write(tmp_path / "d", source)
    else:
        root = write(tmp_path / "d", source, files=[[0], [1]])
        path = root / "data/chunk-000/file-001.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["action"]), path)
    data = read_all(open(root))
    assert "action" in data.episodes[0]
    assert "action" not in data.episodes[1]
    assert only_problem(data) == "data: column action is not in the file: episode 1"


@LAYOUTS
def test_images_in_the_table_are_listed_and_not_read(tmp_path, write):
    source = make.episodes(3, 3)
    for columns in source:
        columns["observation.image"] = pa.array([{"bytes": b"x", "path": "p"}] * 3)
        columns["observation.struct"] = pa.array([{"a": 1}] * 3)
        columns["words"] = pa.array([["a"], [], ["b", "c"]])
    features = make.info(make.episodes(3), "v2.1", 30)["features"]
    features["observation.image"] = {"dtype": "image", "shape": [4, 4, 3], "names": None}
    features["observation.struct"] = features["words"] = {"dtype": "language", "shape": [1], "names": None}
    data = read_all(open(write(tmp_path / "d", source, features=features)))
    info = data.streams["observation.image"]
    assert (info.kind, info.dtype, info.shape) == ("video", "image", (4, 4, 3))
    with pytest.raises(NotImplementedError, match="is image"):
        _ = data.episodes[0]["observation.image"].values
    struct, words = problems(data)
    assert struct == "data: column observation.struct has type struct<a: int64>, which is no stream; it is left out"
    assert words.startswith("data: column words has type list<")


@pytest.mark.parametrize(
    ("content", "text"), [("{", "is not JSON"), ("[]", "holds a list"), ("\xff\xfe", "is not JSON")]
)
def test_a_damaged_info_json(tmp_path, content, text):
    root = make.write_v21(tmp_path / "d", make.episodes(3))
    (root / "meta/info.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"info.json {text}"):
        open(root)


def test_no_info_json_at_all(tmp_path):
    root = make.write_v21(tmp_path / "d", make.episodes(3))
    (root / "meta/info.json").unlink()
    data = read_all(open(root))
    assert data.streams["action"].shape == (2,)
    assert data.fps is None
    np.testing.assert_allclose(
        data.episodes[0]["action"].stamps_ns, [0, 1e9 / 30, 2e9 / 30], atol=10
    )  # as float32 has it
    assert {p.where for p in data.problems} == {"meta/info.json"}


def test_the_layout_is_told_by_the_files(tmp_path):
    root = make.write_v30(tmp_path / "d", make.episodes(3, 3), codebase_version="v2.1")
    data = open(root)
    assert (data.format, len(data.episodes)) == ("lerobot v3.0", 2)
    assert "codebase_version is v2.1, but the files are laid out as v3.0" in only_problem(data)
