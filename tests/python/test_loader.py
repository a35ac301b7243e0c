"""rc.Loader: batches against the episodes themselves, the order, resumption, processes, frameworks."""

from __future__ import annotations

import functools
import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
import robocache as rc
from made_store import made_store
from real_data import real

STATE, ACTION = "observation.state", "action"
HISTORY = [-k / 30 for k in range(9, -1, -1)]
CHUNK = [k / 30 for k in range(50)]


def gathered(store: rc.Store, name: str, index: np.ndarray, steps: range) -> tuple[np.ndarray, np.ndarray]:
    """Clamp and gather, one sample after the other."""
    ends = store.offsets(name)
    values, pads = [], []
    for i in index:
        episode = int(np.searchsorted(ends, i, "right")) - 1
        rows = i + np.array(steps)
        kept = np.clip(rows, ends[episode], ends[episode + 1] - 1)
        values.append(store.values(name)[kept])
        pads.append(rows != kept)
    return np.stack(values), np.stack(pads)


@pytest.mark.parametrize("dataset", ["lerobot_v21_g1_real", "lerobot_v30_g1_real"])
def test_samples_of_a_real_dataset_come_with_their_neighbours(dataset):
    data = rc.open(real(dataset))
    window = {STATE: rc.offsets(HISTORY), ACTION: rc.future(ms=50 * 1000 / 30, hz=30)}
    loader = rc.Loader(data, window, 512, framework="numpy")
    assert loader.samples == 18203
    seen = []
    for batch in loader:
        for name, steps in ((STATE, range(-9, 1)), (ACTION, range(50))):
            values, pads = gathered(loader.store, name, batch["index"], steps)
            np.testing.assert_array_equal(batch[name], values)
            np.testing.assert_array_equal(batch[name + "_is_pad"], pads)
        np.testing.assert_array_equal(batch["t_ns"], loader.store.stamps_ns(STATE)[batch["index"]])
        seen.append(batch["index"])
    assert sorted(np.concatenate(seen).tolist()) == list(range(18203))
    assert loader.epoch == 1
    assert len(loader) == 36


def aligned(data: rc.Dataset, name: str, interp: str | None, batch: dict[str, Any], offsets_ns: np.ndarray) -> Any:
    """rc.align of one stream around the samples of a batch, episode by episode."""
    out = {"values": [], "valid": [], "age_ns": []}
    by_index = {e.index: e for e in data.episodes}
    for episode, t_ns in zip(batch["episode_index"], batch["t_ns"], strict=True):
        stream = by_index[int(episode)][name]
        at = (t_ns + offsets_ns)[None]
        result = rc.align([rc.Stream(stream.values[None], stream.stamps_ns[None], interp=interp)], at=at)
        for key in out:
            out[key].append(getattr(result, key)[0])
    return {key: np.stack(rows) for key, rows in out.items()}


def test_streams_of_other_clocks_are_aligned():
    data = rc.open(real("rosbag1_robot_localization/csv_from_test1"))
    names = {"odom": None, "imu": "pchip", "imu.orientation": "slerp", "fix.integer": "hold", "fix": "linear"}
    window = {
        name: rc.past(ms=400, hz=20, interp=None if name == "imu.orientation" else i) for name, i in names.items()
    }
    loader = rc.Loader(data, window, 200, valid=True, age=True, framework="numpy", seed=5)
    batch = next(iter(loader))
    offsets_ns = np.round(np.arange(-7, 1) * 1e9 / 20).astype(np.int64)
    for name, interp in names.items():
        want = aligned(data, name, interp, batch, offsets_ns)
        np.testing.assert_array_equal(batch[name], want["values"])
        np.testing.assert_array_equal(batch[name + "_valid"], want["valid"][..., 0])
        np.testing.assert_array_equal(batch[name + "_age_ns"], want["age_ns"][..., 0])
        stamps = data.episodes[0][name].stamps_ns
        at = batch["t_ns"][:, None] + offsets_ns
        np.testing.assert_array_equal(batch[name + "_is_pad"], (at < stamps[0]) | (at > stamps[-1]))


def test_rows_between_frames_are_interpolated():
    data = rc.open(real("lerobot_v30_g1_real"))
    window = {STATE: rc.past(ms=200, hz=50), ACTION: rc.future(ms=1000, hz=50)}
    loader = rc.Loader(data, window, 64, framework="numpy")
    batch = next(iter(loader))
    for name, steps in ((STATE, range(-9, 1)), (ACTION, range(50))):
        want = aligned(data, name, None, batch, np.round(np.array(steps) * 1e9 / 50).astype(np.int64))
        inside = ~batch[name + "_is_pad"]
        np.testing.assert_allclose(batch[name][inside], want["values"][inside], rtol=0, atol=1e-6)


