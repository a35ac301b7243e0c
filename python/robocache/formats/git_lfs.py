"""The pointers that Git-LFS leaves where a file was not fetched."""

from __future__ import annotations

import stat
from pathlib import Path

LFS_HINT = "is a Git-LFS pointer, not the file; hint: git lfs pull"

_PREFIX = b"version https://git-lfs"


def is_lfs_pointer(path: Path) -> bool:
    """Whether the file is what Git-LFS leaves in a file's place; not so for one that cannot be read."""
    try:
        status = path.stat()
        if status.st_size > 1024 or not stat.S_ISREG(status.st_mode):  # opening a pipe waits for a writer
            return False
        with path.open("rb") as file:
            return file.read(len(_PREFIX)) == _PREFIX
    except OSError:
        return False
