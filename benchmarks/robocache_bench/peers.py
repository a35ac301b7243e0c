"""Who is measured: each module of an operator's folder `peers` makes peers for a case, or says why it has none.

A peer is written as well as we can write it, and none is given less than another: outputs exist where it can take
them, inputs lie on the device in the dtype that suits it best, and what can be compiled or tuned is, before the clock.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from robocache_bench.results import Log
from robocache_bench.timing import Run


@dataclass
class Bound:
    """A peer tied to the arrays of one call: its ways to make the call, and how to read what such a call returned."""

    runs: dict[str, Run]  # by 'out given', 'fresh'
    read: Callable[[Any], Any]  # the answer as the operator's oracle takes it
    wait: Callable[[Any], object] = lambda result: None  # for a result that no device-wide wait covers

    @property
    def way(self) -> str:
        """The way that a graph replays and a caller would choose."""
        return "out given" if "out given" in self.runs else "fresh"


@dataclass
class Peer:
    """One contestant on one case."""

    name: str
    reads: str  # what it is given, where peers differ in that
    bind: Callable[[Any], Bound]
    capturable: bool = True  # in a CUDA graph of torch's
    tune: Callable[[list[Bound]], str] | None = None  # picks the best configuration for these calls, and names it


class NoPeer(Exception):  # noqa: N818 - not an error: a line in the report
    """Why a peer does not take part in a case."""


def contestants(package: str, case: Any, modules: Sequence[str], log: Log) -> list[Peer]:
    """The peers of a case from modules in `package`; the log says why another one is not there."""
    found: list[Peer] = []
    for name in modules:
        try:
            found += importlib.import_module(f"{package}.{name}").peers(case)
        except ModuleNotFoundError as error:
            log.skip(case.name, name, f"{error.name} is not installed")
        except NoPeer as why:
            log.skip(case.name, name, str(why))
    return found