def indices(loader: rc.Loader, batches: int) -> list[list[int]]:
    """Of each of the next batches; ends with the epoch."""
    found = []
    for batch in loader:
        found.append(batch["index"].tolist())
        if len(found) == batches:
            break
    return found


def test_it_goes_on_with_another_number_of_ranks():
    store = made_store((500, 500))
    window = {"state": rc.last(3)}
    whole = functools.reduce(operator.iadd, indices(rc.Loader(store, window, 24, seed=9), -1), [])
    assert sorted(whole) == list(range(1000))
    state, got = None, []
    for world in (1, 2, 4, 3):
        ranks = [rc.Loader(store, window, 24, seed=9, rank=r, world_size=world, prefetch=r) for r in range(world)]
        for loader in ranks:
            if state is not None:
                loader.load_state_dict(state)
        for _ in range(11):
            for loader in ranks:
                got += indices(loader, 1)[0]
        assert len({str(loader.state_dict()) for loader in ranks}) == 1
        state = ranks[0].state_dict()
    assert Counter(got[:1000]) == Counter(whole)
    assert got[:1000] == whole


def test_a_state_of_another_order_is_refused():
    loader = rc.Loader(made_store(), {"state": rc.last(1)}, 8, seed=1)
    state = loader.state_dict()
    for other in (
        rc.Loader(made_store(), {"state": rc.last(1)}, 8),
        rc.Loader(made_store((5,)), {"state": rc.last(1)}, 8, seed=1),
    ):
        with pytest.raises(ValueError, match="another order"):
            other.load_state_dict(state)


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_arrays_are_of_the_framework(framework):
    pytest.importorskip(framework)
    loader = rc.Loader(made_store(), {"state": rc.last(2)}, 10, shuffle=False, framework=framework, dtype="float16")
    batch = next(iter(loader))
    assert type(batch["state"]).__module__.startswith(framework)
    assert tuple(batch["state"].shape) == (10, 2, 2)
    np.testing.assert_array_equal(np.asarray(batch["state"])[:, 1, 0], np.arange(10))
    np.testing.assert_array_equal(np.asarray(batch["index"]), np.arange(10))


def test_batches_stay_as_they_are():
    with rc.Loader(made_store((400,)), {"state": rc.last(1)}, 10, shuffle=False, framework="numpy") as loader:
        kept = list(loader)
    for i, batch in enumerate(kept):
        np.testing.assert_array_equal(batch["state"][:, 0, 0], np.arange(10 * i, 10 * i + 10))
    with pytest.raises(ValueError, match="closed"):
        next(iter(loader))


def test_torchs_own_loop_takes_it():
    torch = pytest.importorskip("torch")
    from robocache.torch import LoaderDataset

    loader = rc.Loader(made_store(), {"state": rc.last(1)}, 10)
    batches = torch.utils.data.DataLoader(LoaderDataset(loader), batch_size=None)
    assert len(batches) == 6
    assert sorted(torch.cat([b["index"] for b in batches]).tolist()) == list(range(53))
    workers = torch.utils.data.DataLoader(LoaderDataset(loader), batch_size=None, num_workers=1)
    with pytest.raises(NotImplementedError, match="num_workers"):
        next(iter(workers))


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("window is {}, expected a dict", {"window": {}}),
        ("expected rc.past", {"window": {"state": [0.1]}}),
        ("window is of stream 'video', expected one of state", {"window": {"video": rc.last(1)}}),
        ("offsets_s is 0.05, expected a multiple of 1 / 10 s", {"window": {"state": rc.offsets([0.05])}}),
        ("batch_size", {"batch_size": 0}),
        ("normalize has 'action'", {"normalize": {"action": "min_max"}}),
        ("expected 'mean_std', 'min_max'", {"normalize": "standard"}),
        ("has 1 numbers, expected 2", {"normalize": {"state": {"min": [0], "max": [1]}}}),
        ("prefetch is -1", {"prefetch": -1}),
        ("framework is 'tf'", {"framework": "tf"}),
        ("episodes is given beside a Store", {"episodes": [0]}),
        ("anchor is 'imu'", {"anchor": "imu"}),
    ],
)
def test_what_does_not_fit_is_named(text, arguments):
    call: dict[str, Any] = {"window": {"state": rc.last(1)}, "batch_size": 4, **arguments}
    with pytest.raises(ValueError) as error:
        rc.Loader(made_store(), **call)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("past: ms is -1", lambda: rc.past(ms=-1, hz=5)),
        ("which are 7.5 rows", lambda: rc.future(ms=250, hz=30)),
        ("offsets: seconds has nan", lambda: rc.offsets([float("nan")])),
        ("last: samples is 0", lambda: rc.last(0)),
    ],
)
def test_windows_say_what_does_not_fit(text, make):
    with pytest.raises(ValueError) as error:
        make()
    assert text in str(error.value)


