"""What is measured: each folder here is an operator, with its cases, inputs, oracle, bars and peers."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from robocache_bench.peers import Peer
from robocache_bench.results import BadResults, Log, Results, Row


class Case(Protocol):
    """One row of the tables: the same work for each peer."""

    @property
    def device(self) -> str: ...

    @property
    def name(self) -> str:
        """Begins with the device, and is no other case's."""

    @property
    def elements(self) -> int:
        """Of the result, for what a quick run leaves out."""

    @property
    def takes_power(self) -> bool:
        """Whether the energy of a call is measured, too."""


class Inputs(Protocol):
    """What one call reads and, where outputs are given, writes."""

    @property
    def nbytes(self) -> int: ...

    def poison(self) -> None:
        """Fills the outputs with what no correct call leaves there."""


class Oracle(Protocol):
    """The right answer of one call, written naively and apart from every peer."""

    def error(self, reads: str, answer: Any) -> float:
        """How far an answer is from it, of a peer that reads this; infinity where that has no measure."""


class Operator(ABC):
    """One operator: what the runs, the tables and the gate have to know about it."""

    name: ClassVar[str]
    modules: ClassVar[Mapping[str, Sequence[str]]]  # in the folder's peers/, by device
    takes_scan: ClassVar[bool] = False  # has cases of a real point cloud

    @property
    def peers_package(self) -> str:
        return f"{type(self).__module__}.peers"

    @abstractmethod
    def cases(self, device: str, points: Path | None) -> list[Any]:
        """What is measured on a device; `points` is the file of a scan, without which an operator has fewer."""

    @abstractmethod
    def inputs(self, case: Any, random: np.random.Generator) -> Inputs:
        """Fresh random ones."""

    @abstractmethod
    def oracle(self, x: Any, random: np.random.Generator) -> Oracle: ...

    @abstractmethod
    def tolerance(self, case: Any) -> float:
        """What `Oracle.error` may be."""

    @abstractmethod
    def facts(self, case: Any, peer: Peer, x: Any) -> Row:
        """What a row says of its case and of what its call must do: bytes, operations, asked, and its own names."""

    @abstractmethod
    def cpp_rows(self, folder: Path, device: str, seed: int, log: Log) -> list[Row]:
        """Those of the C++ benchmarks in a folder."""

    @abstractmethod
    def judge(self, results: Results, peers: Mapping[str, Row]) -> None:
        """Writes the bars of one case into the rows of its peers."""

    @abstractmethod
    def label(self, row: Row) -> str:
        """The case as a table names it, without the device."""

    @abstractmethod
    def curve(self, row: Row) -> str | None:
        """The plot of times against sizes that shows this row, by its title; None: none does."""


@functools.cache
def every() -> dict[str, Operator]:
    """By name."""
    folders = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {name: importlib.import_module(f"{__name__}.{name}").OPERATOR for name in folders}


def of(row: Row) -> Operator:
    """A row's.

    Raises
    ------
    BadResults
        None here has that name.
    """
    if (found := every().get(row["operator"])) is None:
        raise BadResults(f"results: operator is {row['operator']!r}, expected one of {', '.join(every())}")
    return found


def selected(cases: list[Any], only: Sequence[str], quick: bool) -> list[Any]:
    """The cases whose name contains one of `only`; of a quick run, those with less than 64 MB of output."""
    chosen = [c for c in cases if not only or any(text in c.name for text in only)]
    return [c for c in chosen if c.elements < 16_000_000] if quick else chosen
