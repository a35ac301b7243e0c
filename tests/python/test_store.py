"""rc.Store and rc.StoreBuilder: real logs against the episodes themselves, damage, threads, memory."""

from __future__ import annotations

import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import robocache as rc
from make_lerobot import episodes as lerobot_episodes
from make_lerobot import write_v21, write_v30
from real_data import problems, real
from robocache.episode import NUMERIC_KINDS, SampleStream
from robocache.problems import ProblemLog

REAL = [
    "lerobot_v21_g1_real",
    "lerobot_v30_g1_real",
    "lerobot_v20_gr1_sim",
    "rosbag1_robot_localization/csv_from_test1",
    "imu_xio_csv",
]


def expect_equal(store: rc.Store, data: rc.Dataset, rows: range | list[int] | None = None) -> None:
    """The store against the dataset, read episode by episode."""
    chosen = range(len(data.episodes)) if rows is None else rows
    parts: dict[str, list[SampleStream]] = {name: [] for name in store.streams}
    for row in chosen:
        episode = data.episodes[row]
        for name in store.streams:
            parts[name].append(episode[name])
    assert store.episodes.tolist() == [data.episodes[row].index for row in chosen]
    for name, streams in parts.items():
        info = data.streams[name]
        values = np.concatenate([s.values for s in streams])
        assert store.streams[name] == info
        assert store.values(name).dtype == info.dtype == values.dtype
        assert store.values(name).shape == (len(values), *info.shape)
        assert store.values(name).tobytes() == np.ascontiguousarray(values).tobytes()
        np.testing.assert_array_equal(store.stamps_ns(name), np.concatenate([s.stamps_ns for s in streams]))
        np.testing.assert_array_equal(store.offsets(name), np.cumsum([0, *map(len, streams)]))


def raw_bytes(store: rc.Store) -> int:
    return sum(store.values(name).nbytes for name in store.streams)


@pytest.mark.parametrize("name", REAL)
def test_real_data_is_what_its_episodes_say(name):
    data = rc.open(real(name))
    store = rc.Store.load(data)
    assert list(store.streams) == [
        n for n, info in data.streams.items() if info.kind in NUMERIC_KINDS and info.part_of is None
    ]
    expect_equal(store, data)
    memory = store.memory()
    assert raw_bytes(store) <= memory["host"] <= 1.3 * raw_bytes(store)
    assert memory["pinned"] == memory["device"] == 0


@pytest.mark.parametrize(("name", "rate"), [("lerobot_v21_g1_real", 30), ("lerobot_v20_gr1_sim", 20)])
def test_streams_of_lerobot_share_a_clock_of_frames(name, rate):
    store = rc.Store.load(rc.open(real(name)))
    assert "1 clocks" in repr(store)
    assert {store.frame_rate_hz(name) for name in store.streams} == {rate}
    addresses = {store.stamps_ns(name).__array_interface__["data"][0] for name in store.streams}
    assert len(addresses) == 1


def test_streams_of_the_husky_have_the_clocks_of_their_files():
    store = rc.Store.load(rc.open(real("rosbag1_robot_localization/csv_from_test1")))
    assert "3 clocks" in repr(store)
    assert store.stamps_ns("imu").ctypes.data == store.stamps_ns("imu.orientation").ctypes.data
    assert store.stamps_ns("imu").ctypes.data != store.stamps_ns("odom").ctypes.data
    assert {store.frame_rate_hz(name) for name in store.streams} == {None}


def test_both_layouts_of_g1_give_the_same_store():
    old, new = (rc.Store.load(rc.open(real(f"lerobot_{v}_g1_real"))) for v in ("v21", "v30"))
    for name in old.streams:
        np.testing.assert_array_equal(old.values(name), new.values(name))
        np.testing.assert_array_equal(old.stamps_ns(name), new.stamps_ns(name))


def test_video_is_left_out_and_refused_by_name():
    data = rc.open(real("lerobot_v30_g1_video"))
    video = next(name for name, info in data.streams.items() if info.kind == "video")
    assert video not in rc.Store.load(data, episodes=[0]).streams
    with pytest.raises(rc.Unsupported, match=f"Store.load: stream '{video}' is video"):
        rc.Store.load(data, [video])


