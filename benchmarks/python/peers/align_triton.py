"""align as a Triton kernel: the search, the blend and the concatenation fused into one launch, tuned for each shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl

TILES = {4: (1, 4), 8: (1, 2, 4), 16: (2, 4), 32: (2, 4, 8), 64: (4, 8)}  # targets: warps
CONFIGS = [triton.Config({"TILE": tile}, num_warps=warps) for tile, counts in TILES.items() for warps in counts]


@triton.jit
def _resample_tile(
    values, stamps, at, out, valid, age, b, tile, S, T, first_column, row_pitch, n, N,
    D: tl.constexpr, D_BLOCK: tl.constexpr, STEPS: tl.constexpr, TILE: tl.constexpr, MARKS: tl.constexpr,
):  # fmt: skip
    t = tile * TILE + tl.arange(0, TILE)
    live = t < T
    time = tl.load(at + b * T + t, mask=live, other=0.0)
    clock = stamps + b * S
    low = tl.zeros((TILE,), tl.int32)
    high = tl.zeros((TILE,), tl.int32) + S
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        before = (tl.load(clock + tl.minimum(middle, S - 1)) <= time) & (low < high)
        open_ = low < high
        low = tl.where(before, middle + 1, low)
        high = tl.where(open_ & (~before), middle, high)
    i = tl.minimum(tl.maximum(low - 1, 0), S - 2)
    s0 = tl.load(clock + i)
    s1 = tl.load(clock + i + 1)
    w = tl.where(s1 > s0, (time - s0) / (s1 - s0), 0.0)
    w = tl.minimum(tl.maximum(w, 0.0), 1.0)
    d = tl.arange(0, D_BLOCK)
    mask = live[:, None] & (d < D)[None, :]
    source = values + (b * S + i).to(tl.int64)[:, None] * D + d[None, :]
    a = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    c = tl.load(source + D, mask=mask, other=0.0).to(tl.float32)
    row = (b * T + t).to(tl.int64)
    result = a + w[:, None] * (c - a)
    tl.store(out + row[:, None] * row_pitch + first_column + d[None, :], result.to(tl.bfloat16), mask=mask)
    if MARKS:
        held = tl.where(low >= S, s1, s0)
        inside = (low > 0) & ((low < S) | (time == s1))
        tl.store(valid + row * N + n, inside, mask=live)
        tl.store(age + row * N + n, time - held, mask=live)


@triton.autotune(CONFIGS, key=["B", "S0", "T", "D0"])
@triton.jit
def _resample(
    v0, c0, at, out, valid, age, B, S0, T, row_pitch,
    D0: tl.constexpr, P0: tl.constexpr, STEPS: tl.constexpr, MARKS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    _resample_tile(v0, c0, at, out, valid, age, tl.program_id(1), tl.program_id(0), S0, T, 0, row_pitch, 0, 1,
                   D0, P0, STEPS, TILE, MARKS)  # fmt: skip


@triton.autotune(CONFIGS, key=["B", "S0", "T", "D0"])
@triton.jit
def _fuse(
    v0, c0, v1, c1, v2, c2, at, out, valid, age, B, S0, S1, S2, T, row_pitch,
    D0: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, P0: tl.constexpr, P1: tl.constexpr, P2: tl.constexpr,
    STEPS: tl.constexpr, MARKS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1)
    tile = tl.program_id(0)
    n = tl.program_id(2)
    if n == 0:
        _resample_tile(v0, c0, at, out, valid, age, b, tile, S0, T, 0, row_pitch, 0, 3, D0, P0, STEPS, TILE, MARKS)
    elif n == 1:
        _resample_tile(v1, c1, at, out, valid, age, b, tile, S1, T, D0, row_pitch, 1, 3, D1, P1, STEPS, TILE, MARKS)
    else:
        first = D0 + D1
        _resample_tile(v2, c2, at, out, valid, age, b, tile, S2, T, first, row_pitch, 2, 3, D2, P2, STEPS, TILE, MARKS)


def triton_peer(columns: list[int], marks: bool) -> Callable[[Any], None]:
    """A call on the buffers of one shape, with 1 or 3 streams."""
    blocks = [triton.next_power_of_2(d) for d in columns]

    def call(x: Any) -> None:
        batch, targets, pitch = x.out.shape
        samples = [int(s.shape[1]) for s in x.stamps_s]
        steps = max(samples).bit_length()
        kernel: Any = _resample if len(columns) == 1 else _fuse

        def grid(meta: dict[str, int]) -> tuple[int, ...]:
            return (triton.cdiv(targets, meta["TILE"]), batch, len(columns))

        pairs: list[torch.Tensor] = [a for vs in zip(x.values, x.stamps_s, strict=True) for a in vs]
        sizes = [batch, *samples, targets, pitch]
        kernel[grid](*pairs, x.at_s, x.out, x.valid, x.age, *sizes, *columns, *blocks, steps, marks)

    return call
