"""What a column's name says: its unit, its axis, whether it belongs to a quaternion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BRACKETED_UNIT = re.compile(r"^(?P<base>.*?)\s*[(\[](?P<unit>[^)\]]*)[)\]]$")
# Single letters that are common as plain names (a, n, v, w) are no units.
_SUFFIXED_UNIT = re.compile(
    r"^(?P<base>.+?)_(?P<unit>ns|us|ms|s|sec|hz|deg|rad|deg_s|rad_s|rad_s2|dps|rps|m|mm|cm|km|m_s|m_s2|mps|mps2|kmh"
    r"|g|kg|nm|pa|hpa|kpa|bar|ut|mt|degc|pct|mv|ma)$",
    re.IGNORECASE,
)
TIME_UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "sec": 1_000_000_000}

_QUATERNION = re.compile(
    r"^(?P<prefix>.*?)(?:q|quat|quaternion|orientation|rotation|rot)[ _.]?(?P<axis>[xyzw])$", re.IGNORECASE
)
_AXIS = re.compile(r"^(?P<prefix>.*?)[ _.]?(?P<axis>[xyz])$", re.IGNORECASE)
_QUATERNION_STREAM = re.compile(r"(^|[ ._/])(quat|quaternion)$|_quat(ernion)?\b", re.IGNORECASE)


def split_unit(name: str) -> tuple[str, str | None]:
    """Name and unit: Gyroscope X (deg/s) is ("Gyroscope X", "deg/s"), alt_m ("alt", "m"), status ("status", None)."""
    match = _BRACKETED_UNIT.match(name) or _SUFFIXED_UNIT.match(name)
    return (match["base"], match["unit"]) if match and match["base"] else (name, None)


@dataclass(frozen=True)
class QuaternionColumns:
    """Four contiguous columns from `start` on, "xyzw" or "wxyz"; `prefix` is what their names start with."""

    start: int
    order: str
    prefix: str


def find_quaternions(names: Sequence[str]) -> list[QuaternionColumns]:
    """Finds runs of four columns named like a quaternion: qx qy qz qw, orientation.x to .w, or w first."""
    found: list[QuaternionColumns] = []
    i = 0
    while i + 4 <= len(names):
        matches = [_QUATERNION.match(name) for name in names[i : i + 4]]
        parts = [(m["prefix"], m["axis"].lower()) for m in matches if m]
        order = "".join(axis for _, axis in parts)
        if order in ("xyzw", "wxyz") and len({prefix for prefix, _ in parts}) == 1:
            found.append(QuaternionColumns(i, order, parts[0][0].strip(" _.")))
            i += 4
        else:
            i += 1
    return found


def names_a_quaternion(stream: str) -> bool:
    """Whether a four-wide stream of this name is a quaternion, as "observation.eef_quat" is."""
    return _QUATERNION_STREAM.search(stream) is not None


def is_quaternion(stream: str, shape: tuple[int, ...], names: Sequence[str] | None) -> bool:
    """Whether floats of this shape are a quaternion: by the names of their columns, else by that of the stream."""
    return shape == (4,) and bool(find_quaternions(names) if names else names_a_quaternion(stream))


def is_quantity(name: str) -> bool:
    """Whether the name has a physical unit. Time does not count: integer nanoseconds must stay integers."""
    unit = split_unit(name)[1]
    return unit is not None and unit.lower() not in TIME_UNITS_NS


def in_vector(names: Sequence[str]) -> list[bool]:
    """Which columns are components of an x, y (, z) vector: contiguous, named alike but for the axis."""
    keys: list[tuple[str, str] | None] = []
    for name in names:
        base, unit = split_unit(name)
        match = _AXIS.match(base)
        keys.append((match["prefix"], unit or "") if match else None)
    return [
        key is not None and ((i > 0 and keys[i - 1] == key) or (i + 1 < len(keys) and keys[i + 1] == key))
        for i, key in enumerate(keys)
    ]
