"""What the installation says about itself."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys

import pytest
import robocache as rc
from arrays import Home

LEVELS = ["baseline", "avx2", "avx512"]


def test_version_is_the_packages() -> None:
    assert rc.__version__ == importlib.metadata.version("robocache") == rc.check_installation()["version"]


def test_facts() -> None:
    facts = rc.check_installation()
    assert facts["cuda_device_available"] is rc.is_cuda_available() is bool(facts["cuda_devices"])
    assert facts["cpu_isa"] in LEVELS
    assert facts["cpu_threads"] >= 1
    assert facts["gpu_name"] == (facts["cuda_devices"][0] if facts["cuda_devices"] else None)
    assert bool(facts["cuda_reason"]) != facts["cuda_device_available"], "a reason, exactly where there is no device"
    assert facts["cuda_build"] or not facts["cuda_device_available"]


def test_a_build_without_cuda_says_only_that() -> None:
    """Whether there was no nvcc or nobody wanted CUDA, the module does not know."""
    if rc.check_installation()["cuda_build"]:
        pytest.skip("this build has the CUDA backend")
    assert rc.check_installation()["cuda_reason"] == "this build has no CUDA backend"


def test_facts_under_the_predecessors_names() -> None:
    facts = rc.check_installation()
    assert facts["cuda_extension_available"] is facts["multimodal_extension_available"] is facts["cuda_build"]
    assert facts["voxelize_extension_available"] is hasattr(rc, "voxelize_pointcloud")
    torch_found = importlib.util.find_spec("torch") is not None
    assert facts["pytorch_available"] is torch_found


def test_self_test() -> None:
    assert rc.self_test() is True


def test_cuda_is_found_where_torch_finds_it(cuda: Home) -> None:
    import torch

    assert rc.is_cuda_available()
    facts = rc.check_installation()
    assert facts["cuda_devices"] == [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def run(code: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "ROBOCACHE_ISA"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_hidden_devices_give_a_reason_and_a_working_cpu() -> None:
    code = (
        "import robocache as rc; f = rc.check_installation(); print(f['cuda_device_available'], f['cuda_reason'] != '')"
    )
    assert run(code + "; assert rc.self_test()", CUDA_VISIBLE_DEVICES="") == "False True"


def test_import_is_quick_and_takes_no_framework_along() -> None:
    """Neither torch nor jax is imported, no CUDA context is made."""
    code = "import sys, robocache; print([m for m in ('torch', 'jax', 'cupy', 'pyarrow') if m in sys.modules])"
    assert run(code) == "[]"


def test_numpy_alone_is_enough() -> None:
    """Every other array library made impossible to import."""
    code = (
        "import sys\n"
        "for name in ('torch', 'jax', 'cupy', 'ml_dtypes', 'scipy', 'pyarrow'): sys.modules[name] = None\n"
        "import numpy as np, robocache as rc\n"
        "s = rc.Stream(np.array([0., 10.]), np.array([0, 10]))\n"
        "assert rc.align([s], rc.grid([s], hz=2e8)).values.tolist() == [[0.0], [5.0], [10.0]]\n"
        "assert rc.self_test() and rc.check_installation()\n"
        "print('ok')"
    )
    assert run(code) == "ok"


@pytest.mark.parametrize("level", LEVELS)
def test_the_instruction_set_can_be_lowered(level: str) -> None:
    code = "import robocache as rc; assert rc.self_test(); print(rc.check_installation()['cpu_isa'])"
    assert run(code, ROBOCACHE_ISA=level) == min(run(code), level, key=LEVELS.index)


def test_an_unknown_instruction_set_is_an_error_at_first_use() -> None:
    code = "import robocache as rc\ntry: rc.self_test()\nexcept ValueError as error: print(error)"
    assert "ROBOCACHE_ISA is 'sse9', expected" in run(code, ROBOCACHE_ISA="sse9")
