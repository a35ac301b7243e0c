"""Fresh random inputs of a case, on the CPU as numpy arrays, on CUDA as torch tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from robocache_bench.operators.align.cases import GROUP, Case, Shape

SPAN_NS = 1_000_000_000
EPOCH_NS = 1_700_000_000_000_000_000
NEARBY = 0.1  # of the quaternions in a stream
FLIPS = 1 / 64  # of samples of which the sign is not that of the one before
STAMP_BYTES = {"int64 ns": 8, "float64 s": 8, "float32 s": 4}


def sorted_ns(random: np.random.Generator, rows: int, count: int) -> npt.NDArray[np.int64]:
    """Random stamps within a second, [rows, count], ns; strictly increasing, since scipy refuses equal ones."""
    return np.sort(random.integers(0, SPAN_NS - count, (rows, count)), axis=1) + np.arange(count)


def random_values(random: np.random.Generator, shape: Shape, interp: str) -> list[npt.NDArray[np.float32]]:
    """Normal values; in groups of four for rotations, behind a position for poses, quaternions as logs have them.

    Those of one group are about one attitude, and change sign now and then, as where a driver keeps w positive. Of two
    whose dot product is almost zero, the shortest arc would be a matter of rounding.
    """
    values = []
    for source in shape.sources:
        v = random.standard_normal((shape.batch, source.samples, source.columns), dtype=np.float32)
        if interp in GROUP:
            q = v.reshape(shape.batch, source.samples, -1, GROUP[interp])[..., -4:]
            q *= NEARBY
            q += q[:, :1] / np.linalg.norm(q[:, :1], axis=-1, keepdims=True)
            signs = 1 - 2 * (np.cumsum(random.random(q.shape[:3]) < FLIPS, axis=1) % 2)
            q /= np.linalg.norm(q, axis=-1, keepdims=True) * signs[..., None]
        values.append(v)
    return values


class Inputs:
    """What one call reads and, where outputs are given, writes.

    Attributes
    ----------
    values : list of array [B, S, D]
    stamps_ns, at_ns : list of int64 [B, S], int64 [B, T]
        On the host, relative to the epoch that RoboCache's stamps start from.
    out, valid, age : array [B, T, D], bool [B, T, N], float32 s [B, T, N]
        Outputs of the peers that take them; valid and age only where the case has them.
    """

    def __init__(self, case: Case, random: np.random.Generator) -> None:
        self.case = case
        shape = case.shape
        self.stamps_ns = [sorted_ns(random, shape.batch, s.samples) for s in shape.sources]
        self.at_ns = sorted_ns(random, shape.batch, shape.targets)
        rows = (shape.batch, shape.targets)
        self.values: list[Any]
        self.out: Any
        self.valid: Any = None
        self.age: Any = None
        if case.device == "cpu":
            self.values = list(random_values(random, shape, case.interp))
            self.out = np.full((*rows, shape.columns), np.nan, np.float32)  # its pages are touched here
            return
        import torch

        self.values = self._on_cuda(random)
        dtype = getattr(torch, case.dtype)
        self.out = torch.full((*rows, shape.columns), math.nan, device="cuda", dtype=dtype)
        if case.marks:
            self.valid = torch.zeros(*rows, len(shape.sources), device="cuda", dtype=torch.bool)
            self.age = torch.zeros(*rows, len(shape.sources), device="cuda", dtype=torch.float32)

    def _on_cuda(self, random: np.random.Generator) -> list[Any]:
        """As `random_values`, drawn on the device: a gigabyte of them takes seconds on the host."""
        import torch

        generator = torch.Generator("cuda").manual_seed(int(random.integers(2**62)))
        values = []
        for source in self.case.shape.sources:
            size = (self.case.shape.batch, source.samples, source.columns)
            v = torch.randn(size, generator=generator, device="cuda")
            if self.case.interp in GROUP:
                q = v.view(*size[:2], -1, GROUP[self.case.interp])[..., -4:]
                q *= NEARBY
                q += q[:, :1] / q[:, :1].norm(dim=-1, keepdim=True)
                flips = torch.rand(q.shape[:3], generator=generator, device="cuda") < FLIPS
                signs = 1 - 2 * (flips.cumsum(1) % 2)
                q /= q.norm(dim=-1, keepdim=True) * signs[..., None]
            values.append(v.to(getattr(torch, self.case.dtype)))
        return values

    @property
    def nbytes(self) -> int:
        """Of the values, read and written."""
        return int(self.out.nbytes + sum(v.nbytes for v in self.values))

    def poison(self) -> None:
        """Fills the outputs with what no correct call leaves there."""
        if self.case.device == "cpu":
            self.out.fill(np.nan)
            return
        self.out.fill_(math.nan)
        if self.age is not None:
            self.age.fill_(math.nan)

    def times(self, kind: str) -> tuple[list[npt.NDArray[Any]], npt.NDArray[Any]]:
        """(stamps, at) on the host as a peer reads them: 'int64 ns' since the epoch, 'float32 s' or 'float64 s'."""

        def as_kind(ns: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
            if kind == "int64 ns":
                return ns + EPOCH_NS
            return (ns / 1e9).astype(np.float32 if kind == "float32 s" else np.float64)

        return [as_kind(s) for s in self.stamps_ns], as_kind(self.at_ns)
