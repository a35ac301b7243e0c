"""What ``align`` must answer, written from the contract (DESIGN, docs/alignment.md) and from nothing else.

Naive on purpose: it scans every sample for every target, keeps int64 times as Python integers and values in extended
precision (64-bit mantissa or more, so int64 samples are exact). It shares no code with the engine and never imports it.

Letters: B batch, G segments, S samples, T targets, D columns, N packed samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
Real = np.longdouble

# name: (bits of the significand, smallest normal exponent, largest exponent)
FLOATS = {
    "float64": (53, -1022, 1023),
    "float32": (24, -126, 127),
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
}


@dataclass(frozen=True)
class Stream:
    """One sensor. ``values`` hold the numbers themselves in any numpy type; ``dtype`` is what the engine is given."""

    values: np.ndarray  # [G, S, D], or [N, D] with offsets
    stamps: np.ndarray  # [G, S] or [S], or [N] with offsets; int64, float64 or float32
    dtype: str = "float32"
    interp: str | None = None
    outside: Any = "hold"
    max_gap_ns: int | None = None
    max_age_ns: int | None = None
    offset_ns: int = 0
    lengths: np.ndarray | None = None
    offsets: np.ndarray | None = None
    rows: np.ndarray | None = None
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None

    @property
    def mode(self) -> str:
        return self.interp or ("linear" if self.dtype in FLOATS else "hold")

    @property
    def unit(self) -> float:
        """Rounding unit of the arithmetic: f32, or f64 for f64 values."""
        return 2.0**-53 if self.dtype == "float64" else 2.0**-24

    def policy(self, side: str) -> Any:
        pair = self.outside if isinstance(self.outside, (tuple, list)) else (self.outside, self.outside)
        return pair[0] if side == "before" else pair[1]

    def segment(self, b: int) -> tuple[list[Any], np.ndarray]:
        """Shifted stamps and values of the samples that batch row b reads."""
        g = b if self.rows is None else int(self.rows[b])
        if self.offsets is not None:
            part = slice(int(self.offsets[g]), int(self.offsets[g + 1]))
            stamps, values = self.stamps[part], self.values[part]
        else:
            stamps = self.stamps if self.stamps.ndim == 1 else self.stamps[g]
            values = self.values[g]
            if self.lengths is not None:
                stamps, values = stamps[: self.lengths[g]], values[: self.lengths[g]]
        return [shifted(s, self.offset_ns) for s in stamps], np.asarray(values).astype(Real)


@dataclass
class Expected:
    """The answer for one stream. ``bound`` is the allowed error before the rounding to the output's dtype; 0: exact."""

    values: np.ndarray  # [B, T, D] extended precision; NaN: no value
    bound: np.ndarray  # [B, T, D]
    valid: np.ndarray  # [B, T] bool
    age_ns: np.ndarray  # [B, T] int64
    refused: list[tuple[int, int]]  # targets outside a stream whose policy is "error"
    bits: int  # significand of the arithmetic


def shifted(stamp: Any, offset_ns: int) -> Any:
    if isinstance(stamp, np.integer):
        return int(stamp) + offset_ns
    return stamp if offset_ns == 0 else stamp + type(stamp)(offset_ns / 1e9)


def nanoseconds(later: Any, earlier: Any) -> int | float:
    """later - earlier, subtracted in the stamps' own type."""
    return later - earlier if isinstance(later, int) else float(later - earlier) * 1e9


def age(target: Any, stamp: Any) -> int:
    ns = nanoseconds(target, stamp)
    if isinstance(ns, float):
        if math.isnan(ns):
            return INT64_MAX
        ns = round(ns) if math.isfinite(ns) else (INT64_MAX if ns > 0 else INT64_MIN)
    return max(INT64_MIN, min(INT64_MAX, ns))


def weight(t: Any, s0: Any, s1: Any) -> Real:
    return Real(t - s0) / Real(s1 - s0)


