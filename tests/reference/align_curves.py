"""Curves between samples in extended precision, each by its textbook definition: the mathematics of the oracle.

Nothing here knows about limits, policies or validity. ``w`` is 0 at the first sample of an interval, 1 at the second.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Real = np.longdouble
Array = np.ndarray

SCALAR = {"xyzw": 3, "wxyz": 0}  # where a quaternion has its scalar


def unit_quaternion(q: Array) -> Array:
    """q / |q|; NaN where that is no rotation (length zero, or not finite)."""
    length = np.sqrt(np.sum(q * q))
    return q / length if 0 < length < np.inf else np.full(4, np.nan, Real)


def slerp(a: Array, b: Array, w: Real) -> Array:
    """Point w of the shortest arc from a to b, in a's hemisphere, through the part of b that is orthogonal to a."""
    a, b = unit_quaternion(a), unit_quaternion(b)
    cosine = np.sum(a * b)
    if cosine < 0:
        b, cosine = -b, -cosine
    ortho = b - cosine * a
    sine = np.sqrt(np.sum(ortho * ortho))
    if sine == 0:
        return a
    angle = np.arctan2(sine, cosine)
    return np.cos(w * angle) * a + np.sin(w * angle) * (ortho / sine)


def _product(p: Array, q: Array) -> Array:
    """Hamilton's product, scalar last."""
    vector = p[3] * q[:3] + q[3] * p[:3] + np.cross(p[:3], q[:3])
    return np.append(vector, p[3] * q[3] - np.sum(p[:3] * q[:3]))


def rotation_matrix(q: Array) -> Array:
    """The columns are what a unit quaternion (scalar last) makes of the axes."""
    inverse = np.append(-q[:3], q[3])
    axes = np.eye(3, dtype=Real)
    return np.stack([_product(_product(q, np.append(e, Real(0))), inverse)[:3] for e in axes], axis=1)


def _cross_matrix(v: Array) -> Array:
    zero = Real(0)
    return np.array([[zero, -v[2], v[1]], [v[2], zero, -v[0]], [-v[1], v[0], zero]], Real)


def _power_series(m: Array, first: int) -> Array:
    """Sum over k of m^k / (k + first)!: exp(m) for first = 0, the mean of exp(s * m) over s in 0 .. 1 for first = 1."""
    term = np.eye(len(m), dtype=Real)
    total, k = term.copy(), 0
    while np.abs(term).max() > 1e-25:
        k += 1
        term = term @ m / Real(k + first)
        total = total + term
    return total


def exp_matrix(m: Array) -> Array:
    """By the series of m / 2^10, squared ten times."""
    root = _power_series(m / Real(1024), 0)
    for _ in range(10):
        root = root @ root
    return root


def _solve3(m: Array, v: Array) -> Array:
    """Cramer's rule: numpy solves in float64 only."""
    a, b, c = m.T
    volume = np.sum(a * np.cross(b, c))
    return np.array([np.sum(v * np.cross(b, c)), np.sum(a * np.cross(v, c)), np.sum(a * np.cross(b, v))]) / volume


def twist(rotation: Array, shift: Array) -> Array:
    """log of the rigid motion (unit quaternion with scalar >= 0, shift) as a 4x4 matrix."""
    sine = np.sqrt(np.sum(rotation[:3] * rotation[:3]))
    angle = 2 * np.arctan2(sine, rotation[3])
    turn = rotation[:3] * (angle / sine) if sine > 0 else 2 * rotation[:3]
    out = np.zeros((4, 4), Real)
    out[:3, :3] = _cross_matrix(turn)
    out[:3, 3] = _solve3(_power_series(_cross_matrix(turn), 1), shift)
    return out


def screw(a: Array, b: Array, w: Real, order: str) -> Array:
    """Ta * exp(w * log(Ta^-1 Tb)) for two poses (position, quaternion); the shortest of the two motions."""
    turned = slerp(a[3:], b[3:], w)
    if np.isnan(turned).any():
        return np.full(7, np.nan, Real)
    roll = 3 - SCALAR[order]
    qa, qb = (np.roll(unit_quaternion(x[3:]), roll) for x in (a, b))
    if np.sum(qa * qb) < 0:
        qb = -qb
    to_world = rotation_matrix(qa)
    relative = _product(np.append(-qa[:3], qa[3]), qb)
    motion = exp_matrix(w * twist(relative, to_world.T @ (b[:3] - a[:3])))
    return np.concatenate([a[:3] + to_world @ motion[:3, 3], turned])


def _end_slope(h0: Real, h1: Real, m0: Array, m1: Array) -> Array:
    """Three-point derivative at the end next to m0, kept monotone as scipy does."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    d = np.where(np.sign(d) != np.sign(m0), Real(0), d)
    return np.where((np.sign(m0) != np.sign(m1)) & (np.abs(d) > 3 * np.abs(m0)), 3 * m0, d)


def pchip_slopes(h: list[Real], y: Array) -> Array:
    """Derivatives [n, D] at n samples, h [n - 1] apart: Fritsch-Butland inside, one-sided at the ends."""
    m = [(y[k + 1] - y[k]) / h[k] for k in range(len(h))]
    if len(h) == 1:
        return np.stack([m[0], m[0]])
    slopes = [_end_slope(h[0], h[1], m[0], m[1])]
    for k in range(1, len(h)):
        w1, w2 = 2 * h[k] + h[k - 1], h[k] + 2 * h[k - 1]
        smooth = np.sign(m[k - 1]) * np.sign(m[k]) > 0
        below, above = np.where(smooth, m[k - 1], Real(1)), np.where(smooth, m[k], Real(1))
        slopes.append(np.where(smooth, (w1 + w2) / (w1 / below + w2 / above), Real(0)))
    slopes.append(_end_slope(h[-1], h[-2], m[-1], m[-2]))
    return np.stack(slopes)


def pchip(h: list[Real], y: Array, i: int, w: Real) -> Array:
    """The cubic of interval i of a curve through y [n, D], at w. The caller passes the samples that it depends on."""
    slopes = pchip_slopes(h, y)
    a, b, da, db = y[i], y[i + 1], slopes[i] * h[i], slopes[i + 1] * h[i]
    value = a + w * (da + w * ((3 * (b - a) - 2 * da - db) + w * (da + db - 2 * (b - a))))
    return np.where(np.isnan(y).any(axis=0), Real(np.nan), value)


def wrap(x: Any) -> Any:
    """To [-pi, pi), in float64, by whole turns of 2 pi as float64 has it; what is in the range stays as it is."""
    x = np.asarray(x, np.float64)
    rest = np.fmod(x, 2 * np.pi)  # exact
    rest = np.where(rest >= np.pi, rest - 2 * np.pi, np.where(rest < -np.pi, rest + 2 * np.pi, rest))
    return np.where((x >= -np.pi) & (x < np.pi), x, rest)


def angle(a: Array, b: Array, w: Real) -> Array:
    """a + w * wrap(b - a), wrapped: the way round from a to b that is the shorter one."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return wrap(a + np.float64(w) * wrap(b - a)).astype(Real)