def test_shapes_and_dtypes_are_kept(tmp_path):
    data = lerobot_episodes(5, 4)
    for i, columns in enumerate(data):
        rows = 5 - i
        matrix = np.arange(rows * 6, dtype=np.float64).reshape(rows, 2, 3)
        columns["matrix"] = pa.array(matrix.tolist(), pa.list_(pa.list_(pa.float64())))
        columns["done"] = pa.array([r == 0 for r in range(rows)])
        columns["count"] = pa.array(np.arange(rows, dtype=np.uint8))
        columns["say"] = pa.array(["word"] * rows)
    opened = rc.open(write_v21(tmp_path / "d", data))
    store = rc.Store.load(opened)
    assert {n: (i.dtype, i.shape) for n, i in store.streams.items()} == {
        "observation.state": ("float32", (3,)),
        "action": ("float32", (2,)),
        "task_index": ("int64", (1,)),
        "matrix": ("float64", (2, 3)),
        "done": ("bool", (1,)),
        "count": ("uint8", (1,)),
    }
    expect_equal(store, opened)
    with pytest.raises(NotImplementedError, match=r"stream 'say' is text \(string\), expected numbers"):
        rc.Store.load(opened, ["action", "say"])


def test_a_stream_that_an_episode_lacks_has_no_samples_there(tmp_path):
    data = lerobot_episodes(3, 4, 5)
    del data[1]["action"]
    store = rc.Store.load(rc.open(write_v21(tmp_path / "d", data)))
    assert store.offsets("action").tolist() == [0, 3, 3, 8]
    assert store.offsets("observation.state").tolist() == [0, 3, 7, 12]
    assert len(store.values("action")) == len(store.stamps_ns("action")) == 8


def test_episodes_come_in_the_order_asked_for(tmp_path):
    data = rc.open(write_v21(tmp_path / "d", lerobot_episodes(3, 4, 5, 6)))
    expect_equal(rc.Store.load(data, ["action"], episodes=np.array([2, 0])), data, [2, 0])
    assert len(rc.Store.load(data, episodes=[])) == 0
    for wanted, text in (([1, 1], "episode 1 comes twice"), ([0, 9], "no episode 9 in ")):
        with pytest.raises(rc.InvalidArgument, match=f"Store.load: {text}"):
            rc.Store.load(data, episodes=wanted)


def damaged(root: Path, make: Callable[..., Path] = write_v21) -> Path:
    make(root, lerobot_episodes(6, 5, 4, 3))
    (root / "data/chunk-000/episode_000002.parquet").write_bytes(b"PAR1 is not all that it takes")
    return root


def test_damage_raises_or_is_left_out_and_told(tmp_path):
    root = damaged(tmp_path / "d")
    with pytest.raises(rc.DataError, match=r"episode 2: .*episode_000002\.parquet"):
        rc.Store.load(rc.open(root))
    for opened, said in (("skip", None), ("raise", "skip")):
        data = rc.open(root, on_bad_episode=opened)
        store = rc.Store.load(data, on_bad_episode=said)
        expect_equal(store, data, [0, 1, 3])
        assert data.episodes.skipped == [2]
        assert any("skipped, damaged: episode 2" in text for text in problems(data))
    with pytest.raises(rc.DataError):
        rc.Store.load(rc.open(root, on_bad_episode="skip"), on_bad_episode="raise")


def test_a_dtype_that_differs_is_damage(tmp_path):
    data = lerobot_episodes(3, 4)
    data[1]["action"] = data[1]["action"].cast(pa.list_(pa.float64()))
    root = write_v21(tmp_path / "d", data)
    with pytest.raises(rc.DataError, match=r"d: .*'action' in episode 1 is float64 \[2\], expected float32 \[2\]"):
        rc.Store.load(rc.open(root))
    opened = rc.open(root, on_bad_episode="skip")
    assert rc.Store.load(opened).episodes.tolist() == [0]
    assert opened.episodes.skipped == [1]
    assert len(rc.Store.load(rc.open(root), ["observation.state"])) == 2


def test_stamps_that_fall_are_damage(tmp_path):
    data = lerobot_episodes(3, 4)
    data[1]["timestamp"] = pa.array(np.array([0, 2, 1, 3], np.float32))
    data[1]["frame_index"] = pa.array([0, 60, 30, 90])
    root = write_v30(tmp_path / "d", data)
    with pytest.raises(rc.DataError, match=r"in episode 1 is 1000000000 at sample 2, expected at least the 2000000000"):
        rc.Store.load(rc.open(root))
    assert rc.Store.load(rc.open(root, on_bad_episode="skip")).episodes.tolist() == [0]


