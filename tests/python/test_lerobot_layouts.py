"""The LeRobot reader on traps of one layout, on stamps in files, and on paths that hold no dataset."""

from __future__ import annotations

import json
import threading

import make_lerobot as make
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_data import only_problem, problems, read_all
from robocache.dataset import open
from robocache.errors import DataError

# --- v2: one file an episode -----------------------------------------------------------------------------------------


def test_v2_metadata_lists_that_are_off(tmp_path):
    root = make.write_v21(tmp_path / "d", make.episodes(3, 4, 5), total_episodes=..., total_frames=...)
    lines = (root / "meta/episodes.jsonl").read_text().splitlines()
    lines[1] = lines[1].replace('"length": 4', '"length": 40')
    lines[2] = "{broken"
    (root / "meta/episodes.jsonl").write_text("\n".join([*lines, "", lines[0]]))
    (root / "meta/tasks.jsonl").write_text('{"task": "no index"}\n')
    data = open(root)
    assert [e.length for e in data.episodes] == [3, 4, 5]
    text = "\n".join(problems(data))
    for expected in (
        "meta/episodes.jsonl:3: is not JSON and is left out",
        "meta/episodes.jsonl:5: lists episode 0 again",
        "meta/tasks.jsonl:1: has no task_index and task",
        "total_tasks is 1, but 0 tasks are listed",
        "length is not the number of rows: episode 1 (listed with 40 rows, found 4)",
        "in the files but not in the metadata: episode 2",
    ):
        assert expected in text
    read_all(data)
    assert "task_index has no text in the list of tasks: 3 episodes, 0-2" in "\n".join(problems(data))


def test_v2_files_that_are_misnamed_or_mixed(tmp_path):
    source = make.episodes(3, 4, 5)
    source[1]["episode_index"] = pa.array([7] * 4)
    source[2]["episode_index"] = pa.array([2, 2, 3, 3, 3])
    root = make.write_v21(tmp_path / "d", source)
    make.write_table(root / "data/chunk-001/episode_000000.parquet", source[0])
    make.write_table(root / "data/chunk-000/extra.parquet", source[0])
    data = open(root)
    assert len(data.episodes) == 3
    data.episodes[1].load()
    text = "\n".join(problems(data))
    assert "data/chunk-001/episode_000000.parquet: is a second file of episode 0 and is left out" in text
    assert "data/chunk-000/extra.parquet: is not named episode_<number>.parquet and is left out" in text
    assert "the column episode_index names another episode; the file name is used: episode 1 (it says 7)" in text
    with pytest.raises(DataError, match=r"episode 2: .*holds rows of episodes 2, 3, expected 2 only"):
        data.episodes[2].load()


def test_v2_template_that_cannot_be_filled(tmp_path):
    data = open(make.write_v21(tmp_path / "d", make.episodes(3), data_path="data/{chunk}/{episode}.parquet"))
    assert len(data.episodes) == 1
    assert "data_path 'data/{chunk}/{episode}.parquet' cannot be filled in" in only_problem(data)


@pytest.mark.parametrize("write", [make.write_v21, make.write_v30])
@pytest.mark.parametrize(
    "template",
    [
        "data/{episode_index.name}{chunk_index.name}",
        "data/{episode_index[0]}{chunk_index[0]}",
        "data/{0}.parquet",
        "data/{",
        "data/{episode_index:s}{chunk_index:s}",
        "../{episode_index}{chunk_index}",
        "/data/x.parquet",
        "",
        7,
    ],
)
def test_odd_templates_only_count_as_problems(tmp_path, write, template):
    source = make.episodes(3, 4)
    data = read_all(open(write(tmp_path / "d", source, data_path=template)))
    assert [e.length for e in data.episodes] == [3, 4]
    assert all("data_path" in text or "names the wrong data file" in text for text in problems(data))


