"""What ``align`` must answer, written from the contract (DESIGN, docs/alignment.md) and from nothing else.

Naive on purpose: it scans every sample for every target, keeps int64 times as Python integers and values in extended
precision (64-bit mantissa or more, so int64 samples are exact). It shares no code with the engine and never imports it.
The curves are in align_curves.py, the policies for missing samples in align_missing.py, how an answer is compared in
align_answer.py.

Letters: B batch, G segments, S samples, T targets, D columns, N packed samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from reference import align_curves as curves
from reference.align_answer import FLOATS, INT64_MAX, TURN, Expected, Real
from reference.align_missing import POLICIES, Samples, present

INT64_MIN = -(2**63)
UNIT = {"slerp": 4, "se3": 7, "screw": 7}  # columns that are computed together; 1 in every other mode
CURVES = ("linear", "slerp", "se3", "screw", "pchip", "angle")


@dataclass(frozen=True)
class Stream:
    """One sensor. ``values`` hold the numbers themselves in any numpy type; ``dtype`` is what the engine is given."""

    values: np.ndarray  # [G, S, D], or [N, D] with offsets
    stamps: np.ndarray  # [G, S] or [S], or [N] with offsets; int64, float64 or float32
    dtype: str = "float32"
    interp: Any = None  # a mode, or (mode, columns) for each run of columns
    outside: Any = "hold"
    max_gap_ns: int | None = None
    max_age_ns: int | None = None
    offset_ns: int = 0
    lengths: np.ndarray | None = None
    offsets: np.ndarray | None = None
    rows: np.ndarray | None = None
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None
    mask: np.ndarray | None = None  # bool, as stamps: [G, S] or [S], or [N] with offsets
    missing: str = "propagate"
    quaternion: str = "xyzw"

    @property
    def runs(self) -> list[tuple[str, slice]]:
        """The mode of each run of columns."""
        D = self.values.shape[-1]
        pairs = [(self.interp, D)] if self.interp is None or isinstance(self.interp, str) else self.interp
        runs, first = [], 0
        for mode, columns in pairs:
            runs.append((mode or ("linear" if self.dtype in FLOATS else "hold"), slice(first, first + columns)))
            first += columns
        assert first == D
        return runs

    @property
    def modes(self) -> set[str]:
        return {mode for mode, _ in self.runs}

    @property
    def unit(self) -> float:
        """Rounding unit of the arithmetic: f32, or f64 for f64 values."""
        return 2.0**-53 if self.dtype == "float64" else 2.0**-24

    @property
    def in_float64(self) -> bool:
        """Whether rotations and angles are: where the values have more than 16 bits."""
        return self.dtype not in ("float16", "bfloat16")

    @property
    def turn(self) -> float:
        """The error of a unit quaternion's components; scalar products smaller than ten times that have either sign."""
        return TURN[self.dtype]

    def policy(self, side: str) -> Any:
        pair = self.outside if isinstance(self.outside, (tuple, list)) else (self.outside, self.outside)
        return pair[0] if side == "before" else pair[1]

    def segment(self, b: int) -> tuple[list[Any], np.ndarray, np.ndarray]:
        """Shifted stamps, values and mask of the samples that batch row b reads."""
        g = b if self.rows is None else int(self.rows[b])
        mask = np.ones(self.stamps.shape, bool) if self.mask is None else self.mask
        if self.offsets is not None:
            part = slice(int(self.offsets[g]), int(self.offsets[g + 1]))
            stamps, values, mask = self.stamps[part], self.values[part], mask[part]
        else:
            n = self.values.shape[1] if self.lengths is None else int(self.lengths[g])
            stamps = (self.stamps if self.stamps.ndim == 1 else self.stamps[g])[:n]
            mask = (mask if mask.ndim == 1 else mask[g])[:n]
            values = self.values[g][:n]
        return [shifted(s, self.offset_ns) for s in stamps], np.asarray(values).astype(Real), mask


@dataclass
class Row:
    """The answer for one target in some columns."""

    values: np.ndarray
    bound: np.ndarray
    valid: bool = False
    filled: bool = False
    refused: bool = False


