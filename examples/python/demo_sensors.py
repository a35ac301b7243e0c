"""What the demo aligns: sensors of the simulated arm, or the streams of an episode on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import robocache as rc
from robocache.cli.plan import Part, plan_streams
from robocache.episode import SampleStream
from robocache.formats.columns import split_unit
from robocache.timing import Timing, measure

Values = npt.NDArray[Any]
Stamps = npt.NDArray[np.int64]

# A steady stream that pauses for longer than this many of its periods has lost two samples in a row.
GAP_IN_PERIODS = 2.5
MOST_SHOWN = 3
LABEL_LENGTH = 20


@dataclass(frozen=True)
class Sensor:
    """One stream: values [S, D], stamps int64 ns [S] of the sensor's own clock, and how to align them.

    `offset_ns` brings its stamps to the common clock; `shown` are the columns that the plot draws.
    """

    name: str
    values: Values
    stamps_ns: Stamps
    interp: str
    offset_ns: int = 0
    max_gap_ns: int | None = None
    max_age_ns: int | None = None
    unit: str = ""
    shown: tuple[int, ...] = (0,)
    labels: tuple[str, ...] = ("",)

    @property
    def corrected_ns(self) -> Stamps:
        """Stamps on the common clock."""
        return self.stamps_ns + self.offset_ns

    @property
    def timing(self) -> Timing:
        return measure([self.stamps_ns])

    def stream(self, put: Callable[[Values], Any]) -> rc.Stream:
        """The stream for `rc.align`; `put` brings an array to a device."""
        return rc.Stream(
            put(self.values),
            put(self.stamps_ns),
            interp=self.interp,
            max_gap_ns=self.max_gap_ns,
            max_age_ns=self.max_age_ns,
            offset_ns=self.offset_ns,
            name=self.name,
        )


def row_dtype(sensors: Sequence[Sensor]) -> str:
    """float32, or float64 where a sensor has float64 values: latitudes do not fit in float32."""
    return "float64" if any(s.values.dtype == np.float64 for s in sensors) else "float32"


def sensors_of(data: rc.Dataset, episode: rc.Episode) -> list[Sensor]:
    """The low-dimensional streams of an episode that have samples; a quaternion among other columns stands alone."""
    sensors = []
    for plan in plan_streams(data, None, {}):
        if plan.info.name in episode and len(episode[plan.info.name]):
            sensors += [_sensor(episode[plan.info.name], part, plan.width) for part in plan.parts]
    return sensors


def _sensor(samples: SampleStream, part: Part, width: int) -> Sensor:
    info, columns = samples.info, slice(part.start, part.stop)
    values = samples.values.reshape(len(samples), width)[:, columns]
    named = [split_unit(name) for name in info.names or ()] or [(f"[{i}]", None) for i in range(width)]
    labels, units = [name for name, _ in named[columns]], [unit for _, unit in named[columns]]
    if info.units:
        units = list(info.units[columns])
    shown = tuple(range(4)) if part.interp == "slerp" else _liveliest(values, units)
    timing = measure([samples.stamps_ns])
    steady = timing.drops is not None and timing.period_ms is not None
    whole = part.stop - part.start == width
    return Sensor(
        name=info.name if whole else f"{info.name}[{part.start}:{part.stop}]",
        values=values,
        stamps_ns=samples.stamps_ns,
        interp=part.interp,
        max_gap_ns=round(GAP_IN_PERIODS * timing.period_ms * 1e6) if steady else None,
        unit=units[shown[0]] or "" if shown else "",
        shown=shown,
        labels=tuple(labels[i][-LABEL_LENGTH:] for i in shown),
    )


def _liveliest(values: Values, units: list[str | None]) -> tuple[int, ...]:
    """The columns that move most, in their order: of one unit, and such that none looks flat beside another."""
    travel = np.ptp(np.where(np.isfinite(values), values, 0).astype(np.float64), axis=0)
    order = np.argsort(-travel, kind="stable")[:MOST_SHOWN]
    return tuple(sorted(int(i) for i in order if units[i] == units[order[0]] and travel[i] >= 0.1 * travel[order[0]]))