@pytest.mark.parametrize("make", [write_v21, write_v30])
def test_the_store_does_not_depend_on_the_threads(tmp_path, make):
    root = make(tmp_path / "d", lerobot_episodes(*range(1, 40)))
    one = rc.Store.load(rc.open(root), threads=1)
    expect_equal(one, rc.open(root))
    for threads in (2, 7):
        other = rc.Store.load(rc.open(root), threads=threads)
        for name in one.streams:
            assert one.values(name).tobytes() == other.values(name).tobytes()
            assert one.stamps_ns(name).tobytes() == other.stamps_ns(name).tobytes()
            assert one.offsets(name).tolist() == other.offsets(name).tolist()


def made_up(
    count: int, read: Callable[[int], None], episodes: list[weakref.ref[rc.Episode]] | None = None
) -> rc.Dataset:
    """Episodes of ten samples; `read` is called with the number of each that is read. `episodes` gets those made."""
    info = rc.StreamInfo("a", (1,), "float32", None, "float")

    def load(row: int) -> dict[str, SampleStream]:
        read(row)
        return {"a": SampleStream(info, np.full((10, 1), row, np.float32), np.arange(10))}

    def make(row: int) -> rc.Episode:
        episode = rc.Episode(row, 10, (), ("a",), lambda: load(row))
        if episodes is not None:
            episodes.append(weakref.ref(episode))
        return episode

    return rc.Dataset(
        format="made up",
        path=Path("nowhere"),
        streams={"a": info},
        episode_count=count,
        make_episode=make,
        log=ProblemLog(),
        on_bad_episode="raise",
    )


def test_few_episodes_are_in_memory_at_a_time():
    made: list[weakref.ref[rc.Episode]] = []
    alive: list[int] = []
    data = made_up(60, lambda row: alive.append(sum(episode() is not None for episode in made)), made)
    assert len(rc.Store.load(data, threads=2)) == 60
    assert max(alive) <= 2 * 2 + 1


def test_errors_come_in_order_and_stop_the_reading():
    seen: list[int] = []

    def fail(row: int) -> None:
        seen.append(row)
        if row == 3:
            time.sleep(0.05)
        if row >= 3:
            raise rc.DataError(f"episode {row} is bad")

    with pytest.raises(rc.DataError, match="episode 3 is bad"):
        rc.Store.load(made_up(500, fail), threads=4)
    assert len(seen) < 20


def test_ctrl_c_stops_at_once():
    data = made_up(10_000, lambda row: time.sleep(0.02))
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        rc.Store.load(data, threads=2)
    assert time.monotonic() - begin < 5


def test_progress(capsys, monkeypatch):
    data = made_up(7, lambda row: None)
    calls: list[tuple[int, int]] = []
    rc.Store.load(data, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 7) for i in range(1, 8)]
    rc.Store.load(data)
    rc.Store.load(data, progress=False)
    assert capsys.readouterr().err == ""
    rc.Store.load(data, progress=True)
    assert capsys.readouterr().err.endswith("loading episodes: 7 of 7\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    rc.Store.load(data)
    assert capsys.readouterr().err == ""
    rc.Store.load(made_up(12, lambda row: time.sleep(0.1)), threads=1)
    assert capsys.readouterr().err.endswith("loading episodes: 12 of 12\n")

    def broken(done: int, total: int) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        rc.Store.load(data, progress=broken)


def test_arguments_that_are_refused(tmp_path):
    data = rc.open(write_v21(tmp_path / "d", lerobot_episodes(2)))
    for arguments, text in (
        ({"streams": "action"}, "streams is 'action', expected a list"),
        ({"streams": ["actions"]}, "no stream 'actions' in .*; it has observation.state, action"),
        ({"streams": []}, "streams is empty"),
        ({"on_bad_episode": "ignore"}, "on_bad_episode is 'ignore'"),
        ({"threads": 0}, "threads is 0, expected at least 1"),
    ):
        with pytest.raises(rc.InvalidArgument, match=text):
            rc.Store.load(data, **arguments)
    with pytest.raises(rc.InvalidArgument, match=r"data is str, expected what rc\.open returned"):
        rc.Store.load(str(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="no stream 'x'; it has"):
        rc.Store.load(data).values("x")