def test_v2_a_file_that_cannot_be_read_is_that_episode_s_problem(tmp_path):
    root = make.write_v21(tmp_path / "d", make.episodes(3, 4, 5))
    path = root / "data/chunk-000/episode_000001.parquet"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    data = open(root, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0, 2]
    assert data.episodes.skipped == [1]
    assert "data/chunk-000/episode_000001.parquet: cannot be read: " in problems(data)[0]
    with pytest.raises(DataError, match=r"episode 1: .*cannot be read"):
        open(root).episodes[1].load()


def test_v3_a_file_that_cannot_be_read_is_its_episodes_problem(tmp_path):
    root = make.write_v30(tmp_path / "d", make.episodes(3, 4, 5), files=[[0], [1], [2]])
    path = root / "data/chunk-000/file-001.parquet"
    path.unlink()
    path.symlink_to(path)  # a loop
    (root / "meta/episodes/chunk-000/file-009.parquet").symlink_to(tmp_path / "nowhere")
    data = open(root, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0, 2]
    text = "\n".join(problems(data))
    assert "data/chunk-000/file-001.parquet: cannot be read: " in text
    assert "meta/episodes/chunk-000/file-009.parquet: cannot be read: " in text


def test_metadata_lists_that_cannot_be_read(tmp_path):
    root = make.write_v21(tmp_path / "d", make.episodes(3))
    for name in ("tasks.jsonl", "episodes.jsonl"):
        (root / "meta" / name).unlink()
        (root / "meta" / name).mkdir()
    data = open(root)
    assert len(data.episodes) == 1
    text = "\n".join(problems(data))
    assert "meta/tasks.jsonl: cannot be read: " in text
    assert "meta/episodes.jsonl: cannot be read: " in text


def test_v2_a_video_that_cannot_be_read_is_reported(tmp_path):
    source = make.episodes(3, 3)
    features = make.info(source, "v2.1", 30)["features"]
    features["camera"] = {"dtype": "video", "shape": [8, 8, 3], "names": None}
    root = make.write_v21(tmp_path / "d", source, features=features)
    folder = root / "videos/chunk-000/camera"
    folder.mkdir(parents=True)
    (folder / "episode_000000.mp4").write_bytes(b"mp4")
    (folder / "episode_000001.mp4").symlink_to(tmp_path / "nowhere")
    data = open(root)
    assert ["camera" in e for e in data.episodes] == [True, False]
    assert problems(data) == [
        "camera: 1 of 2 videos cannot be read, first videos/chunk-000/camera/episode_000001.mp4",
        "camera: 1 of 2 videos are missing: episodes 1",
    ]


def test_v2_videos_under_video_and_pointers_among_them(tmp_path):
    source = make.episodes(3, 3, 3)
    features = make.info(source, "v2.1", 30)["features"]
    features["camera"] = {"dtype": "video", "shape": [8, 8, 3], "names": None, "video_info": {"video.fps": 15}}
    path = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    root = make.write_v21(tmp_path / "d", source, features=features, video_path=path)
    (root / "video/chunk-000/camera").mkdir(parents=True)
    for index, content in ((0, b"mp4"), (1, make.POINTER)):
        (root / f"video/chunk-000/camera/episode_{index:06d}.mp4").write_bytes(content)
    data = open(root)
    assert ["camera" in e for e in data.episodes] == [True, False, False]
    assert data.streams["camera"].rate_hz == 15.0
    assert problems(data) == [
        f"meta/info.json: video_path is {path}, but the folder is video/",
        "camera: 1 of 2 videos are Git-LFS pointers; hint: git lfs pull",
        "camera: 2 of 3 videos are missing: episodes 1-2",
    ]


# --- v3: many episodes a file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["task", "__index_level_0__"])
def test_v3_task_text_by_either_name(tmp_path, column):
    assert open(make.write_v30(tmp_path / "d", make.episodes(3), task_column=column)).tasks == {0: "Stack the cups."}


