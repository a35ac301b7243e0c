"""Named parts of the streams of a LeRobot dataset, as GR00T lists them in meta/modality.json.

A part is a stream of its own: `state.left_arm` are columns of `observation.state`, `video.ego_view` is another name of
`observation.images.ego_view`. Keys that newer versions of the file add (`rotation_type`, `absolute`) are not used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robocache.episode import NUMERIC_KINDS, Kind, SampleStream, StreamInfo
from robocache.formats.columns import is_quaternion
from robocache.formats.git_lfs import LFS_HINT, is_lfs_pointer
from robocache.problems import ProblemLog

_WHERE = "meta/modality.json"
# What a part of each section is of, where it does not say so.
_WHOLES = {
    "state": "observation.state",
    "action": "action",
    "video": "observation.images.{}",
    "annotation": "annotation.{}",
}


@dataclass(frozen=True)
class Part:
    """Columns [start, stop) of the stream `whole`."""

    info: StreamInfo
    whole: str
    start: int
    stop: int

    def of(self, stream: SampleStream) -> SampleStream:
        """A view of the columns in the samples of `whole`."""
        values = None if stream.info.kind == "video" else stream.values[:, self.start : self.stop]
        return SampleStream(self.info, values, stream.stamps_ns)


def read_parts(root: Path, streams: Mapping[str, StreamInfo], log: ProblemLog) -> dict[str, Part]:
    """The parts of a dataset with these streams, by name; reports those that cannot be."""
    parts: dict[str, Part] = {}
    for section, key, told in _entries(root / _WHERE, log):
        name, whole = f"{section}.{key}", told.get("original_key") or _WHOLES[section].format(key)
        if name == whole:
            continue
        if name in streams:
            log.add(_WHERE, f"{name} is a column in the data, too, and is left out")
        elif not isinstance(whole, str) or whole not in streams:
            log.add(_WHERE, f"{name} is of {whole!r:.80}, which is no stream, and is left out")
        elif section not in ("state", "action"):
            parts[name] = _whole_of(name, streams[whole])
        elif streams[whole].kind not in NUMERIC_KINDS:
            log.add(_WHERE, f"{name} is of {whole}, which is {streams[whole].kind}, and is left out")
        elif part := _columns_of(name, streams[whole], told, log):
            parts[name] = part
    return parts


def _entries(path: Path, log: ProblemLog) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    if not path.is_file():
        return
    if is_lfs_pointer(path):
        log.add(_WHERE, LFS_HINT)
        return
    try:
        tree = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        log.add(_WHERE, f"cannot be read: {error}")
        return
    for section in _WHOLES:
        entries = tree.get(section, {}) if isinstance(tree, dict) else None
        if not isinstance(entries, dict):
            log.add(_WHERE, f"{section} is no object of named parts")
            continue
        for key, told in entries.items():
            if isinstance(told, dict):
                yield section, key, told
            else:
                log.add(_WHERE, f"{section}.{key} is no object, and is left out")


def _whole_of(name: str, whole: StreamInfo) -> Part:
    return Part(replace(whole, name=name, part_of=whole.name), whole.name, 0, whole.shape[0] if whole.shape else 0)


def _columns_of(name: str, whole: StreamInfo, told: Mapping[str, Any], log: ProblemLog) -> Part | None:
    width = whole.shape[0] if whole.shape else 0
    start, stop = told.get("start", 0), told.get("end", width)
    if type(start) is not int or type(stop) is not int or not 0 <= start < stop <= width:
        log.add(
            _WHERE, f"{name} is columns {start!r:.20} to {stop!r:.20} of the {width} of {whole.name}, and is left out"
        )
        return None
    if (start, stop) == (0, width):
        return _whole_of(name, whole)
    shape, names = (stop - start, *whole.shape[1:]), whole.names and whole.names[start:stop]
    kind: Kind = "float" if whole.kind == "quaternion" else whole.kind
    if kind == "float" and is_quaternion(name, shape, names):
        kind = "quaternion"
    units = whole.units and whole.units[start:stop]
    info = replace(whole, name=name, shape=shape, kind=kind, names=names, units=units, part_of=whole.name)
    return Part(info, whole.name, start, stop)
