"""The right answer in float64, written naively and apart from every peer, and how far an answer is from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.operators.align.needs import intervals

Array = npt.NDArray[Any]
Answer = tuple[Any, Any, Any]  # values, and valid and age where the peer has them, else None

# Largest difference allowed, in units of the largest value: the rounding of the stored type, and room for f32 weights.
TOLERANCE = {"float32": 2e-5, "bfloat16": 8e-3, "float16": 1e-3}


def _rows(values: Array, i: Array) -> Array:
    return np.take_along_axis(values, i[..., None], 1)


def interpolate(interp: str, values: Array, stamps: Array, at: Array) -> Array:
    """values [B, S, D] at [B, T], all float64; the end samples are held outside. Returns [B, T, D]."""
    last = stamps.shape[1] - 1
    i = intervals(stamps, at).clip(0, last - 1)
    s0, s1 = np.take_along_axis(stamps, i, 1), np.take_along_axis(stamps, i + 1, 1)
    width = np.where(s1 > s0, s1 - s0, 1)
    w = np.where(s1 > s0, ((at - s0) / width).clip(0, 1), 1.0)[..., None]
    a, b = _rows(values, i), _rows(values, i + 1)
    if interp == "linear":
        return np.asarray(a + w * (b - a))
    if interp == "angle":
        turn = (b - a + np.pi) % (2 * np.pi) - np.pi
        return np.asarray(a + w * turn)
    if interp == "pchip":
        return _pchip(values, stamps, i, w)
    if interp == "slerp":
        return _slerp(a, b, w)
    if interp == "se3":
        poses = (a.reshape(*a.shape[:2], -1, 7), b.reshape(*a.shape[:2], -1, 7))
        position = poses[0][..., :3] + w[..., None] * (poses[1] - poses[0])[..., :3]
        before, after = (p[..., 3:].reshape(*a.shape[:2], -1) for p in poses)
        turned = _slerp(before, after, w)
        turned = turned.reshape(*position.shape[:3], 4)
        return np.concatenate([position, turned], -1).reshape(a.shape)
    raise ValueError(f"oracle: interp is {interp!r}, expected one with a definition here")


def _slerp(a: Array, b: Array, w: Array) -> Array:
    """Quaternions in groups of four columns, along the shortest arc."""
    p, q = (x.reshape(*x.shape[:2], -1, 4) for x in (a, b))
    p, q = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (p, q))
    dot = (p * q).sum(-1, keepdims=True)
    q = np.where(dot < 0, -q, q)
    # Half the angle from the chord: exact for close ones, where the arccosine of the dot product is not.
    half = np.arctan2(np.linalg.norm(p - q, axis=-1, keepdims=True), np.linalg.norm(p + q, axis=-1, keepdims=True))
    angle = 2 * half
    sine = np.where(angle > 1e-12, np.sin(angle), 1)
    w = w[..., None]
    u = np.where(angle > 1e-12, np.sin((1 - w) * angle) / sine, 1 - w)
    v = np.where(angle > 1e-12, np.sin(w * angle) / sine, w)
    blend = u * p + v * q
    return np.asarray((blend / np.linalg.norm(blend, axis=-1, keepdims=True)).reshape(a.shape))


def _pchip(values: Array, stamps: Array, i: Array, w: Array) -> Array:
    """scipy's definition: Fritsch-Butland slopes inside, three-point ones at the ends."""
    h = np.diff(stamps, axis=1)[..., None]
    with np.errstate(divide="ignore"):  # equal stamps; no target lies between them
        d = np.diff(values, axis=1) / h
    slopes = np.empty_like(values)
    h0, h1, d0, d1 = h[:, :-1], h[:, 1:], d[:, :-1], d[:, 1:]
    near, far = 2 * h1 + h0, h1 + 2 * h0
    same = np.sign(d0) * np.sign(d1) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes[:, 1:-1] = np.where(same, (near + far) / (near / d0 + far / d1), 0)
    slopes[:, 0] = _end_slope(h[:, 0], h[:, 1], d[:, 0], d[:, 1])
    slopes[:, -1] = _end_slope(h[:, -1], h[:, -2], d[:, -1], d[:, -2])
    width, m0, m1 = np.take_along_axis(h, i[..., None], 1), _rows(slopes, i), _rows(slopes, i + 1)
    y0, y1 = _rows(values, i), _rows(values, i + 1)
    w2, w3 = w * w, w * w * w
    start, end = 2 * w3 - 3 * w2 + 1, 3 * w2 - 2 * w3
    return np.asarray(start * y0 + end * y1 + width * ((w3 - 2 * w2 + w) * m0 + (w3 - w2) * m1))


