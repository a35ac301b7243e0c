"""Reads a pickle that holds texts, numbers, lists, dicts and numpy arrays, and calls nothing that it names.

pickle.Unpickler is not used, as no override of it keeps a pickle within bounds: six bytes make it fill gigabytes of
memo, and a tuple of tuples without end as the key of a dict overflows the stack of the process.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

_SIMPLE_DTYPE = re.compile(r"[?biufOSU]\d{0,9}")
_BYTE_ORDERS = ("<", ">", "=", "|")


def read_pickle(data: bytes) -> Any:
    """What the pickle holds. Whatever is wrong with it raises some Exception.

    Raises
    ------
    ValueError
        It names, or does, what none of arrays and plain values needs.
    """
    return _Machine().run(data)


# --- Arrays -----------------------------------------------------------------------------------------------------------
# numpy's own types would take any state that a pickle gives them, bytes as addresses of objects too. These stand in.


class _Dtype:
    """A dtype of one number, text or object; of what the pickle says after its name, the byte order alone is heard."""

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not _SIMPLE_DTYPE.fullmatch(name):
            raise ValueError("holds a dtype of another kind, expected numbers, text or objects")
        self.value = np.dtype(name)

    def set_state(self, state: Any) -> None:
        if not isinstance(state[1], str) or state[1] not in _BYTE_ORDERS:
            raise ValueError("holds a byte order that is none")
        self.value = np.dtype(state[1] + self.value.str[1:])


class _Array:
    """An array, whose values come after it in the pickle: a list of objects, or bytes."""

    def __init__(self, *_: Any) -> None:
        self._values: npt.NDArray[Any] = np.empty(0)

    def set_state(self, state: Any) -> None:
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


def _scalar(dtype: Any, data: Any) -> Any:
    """A number or text of numpy, as a plain one."""
    if dtype.value.hasobject:
        raise ValueError("holds an object as a scalar")
    return np.frombuffer(data, dtype.value).item()


_CALLS: dict[str, Callable[..., Any]] = {"dtype": _Dtype, "_reconstruct": _Array, "scalar": _scalar, "ndarray": _Array}
# As numpy 1 and 2 name them.
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")


class _Name:
    """What the pickle would call."""

    def __init__(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("holds a name that is no text")
        if module not in _MODULES or name not in _CALLS:
            raise ValueError(f"holds {module[:40]}.{name[:40]}, expected arrays and plain values alone")
        self.call = _CALLS[name]


# --- The machine ------------------------------------------------------------------------------------------------------

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = ("PROTO", "FRAME")
_PUT, _GET = ("BINPUT", "LONG_BINPUT", "MEMOIZE"), ("BINGET", "LONG_BINGET")
_VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """A stack of values, and a memo of those to be used again."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """The value that is left."""
        for opcode, argument, _ in pickletools.genops(data):
            self._do(opcode.name, argument)
        return self._stack.pop()

    def _do(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self._stack.append(tuple(self._pop(_TUPLES[name])))
        elif name in _PUT:
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
        elif name in _GET:
            self._stack.append(self._memo[argument])
        elif name == "MARK":
            self._marks.append(len(self._stack))
        elif name not in (*_IGNORED, "STOP"):
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        if name == "TUPLE":
            self._stack.append(tuple(self._pop_marked()))
        elif name in ("APPEND", "APPENDS"):
            values = self._pop(1) if name == "APPEND" else self._pop_marked()
            self._top(list).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            pairs = self._pop(2) if name == "SETITEM" else self._pop_marked()
            self._set_items(self._top(dict), pairs)
        elif name == "GLOBAL":
            self._stack.append(_Name(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            self._stack.append(_Name(*self._pop(2)))
        elif name == "REDUCE":
            called, arguments = self._pop(2)
            self._stack.append(called.call(*arguments))
        elif name == "BUILD":
            (state,) = self._pop(1)
            self._stack[-1].set_state(state)
        else:
            raise ValueError(f"holds {name}, which arrays and plain values do not need")

    def _set_items(self, target: dict[Any, Any], pairs: list[Any]) -> None:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int):  # the hash of a tuple goes as deep as the tuple
                raise TypeError("holds a key that is no text and no integer")
            target[key] = value

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise TypeError(f"adds to what is no {kind.__name__}")
        return self._stack[-1]

    def _pop(self, count: int) -> list[Any]:
        return self._pop_from(len(self._stack) - count)

    def _pop_marked(self) -> list[Any]:
        return self._pop_from(self._marks.pop())

    def _pop_from(self, start: int) -> list[Any]:
        if not 0 <= start <= len(self._stack):
            raise ValueError("takes more values than there are")
        values = self._stack[start:]
        del self._stack[start:]
        return values
