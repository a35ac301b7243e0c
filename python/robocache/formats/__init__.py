"""Readers of datasets on disk, one module a format.

A module has `LOOKS_FOR` (what it recognises, in words), `detect(path)`, `OPTIONS` (the names of those it takes), and
`read(path, on_bad_episode, **options)`.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from robocache.dataset import Dataset
from robocache.episode import OnBadEpisode
from robocache.errors import DataError, InvalidArgument

# In order of detection: a folder of another format may have a stray CSV file in it.
_MODULES = {
    "lerobot": "robocache.formats.lerobot",
    "rlds": "robocache.formats.rlds",
    "robomimic": "robocache.formats.robomimic",
    "calvin": "robocache.formats.calvin",
    "csv": "robocache.formats.csv_folder",
}


def open_format(path: Path, name: str | None, on_bad_episode: OnBadEpisode, options: dict[str, Any]) -> Dataset:
    """Opens `path` with the named reader, or with the first one that recognises it."""
    if name is not None and name not in _MODULES:
        raise InvalidArgument(f"open: format is {name!r}, expected one of {', '.join(_MODULES)}")
    if not path.exists():
        raise FileNotFoundError(f"open: no such file or folder: {path}")
    modules = {n: _import(n) for n in ([name] if name else _MODULES)}
    for found, module in modules.items():
        if module.detect(path):
            for option in sorted(options.keys() - module.OPTIONS):
                raise InvalidArgument(f"open: {option} is {options[option]!r}, expected none: {found} data takes none")
            dataset: Dataset = module.read(path, on_bad_episode, **options)
            return dataset
    looked_for = "; ".join(f"{module.LOOKS_FOR} ({n})" for n, module in modules.items())
    raise DataError(f"open: {path} is no dataset that can be read, looked for {looked_for}{_hint(path, modules)}")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(_MODULES[name])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "pyarrow":
            raise
        raise ModuleNotFoundError(
            f"open: the {name} reader needs pyarrow, which is not installed; hint: pip install pyarrow", name=error.name
        ) from error


def _hint(path: Path, modules: dict[str, ModuleType]) -> str:
    """Names a dataset one level further down: people often give its parent."""
    if not path.is_dir():
        return ""
    for child in sorted(path.iterdir()):
        with suppress(OSError):  # no right to look into it
            if any(module.detect(child) for module in modules.values()):
                return f"; hint: {child} is one"
    return ""
