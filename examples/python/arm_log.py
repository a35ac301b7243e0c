"""A log of a simulated 7-joint arm, together with the closed form of everything that its sensors measure.

The arm reaches, touches, grips and lifts. Six streams tell of it, each at a rate of its own, with jitter, on a clock
that is off by a known amount; the wrist wrench is silent for 120 ms during the touch, and the camera loses two frames.
The samples are exact (rounded to float32): what is left between the aligned rows and the closed form is the
interpolation's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from demo_sensors import Sensor, Stamps

Floats = npt.NDArray[np.float64]

START_NS = 1_767_225_600_000_000_000  # an epoch time, 2026-01-01: float32 seconds could not tell its minutes apart
DURATION_S = 12.0
CONTACT_S = 5.0
WRENCH_LOST_S = (4.935, 5.055)
CAMERA_LOST_S = (8.05, 8.115)
EVENTS_S = np.array([0.0, 1.27, 2.903, 4.871, 5.137, 8.642, 8.655, 11.2])
OPENING_MM = np.array([80, 55, 80, 48, 12, 30, 30, 80])
MS = 1_000_000


@dataclass(frozen=True)
class Truth:
    """What a stream measures at t seconds after the start: [S] -> [S, D], and bounds on its second derivative.

    `curvature` [D] is max |f''|; for a rotation, one number: the largest angular acceleration, rad/s^2.
    """

    value: Callable[[Floats], Floats]
    curvature: Floats


@dataclass(frozen=True)
class ArmLog:
    sensors: tuple[Sensor, ...]
    truths: dict[str, Truth]

    def truth_at(self, name: str, at_ns: Stamps) -> Floats:
        """Closed form [T, D] at times on the common clock."""
        return self.truths[name].value((at_ns - START_NS) * 1e-9)


@dataclass(frozen=True)
class Sines:
    """D columns, each a sum of H sines; amplitude and phase [D, H], frequency_hz [H] or [D, H]."""

    amplitude: Floats
    frequency_hz: Floats
    phase: Floats

    def __call__(self, t_s: Floats, derivative: int = 0) -> Floats:
        speed = 2 * np.pi * self.frequency_hz
        angle = speed * t_s[:, None, None] + self.phase + derivative * np.pi / 2
        return (self.amplitude * speed**derivative * np.sin(angle)).sum(-1)

    def bound(self, derivative: int) -> Floats:
        return (np.abs(self.amplitude) * (2 * np.pi * self.frequency_hz) ** derivative).sum(-1)


def random_sines(rng: np.random.Generator, columns: int, size: float, frequency_hz: list[float]) -> Sines:
    shape = (columns, len(frequency_hz))
    amplitude = size * rng.uniform(0.4, 1.0, shape) / np.arange(1, len(frequency_hz) + 1)
    return Sines(amplitude, np.array(frequency_hz), rng.uniform(0, 2 * np.pi, shape))


def joint_truth(rng: np.random.Generator) -> Truth:
    """Positions [rad] and velocities [rad/s] of seven joints."""
    q = random_sines(rng, 7, 0.8, [0.13, 0.37, 0.9])
    return Truth(lambda t: np.hstack([q(t), q(t, 1)]), np.hstack([q.bound(2), q.bound(3)]))


@dataclass(frozen=True)
class Wrist:
    """Attitude of the wrist: it rolls by `roll` about z while `nod` turns it about its own x. R = Rz(roll) Rx(nod)."""

    roll: Sines
    nod: Sines

    def quaternion(self, t_s: Floats) -> Floats:
        """xyzw with w >= 0, as drivers publish it: past half a turn the sign of all four components flips."""
        a, b = self.roll(t_s)[:, 0] / 2, self.nod(t_s)[:, 0] / 2
        sa, ca, sb, cb = np.sin(a), np.cos(a), np.sin(b), np.cos(b)
        q = np.stack([ca * sb, sa * sb, sa * cb, ca * cb], -1)
        return np.where(q[:, 3:] < 0, -q, q)

    def rates_and_force(self, t_s: Floats) -> Floats:
        """Body rates [rad/s] and gravity's reaction in the body frame [m/s^2], three columns each."""
        nod, roll_rate = self.nod(t_s)[:, 0], self.roll(t_s, 1)[:, 0]
        zero, up = np.zeros_like(nod), np.stack([np.sin(nod), np.cos(nod)], -1)  # y and z of the world's z, body frame
        rates = np.stack([self.nod(t_s, 1)[:, 0], roll_rate * up[:, 0], roll_rate * up[:, 1]], -1)
        return np.hstack([rates, np.stack([zero, 9.81 * up[:, 0], 9.81 * up[:, 1]], -1)])

    def curvatures(self) -> tuple[Floats, Floats]:
        """Bounds for `quaternion` (angular acceleration) and for `rates_and_force` (second derivatives)."""
        r1, r2, r3 = (float(self.roll.bound(k)[0]) for k in (1, 2, 3))
        n1, n2, n3 = (float(self.nod.bound(k)[0]) for k in (1, 2, 3))
        turning = n2 + n1**2  # bounds the second derivative of sin(nod) and cos(nod)
        rate = r3 + 2 * r2 * n1 + r1 * turning
        return np.array([n2 + r2 + r1 * n1]), np.array([n3, rate, rate, 0, 9.81 * turning, 9.81 * turning])


