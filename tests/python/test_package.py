"""What the installed package consists of: versions agree, nothing but system libraries is linked, types are shipped."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import robocache
import robocache._core

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM = re.compile(r"lib(stdc\+\+|gcc_s|c|m|dl|rt|pthread)\.so\.\d+|ld-linux.*")


def output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]}")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_version_has_one_home() -> None:
    declared = re.search(r'^version = "(.*)"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert robocache.__version__ == importlib.metadata.version("robocache") == declared[1]


def test_only_system_libraries_are_linked() -> None:
    """libcuda and libcudart among them would keep the module from importing where there is no driver."""
    needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", robocache._core.__file__))
    assert needed
    assert [name for name in needed if not SYSTEM.fullmatch(name)] == []


def test_the_module_shows_no_symbol_of_ours() -> None:
    """Two extensions in one process must not see each other's functions."""
    defined = output("nm", "-D", "--defined-only", robocache._core.__file__)
    assert "PyInit__core" in defined
    assert [line for line in defined.splitlines() if "robocache" in line or "cuda" in line] == []


def test_types_are_shipped() -> None:
    package = Path(robocache.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_core.pyi").read_text() == (REPOSITORY / "python/robocache/_core.pyi").read_text()


def test_the_command_is_installed() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="robocache")
    assert [script.value for script in scripts] == ["robocache.cli:main"]