@dataclass(frozen=True)
class Part:
    """Columns that are placed in time together: one unit, or a whole run where no sample is missing of its own."""

    stream: Stream
    mode: str
    columns: slice

    @property
    def unit(self) -> int:
        return UNIT.get(self.mode, 1)

    def quaternions(self) -> list[slice]:
        """Where in the stream's columns this part has quaternions."""
        if self.mode not in UNIT:
            return []
        ends = range(self.columns.start + self.unit, self.columns.stop + 1, self.unit)
        return [slice(end - 4, end) for end in ends]

    def samples(self, stamps: list[Any], values: np.ndarray, mask: np.ndarray) -> Samples:
        own = values[:, self.columns]
        nan_is_missing = self.stream.missing != "propagate" and self.stream.dtype in FLOATS
        return POLICIES[self.stream.missing](stamps, own, present(own, mask, nan_is_missing))


def parts_of(stream: Stream) -> list[Part]:
    parts = []
    for mode, columns in stream.runs:
        whole = stream.missing == "propagate" or columns.start == columns.stop
        step = columns.stop - columns.start if whole else UNIT.get(mode, 1)
        firsts = range(columns.start, columns.stop, step) if step else [columns.start]
        parts += [Part(stream, mode, slice(first, first + step)) for first in firsts]
    return parts


def shifted(stamp: Any, offset_ns: int) -> Any:
    if isinstance(stamp, np.integer):
        return int(stamp) + offset_ns
    return stamp if offset_ns == 0 else stamp + type(stamp)(offset_ns / 1e9)


def nanoseconds(later: Any, earlier: Any) -> int | float:
    """later - earlier, subtracted in the stamps' own type; whole ns, ties to even."""
    ns = later - earlier if isinstance(later, int) else float(later - earlier) * 1e9
    return round(ns) if math.isfinite(ns) else ns


def distance(t: Any, stamp: Any) -> int | float:
    return nanoseconds(t, stamp) if stamp <= t else nanoseconds(stamp, t)


def age(target: Any, stamp: Any) -> int:
    ns = nanoseconds(target, stamp)
    if isinstance(ns, float):
        if math.isnan(ns):
            return INT64_MAX
        ns = INT64_MAX if ns > 0 else INT64_MIN
    return max(INT64_MIN, min(INT64_MAX, ns))


def last_at(stamps: list[Any], t: Any) -> int:
    """The last sample at or before t, or -1."""
    return max((s for s in range(len(stamps)) if stamps[s] <= t), default=-1)


def _linear(part: Part, a: np.ndarray, b: np.ndarray, w: Real) -> tuple[np.ndarray, np.ndarray]:
    largest = np.maximum(np.abs(a), np.abs(b))
    extrapolated = w < 0 or w > 1  # the error of w * (b - a) grows with w
    return a + w * (b - a), part.stream.unit * largest * (8 * abs(w) + 1 if extrapolated else 8)


def _rotations(part: Part, a: np.ndarray, b: np.ndarray, w: Real) -> tuple[np.ndarray, np.ndarray]:
    """slerp, se3 and screw, unit by unit."""
    values, bounds = np.zeros_like(a), np.full(len(a), part.stream.turn * (1 + abs(w)), Real)
    for first in range(0, len(a), part.unit):
        unit = slice(first, first + part.unit)
        position = slice(first, first + part.unit - 4)
        if part.mode == "screw":
            values[unit] = curves.screw(a[unit], b[unit], w, part.stream.quaternion)
            bounds[position] *= 4 * np.max(np.abs([a[position], b[position]]))
        else:
            values[position], bounds[position] = _linear(part, a[position], b[position], w)
            turned = slice(first + part.unit - 4, first + part.unit)
            values[turned] = curves.slerp(a[turned], b[turned], w)
    return values, bounds


def _pchip(part: Part, samples: Samples, i: int, w: Real) -> tuple[np.ndarray, np.ndarray]:
    near = pchip_support(samples.stamps, i)
    y = samples.values[near]
    h = [Real(samples.stamps[k + 1] - samples.stamps[k]) for k in near[:-1]]
    reach = 1 + abs(w) + w * w + abs(w * w * w)
    roundings = 8 if 0 <= w <= 1 else 64  # the coefficients of the cubic cancel inside the interval only
    bound = roundings * part.stream.unit * reach * np.max(np.abs(y), axis=0, initial=0)
    return curves.pchip(h, y, near.index(i), w), bound


