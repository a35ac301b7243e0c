"""Is the answer right? Naive numpy and closed forms only: nothing here calls RoboCache.

T targets, D columns of a stream. An error counts against what is allowed for that very row and column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from arm_log import ArmLog
from demo_sensors import Sensor, Stamps, Values

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """The row and column of a stream that comes nearest to its bound, or is farthest beyond it."""

    stream: str
    what: str
    error: float
    allowed: float
    compared: int
    unit: str = ""

    @property
    def right(self) -> bool:
        return self.error <= self.allowed


@dataclass(frozen=True)
class Brackets:
    """Where each target lies among the stamps of a stream: samples `left` and `right`, and the times around it."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    before_ns: Stamps
    after_ns: Stamps
    inside: Bools

    @classmethod
    def of(cls, sensor: Sensor, at_ns: Stamps) -> Brackets:
        stamps = sensor.corrected_ns
        found = np.searchsorted(stamps, at_ns, side="right") - 1
        left = np.maximum(found, 0)
        right = np.minimum(left + 1, len(stamps) - 1)
        right = np.searchsorted(stamps, stamps[right], side="right") - 1 if sensor.interp == "nearest" else right
        inside = (found >= 0) & ((at_ns <= stamps[-1]) | (sensor.interp == "hold"))
        return cls(left, right, at_ns - stamps[left], stamps[right] - at_ns, inside)

    @property
    def width_s(self) -> Floats:
        """Width of the interval [T]; 0 where one sample alone gives the value."""
        return np.where(self.before_ns == 0, 0, self.before_ns + self.after_ns) * 1e-9

    @property
    def weight(self) -> Floats:
        width = self.before_ns + self.after_ns
        return np.divide(self.before_ns, width, out=np.zeros(len(width)), where=width > 0)

    def valid(self, sensor: Sensor) -> Bools:
        """In range, gap kept, age kept; a target exactly on a sample needs no neighbour."""
        last = self.right == self.left
        gap_ns = np.where(last, 0, self.before_ns + self.after_ns)
        alone = last | (sensor.interp == "hold")
        age_ns = np.where(alone, self.before_ns, np.minimum(self.before_ns, self.after_ns))
        kept = np.ones(len(gap_ns), bool)
        if sensor.max_gap_ns is not None:
            kept &= gap_ns <= sensor.max_gap_ns
        if sensor.max_age_ns is not None:
            kept &= age_ns <= sensor.max_age_ns
        return self.inside & (kept | (self.before_ns == 0))


def rotation_angle(p: Values, q: Values) -> Floats:
    """Angle [T] in rad between the rotations that quaternions [T, 4] stand for; q and -q are the same one."""
    p, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (p.astype(np.float64), q.astype(np.float64)))
    apart, together = np.linalg.norm(p - q, axis=1), np.linalg.norm(p + q, axis=1)
    return 4 * np.arctan2(np.minimum(apart, together), np.maximum(apart, together))


def _rounding(dtype: np.dtype) -> float:
    return 2.0**-53 if dtype == np.float64 else 2.0**-24


def _finding(sensor: Sensor, what: str, error: Floats, allowed: Floats, unit: str) -> Finding:
    """`error` and `allowed` are [T] or [T, D]."""
    if error.size == 0:
        return Finding(sensor.name, what, 0, 0, 0, unit)
    error, allowed = np.where(np.isnan(error), np.inf, error).ravel(), allowed.ravel()
    share = np.divide(error, allowed, out=np.where(error > 0, np.inf, 0.0), where=allowed > 0)
    worst = int(np.argmax(share))
    return Finding(sensor.name, what, float(error[worst]), float(allowed[worst]), error.size, unit)


def check_marks(sensor: Sensor, at_ns: Stamps, valid: Bools, age_ns: Stamps) -> Finding:
    """`valid` and `age_ns` [T], exactly."""
    brackets = Brackets.of(sensor, at_ns)
    wrong = (valid != brackets.valid(sensor)) | (age_ns != brackets.before_ns)
    return Finding(sensor.name, "valid, age", float(wrong.sum()), 0.0, len(at_ns), "rows")


def check_truth(sensor: Sensor, log: ArmLog, at_ns: Stamps, valid: Bools, rows: Values) -> Finding:
    """Valid rows [T, D] against the closed form.

    Allowed: hold nothing; linear h^2/8 max|f''| for an interval of h, plus the roundings of two samples and of the
    blend; slerp the same with the angular acceleration (1% covers the sphere's own curvature at these steps).
    """
    at_ns, rows = at_ns[valid], rows[valid].astype(np.float64)
    truth, curvature = log.truth_at(sensor.name, at_ns), log.truths[sensor.name].curvature
    bow = Brackets.of(sensor, at_ns).width_s[:, None] ** 2 / 8 * curvature
    unit = _rounding(sensor.values.dtype)
    if sensor.interp == "hold":
        return _finding(sensor, "exact", np.abs(rows - truth), np.zeros_like(truth), sensor.unit)
    if sensor.interp == "slerp":
        return _finding(sensor, "closed form", rotation_angle(rows, truth), 1.01 * bow[:, 0] + 8 * unit, "rad")
    allowed = bow + 10 * unit * np.abs(sensor.values).max(0)
    return _finding(sensor, "closed form", np.abs(rows - truth), allowed, sensor.unit)


def check_definition(sensor: Sensor, at_ns: Stamps, valid: Bools, rows: Values) -> Finding:
    """Valid rows [T, D] of real data, which have no closed form, against the definition of the interpolation.

    Hold, nearest: the sample itself. Linear: numpy.interp in float64, column by column. Slerp: w of the way from a to
    b, on the arc between them.
    """
    brackets = Brackets.of(sensor, at_ns[valid])
    rows = rows[valid]
    unit = max(_rounding(sensor.values.dtype), _rounding(rows.dtype))
    a, b = sensor.values[brackets.left], sensor.values[brackets.right]
    if sensor.interp in ("hold", "nearest"):
        sample = a if sensor.interp == "hold" else np.where((brackets.before_ns <= brackets.after_ns)[:, None], a, b)
        different = (rows != sample.astype(rows.dtype)) & ~(np.isnan(rows) & np.isnan(sample))
        return _finding(sensor, "exact", different.astype(float), np.zeros(rows.shape), "")
    rows = rows.astype(np.float64)
    if sensor.interp == "slerp":
        whole = rotation_angle(a, b)
        error = np.abs(rotation_angle(a, rows) - brackets.weight * whole)
        error += np.abs(rotation_angle(rows, b) - (1 - brackets.weight) * whole)
        return _finding(sensor, "on the arc", error, np.full(len(error), max(16 * unit, 1e-12)), "rad")
    start_ns = sensor.corrected_ns[0]
    stamps, times = (sensor.corrected_ns - start_ns).astype(np.float64), (at_ns[valid] - start_ns).astype(np.float64)
    columns = sensor.values.astype(np.float64)
    expected = np.stack([np.interp(times, stamps, column) for column in columns.T], -1)
    error = np.where(np.isnan(expected) & np.isnan(rows), 0, np.abs(rows - expected))
    return _finding(sensor, "numpy.interp", error, 8 * unit * np.maximum(np.abs(a), np.abs(b)), sensor.unit)
