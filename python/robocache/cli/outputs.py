"""Files that appear whole or not at all, and arrays in them: what the commands that write have in common."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache.errors import InvalidArgument

Array = npt.NDArray[Any]
SaveArrays = Callable[[Path, Mapping[str, Array], str], None]

METADATA_MEMBER = "robocache.json"
ARRAY_SUFFIXES = (".npz", ".safetensors")


@contextmanager
def appearing(path: Path, suffixes: Iterable[str], *, op: str, what: str = "output") -> Iterator[Path]:
    """A name to write to. The file appears under `path` when all is written; after an error, nothing has changed.

    Raises
    ------
    InvalidArgument
        The suffix is none of `suffixes`; `op` and `what` are how the error begins.
    OSError
        The folder does not exist or cannot be written.
    """
    if path.suffix.lower() not in (known := list(suffixes)):
        raise InvalidArgument(f"{op}: {what} is {path.name}, expected a name that ends in {', '.join(known)}")
    if path.is_dir():
        raise IsADirectoryError(f"{op}: {what} {path} is a folder, expected a file name")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{op}: {what} folder {path.parent} does not exist")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()  # Not after an hour of work.
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def array_saver(suffix: str, *, op: str) -> SaveArrays:
    """What writes whole arrays and metadata (JSON) to a file of one of `ARRAY_SUFFIXES`.

    Raises
    ------
    ModuleNotFoundError
        safetensors is not installed.
    """
    if suffix == ".npz":
        return _save_npz
    try:
        import safetensors.numpy as safetensors
    except ModuleNotFoundError as error:
        text = f"{op}: output is .safetensors, which needs safetensors; hint: pip install safetensors"
        raise ModuleNotFoundError(text) from error

    def save(path: Path, arrays: Mapping[str, Array], metadata: str) -> None:
        safetensors.save_file(dict(arrays), path, metadata={"robocache": metadata})

    return save


def _save_npz(path: Path, arrays: Mapping[str, Array], metadata: str) -> None:
    """The npz of numpy, with the metadata in it as the file `robocache.json`.

    Not by np.savez, which takes the names as keywords beside its own: an array may be called `file`.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA_MEMBER, metadata)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