def pchip_support(stamps: list[Any], i: int) -> list[int]:
    """What the cubic between i and i + 1 depends on: a neighbour on either side, unless a duplicate parts them."""
    near = [i, i + 1]
    if i > 0 and stamps[i - 1] < stamps[i]:
        near.insert(0, i - 1)
    if i + 2 < len(stamps) and stamps[i + 1] < stamps[i + 2]:
        near.append(i + 2)
    return near


def _blend(part: Part, samples: Samples, i: int, t: Any) -> Row:
    s0, s1 = samples.stamps[i], samples.stamps[i + 1]
    w = Real(t - s0) / Real(s1 - s0)
    a, b = samples.values[i], samples.values[i + 1]
    used = [i, i + 1]
    if part.mode == "pchip":
        values, bound = _pchip(part, samples, i, w)
        used = pchip_support(samples.stamps, i)
    elif part.mode == "angle":
        values = curves.angle(a, b, w)
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), Real(np.pi))
        bound = part.stream.unit * size * (8 * max(abs(w), Real(1)) + 1)
    elif part.mode in UNIT:
        values, bound = _rotations(part, a, b, w)
    else:
        values, bound = _linear(part, a, b, w)
    return _used(part, samples, used, values, bound)


def _copy(part: Part, samples: Samples, i: int) -> Row:
    a = samples.values[i].copy()
    bound = np.zeros(len(a), Real)
    if part.mode == "angle":
        bound = (2.0**-50 if part.stream.in_float64 else 2.0**-21) * np.maximum(np.abs(a), Real(np.pi))
        a = curves.wrap(a).astype(Real)
    for last in range(part.unit, len(a) + 1, part.unit) if part.mode in UNIT else ():
        q = slice(last - 4, last)  # stored as a unit quaternion, exact hits too
        a[q], bound[q] = curves.unit_quaternion(a[q]), part.stream.turn
    return _used(part, samples, [i], a, bound)


def _used(part: Part, samples: Samples, used: list[int], values: np.ndarray, bound: np.ndarray) -> Row:
    """A row that uses a lost sample, or a quaternion that is no rotation, is not valid."""
    start = part.columns.start
    turned = [values[q.start - start : q.stop - start] for q in part.quaternions()]
    return Row(values, bound, not any(samples.lost[k] for k in used) and not any(np.isnan(q).any() for q in turned))


def _outside(part: Part, side: str, t: Any, samples: Samples) -> Row:
    policy = part.stream.policy(side)
    columns = samples.values.shape[1]
    if policy == "nan" or isinstance(policy, (int, float)):
        fill = math.nan if policy == "nan" else policy
        return Row(np.full(columns, fill, Real), np.zeros(columns, Real), filled=True)
    n = len(samples.stamps)
    row = _copy(part, samples, 0 if side == "before" else n - 1)
    if policy == "extrapolate" and part.mode in CURVES:
        steps = [i for i in range(n - 1) if samples.stamps[i] < samples.stamps[i + 1]]
        if steps:
            row = _blend(part, samples, steps[0] if side == "before" else steps[-1], t)
    row.valid, row.refused = False, policy == "error"
    return row


def _inside(part: Part, t: Any, i: int, samples: Samples) -> Row:
    """`i` is the last sample at or before t; t is in the range of the stream."""
    stamps, taken_at, stream = samples.stamps, samples.taken_at, part.stream
    gap_kept = True
    if t == stamps[i] or i + 1 == len(stamps):
        row, far = _copy(part, samples, i), distance(t, taken_at[i])
    else:
        gap_kept = stream.max_gap_ns is None or nanoseconds(stamps[i + 1], stamps[i]) <= stream.max_gap_ns
        if part.mode in CURVES:
            row, far = _blend(part, samples, i, t), min(distance(t, taken_at[i]), distance(t, taken_at[i + 1]))
        else:
            used = i
            if part.mode == "nearest" and t - stamps[i] > stamps[i + 1] - t:
                used = max(k for k, s in enumerate(stamps) if s == stamps[i + 1])
            row, far = _copy(part, samples, used), distance(t, taken_at[used])
    row.valid = row.valid and gap_kept and (stream.max_age_ns is None or far <= stream.max_age_ns)
    return row


