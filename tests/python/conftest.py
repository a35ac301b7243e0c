"""Fixtures: where arrays live. The CPU always; CUDA where there is a device, else those tests skip and say so."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # arrays, calls; reference

from arrays import Home, missing  # noqa: E402

REQUIRE_CUDA = os.environ.get("ROBOCACHE_REQUIRE_CUDA") == "1"


def _at_home(home: Home) -> Home:
    reason = missing(home)
    if reason and home.device == "cuda" and REQUIRE_CUDA:
        pytest.fail(f"ROBOCACHE_REQUIRE_CUDA=1, but {reason}")
    if reason:
        pytest.skip(reason)
    return home


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> Home:
    """Each device, with torch's arrays; numpy's where torch is not installed."""
    torch = request.param == "cuda" or not missing(Home("torch", "cpu"))
    return _at_home(Home("torch" if torch else "numpy", request.param))


@pytest.fixture(params=["numpy-cpu", "torch-cpu", "torch-cuda"])
def home(request: pytest.FixtureRequest) -> Home:
    """Each library on each device that both it and RoboCache have."""
    return _at_home(Home(*request.param.split("-")))


@pytest.fixture(params=["cuda"])
def cuda(request: pytest.FixtureRequest) -> Home:
    """The parameter puts "cuda" into the names of its tests: tools/gpu.sh selects by that."""
    return _at_home(Home("torch", request.param))


@pytest.fixture(params=["cpu", "cuda"])
def where(request: pytest.FixtureRequest) -> Any:
    """Each device, as torch names it."""
    return pytest.importorskip("torch").device(_at_home(Home("torch", request.param)).device)
