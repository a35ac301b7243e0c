"""What is wrong with the files of a dataset, collected while they are read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with the files, or that had to be assumed."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class _Group:
    """The episodes that share one fault."""

    episodes: set[int] = field(default_factory=set)
    first_detail: str = ""


class ProblemLog:
    """Collects problems from any thread; the same fault in many episodes becomes one problem."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[Problem, _Group] = {}

    def add(self, where: str, what: str) -> None:
        """Adds a problem that concerns no episode in particular; the same one again is not counted."""
        with self._lock:
            self._groups.setdefault(Problem(where, what), _Group())

    def add_episode(self, where: str, what: str, episode: int, detail: str = "") -> None:
        """Adds `episode` to the ones with this fault; `detail` of the first one is kept."""
        with self._lock:
            group = self._groups.setdefault(Problem(where, what), _Group(first_detail=detail))
            group.episodes.add(episode)

    def problems(self) -> list[Problem]:
        """The problems so far, in the order of their first appearance."""
        with self._lock:
            return [_summarise(problem, group) for problem, group in self._groups.items()]


def _summarise(problem: Problem, group: _Group) -> Problem:
    if not group.episodes:
        return problem
    count = len(group.episodes)
    text = f"{problem.what}: {'episode' if count == 1 else f'{count} episodes,'} {index_ranges(group.episodes)}"
    if group.first_detail:
        text += f" ({group.first_detail})" if count == 1 else f" (first: {group.first_detail})"
    return Problem(problem.where, text)


def index_ranges(indices: set[int]) -> str:
    """Sorted ranges of integers as text: {0, 1, 2, 7} is "0-2, 7"."""
    runs: list[list[int]] = []
    for i in sorted(indices):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
