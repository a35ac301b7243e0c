"""scipy's interp1d, PchipInterpolator and Slerp, one of them for each batch row. float64 seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.peers import Bound, NoPeer, Peer

Array = npt.NDArray[Any]
RowCall = Callable[[Array, Array, Array], Array]  # (stamps [S], values [S, D], at [T]) -> [T, D]


def peers(case: Case) -> list[Peer]:
    known = {
        "linear": ("scipy interp1d", _interp1d),
        "pchip": ("scipy PchipInterpolator", _pchip),
        "slerp": ("scipy Slerp", _slerp),
        "se3": ("scipy interp1d + Slerp", _se3),
    }
    if case.interp not in known:
        raise NoPeer(f"scipy has no {case.interp}")
    name, make = known[case.interp]
    row = make()
    return [Peer(name, "float64 s", lambda x: _bind(x, row))]


def _bind(x: Inputs, row: RowCall) -> Bound:
    clocks, at = x.times("float64 s")

    def fresh() -> Array:
        out = np.empty(x.out.shape, np.float32)
        for b in range(len(at)):
            first = 0
            for values, stamps in zip(x.values, clocks, strict=True):
                last = first + values.shape[2]
                # Targets outside get the end sample, as with us; scipy raises or extrapolates there.
                out[b, :, first:last] = row(stamps[b], values[b], np.clip(at[b], stamps[b, 0], stamps[b, -1]))
                first = last
        return out

    return Bound({"fresh": fresh}, lambda result: (result, None, None))


def _interp1d() -> RowCall:
    from scipy.interpolate import interp1d

    return lambda stamps, values, at: np.asarray(interp1d(stamps, values, axis=0, copy=False, assume_sorted=True)(at))


def _pchip() -> RowCall:
    from scipy.interpolate import PchipInterpolator

    return lambda stamps, values, at: np.asarray(PchipInterpolator(stamps, values, axis=0)(at))


def _slerp() -> RowCall:
    from scipy.spatial.transform import Rotation, Slerp

    def row(stamps: Array, values: Array, at: Array) -> Array:
        groups = [values[:, c : c + 4] for c in range(0, values.shape[1], 4)]
        return np.concatenate([Slerp(stamps, Rotation.from_quat(q))(at).as_quat() for q in groups], -1)

    return row


def _se3() -> RowCall:
    line, turn = _interp1d(), _slerp()

    def row(stamps: Array, values: Array, at: Array) -> Array:
        poses = [values[:, c : c + 7] for c in range(0, values.shape[1], 7)]
        parts = [part for p in poses for part in (line(stamps, p[:, :3], at), turn(stamps, p[:, 3:], at))]
        return np.concatenate(parts, -1)

    return row
