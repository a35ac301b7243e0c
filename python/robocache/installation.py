"""What this installation can do, and whether it does it right."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import Any

import numpy as np

from robocache import _core
from robocache._frameworks import to_numpy


def is_cuda_available() -> bool:
    """Whether RoboCache can compute on a CUDA device here."""
    return _core.cuda_device_count() > 0


def check_installation() -> dict[str, Any]:
    """Facts about this installation.

    Returns
    -------
    dict
        version; cuda_build (the module has the CUDA backend); cuda_device_available, cuda_devices (names), cuda_reason
        (why there is no device, else ''); gpu_name (first device or None); cpu_isa, cpu_threads; pytorch_available; and
        the names of RoboCache 1.0.0: cuda_extension_available, multimodal_extension_available (both: cuda_build) and
        voxelize_extension_available.
    """
    count = _core.cuda_device_count()
    names = [_core.cuda_device_name(i) for i in range(count)]
    return {
        "version": version("robocache"),
        "cuda_build": _core.cuda_build(),
        "cuda_device_available": count > 0,
        "cuda_devices": names,
        "cuda_reason": _core.why_no_cuda(),
        "gpu_name": names[0] if names else None,
        "cpu_isa": _core.cpu_isa(),
        "cpu_threads": _core.cpu_threads(),
        "pytorch_available": importlib.util.find_spec("torch") is not None,
        "cuda_extension_available": _core.cuda_build(),
        "multimodal_extension_available": _core.cuda_build(),
        "voxelize_extension_available": hasattr(_core, "voxelize"),
    }


def self_test() -> bool:
    """Align small streams with known answers on the CPU and, where torch has a CUDA device, there too.

    Returns
    -------
    bool
        True if every answer is right.
    """
    devices = ["cpu"]
    if is_cuda_available() and importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            devices.append("cuda")
    return all(_answers_are_right(device) for device in devices)


def _answers_are_right(device: str) -> bool:
    def on(array: np.ndarray[Any, Any]) -> Any:
        if device == "cpu":
            return array
        import torch

        return torch.from_numpy(array).to(device)

    stamps = np.array([0, 100, 200], np.int64) * 1_000_000 + 1_700_000_000_000_000_000
    at = stamps[0] + np.array([-50, 0, 25, 150, 300], np.int64) * 1_000_000
    ramp = np.array([[1.0, 5.0], [2.0, 10.0], [4.0, 0.0]], np.float32)
    turn = np.array([[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, -1]], np.float32)
    gripper = np.array([[0], [1], [2]], np.int32)
    result = _core.align(
        [
            _core.Stream(on(ramp), on(stamps)),
            _core.Stream(on(turn), on(stamps), interp="slerp"),
            _core.Stream(on(gripper), on(stamps)),
        ],
        on(at),
        dtype="float32",
        check="now",
    )
    s, c = np.sin(np.pi / 8), np.cos(np.pi / 8)
    h = np.sqrt(0.5)
    expected = [
        [1, 5, 0, 0, 0, 1, 0],
        [1, 5, 0, 0, 0, 1, 0],
        [1.25, 6.25, 0, 0, s, c, 0],
        [3, 5, 0, 0, -h, h, 1],  # in the hemisphere of the row before
        [4, 0, 0, 0, 0, 1, 2],
    ]
    valid = [[False] * 3, [True] * 3, [True] * 3, [True] * 3, [False, False, True]]
    right = np.allclose(to_numpy(result.values), expected, atol=1e-6)
    return right and np.array_equal(to_numpy(result.valid), valid)
