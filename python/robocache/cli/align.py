"""`robocache align`: every stream at the same instants, one file for all episodes."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import robocache
from robocache._frameworks import to_numpy
from robocache.cli.plan import StreamPlan, plan_streams
from robocache.cli.progress import count, progress
from robocache.cli.writers import Column, open_output
from robocache.dataset import Dataset
from robocache.episode import NUMERIC_KINDS, SKIPPED, Episode
from robocache.errors import DataError, InvalidArgument, Unsupported
from robocache.rates import exact_rate, tick_count, ticks_ns

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Options:
    """What holds for all streams and episodes. Times in ns; `start_ns` and `end_ns` from the episode's beginning."""

    hz: float
    start_ns: int
    end_ns: int | None
    max_gap_ns: int | None
    max_age_ns: int | None
    device: str


def run(arguments: argparse.Namespace) -> None:
    """Aligns all episodes and says on stderr what was left out."""
    options = _options(arguments)
    data = robocache.open(arguments.path, on_bad_episode=arguments.on_bad_episode, fps=arguments.fps)
    only = None if arguments.streams is None else [name.strip() for name in arguments.streams.split(",")]
    plans = plan_streams(data, only, _interps(arguments.interp))
    if len(data.episodes) == 0:
        detail = f": {data.problems[0]}" if data.problems else ""
        raise DataError(f"align: {data.path} has no episode that can be read{detail}")

    rows = episodes = 0
    with open_output(arguments.output, _columns(plans), _metadata(data, plans, options)) as writer:
        for episode in progress(data.episodes, len(data.episodes), "aligning"):
            try:
                columns = align_episode(episode, plans, options)
            except DataError as error:
                if arguments.on_bad_episode == "raise":
                    raise
                data.episodes.skip(episode, error)
                continue
            writer.write(columns)
            rows += len(columns["t_ns"])
            episodes += 1
        if rows == 0:
            raise DataError(_why_no_row(data, episodes, options))
    whole = {name: info for name, info in data.streams.items() if info.part_of is None}
    left_out = [name for name, info in whole.items() if only is None and info.kind not in NUMERIC_KINDS]
    _summarise(data, arguments, [count(rows, "row"), count(episodes, "episode"), count(len(plans), "stream")], left_out)


def _why_no_row(data: Dataset, episodes: int, options: Options) -> str:
    if episodes == 0:
        skipped = next(problem for problem in data.problems if problem.what.startswith(SKIPPED))
        return f"align: no episode of {data.path} can be aligned; {skipped}"
    cropped = options.start_ns > 0 or options.end_ns is not None
    why = "with these --start and --end" if cropped else "because no stream of numbers has a sample"
    return f"align: no row in {count(episodes, 'episode')} of {data.path} {why}"


def _summarise(data: Dataset, arguments: argparse.Namespace, done: Sequence[str], left_out: Sequence[str]) -> None:
    print(f"{arguments.output}: {', '.join(done)}")
    if left_out:
        print(f"left out, no numbers: {', '.join(left_out)}", file=sys.stderr)
    if data.episodes.skipped:
        print(f"skipped, damaged: episodes {', '.join(map(str, data.episodes.skipped))}", file=sys.stderr)
    if data.problems:
        problems = count(len(data.problems), "problem")
        print(f"{problems} with the files; see robocache inspect {data.path}", file=sys.stderr)


def _options(arguments: argparse.Namespace) -> Options:
    def nanoseconds(option: str, value: float | None, unit_ns: int) -> int | None:
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InvalidArgument(f"align: {option} is {value}, expected a number that is not negative")
        return None if value is None else round(value * unit_ns)

    if not (math.isfinite(arguments.hz) and arguments.hz > 0):
        raise InvalidArgument(f"align: --hz is {arguments.hz}, expected a positive rate")
    start = nanoseconds("--start", arguments.start, 10**9) or 0
    end = nanoseconds("--end", arguments.end, 10**9)
    if end is not None and end < start:
        raise InvalidArgument(f"align: --end is {arguments.end}, expected --start or later ({arguments.start})")
    return Options(
        hz=arguments.hz,
        start_ns=start,
        end_ns=end,
        max_gap_ns=nanoseconds("--max-gap-ms", arguments.max_gap_ms, 10**6),
        max_age_ns=nanoseconds("--max-age-ms", arguments.max_age_ms, 10**6),
        device=_device(arguments.device),
    )


def _device(asked: str) -> str:
    """The device to use: arrays reach a GPU through torch."""
    if asked == "cpu":
        return "cpu"
    lacks = "" if robocache.is_cuda_available() else f"there is none: {robocache.check_installation()['cuda_reason']}"
    if not lacks:
        try:
            import torch

            lacks = "" if torch.cuda.is_available() else "torch has no CUDA"
        except ModuleNotFoundError:
            lacks = "torch is not installed, which brings the arrays there"
    if lacks and asked == "cuda":
        raise Unsupported(f"align: --device is cuda, but {lacks}")
    return "cpu" if lacks else "cuda"


def _interps(settings: Sequence[str]) -> dict[str, str]:
    out = {}
    for setting in settings:
        name, equals, mode = setting.rpartition("=")
        if not equals or not name:
            raise InvalidArgument(f"align: --interp is {setting!r}, expected NAME=MODE")
        out[name] = mode
    return out