def _rotate(a: np.ndarray, b: np.ndarray, w: Real) -> np.ndarray:
    """Point w of the shortest arc from a to b, through the component of b that is orthogonal to a."""
    a, b = a / np.sqrt(np.sum(a * a)), b / np.sqrt(np.sum(b * b))
    cosine = np.sum(a * b)
    if cosine < 0:
        b, cosine = -b, -cosine
    ortho = b - cosine * a
    sine = np.sqrt(np.sum(ortho * ortho))
    if sine == 0:
        return a
    angle = np.arctan2(sine, cosine)
    return np.cos(w * angle) * a + np.sin(w * angle) * (ortho / sine)


def _slerp(a: np.ndarray, b: np.ndarray, w: Real) -> np.ndarray:
    groups = zip(a.reshape(-1, 4), b.reshape(-1, 4), strict=True)
    return np.concatenate([_rotate(p, q, w) for p, q in groups]) if len(a) else a


def _blend(stream: Stream, a: np.ndarray, b: np.ndarray, w: Real) -> tuple[np.ndarray, np.ndarray]:
    if stream.mode == "slerp":
        return _slerp(a, b, w), np.full(len(a), 2e-13 * (1 + abs(w)), Real)
    largest = np.maximum(np.abs(a), np.abs(b))
    extrapolated = w < 0 or w > 1  # the error of w * (b - a) grows with w
    return a + w * (b - a), stream.unit * largest * (8 * abs(w) + 1 if extrapolated else 8)