def wrench_truth(rng: np.random.Generator) -> Truth:
    """Force [N] and torque [Nm] at the wrist: slow loads, and the touch as a bell of 40 ms, most of it in z."""
    load = random_sines(rng, 6, 1.0, [0.21, 0.8])
    touch, width_s = np.array([4.0, -3.0, -24.0, 0.5, 0.9, 0.1]), 0.04

    def value(t_s: Floats) -> Floats:
        return load(t_s) + touch * np.exp(-0.5 * ((t_s[:, None] - CONTACT_S) / width_s) ** 2)

    return Truth(value, load.bound(2) + np.abs(touch) / width_s**2)


def gripper_opening(t_s: Floats) -> Floats:
    """Opening of the gripper [mm], which tells of it at the start and when it changes."""
    starts_s = EVENTS_S - 0.5e-9  # stamps are whole nanoseconds: half of one keeps an event on its own side
    return OPENING_MM[np.searchsorted(starts_s, t_s, side="right") - 1, None]


def sample_times(rng: np.random.Generator, rate_hz: float, start_s: float, jitter_s: float) -> Floats:
    """Times at `rate_hz` from `start_s` on; the jitter is cut where it could change the order."""
    t_s = np.arange(start_s, DURATION_S, 1 / rate_hz)
    return t_s + np.clip(rng.normal(0, jitter_s, len(t_s)), -0.45 / rate_hz, 0.45 / rate_hz)


def without(t_s: Floats, lost_s: tuple[float, float]) -> Floats:
    return t_s[(t_s < lost_s[0]) | (t_s >= lost_s[1])]


def arm_times(rng: np.random.Generator) -> dict[str, Floats]:
    """When each stream takes its samples, seconds after the start."""
    imu_s = sample_times(rng, 1000, 0.0034, 20e-6)
    return {
        "joints": sample_times(rng, 500, 0.0127, 150e-6),
        "imu": imu_s,
        "imu.orientation": imu_s[::10],
        "wrench": without(sample_times(rng, 200, 0.0343, 60e-6), WRENCH_LOST_S),
        "camera": without(sample_times(rng, 30, 0.12, 800e-6), CAMERA_LOST_S),
        "gripper": EVENTS_S,
    }


def arm_truths(rng: np.random.Generator) -> dict[str, Truth]:
    """What each stream measures."""
    wrist = Wrist(
        Sines(np.array([[3.5, 0.25]]), np.array([0.17, 0.8]), np.array([[-2.27, 0.4]])),
        Sines(np.array([[0.5]]), np.array([0.35]), np.array([[1.0]])),
    )
    turn, rates = wrist.curvatures()
    features = random_sines(rng, 512, 1.0, [0.11, 0.45])
    return {
        "joints": joint_truth(rng),
        "imu": Truth(wrist.rates_and_force, rates),
        "imu.orientation": Truth(wrist.quaternion, turn),
        "wrench": wrench_truth(rng),
        "camera": Truth(features, features.bound(2)),
        "gripper": Truth(gripper_opening, np.zeros(1)),
    }


def generate(seed: int = 7) -> ArmLog:
    """The same log for the same seed."""
    rng = np.random.default_rng(seed)
    truths, times_s = arm_truths(rng), arm_times(rng)

    def sensor(
        name: str,
        interp: str,
        clock_ms: float,
        unit: str,
        shown: dict[str, int],
        max_gap_ms: int | None = None,
        max_age_ms: int | None = None,
    ) -> Sensor:
        true_ns = START_NS + np.rint(times_s[name] * 1e9).astype(np.int64)
        values = truths[name].value((true_ns - START_NS) * 1e-9)
        offset_ns = round(clock_ms * MS)
        return Sensor(
            name,
            values.astype(np.int32 if interp == "hold" else np.float32),
            true_ns - offset_ns,
            interp,
            offset_ns,
            None if max_gap_ms is None else max_gap_ms * MS,
            None if max_age_ms is None else max_age_ms * MS,
            unit,
            tuple(shown.values()),
            tuple(shown),
        )

    return ArmLog(
        (
            sensor("joints", "linear", -0.8, "rad", {"q1": 0, "q2": 1, "q4": 3}, max_gap_ms=10),
            sensor("imu", "linear", 2.3, "rad/s", {"ωx": 0, "ωy": 1, "ωz": 2}, max_gap_ms=5),
            sensor("imu.orientation", "slerp", 2.3, "", {"x": 0, "y": 1, "z": 2, "w": 3}, max_gap_ms=50),
            sensor("wrench", "linear", -4.1, "N", {"Fx": 0, "Fz": 2}, max_gap_ms=20),
            sensor("camera", "linear", -18.7, "", {"f0": 0, "f1": 1, "f2": 2}, max_age_ms=25),
            sensor("gripper", "hold", 1.5, "mm", {"opening": 0}),
        ),
        truths,
    )
