"""Reads an HDF5 file again and again with flipped bits, each time in a process of its own.

libhdf5 can loop or crash on damage, which no reader above it can prevent: such a process is ended and does not count.
What Python raises and the reader does not promise is printed, and the exit status 1.

Run as `python flipped_hdf5.py FILE TIMES`; the file is overwritten.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import robocache


def read(path: Path) -> None:
    data = robocache.open(path, "robomimic", on_bad_episode="skip")
    for episode in data.episodes:
        _ = episode.metadata
        for name in episode:
            _ = episode[name].values


def in_a_child(path: Path) -> bool:
    """Whether nothing was raised that is not promised."""
    child = os.fork()
    if child == 0:
        signal.alarm(2)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        try:
            read(path)
        except (robocache.DataError, MemoryError):  # a flipped size asks for all the memory there is
            pass
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0


def main() -> int:
    path, times = Path(sys.argv[1]), int(sys.argv[2])
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    fine = True
    for _ in range(times):
        flipped = bytearray(whole)
        flipped[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        fine &= in_a_child(path)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
