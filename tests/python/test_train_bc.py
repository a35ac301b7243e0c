"""The training example: exact resumption, what its exit status says, and a real dataset."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import make_lerobot as make
import numpy as np
import pytest
from real_data import real

torch = pytest.importorskip("torch")
EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
sys.path.insert(0, str(EXAMPLES))

import train_bc  # noqa: E402

EPOCHS = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six arms that swing; what they are told to do is where they will be."""
    episodes = make.episodes(*[400] * 6)
    for number, columns in enumerate(episodes):
        t = np.arange(401) / 30 + number
        q = np.stack([np.sin(t), np.cos(2 * t), np.sin(3 * t)], axis=1).astype(np.float32)
        columns["observation.state"], columns["action"] = make.vectors(q[:-1]), make.vectors(q[1:, :2])
    return str(make.write_v30(tmp_path_factory.mktemp("data") / "swing", episodes))


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_bc, "WIDTH", 64)
    monkeypatch.setattr(train_bc, "loader_alone", lambda loader: 1.0)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


def train(dataset: str, out: Path, *arguments: str, epochs: int = EPOCHS) -> int:
    return train_bc.main([dataset, "--out", str(out), "--epochs", str(epochs), "--save-every", "2", *arguments])


def parts(state: object) -> list[object]:
    """The leaves of nested dicts and lists."""
    if isinstance(state, (dict, list, tuple)):
        inner = state.values() if isinstance(state, dict) else state
        return [leaf for part in inner for leaf in parts(part)]
    return [state]


def assert_same_run(a: Path, b: Path) -> None:
    """Policy, optimiser, order, random numbers and step, bit for bit."""
    left, right = (parts(torch.load(out / "checkpoint.pt")) for out in (a, b))
    assert len(left) == len(right) > 20
    for one, other in zip(left, right, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("saves", [1, 4, 7])
def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bits(dataset, tmp_path, monkeypatch, saves):
    """Stopped a step after a save, in the middle of an epoch or at its end: that step comes again."""
    assert train(dataset, tmp_path / "whole") == 0

    class StopError(Exception):
        pass

    save, step, left = train_bc.Training.save, train_bc.loss_of, [saves]

    def counted(training):
        save(training)
        left[0] -= 1

    def stopping(predicted, batch):
        if left[0] == 0 and torch.is_grad_enabled():
            left[0] = -1
        elif left[0] < 0:
            raise StopError
        return step(predicted, batch)

    with monkeypatch.context() as patch:
        patch.setattr(train_bc.Training, "save", counted)
        patch.setattr(train_bc, "loss_of", stopping)
        with pytest.raises(StopError):
            train(dataset, tmp_path / "stopped")
    stopped = torch.load(tmp_path / "stopped" / "checkpoint.pt")
    assert stopped["step"] == 2 * saves
    torch.manual_seed(99)
    assert train(dataset, tmp_path / "stopped", "--resume") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_killed_process_is_resumed(dataset, tmp_path):
    """kill -9 leaves a whole checkpoint; here it comes while one may be written."""
    out = tmp_path / "killed"
    command = [sys.executable, str(EXAMPLES / "train_bc.py"), dataset, "--out", str(out), "--save-every", "1"]
    with subprocess.Popen([*command, "--epochs", "1000"], stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not (out / "checkpoint.pt").exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    step = torch.load(out / "checkpoint.pt")["step"]
    assert step >= 1
    epochs = torch.load(out / "checkpoint.pt")["loader"]["epoch"] + 1
    done = subprocess.run([*command, "--epochs", str(epochs), "--resume"], capture_output=True, text=True, check=True)
    assert f"\nstep {step}: validation loss " in done.stdout
    assert re.search(r"the loader alone: [1-9][\d,]* windows/s", done.stdout)
    assert re.search(r"waited for data \d+\.\d\d% of the time", done.stdout)


def test_the_exit_status_says_whether_the_target_was_met(dataset, tmp_path, capsys):
    assert train(dataset, tmp_path, "--target", "0.5", epochs=8) == 0
    assert capsys.readouterr().out.endswith(", target 0.5: met\n")
    assert train(dataset, tmp_path, "--target", "1e-9", "--resume", epochs=8) == 1  # nothing is left to train
    out = capsys.readouterr().out
    assert out.endswith(", target 1e-09: NOT MET\n")
    assert "epoch " not in out
    assert "no scalars for TensorBoard, it is not installed: pip install tensorboard" in out


def test_scalars_for_tensorboard(dataset, tmp_path, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            written.append((folder.name, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def close(self):
            written.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    assert train(dataset, tmp_path, epochs=1) == 0
    names = ["train/loss", "data_wait", "validation/loss", "validation/error"]
    steps = torch.load(tmp_path / "checkpoint.pt")["step"]
    assert written == [("events", 0), *((name, steps) for name in names), "closed"]


def test_what_is_not_there_is_said(dataset, tmp_path, capsys):
    states_only = make.episodes(20, 20)
    for columns in states_only:
        del columns["action"]
    bad = make.write_v30(tmp_path / "states", states_only)
    for path, more, text in (
        (str(tmp_path / "nowhere"), [], "nowhere"),
        (str(bad), [], "no stream action"),
        (dataset, ["--resume"], "checkpoint.pt"),
        (dataset, ["--seed", "-1"], "seed"),
    ):
        assert train(path, tmp_path / "out", *more) == 2
        error = capsys.readouterr().err
        assert error.startswith("train_bc: ")
        assert text in error


def test_a_real_dataset(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_bc, "WIDTH", 128)
    data = str(real("lerobot_v30_g1_real"))
    assert train(data, tmp_path, "--target", "0.5", "--save-every", "1000", epochs=1) == 0
    assert "14720 windows to train on, 3483 held out" in capsys.readouterr().out
