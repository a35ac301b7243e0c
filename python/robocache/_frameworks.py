"""What the C++ core asks of the array libraries that it cannot ask through DLPack."""

from __future__ import annotations

import re
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from robocache.errors import InvalidArgument, Unsupported

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


def empty(op: str, like: Any, shape: tuple[int, ...], dtype: str) -> Any:
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
        f"{op}: the result is {dtype} on CUDA for a {type(like).__name__}, expected a library with such: torch, cupy"
    )


def adopt(op: str, like: Any, memory: Memory, dtype: str) -> Any:
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

        with _jax_x64():
            return jax.dlpack.from_dlpack(memory)
    check_result(op, library, dtype)
    array = np.asarray(memory)
    if dtype == "bfloat16":
        import ml_dtypes

        return array.view(ml_dtypes.bfloat16)
    return array


def check_result(op: str, library: str, dtype: str) -> None:
    """Whether results of `dtype` can be given to the user of `library`, as `library_of` names it.

    Raises
    ------
    Unsupported
        They would be numpy arrays of bfloat16, and ml_dtypes is not installed.
    """
    if dtype != "bfloat16" or library in ("torch", "jax", "cupy"):
        return
    try:
        import ml_dtypes  # noqa: F401
    except ImportError as error:
        raise Unsupported(
            f"{op}: dtype is bfloat16, which numpy has only with ml_dtypes, expected float16, float32 or float64; "
            "hint: pip install ml_dtypes"
        ) from error


def _jax_x64() -> AbstractContextManager[Any]:
    """Switches 64-bit types on in jax: without them it cuts such values to 32 bits and says nothing."""
    import jax.experimental

    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # by its age
    context: AbstractContextManager[Any] = enable(True)
    return context


def bits_as_float64(array: Any) -> Any:
    """An int64 array whose elements are the bits of float64 numbers, as float64."""
    if library_of(array) == "torch":
        import torch

        return array.view(torch.float64)
    with _jax_x64() if library_of(array) == "jax" else nullcontext():
        return array.view("float64")


def as_int32(array: Any) -> Any:
    """A copy of an array as int32."""
    return array.int() if library_of(array) == "torch" else array.astype("int32")


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """A numpy array with the contents of `array`, copied from its device where it has one."""
    library = library_of(array)
    if library == "torch":
        return np.asarray(array.detach().cpu())
    if library == "cupy":
        return np.asarray(array.get())
    if library == "other" and hasattr(array, "__dlpack__"):
        return np.from_dlpack(array)
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

        with _jax_x64():
            return jax.device_put(array, next(iter(like.devices())))
    return array


def to_device(array: Any, device: str, asked: str) -> Any:
    """`array` on 'cpu', 'cuda' or 'cuda:<index>', in its own library; `asked` is how an error text begins.

    Raises
    ------
    InvalidArgument
        The library has no arrays on that device, here or at all.
    """
    match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", device)
    if match is None:
        raise InvalidArgument(f"{asked}, expected 'cpu', 'cuda' or 'cuda:<index>'")
    kind, index = match[1], int(match[2] or 0)
    library = library_of(array)
    if library == "torch":
        import torch

        if kind == "cuda" and index >= torch.cuda.device_count():
            raise InvalidArgument(f"{asked}, but torch has {torch.cuda.device_count()} CUDA devices here")
        return array.to(device)
    if library == "jax":
        import jax

        try:
            found = jax.devices("gpu" if kind == "cuda" else kind)
        except RuntimeError:  # jax was installed or started without them
            found = []
        if index >= len(found):
            raise InvalidArgument(f"{asked}, but jax has {len(found)} {kind.upper()} devices here")
        with _jax_x64():
            return jax.device_put(array, found[index])
    if kind == "cpu" and library != "cupy":
        return array
    what = f"{library} array" if library in ("numpy", "cupy") else type(array).__name__
    raise InvalidArgument(f"{asked}, expected the device that the {what} is on; RoboCache cannot move it")
