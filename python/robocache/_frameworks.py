"""What the C++ core asks of the array libraries that it cannot ask through DLPack."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from robocache.errors import Unsupported

if TYPE_CHECKING:
    from robocache._core import Memory


def library_of(array: Any) -> str:
    """The library that an array belongs to: 'numpy', 'torch', 'jax', 'cupy', or 'other'."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return "torch"
    root = type(array).__module__.partition(".")[0]
    if root == "jaxlib":
        return "jax"
    return root if root in ("numpy", "jax", "cupy") else "other"


def current_stream(array: Any, index: int) -> int:
    """The CUDA stream that the library of `array` works on; 0 (the default stream) where it has no such notion."""
    library = library_of(array)
    if library == "torch":
        import torch

        return int(torch.cuda.current_stream(index).cuda_stream)
    if library == "cupy":
        import cupy

        return int(cupy.cuda.get_current_stream(index).ptr)
    return 0


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """An uninitialised CUDA array of the library and on the device of `like`.

    Raises
    ------
    NotImplementedError
        The library is neither torch nor cupy, or has no such dtype.
    """
    library = library_of(like)
    if library == "torch":
        import torch

        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)
    if library == "cupy" and dtype != "bfloat16":
        import cupy

        with cupy.cuda.Device(like.device.id):
            return cupy.empty(shape, dtype=dtype)
    raise Unsupported(
        f"align: the first stream's values are a {type(like).__name__}, which has no {dtype} results on CUDA"
    )


def adopt(like: Any, memory: Memory, dtype: str) -> Any:
    """Memory of ours as an array of the library of `like`; numpy for a library that is not known."""
    library = library_of(like)
    if library == "torch":
        import torch

        return torch.from_dlpack(memory)
    if library == "cupy":
        import cupy

        return cupy.from_dlpack(memory)
    if library == "jax":
        import jax

        with jax.enable_x64(True):  # else jax cuts 64-bit values to 32 bits without a word
            return jax.dlpack.from_dlpack(memory)
    array = np.asarray(memory)
    if dtype == "bfloat16":
        import ml_dtypes

        return array.view(ml_dtypes.bfloat16)
    return array


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """A numpy array with the contents of `array`, copied from its device where it has one."""
    library = library_of(array)
    if library == "torch":
        return np.asarray(array.detach().cpu())
    if library == "cupy":
        return np.asarray(array.get())
    return np.asarray(array)


def from_numpy(like: Any, array: np.ndarray[Any, Any]) -> Any:
    """`array` in the library and on the device of `like`."""
    library = library_of(like)
    if library == "torch":
        import torch

        return torch.from_numpy(array).to(like.device)
    if library == "cupy":
        import cupy

        with cupy.cuda.Device(like.device.id):
            return cupy.asarray(array)
    if library == "jax":
        import jax

        return jax.device_put(array, next(iter(like.devices())))
    return array


def to_device(array: Any, device: str) -> Any:
    """`array` on 'cpu', 'cuda' or 'cuda:<index>', in its own library.

    Raises
    ------
    ValueError
        The library has no arrays on that device.
    """
    library = library_of(array)
    if library == "torch":
        return array.to(device)
    if library == "jax":
        import jax

        kind, _, index = device.partition(":")
        return jax.device_put(array, jax.devices("gpu" if kind == "cuda" else kind)[int(index or 0)])
    if device == "cpu" and library != "cupy":
        return array
    raise ValueError(f"device is {device!r}, expected the device that the {library} array is on")
