"""rc.StoreBuilder by hand: arrays in and out, refusals, threads, memory."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
import robocache as rc
from make_lerobot import episodes as lerobot_episodes
from make_lerobot import write_v21


def test_by_hand():
    builder = rc.StoreBuilder([rc.StreamInfo("a", (2,), "float32", 10.0, "float")])
    builder.add("b", shape=(), dtype=np.int16)
    builder.add("c", (0,), "bool", rate_hz=10)
    a, stamps = np.arange(8, dtype=np.float32).reshape(4, 2)[::2], [0, 100_000_000]
    builder.append(5, {"a": (a, np.array(stamps)), "c": (np.zeros((2, 0), bool), np.array(stamps))})
    builder.append(7, {"b": (np.array([1, 2, 3], np.int16), np.array([4, 4, 5]))})
    builder.append(9)
    store = builder.finish()
    assert store.episodes.tolist() == [5, 7, 9]
    assert store.values("a").tolist() == [[0, 1], [4, 5]]
    assert store.values("b").tolist() == [1, 2, 3]
    assert store.values("c").shape == (2, 0)
    assert store.offsets("a").tolist() == [0, 2, 2, 2]
    assert store.offsets("b").tolist() == [0, 0, 3, 3]
    assert (store.frame_rate_hz("a"), store.frame_rate_hz("b")) == (10, None)
    assert repr(store) == "Store(3 episodes, 3 streams, 2 clocks, 0.0 MB)"
    again = builder.finish()
    assert (len(again), len(again.values("a")), again.offsets("b").tolist()) == (0, 0, [0])


def test_torch_tensors_can_be_appended():
    torch = pytest.importorskip("torch")
    builder = rc.StoreBuilder()
    builder.add("a", (3,))
    values = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    builder.append(0, {"a": (values, torch.tensor([1, 2]))})
    assert builder.finish().values("a").tolist() == values.tolist()


def some() -> dict[str, tuple[Any, Any]]:
    return {"a": (np.zeros((2, 3), np.float32), np.array([1, 2]))}


ROWS = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("streams", "error", "text"),
    [
        ({"b": (0, 0)}, rc.InvalidArgument, "no stream 'b'; it has a"),
        (
            {"a": (np.zeros((2, 4), np.float32), np.arange(2))},
            rc.InvalidArgument,
            r"is \[2, 4\], expected S samples of",
        ),
        ({"a": (np.zeros((2, 3)), np.arange(2))}, rc.InvalidArgument, "values is float64, expected float32"),
        ({"a": (ROWS, np.arange(3))}, rc.InvalidArgument, r"stamps_ns is \[3\], expected \[S=2\]"),
        ({"a": (ROWS, np.zeros(2))}, rc.InvalidArgument, "stamps_ns is float64, expected int64"),
        ({"a": (np.zeros((3, 2), np.float32).T, np.arange(2))}, rc.InvalidArgument, "an array with gaps"),
        ({"a": (ROWS, np.array([2, 1]))}, rc.DataError, "stream 'a' in episode 4 is 1 at sample 1"),
        ({"a": np.zeros((3, 3))}, TypeError, "incompatible"),
    ],
)
def test_a_refused_episode_changes_nothing(streams, error, text):
    builder = rc.StoreBuilder()
    builder.add("a", (3,))
    builder.append(1, some())
    with pytest.raises(error, match=text):
        builder.append(4, streams)
    builder.append(2, some())
    assert builder.finish().offsets("a").tolist() == [0, 2, 4]


def test_arguments_that_are_refused(tmp_path):
    builder = rc.StoreBuilder()
    with pytest.raises(rc.InvalidArgument, match="streams is empty, expected at least one"):
        builder.finish()
    builder.add("a")
    with pytest.raises(rc.InvalidArgument, match="'a' comes again"):
        builder.add("a")
    with pytest.raises(rc.InvalidArgument, match="dtype of 'z' is complex64"):
        builder.add("z", dtype="complex64")
    with pytest.raises(rc.Unsupported, match="stream 'v' is video"):
        rc.StoreBuilder([rc.StreamInfo("v", (3, 4, 4), "video", 30.0, "video")])
    builder.append(0)
    with pytest.raises(rc.InvalidArgument, match="'b' comes after an episode"):
        builder.add("b")
    data = rc.open(write_v21(tmp_path / "d", lerobot_episodes(2)))
    with pytest.raises(rc.InvalidArgument, match="beside an Episode"):
        builder.append(data.episodes[0], {})


def test_arrays_are_read_only_and_outlive_the_store():
    builder = rc.StoreBuilder()
    builder.add("a", (3,))
    builder.append(0, {"a": (np.ones((2, 3), np.float32), np.array([1, 2]))})
    store = builder.finish()
    arrays = [store.values("a"), store.stamps_ns("a"), store.offsets("a"), store.episodes]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    for refused in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Store: pickling is not possible"):
            refused(store)
    del store
    gc.collect()
    for array, want in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, want)


def test_several_threads_may_append():
    builder = rc.StoreBuilder()
    builder.add("a", (1000,))

    def work(thread: int) -> None:
        for _ in range(50):
            builder.append(thread, {"a": (np.full((20, 1000), thread, np.float32), np.arange(20))})

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = builder.finish()
    assert sorted(store.episodes.tolist()) == sorted(list(range(4)) * 50)
    assert (store.values("a").reshape(200, -1) == store.episodes[:, None]).all()


# ru_maxrss would not do: it begins with that of the process that started this one.
GROW = """
import re, numpy as np, robocache as rc
peak_bytes = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
builder = rc.StoreBuilder()
builder.add("a", (64,))
builder.add("b", (192,))
a, b, stamps = np.ones((1000, 64), np.float32), np.ones((1000, 192), np.float32), np.arange(1000)
before = peak_bytes()
for e in range(200):
    builder.append(e, {"a": (a, stamps), "b": (b, stamps)})
store = builder.finish()
print((peak_bytes() - before) / sum(store.values(name).nbytes for name in store.streams))
"""


def test_there_never_are_two_copies():
    out = subprocess.run([sys.executable, "-c", GROW], check=True, capture_output=True, text=True).stdout
    assert 0.9 < float(out) <= 1.3
