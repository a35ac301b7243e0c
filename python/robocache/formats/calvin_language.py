"""The instructions of a CALVIN folder, which are in a pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robocache.formats.calvin_pickle import read_pickle
from robocache.problems import ProblemLog

_FILE = "lang_annotations/auto_lang_ann.npy"


@dataclass(frozen=True)
class Instruction:
    """A text for the frames `first` to `last`, both included; `task` is its class."""

    first: int
    last: int
    text: str
    task: str


def read_instructions(folder: Path, log: ProblemLog) -> list[Instruction]:
    """The instructions of a split, in the order of their frames; none, and a problem, where the file is damaged."""
    path = folder / _FILE
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            told = read_pickle(file.read()).item()
        language, spans = told["language"], told["info"]["indx"]
        found = [
            Instruction(int(first), int(last), _text(text), _text(task))
            for (first, last), text, task in zip(spans, language["ann"], language["task"], strict=True)
        ]
    # A damaged pickle raises whatever its bytes happen to call.
    except Exception as error:
        log.add(f"{folder.name}/{_FILE}", f"cannot be read: {type(error).__name__} {error}")
        return []
    return sorted(found, key=lambda instruction: (instruction.first, instruction.last))


def _text(value: Any) -> str:
    # str() of lists in lists, each named twice, would go on without end.
    if not isinstance(value, str):
        raise TypeError(f"an instruction is a {type(value).__name__}, expected text")
    return str(value)
