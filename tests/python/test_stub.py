"""The committed stub of the C++ module is the one that the module gives."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_stub_is_current(tmp_path: Path) -> None:
    pytest.importorskip("nanobind", reason="nanobind's stub generator is not installed")
    made = tmp_path / "_core.pyi"
    subprocess.run([sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "robocache._core", "-o", made], check=True)
    committed = Path(__file__).parents[2] / "python/robocache/_core.pyi"
    assert made.read_text() == committed.read_text(), (
        "run: python -m nanobind.stubgen -m robocache._core -o python/robocache/_core.pyi"
    )