def test_v3_rows_decide_where_an_episode_is(tmp_path):
    source = make.episodes(3, 4, 5, 6)
    root = make.write_v30(tmp_path / "d", source, files=[[0, 1], [2, 3]], listed_file={2: 0})
    data = open(root)
    for episode, columns in zip(data.episodes, source, strict=True):
        np.testing.assert_array_equal(episode["action"].values, columns["action"].to_pylist())
    assert "names the wrong data file: episode 2" in only_problem(data)


def test_v3_an_episode_in_pieces_is_joined_and_reported(tmp_path):
    source = make.episodes(4, 3)
    table = pa.concat_tables([pa.table(source[0]).slice(0, 2), pa.table(source[1]), pa.table(source[0]).slice(2)])
    root = make.write_v30(tmp_path / "d", source)
    pq.write_table(table, root / "data/chunk-000/file-000.parquet")
    data = open(root)
    np.testing.assert_array_equal(data.episodes[0]["action"].values, source[0]["action"].to_pylist())
    assert only_problem(data) == "data: rows are not together; the pieces are joined in file order: episode 0"


def test_v3_a_shared_row_group_is_read_once(tmp_path, monkeypatch):
    source = make.episodes(*[20] * 12)
    root = make.write_v30(tmp_path / "d", source, files=[range(6), range(6, 12)], row_group_per_episode=False)
    reads = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *a, **k: reads.append(1) or original(*a, **k))
    data = open(root)
    for episode, columns in zip(data.episodes, source, strict=True):
        np.testing.assert_array_equal(episode["action"].values, columns["action"].to_pylist())
    assert len(reads) == 2


def test_v3_from_many_threads(tmp_path):
    source = make.episodes(*range(1, 25))
    data = open(make.write_v30(tmp_path / "d", source, files=[range(12), range(12, 24)], row_group_per_episode=False))
    wrong = []

    def work(seed):
        for i in np.random.default_rng(seed).permutation(24):
            values = data.episodes[int(i)]["action"].values
            if not np.array_equal(values, source[i]["action"].to_pylist()):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_v3_a_data_file_without_episode_index(tmp_path):
    root = make.write_v30(tmp_path / "d", make.episodes(3, 3), files=[[0], [1]])
    path = root / "data/chunk-000/file-001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["episode_index"]), path)
    data = open(root, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0]
    assert "file-001.parquet: cannot be read: it has no column episode_index" in problems(data)[0]


# --- stamps ----------------------------------------------------------------------------------------------------------


def test_stamps_that_leave_the_frame_grid_are_kept_and_reported(tmp_path):
    source = make.episodes(4, 4)
    source[1]["timestamp"] = pa.array([0.0, 1 / 30, 0.0675, 0.1])  # 0.8 ms late
    data = read_all(open(make.write_v21(tmp_path / "d", source)))
    assert data.episodes[0]["action"].stamps_ns.tolist() == [0, 33333333, 66666667, 100000000]
    assert data.episodes[1]["action"].stamps_ns.tolist() == [0, 33333333, 67500000, 100000000]
    assert (
        "timestamp is not frame_index / fps, the column itself is used: episode 1 (row 2 is off by 0.000833"
        in "\n".join(problems(data))
    )


def test_stamps_that_decrease_or_repeat_are_reported(tmp_path):
    source = make.episodes(5)
    source[0]["timestamp"] = pa.array([0.0, 0.5, 0.25, 0.25, 9.0])
    source[0]["frame_index"] = pa.array([0, 1, 2, 2, 7])
    data = read_all(open(make.write_v21(tmp_path / "d", source)))
    text = "\n".join(problems(data))
    assert "stamps decrease: episode 0 (row 2, 1 in all)" in text
    assert "stamps repeat: episode 0 (row 3, 1 in all)" in text
    assert "frame_index does not count up by one: episode 0 (2 then 2 in row 3)" in text