def test_past_and_future_end_and_begin_at_the_sample():
    assert rc.past(ms=200, hz=50).offsets_s == tuple(-k / 50 for k in range(9, -1, -1))
    assert rc.future(ms=60, hz=50).offsets_s == (0, 1 / 50, 2 / 50)


def test_video_is_refused_by_name():
    data = rc.open(real("lerobot_v21_g1_real"))
    video = next(name for name, info in data.streams.items() if info.kind == "video")
    with pytest.raises(NotImplementedError, match=video):
        rc.Loader(data, {video: rc.last(1)}, 4)


def test_episodes_are_chosen_by_their_numbers():
    data = rc.open(real("lerobot_v21_g1_real"))
    loader = rc.Loader(data, {STATE: rc.last(1)}, 64, episodes=[31, 7], framework="numpy")
    assert {int(e) for batch in loader for e in batch["episode_index"]} == {7, 31}


def test_another_process_needs_a_loader_of_its_own():
    loader = rc.Loader(made_store(), {"state": rc.last(1)}, 4)
    next(iter(loader))
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(loader)
    child = os.fork()
    if child == 0:
        try:
            next(iter(loader))
        except NotImplementedError as error:
            os._exit(0 if "fork" in str(error) else 2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    next(iter(loader))


PROGRAM = """
import sys, numpy as np, robocache as rc
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
builder = rc.StoreBuilder([rc.StreamInfo("state", (32,), "float32", 100.0, "float")])
stamps = np.arange(20_000) * 10_000_000
builder.append(0, {"state": (np.ones((20_000, 32), np.float32), stamps)})
loader = rc.Loader(builder.finish(), {"state": rc.past(ms=500, hz=100)}, 256, framework="numpy")
"""


def test_epochs_take_no_memory():
    program = PROGRAM + "for _ in loader: pass\nfor _ in loader: pass\nbefore = resident()\n"
    program += "for _ in range(20):\n    for _ in loader: pass\nprint(resident() - before)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(said.stdout) < 8 << 20  # a batch is 1.6 MB


def test_ctrl_c_ends_a_loop():
    program = PROGRAM + "print('ready', flush=True)\nwhile True:\n    for _ in loader: pass\n"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert "KeyboardInterrupt" in said
    assert child.returncode != 0


def test_the_dataset_says_how_its_streams_are_interpolated():
    infos = [
        rc.StreamInfo("grip", (1,), "float32", None, "float", interp="hold"),
        rc.StreamInfo("yaw", (1,), "float32", None, "float", interp="angle"),
    ]
    builder = rc.StoreBuilder(infos)
    stamps = np.array([0, 1_000_000_000])
    values = {"grip": np.array([[0], [1]], np.float32), "yaw": np.array([[3.1], [-3.1]], np.float32)}
    builder.append(0, {name: (v, stamps) for name, v in values.items()})
    window = {"grip": rc.offsets([0.5], interp=None), "yaw": rc.offsets([0.5])}
    batch = next(iter(rc.Loader(builder.finish(), window, 1, shuffle=False, framework="numpy")))
    assert batch["grip"].item() == 0
    assert abs(batch["yaw"].item()) == pytest.approx(np.pi, abs=1e-5)


def test_names_do_not_collide():
    with pytest.raises(ValueError, match="window has 'a_is_pad'"):
        rc.Loader(made_store(streams=("a", "a_is_pad")), {"a": rc.last(1), "a_is_pad": rc.last(1)}, 4)


def test_threads_share_a_loader():
    import threading

    loader = rc.Loader(made_store((8000,)), {"state": rc.last(1)}, 10)
    found: list[list[int]] = [[] for _ in range(4)]

    def take(mine: list[int]) -> None:
        for _ in range(100):
            mine += loader._core.next()["index"].tolist()

    threads = [threading.Thread(target=take, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loader.state == (0, 4000)
    assert len(set(functools.reduce(operator.iadd, found, []))) == 4000


def test_each_iteration_of_torchs_loop_is_an_epoch():
    torch = pytest.importorskip("torch")
    from robocache.torch import LoaderDataset

    loader = rc.Loader(made_store(), {"state": rc.last(1)}, 10)
    batches = torch.utils.data.DataLoader(LoaderDataset(loader), batch_size=None)
    for _ in batches:
        assert len(batches) == 6
        break
    assert len(list(batches)) == 6
    assert loader.epoch == 2
    state = loader.state_dict()
    next(iter(batches))
    loader.load_state_dict({**state, "epoch": 7, "position": 20})
    assert len(list(batches)) == 4
    assert loader.epoch == 8
    next(iter(batches))
    loader.load_state_dict(loader.state_dict())
    assert len(list(batches)) == 5
