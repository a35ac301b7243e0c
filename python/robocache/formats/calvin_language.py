"""The instructions of a CALVIN folder, which are in a pickle: only what such a file needs is unpickled."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.problems import ProblemLog

_FILE = "lang_annotations/auto_lang_ann.npy"
_SIMPLE_DTYPE = re.compile(r"^[?biufOSU]\d*$")
_BYTE_ORDERS = ("<", ">", "=", "|")


@dataclass(frozen=True)
class Instruction:
    """A text for the frames `first` to `last`, both included; `task` is its class."""

    first: int
    last: int
    text: str
    task: str


# numpy's own types would take any state that a pickle gives them, bytes as addresses of objects too. These stand in.


class _Dtype:
    """A dtype of one number, text or object; of what the pickle says after its name, the byte order alone is heard."""

    def __init__(self, name: str, *_: Any) -> None:
        if not isinstance(name, str) or not _SIMPLE_DTYPE.match(name):
            raise pickle.UnpicklingError(f"holds the dtype {name!r}, expected numbers, text or objects")
        self.value = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in _BYTE_ORDERS:
            raise pickle.UnpicklingError(f"holds the byte order {order!r}")
        self.value = self.value.newbyteorder(order)


class _Array:
    """An array, whose values come after it in the pickle: a list of objects, or bytes."""

    def __init__(self, *_: Any) -> None:
        self._values: npt.NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if dtype.value.hasobject:
            self._values = np.empty(len(data), object)
            for i, value in enumerate(data):  # a slice would look into lists
                self._values[i] = value
        else:
            self._values = np.frombuffer(data, dtype.value)
        self._values = self._values.reshape(shape, order="F" if fortran else "C")

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def item(self) -> Any:
        """The only value."""
        return self._values.item()


class _Scalar:
    """A number or text of numpy; it becomes a plain one."""

    def __new__(cls, dtype: _Dtype, data: bytes) -> Any:
        """The value."""
        if dtype.value.hasobject:
            raise pickle.UnpicklingError("holds an object as a scalar")
        return np.frombuffer(data, dtype.value).item()

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("holds a state for a scalar")


_STAND_INS = {"dtype": _Dtype, "ndarray": _Array, "_reconstruct": _Array, "scalar": _Scalar}
# As numpy 1 and 2 name them.
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")


class _Unpickler(pickle.Unpickler):
    """Makes arrays and plain values, and nothing else that a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if module not in _MODULES or name not in _STAND_INS:
            raise pickle.UnpicklingError(f"holds {module}.{name}, expected arrays and plain values alone")
        return _STAND_INS[name]


def read_instructions(folder: Path, log: ProblemLog) -> list[Instruction]:
    """The instructions of a split, in the order of their frames; none, and a problem, where the file is damaged."""
    path = folder / _FILE
    if not path.is_file():
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
