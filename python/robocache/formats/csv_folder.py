"""Reader of a folder of CSV files, one episode: each file has a header row, a stamp column and streams.

Streams of a file `imu.csv`, by the names of its columns:

- four contiguous columns named like a quaternion (`qx qy qz qw`, `left_quat_w` first, `orientation.x` ...) are a stream
  of kind "quaternion": `imu.orientation`, with a prefix in the name `imu.left_orientation`;
- the other columns of numbers are one stream `imu`, float64 [S, D], but for those that count or flag:
- integers are a stream `imu.integer`, int64; true/false `imu.bool`; text `imu.text`. A column is integer when every
  cell is, unless its name makes it a quantity: a unit but of time (`alt_m`, `Accelerometer X (g)`) or the axis of a
  vector (`px py pz`). So a robot that stood still all day has the same streams as one that moved.

A file that gives only one stream gives it the file's name. Units stay as they are, values are not converted. The stamp
column is `stamp_ns`, `timestamp`, `time`, `t` and the like, with the unit in its name; a time of arrival beside it
(`record_ns`) is no value. A row with an empty cell is not a sample of that stream. What the names cannot say, a
`robocache.toml` can: see `csv_config`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robocache.dataset import Dataset
from robocache.episode import SKIPPED, Episode, Kind, OnBadEpisode, SampleStream, StreamInfo
from robocache.errors import DataError
from robocache.formats.checks import Fault, stamp_faults, value_faults
from robocache.formats.columns import find_quaternions, in_vector, is_quantity, split_unit
from robocache.formats.csv_config import FILE_NAME, StreamConfig, read_config
from robocache.formats.csv_file import CsvFile, StampColumn
from robocache.problems import ProblemLog
from robocache.timing import measure

LOOKS_FOR = f"*.csv or {FILE_NAME}"
OPTIONS: frozenset[str] = frozenset()

_SHOWN_REASONS = 3

_DTYPES: dict[str, type] = {
    "float": np.float64,
    "quaternion": np.float64,
    "integer": np.int64,
    "bool": np.bool_,
    "text": object,
}


def detect(path: Path) -> bool:
    """Whether `path` is a CSV file or a folder that holds one."""
    if path.is_file():
        return path.suffix.lower() == ".csv"
    return (path / FILE_NAME).exists() or bool(_csv_files(path))


def _csv_files(folder: Path) -> list[Path]:
    """A link to nowhere is among them: reading it says so."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv" and (p.is_file() or not p.exists()))


def read(path: Path, on_bad_episode: OnBadEpisode) -> Dataset:
    """Reads the files now; see `robocache.open`."""
    log = ProblemLog()
    folder, files = (path.parent, [path]) if path.is_file() else (path, _csv_files(path))
    configs: dict[str, list[StreamConfig]] = {}
    for config in [] if path.is_file() else read_config(folder):
        configs.setdefault(config.file, []).append(config)
    for name in configs:
        if not (folder / name).is_file():
            raise DataError(f"open: {folder / FILE_NAME} names {name}, which is no file in {folder}")
    files = sorted({*files, *(folder / name for name in configs)})

    streams: dict[str, SampleStream] = {}
    for file in files:
        try:
            found = _read_file(file, configs.get(file.name, []), log)
        except DataError as error:
            if on_bad_episode == "raise":
                raise
            log.add(file.name, f"{SKIPPED}: {error}")
            continue
        for stream in found:
            if stream.info.name in streams:
                raise DataError(f"open: {file} gives stream {stream.info.name}, which another file gives too")
            streams[stream.info.name] = stream
    if not streams:
        raise DataError(_why_nothing(path, files, log))
    length = max(len(stream) for stream in streams.values())
    return Dataset(
        format="csv",
        path=path,
        streams={name: stream.info for name, stream in streams.items()},
        episode_count=1,
        make_episode=lambda _: Episode(0, length, (), tuple(streams), lambda: streams),
        log=log,
        on_bad_episode=on_bad_episode,
    )