@pytest.mark.parametrize("fps", [None, 0, -5, "30", True])
def test_without_a_usable_fps_the_column_is_the_clock(tmp_path, fps):
    root = make.write_v21(tmp_path / "d", make.episodes(3), fps=30)
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps(info | {"fps": fps}))
    data = open(root)
    assert data.fps is None
    assert data.episodes[0]["action"].stamps_ns[2] == 66666670  # float32 of 2/30
    assert "fps is" in only_problem(data)


def test_missing_and_null_stamp_columns(tmp_path):
    source = make.episodes(3, 3, 3)
    del source[0]["timestamp"]
    source[1]["timestamp"] = pa.array([0.0, None, 2 / 30], pa.float32())
    source[2]["frame_index"] = pa.array([0, None, 2])
    features = make.info(make.episodes(3), "v2.1", 30)["features"]
    data = read_all(open(make.write_v21(tmp_path / "d", source, features=features)))
    for episode in data.episodes:
        assert episode["action"].stamps_ns.tolist() == [0, 33333333, 66666667]
    assert problems(data) == [
        "data: no timestamp column: episode 0 (stamps are made from frame_index and fps)",
        "data: timestamp is not a usable number: episode 1 (row 1 is nan)",
        "data: frame_index has nulls and is not used: episode 2",
    ]


def test_no_time_at_all(tmp_path):
    source = make.episodes(3)
    del source[0]["timestamp"]
    root = make.write_v21(tmp_path / "d", source, fps=..., features=...)
    with pytest.raises(DataError, match=r"episode 0: .*no timestamp column and no fps"):
        open(root).episodes[0].load()


# --- quaternions -----------------------------------------------------------------------------------------------------


def test_quaternion_features_are_told_by_their_names(tmp_path):
    rng = np.random.default_rng(2)
    quaternions = rng.standard_normal((6, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    source = make.episodes(6)
    for name in ("observation.eef_quat", "observation.rot", "observation.four"):
        source[0][name] = make.vectors(quaternions)
    features = make.info(source, "v2.1", 30)["features"]
    features["observation.rot"]["names"] = ["qw", "qx", "qy", "qz"]
    data = open(make.write_v21(tmp_path / "d", source, features=features))
    kinds = {name: info.kind for name, info in data.streams.items()}
    assert kinds["observation.eef_quat"] == kinds["observation.rot"] == "quaternion"
    assert kinds["observation.four"] == "float"


# --- paths -----------------------------------------------------------------------------------------------------------


def test_paths_that_hold_no_dataset(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*/nowhere"):
        open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is no dataset that can be read, looked for meta/info.json.*\*\.csv"):
        open(tmp_path)
    make.write_v21(tmp_path / "inner", make.episodes(3))
    with pytest.raises(DataError, match=r"hint: .*/inner is one"):
        open(tmp_path)
    with pytest.raises(ValueError, match="format is 'zarr', expected one of lerobot, rlds, robomimic, calvin, csv"):
        open(tmp_path, "zarr")
    with pytest.raises(ValueError, match="on_bad_episode is 'ignore'"):
        open(tmp_path, on_bad_episode="ignore")


def test_videos_that_are_of_no_episode(tmp_path):
    camera = {"camera": {"dtype": "video", "shape": [4, 4, 3], "names": None}}
    source = make.episodes(3, 3)
    features = make.info(source, "v2.1", 30)["features"] | camera
    root = make.write_v21(tmp_path / "d", source, features=features)
    folder = root / "videos/chunk-000/camera"
    folder.mkdir(parents=True)
    for name in ("episode_000000.mp4", "episode_000001.mp4", "episode_000002.mp4", "take.mp4"):
        (folder / name).write_bytes(b"mp4")
    assert (
        only_problem(open(root))
        == "camera: videos that are of no episode in the data: 2, first camera/episode_000002.mp4"
    )
