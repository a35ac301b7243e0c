"""The instructions of a CALVIN folder, which are in a pickle: only what such a file needs is unpickled."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robocache.problems import ProblemLog

_FILE = "lang_annotations/auto_lang_ann.npy"
# What numpy arrays and scalars are pickled by, under the names of numpy 1 and 2.
_ALLOWED = {
    (module, name)
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("ndarray", "dtype", "_reconstruct", "scalar")
}


@dataclass(frozen=True)
class Instruction:
    """A text for the frames `first` to `last`, both included; `task` is its class."""

    first: int
    last: int
    text: str
    task: str


class _Unpickler(pickle.Unpickler):
    """Makes arrays and plain values, and nothing else that a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"holds {module}.{name}, expected arrays and plain values alone")
        return super().find_class(module, name)


def read_instructions(folder: Path, log: ProblemLog) -> list[Instruction]:
    """The instructions of a split, in the order of their frames; none, and a problem, where the file is damaged."""
    path = folder / _FILE
    if not path.exists():
        return []
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            told = _Unpickler(file).load().item()
        language, spans = told["language"], told["info"]["indx"]
        found = [
            Instruction(int(first), int(last), str(text), str(task))
            for (first, last), text, task in zip(spans, language["ann"], language["task"], strict=True)
        ]
    # A damaged pickle raises whatever its bytes happen to call.
    except Exception as error:
        log.add(f"{folder.name}/{_FILE}", f"cannot be read: {type(error).__name__} {error}")
        return []
    return sorted(found, key=lambda instruction: (instruction.first, instruction.last))