def _end_slope(h0: Array, h1: Array, d0: Array, d1: Array) -> Array:
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    slope = np.where(np.sign(slope) != np.sign(d0), 0, slope)
    beyond = (np.sign(d0) != np.sign(d1)) & (np.abs(slope) > 3 * np.abs(d0))
    return np.asarray(np.where(beyond, 3 * d0, slope))


class Oracle:
    """The right answer of one call for chosen batch rows: all of them, or as many as hold about `elements` values."""

    def __init__(self, x: Inputs, random: np.random.Generator, elements: int = 2_000_000) -> None:
        shape = x.case.shape
        count = max(1, min(shape.batch, elements // (shape.targets * shape.columns)))
        self.rows = np.sort(random.permutation(shape.batch)[:count])
        self._x = x
        self._values = [to_float64(v[self.rows]) for v in x.values]

    def error(self, reads: str, answer: Answer) -> float:
        """The largest difference of (values, valid, age), in units of the largest value; infinity if one is NaN.

        The oracle reads the times that the peer reads, rounded to what `reads` says ('float32 s' and the like). valid
        and age (in s, or in ns where integers) may be None.
        """
        case = self._x.case
        values, valid, age = answer
        values = values.reshape(self._x.out.shape)
        if bool((values != values).any()):  # NaN somewhere, in any library
            return float("inf")
        stamps, at = self._times(reads)
        pieces = zip(self._values, stamps, strict=True)
        want = np.concatenate([interpolate(case.interp, v, s, at) for v, s in pieces], -1)
        got = to_float64(values[self.rows])
        if case.interp in ("slerp", "se3"):  # q and -q are one rotation
            got = _signed_like(want, got, 4 if case.interp == "slerp" else 7)
        if valid is not None and self._marks_wrong(stamps, at, valid, age):
            return float("inf")
        difference = np.abs(got - want)
        if case.interp == "angle":
            difference = np.abs((got - want + np.pi) % (2 * np.pi) - np.pi)
        return float(difference.max() / np.abs(want).max())

    def _times(self, reads: str) -> tuple[list[Array], Array]:
        if reads == "int64 ns":  # relative ones: exact in float64
            stamps, at = [s / 1e9 for s in self._x.stamps_ns], self._x.at_ns / 1e9
        else:
            rounded, targets = self._x.times(reads)
            stamps, at = [s.astype(np.float64) for s in rounded], targets.astype(np.float64)
        return [s[self.rows] for s in stamps], at[self.rows]

    def _marks_wrong(self, stamps: list[Array], at: Array, valid: Any, age: Any) -> bool:
        valid, age = np.asarray(to_host(valid)), np.asarray(to_host(age))
        seconds = (age / 1e9 if age.dtype.kind == "i" else age.astype(np.float64))[self.rows]
        for n, s in enumerate(stamps):
            inside = (at >= s[:, :1]) & (at <= s[:, -1:])
            held = np.take_along_axis(s, intervals(s, at).clip(0), 1)
            if (inside != valid[self.rows][..., n]).any() or np.abs(seconds[..., n] - (at - held)).max() > 1e-6:
                return True
        return False


def _signed_like(want: Array, got: Array, group: int) -> Array:
    a, b = want.reshape(-1, group), got.reshape(-1, group).copy()
    b[:, -4:] *= np.where((a[:, -4:] * b[:, -4:]).sum(1, keepdims=True) < 0, -1, 1)
    return b.reshape(got.shape)


def to_host(array: Any) -> Any:
    """A numpy array of a numpy, torch, jax or cupy array."""
    if hasattr(array, "cpu"):
        array = array.cpu()
        return array.float().numpy() if str(array.dtype) == "torch.bfloat16" else array.numpy()
    return array.get() if hasattr(array, "get") else np.asarray(array)


def to_float64(array: Any) -> Array:
    return np.asarray(to_host(array)).astype(np.float64)


def tolerance(case: Case) -> float:
    """What `Oracle.error` may be."""
    return TOLERANCE[case.dtype]