def _why_nothing(path: Path, files: Sequence[Path], log: ProblemLog) -> str:
    problems = log.problems()
    reasons = [str(problem) for problem in problems[:_SHOWN_REASONS]]
    if len(problems) > len(reasons):
        reasons.append(f"and {len(problems) - len(reasons)} more")
    return f"open: {path} has no stream that can be read, of {len(files)} CSV files; {'; '.join(reasons)}"


@dataclass(frozen=True)
class _Plan:
    """A stream to be: which columns of the file, as what."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    interp: str | None = None


def _read_file(path: Path, configs: Sequence[StreamConfig], log: ProblemLog) -> list[SampleStream]:
    file = CsvFile(path)
    if not configs:
        stamp = file.find_stamp()
        columns = file.read(stamp.name)
        return _streams(file, stamp, columns, _plan_by_names(file, stamp, columns, log), log)
    out = []
    by_stamp: dict[str, dict[str, pa.ChunkedArray]] = {}
    for config in configs:
        stamp = _configured_stamp(file, config)
        if stamp.name not in by_stamp:
            by_stamp[stamp.name] = file.read(stamp.name)
        columns = by_stamp[stamp.name]
        out += _streams(file, stamp, columns, [_configured_plan(file, config, stamp, columns)], log)
    return out


def _configured_stamp(file: CsvFile, config: StreamConfig) -> StampColumn:
    if config.stamp is None:
        stamp = file.find_stamp()
    elif config.stamp in file.names:
        unit = split_unit(config.stamp)[1]
        stamp = StampColumn(config.stamp, unit.lower() if unit else None, False, ())
    else:
        raise file.fail(f"has no column {config.stamp!r}, which robocache.toml names as stamps of {config.name}")
    return replace(stamp, unit=config.stamp_unit) if config.stamp_unit else stamp


def _configured_plan(
    file: CsvFile, config: StreamConfig, stamp: StampColumn, columns: dict[str, pa.ChunkedArray]
) -> _Plan:
    names = config.columns or tuple(n for n in file.names if n not in (stamp.name, *stamp.other_times))
    for name in names:
        if name not in columns:
            raise file.fail(f"has no column {name!r}, which robocache.toml names in {config.name}")
    kinds = set(_kinds(names, columns))
    if "text" in kinds and (len(kinds) > 1 or config.interp):
        raise file.fail(f"stream {config.name} of robocache.toml has text among numbers, or text to be interpolated")
    if config.interp == "slerp" or (len(names) == 4 and find_quaternions(names)):
        return _Plan(config.name, "quaternion", names, config.interp)
    kind = kinds.pop() if len(kinds) == 1 and config.interp in (None, "hold", "nearest") else "float"
    return _Plan(config.name, kind, names, config.interp)


def _kinds(names: Sequence[str], columns: dict[str, pa.ChunkedArray]) -> list[Kind]:
    """Kind of each column; a whole number is a float where the name makes it a quantity."""
    kinds: list[Kind] = []
    for name, axis in zip(names, in_vector(names), strict=True):
        type_ = columns[name].type
        if pa.types.is_boolean(type_):
            kinds.append("bool")
        elif pa.types.is_string(type_):
            kinds.append("text")
        else:
            whole = pa.types.is_integer(type_) and not axis and not is_quantity(name)
            kinds.append("integer" if whole else "float")
    return kinds


def _plan_by_names(
    file: CsvFile, stamp: StampColumn, columns: dict[str, pa.ChunkedArray], log: ProblemLog
) -> list[_Plan]:
    """The streams of a file by the rules at the top of this module."""
    names = [name for name in file.names if name not in (stamp.name, *stamp.other_times)]
    rows = len(columns[stamp.name])
    empty = [name for name in names if rows and columns[name].null_count == rows]
    for name in empty:
        log.add(file.path.name, f"column {name!r} is empty and is left out")
    names = [name for name in names if name not in empty]

    plans: list[_Plan] = []
    rest = list(names)
    for found in find_quaternions(names):
        four = tuple(names[found.start : found.start + 4])
        prefix = f"{found.prefix}_" if found.prefix else ""
        plans.append(_Plan(f"{file.path.stem}.{prefix}orientation", "quaternion", four))
        rest = [name for name in rest if name not in four]

    by_kind: dict[Kind, list[str]] = {"float": [], "integer": [], "bool": [], "text": []}
    for name, kind in zip(names, _kinds(names, columns), strict=True):
        if name in rest:
            by_kind[kind].append(name)
    for kind, members in by_kind.items():
        if members:
            suffix = "" if kind == "float" else f".{kind}"
            plans.append(_Plan(f"{file.path.stem}{suffix}", kind, tuple(members)))
    plans.sort(key=lambda plan: names.index(plan.columns[0]))
    if not plans:
        log.add(file.path.name, "has stamps but no other column")
    return [replace(plans[0], name=file.path.stem)] if len(plans) == 1 else plans


def _streams(
    file: CsvFile, stamp: StampColumn, columns: dict[str, pa.ChunkedArray], plans: Sequence[_Plan], log: ProblemLog
) -> list[SampleStream]:
    where = file.path.name
    stamps, assumption = file.stamps_ns(stamp, columns[stamp.name])
    if assumption:
        log.add(where, assumption)
    if stamp.arrival:
        log.add(where, f"stamps are {stamp.name!r}, the time of arrival: there is no time of the sample")
    if len(stamps) == 0:
        log.add(where, "has a header and no rows")
    _report(file, stamp_faults(stamps), np.arange(len(stamps)), log)
    return [_stream(file, stamp, stamps, columns, plan, log) for plan in plans]


def _report(file: CsvFile, faults: Sequence[Fault], rows: npt.NDArray[np.int64], log: ProblemLog) -> None:
    for fault in faults:
        line = file.line_of_row(int(rows[fault.rows[0]]))
        log.add(f"{file.path.name}:{line}", f"{fault.what} ({len(fault.rows)} in all)")


def _stream(
    file: CsvFile,
    stamp: StampColumn,
    stamps: npt.NDArray[np.int64],
    columns: dict[str, pa.ChunkedArray],
    plan: _Plan,
    log: ProblemLog,
) -> SampleStream:
    kept = np.ones(len(stamps), np.bool_)
    for name in plan.columns:
        if columns[name].null_count:
            kept &= columns[name].is_valid().to_numpy()
    rows = np.flatnonzero(kept)
    if len(rows) < len(stamps):
        line = file.line_of_row(int(np.flatnonzero(~kept)[0]))
        what = f"{plan.name} has empty cells, those rows are no samples ({len(stamps) - len(rows)} of {len(stamps)})"
        log.add(f"{file.path.name}:{line}", what)
    values: npt.NDArray[Any] = np.empty((len(rows), len(plan.columns)), _DTYPES[plan.kind])
    for i, name in enumerate(plan.columns):
        values[:, i] = _cells(columns[name], kept)
    units = tuple(split_unit(name)[1] for name in plan.columns)
    clock = f"column {stamp.name}" + (f" ({', '.join(stamp.other_times)} not used)" if stamp.other_times else "")
    info = StreamInfo(
        name=plan.name,
        shape=(len(plan.columns),),
        dtype="string" if plan.kind == "text" else values.dtype.name,
        rate_hz=measure([stamps[rows]]).rate_hz,
        kind=plan.kind,
        names=plan.columns,
        units=units if any(units) else None,
        clock=clock,
        interp=plan.interp,
    )
    _report(file, value_faults(info, values), rows, log)
    return SampleStream(info, values, stamps[rows])


def _cells(column: pa.ChunkedArray, kept: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    if pa.types.is_null(column.type):
        return np.empty(0)
    whole = column if column.null_count == 0 else column.drop_null()
    cells = np.asarray(whole.to_numpy())
    # Other columns of the stream may be empty where this one is not.
    present = kept if column.null_count == 0 else kept[column.is_valid().to_numpy()]
    return cells if present.all() else cells[present]
