"""Dataset.samples: the list of samples that LeRobotDataset is, by its own rules."""

from __future__ import annotations

import numpy as np
import pytest
import robocache as rc
from make_lerobot import episodes as lerobot_episodes
from make_lerobot import write_v21
from real_data import real

STATE, ACTION = "observation.state", "action"
DELTAS = {STATE: [-2 / 30, 0.0], ACTION: [k / 30 for k in range(100)]}


@pytest.mark.parametrize("dataset", ["lerobot_v21_g1_real", "lerobot_v30_g1_real"])
def test_every_sample_is_what_lerobots_rules_say(dataset):
    data = rc.open(real(dataset))
    samples = data.samples(DELTAS, framework="numpy")
    assert len(samples) == sum(e.length for e in data.episodes)
    begin = 0
    for row, episode in enumerate(data.episodes):
        for frame in {0, 1, episode.length // 2, episode.length - 1} if row % 5 else range(episode.length):
            sample = samples[begin + frame]
            assert sample["index"] == begin + frame
            assert sample["frame_index"] == frame
            assert sample["episode_index"] == episode.index
            assert sample["timestamp"] == np.float32(frame / 30)
            assert sample["task"] == data.tasks[int(sample["task_index"])]
            for name, deltas in DELTAS.items():
                rows = np.array([frame + round(d * 30) for d in deltas])
                kept = np.clip(rows, 0, episode.length - 1)
                np.testing.assert_array_equal(sample[name], episode[name].values[kept])
                np.testing.assert_array_equal(sample[name + "_is_pad"], rows != kept)
        begin += episode.length


def test_without_deltas_streams_are_single_samples(tmp_path):
    write_v21(tmp_path, lerobot_episodes(12, 5))
    data = rc.open(tmp_path)
    samples = data.samples(framework="numpy")
    sample = samples[3]
    for name, info in data.streams.items():
        if info.kind in ("text", "video"):
            continue
        assert np.shape(sample[name]) == (() if info.shape == (1,) else info.shape), name
        assert name + "_is_pad" not in sample


def test_it_is_a_sequence():
    samples = rc.open(real("lerobot_v30_g1_real")).samples(episodes=[3, 9], framework="numpy")
    assert samples[-1]["index"] == len(samples) - 1
    assert [s["index"] for s in samples[2:9:3]] == [2, 5, 8]
    assert {int(s["episode_index"]) for s in samples} == {3, 9}
    for index in (len(samples), -len(samples) - 1):
        with pytest.raises(IndexError):
            samples[index]
    with pytest.raises(ValueError, match="delta_timestamps has 'none'"):
        rc.open(real("lerobot_v30_g1_real")).samples({"none": [0]})


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_loader_takes_it(workers):
    torch = pytest.importorskip("torch")
    samples = rc.open(real("lerobot_v30_g1_real")).samples(DELTAS)
    loader = torch.utils.data.DataLoader(samples, batch_size=64, shuffle=True, num_workers=workers)
    batch = next(iter(loader))
    assert tuple(batch[ACTION].shape) == (64, 100, 26)
    assert batch[ACTION].dtype == torch.float32
    assert tuple(batch[ACTION + "_is_pad"].shape) == (64, 100)
    assert batch[ACTION + "_is_pad"].dtype == torch.bool
    assert batch["timestamp"].dtype == torch.float32
    assert len(batch["task"]) == 64
    want = samples[int(batch["index"][5])]
    assert torch.equal(batch[ACTION][5], want[ACTION])


def test_stamps_that_repeat_are_samples_of_their_own(tmp_path):
    rows = ["t_ns,x_m", "0,0", "5,1", "5,2", "5,3", "9,4"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    samples = rc.open(tmp_path).samples(framework="numpy")
    (name,) = (name for name in rc.open(tmp_path).streams)
    assert [float(s[name]) for s in samples] == [0, 1, 2, 3, 4]
    assert [float(s["timestamp"]) for s in samples] == [np.float32(t / 1e9) for t in (0, 5, 5, 5, 9)]


def test_tasks_may_have_deltas():
    samples = rc.open(real("lerobot_v30_g1_real")).samples({"task_index": [0, 1 / 30]}, framework="numpy")
    assert samples[0]["task_index"].shape == (2,)
    assert samples[0]["task"] == "Pick up the yellow bottle on the table."
    with pytest.raises(ValueError, match="delta_timestamps has 'timestamp'"):
        rc.open(real("lerobot_v30_g1_real")).samples({"timestamp": [0]})