def _copy(stream: Stream, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if stream.mode == "slerp":  # stored as a unit quaternion, exact hits too
        return _blend(stream, a, a, Real(0))
    return a, np.zeros(len(a), Real)


def _outside(stream: Stream, side: str, t: Any, stamps: list[Any], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    policy = stream.policy(side)
    end = 0 if side == "before" else len(stamps) - 1
    if policy == "nan" or isinstance(policy, (int, float)):
        fill = math.nan if policy == "nan" else policy
        return np.full(values.shape[1], fill, Real), np.zeros(values.shape[1], Real)
    if policy == "extrapolate" and stream.mode in ("linear", "slerp"):
        steps = [i for i in range(len(stamps) - 1) if stamps[i] < stamps[i + 1]]
        if steps:
            i = steps[0] if side == "before" else steps[-1]
            return _blend(stream, values[i], values[i + 1], weight(t, stamps[i], stamps[i + 1]))
    return _copy(stream, values[end])


def _inside(stream: Stream, t: Any, i: int, stamps: list[Any], values: np.ndarray) -> tuple[Any, Any, bool]:
    """`i` is the last sample at or before t; t is in the range of the stream."""
    if t == stamps[i] or i + 1 == len(stamps):
        old = stream.max_age_ns is not None and nanoseconds(t, stamps[i]) > stream.max_age_ns
        return *_copy(stream, values[i]), not old
    before, behind = nanoseconds(t, stamps[i]), nanoseconds(stamps[i + 1], t)
    gap_kept = stream.max_gap_ns is None or nanoseconds(stamps[i + 1], stamps[i]) <= stream.max_gap_ns
    distance = before
    if stream.mode == "hold":
        answer = _copy(stream, values[i])
    elif stream.mode == "nearest":
        nearer = i
        if t - stamps[i] > stamps[i + 1] - t:
            nearer = max(k for k, s in enumerate(stamps) if s == stamps[i + 1])
            distance = behind
        answer = _copy(stream, values[nearer])
    else:
        answer = _blend(stream, values[i], values[i + 1], weight(t, stamps[i], stamps[i + 1]))
        distance = min(before, behind)
    age_kept = stream.max_age_ns is None or distance <= stream.max_age_ns
    return *answer, gap_kept and age_kept


def _scaled(stream: Stream, values: np.ndarray, bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = Real(1) if stream.scale is None else stream.scale.astype(Real)
    bias = Real(0) if stream.bias is None else stream.bias.astype(Real)
    rounding = 3 * stream.unit * (np.abs(values * scale) + np.abs(bias))
    return values * scale + bias, bound * np.abs(scale) + rounding


def align_stream(stream: Stream, at: np.ndarray, origin: np.ndarray | None = None) -> Expected:
    """The rows of one stream; ``at`` is [B, T] in the stamps' dtype."""
    batch, targets = at.shape
    columns = stream.values.shape[-1]
    out = Expected(
        np.full((batch, targets, columns), np.nan, Real),
        np.zeros((batch, targets, columns), Real),
        np.zeros((batch, targets), bool),
        np.full((batch, targets), INT64_MAX, np.int64),
        [],
        53 if stream.dtype == "float64" or stream.mode == "slerp" else 24,
    )
    for b in range(batch):
        stamps, values = stream.segment(b)
        for k in range(targets):
            t = at[b, k] if origin is None else origin[b] + at[b, k]
            t = int(t) if isinstance(t, np.integer) else t
            if not stamps or t != t:
                continue
            i = max((s for s in range(len(stamps)) if stamps[s] <= t), default=-1)
            out.age_ns[b, k] = age(t, stamps[max(i, 0)])
            filled = False
            if i < 0 or (t > stamps[-1] and stream.mode != "hold"):
                side = "before" if i < 0 else "after"
                policy = stream.policy(side)
                filled = policy == "nan" or isinstance(policy, (int, float))
                if policy == "error":
                    out.refused.append((b, k))
                row, bound = _outside(stream, side, t, stamps, values)
            else:
                row, bound, out.valid[b, k] = _inside(stream, t, i, stamps, values)
            if not filled and (stream.scale is not None or stream.bias is not None):
                row, bound = _scaled(stream, row, bound)
            out.values[b, k], out.bound[b, k] = row, bound
    return out


def align(streams: list[Stream], at: np.ndarray, origin: np.ndarray | None = None) -> list[Expected]:
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # NaN and inf in the samples are data
        return [align_stream(stream, at, origin) for stream in streams]


def ulp(x: np.ndarray, dtype: str) -> np.ndarray:
    """The spacing of `dtype` at x."""
    bits, lowest, highest = FLOATS[dtype]
    _, exponent = np.frexp(np.abs(np.where(np.isfinite(x), x, 0)).astype(Real))
    return np.ldexp(Real(1), np.clip(exponent - 1, lowest, highest) - (bits - 1))


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """x in `dtype`, rounded once (to nearest, ties to even); integers: towards zero, saturated, NaN is 0."""
    x = np.asarray(x, Real)
    if dtype in FLOATS:
        bits, _, highest = FLOATS[dtype]
        step = ulp(x, dtype)
        near = np.where(np.isfinite(x), np.rint(x / step) * step, x)
        largest = np.ldexp(Real(2) - np.ldexp(Real(1), 1 - bits), highest)
        return np.where(np.abs(near) > largest, np.copysign(Real(np.inf), near), near)
    if dtype == "bool":
        return ((x != 0) & ~np.isnan(x)).astype(Real)
    x = np.trunc(np.where(np.isnan(x), Real(0), x))
    info = np.iinfo(dtype)
    return np.clip(x, Real(info.min), Real(info.max))


def disagreement(expected: Expected, got: np.ndarray, dtype: str) -> str:
    """Where ``got`` (the numbers of an output of ``dtype``) is not the answer; "" if nowhere.

    Exact where the bound is 0; else within the bound, plus half an ulp where the output is narrower than the
    arithmetic.
    """
    got = np.asarray(got).astype(Real)
    if got.shape != expected.values.shape:
        return f"shape {got.shape}, expected {expected.values.shape}"
    want = rounded(expected.values, dtype)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if dtype in FLOATS:
        narrower = FLOATS[dtype][0] < expected.bits
        half = ulp(np.abs(expected.values) + expected.bound, dtype) / 2 if narrower else Real(0)
        bounded = (expected.bound > 0) & np.isfinite(expected.bound)
        with np.errstate(invalid="ignore"):
            same |= bounded & (np.abs(got - expected.values) <= expected.bound + half)
    if same.all():
        return ""
    where = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"at {where}: {got[where]!r}, expected {expected.values[where]!r} +- {expected.bound[where]!r} as {dtype}"
