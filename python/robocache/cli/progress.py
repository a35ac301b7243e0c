"""What the commands tell a person while and after they work."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_INTERVAL_S = 0.1


def count(n: int, noun: str) -> str:
    """Number and noun: 1 episode, 2,000 episodes."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yields the items and draws a bar on stderr, where that is a terminal; the line is gone at the end."""
    if not sys.stderr.isatty() or total == 0:
        yield from items
        return
    drawn = 0.0
    try:
        for done, item in enumerate(items):
            if time.monotonic() - drawn > _INTERVAL_S:
                drawn = time.monotonic()
                _draw(label, done, total)
            yield item
    finally:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


def _draw(label: str, done: int, total: int) -> None:
    counter = f" {done}/{total}"
    width = max(shutil.get_terminal_size().columns - len(label) - len(counter) - 4, 0)
    filled = width * done // total
    sys.stderr.write(f"\r{label} [{'#' * filled}{'.' * (width - filled)}]{counter}")
    sys.stderr.flush()
