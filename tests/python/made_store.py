"""A store whose values say which samples they are."""

from __future__ import annotations

import numpy as np
import robocache as rc


def made_store(
    counts: tuple[int, ...] = (20, 33), *, rate_hz: float = 10.0, streams: tuple[str, ...] = ("state",)
) -> rc.Store:
    """Episodes 0, 1 ... with values [S, 2] that say which sample of the store they are."""
    infos = [rc.StreamInfo(name, (2,), "float32", rate_hz, "float") for name in streams]
    builder = rc.StoreBuilder(infos)
    first = 0
    for episode, count in enumerate(counts):
        number = np.arange(first, first + count, dtype=np.float32)
        stamps = np.round(np.arange(count) * 1e9 / rate_hz).astype(np.int64)
        values = np.stack([number, -number], axis=1)
        builder.append(episode, {name: (values + 1000 * i, stamps) for i, name in enumerate(streams)})
        first += count
    return builder.finish()
