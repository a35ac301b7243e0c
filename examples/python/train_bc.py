"""Behaviour cloning: a small policy learns the next actions from the last states, fed by `rc.Loader`. Needs torch.

python examples/python/train_bc.py DATA --target 0.21   # a LeRobot dataset; exit status 1 where the target is not met
python examples/python/train_bc.py DATA --resume        # goes on from the last checkpoint

A run that was stopped, however, and resumed ends with the weights of one that was not, bit for bit: the checkpoint has
the policy, the optimiser, torch's random numbers and `loader.state_dict()`. (On one machine, that is, and with one
number of threads: torch's sums depend on both.)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import robocache as rc
import torch
from torch import Tensor, nn

STATE, ACTION = "observation.state", "action"
HISTORY, CHUNK = 10, 50  # samples that the policy sees, and actions that it plans
BATCH, WIDTH = 256, 256
HELD_OUT = 5  # of every so many episodes the first is for validation


def open_loaders(path: str, seed: int) -> tuple[rc.Loader, rc.Loader]:
    """Windows of the episodes to train on, shuffled, and of those held out, in order."""
    data = rc.open(path)
    if missing := {STATE, ACTION} - set(data.streams):
        raise rc.DataError(f"{path}: no stream {' and no '.join(sorted(missing))}")
    rate_hz = data.streams[ACTION].rate_hz
    if rate_hz is None:
        raise rc.DataError(f"{path}: stream {ACTION} has no rate, by which actions follow each other")
    every = [episode.index for episode in data.episodes]
    held_out = every[::HELD_OUT]
    trained_on = sorted(set(every) - set(held_out))
    window = {STATE: rc.last(HISTORY), ACTION: rc.offsets([k / rate_hz for k in range(CHUNK)])}
    train = rc.Loader(data, window, BATCH, seed=seed, episodes=trained_on, normalize="mean_std", dtype="float32")
    # What is held out has no say in the numbers that normalise it.
    seen = {name: normalizer.statistics for name, normalizer in train.normalizers.items()}
    return train, rc.Loader(data, window, BATCH, shuffle=False, episodes=held_out, normalize=seen, dtype="float32")


class Policy(nn.Module):
    """[B, HISTORY, states] to [B, CHUNK, actions], both normalised."""

    def __init__(self, states: int, actions: int) -> None:
        super().__init__()
        self.actions = actions
        self.layers = nn.Sequential(
            nn.Linear(HISTORY * states, WIDTH),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(WIDTH, WIDTH),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(WIDTH, CHUNK * actions),
        )

    def forward(self, states: Tensor) -> Tensor:
        return self.layers(states.flatten(1)).unflatten(1, (CHUNK, self.actions))


def loss_of(predicted: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Mean square of the normalised error, of actions that the episode has. Predicting the mean gets about 1."""
    return (predicted - batch[ACTION]).square().mean(-1)[~batch[ACTION + "_is_pad"]].mean()


@torch.no_grad()
def validate(policy: Policy, loader: rc.Loader) -> tuple[float, float]:
    """The loss, and the mean absolute error of the restored actions, in the units of the dataset."""
    policy.eval()
    restore = loader.normalizers[ACTION].restore
    loss = error = count = 0.0
    for batch in loader:
        predicted, inside = policy(batch[STATE]), ~batch[ACTION + "_is_pad"]
        rows = int(inside.sum())
        loss += float(loss_of(predicted, batch)) * rows
        error += float((restore(predicted) - restore(batch[ACTION])).abs().mean(-1)[inside].sum())
        count += rows
    policy.train()
    return loss / count, error / count


@dataclass
class Training:
    """All that a run is made of, and what a checkpoint has."""

    loader: rc.Loader
    policy: Policy
    optimizer: torch.optim.Optimizer
    checkpoint: Path
    step: int = 0

    def save(self) -> None:
        """The file is the old one or the new one, whenever the process or the machine stops."""
        state = {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.loader.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
        }
        part = self.checkpoint.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.checkpoint)

    def resume(self) -> None:
        state = torch.load(self.checkpoint)
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loader.load_state_dict(state["loader"])
        torch.set_rng_state(state["random"])
        self.step = state["step"]

    def epoch(self, save_every: int) -> dict[str, float]:
        """Trains on the rest of the loader's epoch. The time of saving belongs to no step."""
        losses, waited_s, worked_s = [], 0.0, 0.0
        asked = time.perf_counter()
        for batch in self.loader:
            came = time.perf_counter()
            loss = loss_of(self.policy(batch[STATE]), batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
            waited_s, worked_s = waited_s + came - asked, worked_s + time.perf_counter() - came
            self.step += 1
            if self.step % save_every == 0:
                self.save()
            asked = time.perf_counter()
        return {"train/loss": sum(losses) / len(losses), "data_wait": waited_s / (waited_s + worked_s)}


def loader_alone(loader: rc.Loader, seconds: float = 0.5) -> float:
    """Windows per second that the loader delivers where nobody trains."""
    start, windows = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        windows += sum(len(batch["index"]) for batch in loader)
    speed = windows / (time.perf_counter() - start)
    loader.set_epoch(0)
    return speed


def event_writer(folder: Path, step: int) -> Any:
    """TensorBoard's, where it is installed; what an earlier run wrote of later steps is purged."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("no scalars for TensorBoard, it is not installed: pip install tensorboard")
        return None
    print(f"scalars for TensorBoard: {folder}")
    return SummaryWriter(folder, purge_step=step)


def run(training: Training, held_out: rc.Loader, epochs: int, save_every: int, writer: Any) -> float:
    """Trains up to `epochs`, and returns the last validation loss."""
    loss, error = validate(training.policy, held_out)
    print(f"step {training.step}: validation loss {loss:.4f}")
    while training.loader.epoch < epochs:
        epoch = training.loader.epoch
        scalars = training.epoch(save_every)
        loss, error = validate(training.policy, held_out)
        scalars |= {"validation/loss": loss, "validation/error": error}
        for name, value in scalars.items() if writer else ():
            writer.add_scalar(name, value, training.step)
        print(
            f"epoch {epoch + 1:3}  step {training.step:6}  loss {scalars['train/loss']:.4f}  validation {loss:.4f}"
            f"  error {error:.4f}  waited for data {scalars['data_wait']:.2%} of the time",
            flush=True,
        )
    training.save()
    return loss


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train a behaviour-cloning policy on a LeRobot dataset.")
    parser.add_argument("data", help=f"a dataset with the streams {STATE} and {ACTION}")
    parser.add_argument("--out", type=Path, default=Path("build/train_bc"), help="folder for checkpoint and scalars")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, help="validation loss to reach: exit status 1 if it is not")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS")
    options = parser.parse_args(arguments)

    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        train, held_out = open_loaders(options.data, options.seed)
        print(f"{train.samples} windows to train on, {held_out.samples} held out, in other episodes")
        print(f"the loader alone: {loader_alone(train):,.0f} windows/s")
        policy = Policy(*(train.store.streams[name].shape[0] for name in (STATE, ACTION)))
        optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
        training = Training(train, policy, optimizer, options.out / "checkpoint.pt")
        if options.resume:
            training.resume()
    except (OSError, ValueError, NotImplementedError) as error:
        print(f"train_bc: {error}", file=sys.stderr)
        return 2

    writer = event_writer(options.out / "events", training.step)
    loss = run(training, held_out, options.epochs, options.save_every, writer)
    if writer:
        writer.close()
    if options.target is None:
        return 0
    met = loss <= options.target
    print(f"validation loss {loss:.4f}, target {options.target:g}: {'met' if met else 'NOT MET'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