def _columns(plans: Sequence[StreamPlan]) -> list[Column]:
    columns = [Column("episode_index", np.dtype(np.int64)), Column("t_ns", np.dtype(np.int64))]
    for plan in plans:
        shape = () if plan.width == 1 else plan.info.shape
        columns.append(Column(plan.info.name, np.dtype(plan.info.dtype), shape))
        columns.append(Column(f"{plan.info.name}.valid", np.dtype(np.bool_)))
        columns.append(Column(f"{plan.info.name}.age_ns", np.dtype(np.int64)))
    return columns


def _metadata(data: Dataset, plans: Sequence[StreamPlan], options: Options) -> dict[str, Any]:
    streams = {
        plan.info.name: {
            "kind": plan.info.kind,
            "interp": [{"columns": [part.start, part.stop], "mode": part.interp} for part in plan.parts],
            "names": plan.info.names,
            "units": plan.info.units,
        }
        for plan in plans
    }
    return {
        "version": robocache.__version__,
        "format": data.format,
        "hz": options.hz,
        "max_gap_ns": options.max_gap_ns,
        "max_age_ns": options.max_age_ns,
        "streams": streams,
        "tasks": data.tasks,
    }


def align_episode(episode: Episode, plans: Sequence[StreamPlan], options: Options) -> Mapping[str, Array]:
    """Columns of the output, [T, ...] each. A stream that the episode lacks has no valid row.

    Raises
    ------
    DataError
        The episode is damaged, its stamps decrease, or a stream has another dtype than before.
    InvalidArgument
        The rate gives more rows than memory holds.
    """
    samples = {plan.info.name: _samples(episode, plan) for plan in plans}
    at = _targets(episode, [stamps for _, stamps in samples.values()], _columns(plans), options)
    streams = [
        robocache.Stream(
            _on_device(samples[plan.info.name][0], options.device),
            _on_device(samples[plan.info.name][1], options.device),
            interp=[(part.interp, part.stop - part.start) for part in plan.parts] or None,
            max_gap_ns=options.max_gap_ns,
            max_age_ns=options.max_age_ns,
            name=plan.info.name,
        )
        for plan in plans
    ]
    try:
        result = robocache.align(streams, _on_device(at, options.device), check="now")
    except ValueError as error:
        raise DataError(f"episode {episode.index}: {error}") from error
    return _gather(episode, at, plans, result)


def _samples(episode: Episode, plan: StreamPlan) -> tuple[Array, npt.NDArray[np.int64]]:
    """Values [S, D] in the dtype of the dataset, and stamps [S]."""
    dtype = np.dtype(plan.info.dtype)
    if plan.info.name not in episode:
        return np.empty((0, plan.width), dtype), np.empty(0, np.int64)
    stream = episode[plan.info.name]
    values = stream.values.reshape(len(stream), plan.width)
    if not np.can_cast(values.dtype, dtype, "same_kind"):
        raise DataError(f"episode {episode.index}: {plan.info.name} is {values.dtype}, expected {dtype} as before")
    return values.astype(dtype, copy=False), stream.stamps_ns


def _on_device(array: Array, device: str) -> Any:
    if device == "cpu":
        return array
    import torch

    return torch.tensor(array, device=device)


def _targets(
    episode: Episode, stamps: Sequence[npt.NDArray[np.int64]], columns: Sequence[Column], options: Options
) -> npt.NDArray[np.int64]:
    """The part of `robocache.grid` from --start to --end; no more of it is made."""
    ends = [int(s[i]) for s in stamps if len(s) for i in (0, -1)]
    if not ends:
        return np.empty(0, np.int64)
    start_ns, span_ns = min(ends), max(ends) - min(ends)
    rate = exact_rate(options.hz)
    first = tick_count(options.start_ns - 1, rate) if options.start_ns > 0 else 0
    stop = tick_count(span_ns if options.end_ns is None else min(options.end_ns, span_ns), rate)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Twice: what align writes, and the columns made of it.
    if 2 * (stop - first) * sum(column.row_bytes for column in columns) > memory:
        raise InvalidArgument(
            f"align: --hz is {options.hz:g}, which gives {stop - first:,} rows in the {span_ns * 1e-9:,.3f} s of "
            f"episode {episode.index}, expected what {memory >> 30} GiB of memory hold"
        )
    return start_ns + ticks_ns(np.arange(first, stop), rate)


def _gather(
    episode: Episode, at: npt.NDArray[np.int64], plans: Sequence[StreamPlan], result: Any
) -> Mapping[str, Array]:
    rows = len(at)
    columns: dict[str, Array] = {"episode_index": np.full(rows, episode.index, np.int64), "t_ns": at}
    valid, age_ns = to_numpy(result.valid), to_numpy(result.age_ns)
    for i, (plan, array) in enumerate(zip(plans, result.split(), strict=True)):
        name, values = plan.info.name, to_numpy(array)
        columns[name] = values.reshape(rows) if plan.width == 1 else values.reshape(rows, *plan.info.shape)
        columns[f"{name}.valid"] = valid[:, i]
        columns[f"{name}.age_ns"] = age_ns[:, i]
    return columns