def _row(part: Part, samples: Samples, t: Any) -> Row:
    if not samples.stamps or t != t:
        columns = samples.values.shape[1]
        return Row(np.full(columns, np.nan, Real), np.zeros(columns, Real))
    i = last_at(samples.stamps, t)
    if i < 0 or (t > samples.stamps[-1] and part.mode != "hold"):
        return _outside(part, "before" if i < 0 else "after", t, samples)
    return _inside(part, t, i, samples)


def _age(samples: Samples, t: Any) -> int:
    if not samples.aged or t != t:
        return INT64_MAX
    return age(t, samples.aged[max(last_at(samples.aged, t), 0)])


def _keep_signs(out: Expected, b: int, quaternion: slice, filled: np.ndarray, tie: float) -> None:
    """Each quaternion of a row in the hemisphere of the one before it, in the order of the targets."""
    sign, before = 1, None
    for t in range(out.values.shape[1]):
        raw = out.values[b, t, quaternion].copy()
        if filled[t] or np.isnan(raw).any():
            before = None
            continue
        product = Real(1) if before is None else np.sum(raw * before)
        if abs(product) < tie:
            out.either_sign.append((b, t, quaternion))
        sign = -sign if product < 0 else sign
        out.values[b, t, quaternion] = sign * raw
        before = raw


def _scale(out: Expected, stream: Stream, filled: np.ndarray) -> None:
    scale = Real(1) if stream.scale is None else stream.scale.astype(Real)
    bias = Real(0) if stream.bias is None else stream.bias.astype(Real)
    rounding = 3 * stream.unit * (np.abs(out.values * scale) + np.abs(bias))
    out.values = np.where(filled, out.values, out.values * scale + bias)
    out.bound = np.where(filled, out.bound, out.bound * np.abs(scale) + rounding)


def _blank(stream: Stream, batch: int, targets: int) -> Expected:
    shape = (batch, targets, stream.values.shape[-1])
    bits = np.full(shape[2], 53 if stream.dtype == "float64" else 24)
    circular, turn = np.zeros(shape[2], bool), np.zeros(shape[2])
    for part in parts_of(stream):
        if part.mode in ("slerp", "screw", "angle") and stream.in_float64:
            bits[part.columns] = 53
        for quaternion in part.quaternions():
            bits[quaternion] = 53 if stream.in_float64 else 24
            turn[quaternion] = stream.turn
        if part.mode == "screw":
            turn[part.columns] = stream.turn
        circular[part.columns] = part.mode == "angle"
    marks = np.zeros(shape[:2], bool), np.full(shape[:2], INT64_MAX, np.int64)
    return Expected(np.full(shape, np.nan, Real), np.zeros(shape, Real), *marks, [], bits, circular, turn)


def align_stream(stream: Stream, at: np.ndarray, origin: np.ndarray | None = None) -> Expected:
    """The rows of one stream; ``at`` is [B, T] in the stamps' dtype."""
    out = _blank(stream, *at.shape)
    filled = np.zeros(out.values.shape, bool)
    parts = parts_of(stream)
    for b in range(len(at)):
        segment = stream.segment(b)
        logs = [part.samples(*segment) for part in parts]
        for k in range(at.shape[1]):
            t = at[b, k] if origin is None else origin[b] + at[b, k]
            t = int(t) if isinstance(t, np.integer) else t
            rows = [_row(part, samples, t) for part, samples in zip(parts, logs, strict=True)]
            for part, row in zip(parts, rows, strict=True):
                out.values[b, k, part.columns], out.bound[b, k, part.columns] = row.values, row.bound
                filled[b, k, part.columns] = row.filled
            out.valid[b, k] = all(row.valid for row in rows)
            out.age_ns[b, k] = max(_age(samples, t) for samples in logs)
            out.refused += [(b, k)] if any(row.refused for row in rows) else []
        for quaternion in (q for part in parts for q in part.quaternions()):
            _keep_signs(out, b, quaternion, filled[b, :, quaternion.start], 10 * stream.turn)
    if stream.scale is not None or stream.bias is not None:
        _scale(out, stream, filled)
    return out


def align(streams: list[Stream], at: np.ndarray, origin: np.ndarray | None = None) -> list[Expected]:
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # NaN and inf in the samples are data
        return [align_stream(stream, at, origin) for stream in streams]
