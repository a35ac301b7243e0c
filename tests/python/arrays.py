"""Arrays of any library, device, dtype and memory layout from plain numbers, and back."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import robocache as rc

STORAGE = {"bfloat16": "uint16"}  # what numpy keeps a dtype in
FLOATS = ("float64", "float32", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")


def missing(home: Home) -> str:
    """Why arrays of `home` cannot be made or computed on here; "" if they can."""
    if importlib.util.find_spec(home.library) is None:
        return f"{home.library} is not installed"
    if home.device == "cpu":
        return ""
    if not rc.is_cuda_available():
        return f"RoboCache has no CUDA here: {rc.check_installation()['cuda_reason']}"
    import torch

    return "" if home.library != "torch" or torch.cuda.is_available() else "torch has no CUDA here"


def bfloat16_bits(numbers: np.ndarray) -> np.ndarray:
    """Numbers that are bfloat16 values, as their bits."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    assert not (bits & 0xFFFF).any() or np.isnan(numbers).any(), "not bfloat16 values"
    return (bits >> 16).astype(np.uint16)


@dataclass(frozen=True)
class Strided:
    """A view of a flat block: strides and offset count elements."""

    block: np.ndarray
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


def _rows(numbers: np.ndarray, layout: str) -> Strided:
    """`numbers` [..., S, D] in a block, as tests/cases/README.md describes the layouts."""
    *lead, S, D = numbers.shape
    pitch = D + 3 if layout == "pitched" else D
    if layout == "columns":
        block = np.ascontiguousarray(numbers.swapaxes(-1, -2)).ravel()
        return Strided(block, numbers.shape, (*_groups(lead, S * D), 1, S))
    if layout == "repeated":
        return Strided(np.ascontiguousarray(numbers[:1]).ravel(), numbers.shape, (*[0] * len(lead), D, 1))
    if layout == "reversed":
        block = np.ascontiguousarray(numbers[..., ::-1, :]).ravel()
        return Strided(block, numbers.shape, (*_groups(lead, S * D), -D, 1), max(0, S - 1) * D)
    padded = np.full((*lead, S, pitch), 99, numbers.dtype)
    padded[..., :D] = numbers
    first = 1 if layout == "pitched" else 0
    block = np.concatenate([np.full(first, 99, numbers.dtype), padded.ravel()])
    return Strided(block, numbers.shape, (*_groups(lead, S * pitch), pitch, 1), first)


def _groups(lead: list[int], stride: int) -> list[int]:
    return [stride] * len(lead)  # at most one leading axis


@dataclass(frozen=True)
class Home:
    """A library's arrays on a device."""

    library: str
    device: str

    def array(self, numbers: Any, dtype: str = "float32", layout: str = "plain") -> Any:
        """`numbers` (values of `dtype`) as an array. A layout other than plain needs axes [..., S, D]."""
        numbers = np.asarray(numbers)
        stored = bfloat16_bits(numbers) if dtype == "bfloat16" else numbers.astype(dtype)
        if layout == "plain" or (layout == "reversed" and self.library == "torch"):  # torch has no negative strides
            contiguous = np.ascontiguousarray(stored).reshape(stored.shape)
            return self._view(Strided(contiguous.ravel(), stored.shape, ()), dtype)
        return self._view(_rows(stored, layout), dtype)

    def times(self, numbers: Any, dtype: str = "int64") -> Any:
        return self.array(np.asarray(numbers, dtype), dtype)

    def empty(self, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        return self.array(np.zeros(shape), dtype)

    def _view(self, s: Strided, dtype: str) -> Any:
        if self.library == "torch":
            return self._torch(s, dtype)
        block = s.block.view(_ml_bfloat16()) if dtype == "bfloat16" else s.block
        if not s.strides:
            array = block.reshape(s.shape)
        else:
            steps = tuple(step * block.itemsize for step in s.strides)
            array = np.lib.stride_tricks.as_strided(block[s.offset :], s.shape, steps)
        if self.library == "numpy":
            return array
        if self.library == "jax":
            import jax.numpy as jnp

            return jnp.asarray(array)
        import cupy

        return cupy.asarray(array)

    def _torch(self, s: Strided, dtype: str) -> Any:
        import torch

        block = torch.from_numpy(s.block.view(np.int16) if dtype == "bfloat16" else s.block).to(self.device)
        if dtype == "bfloat16":
            block = block.view(torch.bfloat16)
        return block.as_strided(s.shape, s.strides, s.offset) if s.strides else block.reshape(s.shape)

    def owns(self, array: Any) -> bool:
        """Whether `array` is one of this library's arrays on this device."""
        if self.library == "torch":
            import torch

            return isinstance(array, torch.Tensor) and array.device.type == self.device
        if self.library == "jax":
            import jax

            return isinstance(array, jax.Array)
        return type(array).__module__.partition(".")[0] == self.library


def exact_dtype(home: Home) -> str:
    """In which calls that mean the same give the same bits. On CUDA, slerp, se3 and pchip of narrower elements that lie
    side by side have a faster kernel."""
    return "float64" if home.device == "cuda" else "float32"


def _ml_bfloat16() -> Any:
    return pytest.importorskip("ml_dtypes", reason="numpy has bfloat16 only with ml_dtypes").bfloat16


def dtype_name(array: Any) -> str:
    return str(array.dtype).removeprefix("torch.")


def numbers(array: Any) -> np.ndarray:
    """The numbers of an array of any library, in a numpy type that holds them."""
    if hasattr(array, "cpu"):  # torch
        import torch

        return (array.float() if array.dtype == torch.bfloat16 else array).cpu().numpy()
    if hasattr(array, "get"):  # cupy
        array = array.get()
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def bits(array: np.ndarray) -> np.ndarray:
    """The bits of an array, with one NaN: which of them arithmetic makes is the processor's choice."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.asarray(np.nan, array.dtype), array)
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")
