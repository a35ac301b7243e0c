"""Energy of a call, from the energy counter of the GPU's management library (NVML)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

IDLE_S, LOAD_S = 2.0, 2.0
METHOD = (
    f"NVML's energy counter over at least {LOAD_S:g} s of graph replays (cold), less the idle power times that time, "
    f"divided by the calls. Idle power: the counter over {IDLE_S:g} s before the first case, with the context alive."
)


class NoMeter(RuntimeError):  # noqa: N818 - not an error: a line in the report
    """Why energy cannot be read here."""


class Meter:
    """The energy counter of one GPU; made while the GPU idles."""

    def __init__(self, uuid: str) -> None:
        try:
            self._nvml = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError as error:
            raise NoMeter(str(error)) from error
        self._handle = ctypes.c_void_p()
        self._check("nvmlInit_v2")
        self._check("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self._handle))
        self.idle_w = self._watts(lambda: time.sleep(IDLE_S))

    def _check(self, name: str, *arguments: object) -> None:
        code = getattr(self._nvml, name)(*arguments)
        if code != 0:
            raise NoMeter(f"{name} returned {code}, expected 0")

    def _joules(self) -> float:
        millijoules = ctypes.c_ulonglong()
        self._check("nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def _watts(self, work: Callable[[], object]) -> float:
        begin_j, begin_s = self._joules(), time.perf_counter()
        work()
        return (self._joules() - begin_j) / (time.perf_counter() - begin_s)

    def energy(self, repeat: Callable[[float], int]) -> dict[str, Any]:
        """Of `repeat(seconds)`, which returns how many calls it made."""
        begin_j, begin_s = self._joules(), time.perf_counter()
        calls = repeat(LOAD_S)
        joules, seconds = self._joules() - begin_j, time.perf_counter() - begin_s
        over_idle = joules - self.idle_w * seconds
        return {
            "uj_per_call": over_idle / calls * 1e6,
            "watts": joules / seconds,
            "watts_over_idle": over_idle / seconds,
            "idle_watts": self.idle_w,
            "calls": calls,
        }
