# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""align in Triton: search, blend and concatenation in one launch. Sizes are constants of the kernel.

A program takes a tile of targets of one stream. The search takes two dependent loads, not one for each halving: the
tile reads every FINE-th stamp once, each target counts those at or before it, then the stamps of its own block (a
binary search was up to 1.24x slower on an H200, and never faster). Row offsets are 64-bit, those within a batch row
32-bit; masks exist only where a tile or a row does not fill its block. Threads take 16 bytes each, so narrow rows are
packed into a warp.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _above(clock, time, S: tl.constexpr, FINE: tl.constexpr):
    """How many stamps are at or before each target."""
    COARSE: tl.constexpr = triton.next_power_of_2(S // FINE + 1)
    ends = (tl.arange(0, COARSE) + 1) * FINE
    probes = tl.load(clock + ends - 1, mask=ends <= S, other=float("inf"))
    block = tl.sum((probes[None, :] <= time[:, None]).to(tl.int32), 1)
    j = block[:, None] * FINE + tl.arange(0, FINE)[None, :]
    stamps = tl.load(clock + j, mask=j < S, other=float("inf"))
    return block * FINE + tl.sum((stamps <= time[:, None]).to(tl.int32), 1)


@triton.jit
def _stream(
    values, stamps, at, out, valid, age, b, tile, n,
    S: tl.constexpr, D: tl.constexpr, FIRST: tl.constexpr, PITCH: tl.constexpr, T: tl.constexpr, N: tl.constexpr,
    MARKS: tl.constexpr, TILE: tl.constexpr, FINE: tl.constexpr,
):  # fmt: skip
    BLOCK: tl.constexpr = triton.next_power_of_2(D)
    t = tile * TILE + tl.arange(0, TILE)
    live = t < T
    time = tl.load(at + b * T + t, mask=live, other=0.0)
    clock = stamps + b * S
    above = _above(clock, time, S, FINE)
    i = tl.minimum(tl.maximum(above - 1, 0), S - 2)
    s0 = tl.load(clock + i)
    s1 = tl.load(clock + i + 1)
    w = tl.where(s1 > s0, (time - s0) / (s1 - s0), 1.0)
    w = tl.minimum(tl.maximum(w, 0.0), 1.0)
    d = tl.arange(0, BLOCK)
    source = values + b * (S * D) + (i * D)[:, None] + d[None, :]
    target = out + b * (T * PITCH) + (t * PITCH)[:, None] + (FIRST + d)[None, :]
    if T % TILE == 0 and D == BLOCK:
        a = tl.load(source).to(tl.float32)
        c = tl.load(source + D).to(tl.float32)
        tl.store(target, (a + w[:, None] * (c - a)).to(out.dtype.element_ty))
    else:
        mask = live[:, None] & (d < D)[None, :]
        a = tl.load(source, mask=mask, other=0.0).to(tl.float32)
        c = tl.load(source + D, mask=mask, other=0.0).to(tl.float32)
        tl.store(target, (a + w[:, None] * (c - a)).to(out.dtype.element_ty), mask=mask)
    if MARKS:
        inside = (above > 0) & ((above < S) | (time == s1))
        place = b * (T * N) + t * N + n
        tl.store(valid + place, inside, mask=live)
        tl.store(age + place, time - tl.where(above >= S, s1, s0), mask=live)


@triton.jit
def resample(
    v0, s0, at, out, valid, age,
    T: tl.constexpr, MARKS: tl.constexpr, FINE: tl.constexpr, S0: tl.constexpr, D0: tl.constexpr, TILE0: tl.constexpr,
):  # fmt: skip
    """One stream. Grid: (tiles, B)."""
    b = tl.program_id(1).to(tl.int64)
    _stream(v0, s0, at, out, valid, age, b, tl.program_id(0), 0, S0, D0, 0, D0, T, 1, MARKS, TILE0, FINE)


@triton.jit
def fuse(
    v0, s0, v1, s1, v2, s2, at, out, valid, age,
    T: tl.constexpr, MARKS: tl.constexpr, FINE: tl.constexpr,
    S0: tl.constexpr, D0: tl.constexpr, TILE0: tl.constexpr, S1: tl.constexpr, D1: tl.constexpr, TILE1: tl.constexpr,
    S2: tl.constexpr, D2: tl.constexpr, TILE2: tl.constexpr,
):  # fmt: skip
    """Three streams. Grid: (tiles of the first, second and third, B); narrow streams have larger tiles."""
    b = tl.program_id(1).to(tl.int64)
    tile = tl.program_id(0)
    E0: tl.constexpr = (T + TILE0 - 1) // TILE0
    E1: tl.constexpr = E0 + (T + TILE1 - 1) // TILE1
    P: tl.constexpr = D0 + D1 + D2
    if tile < E0:
        _stream(v0, s0, at, out, valid, age, b, tile, 0, S0, D0, 0, P, T, 3, MARKS, TILE0, FINE)
    elif tile < E1:
        _stream(v1, s1, at, out, valid, age, b, tile - E0, 1, S1, D1, D0, P, T, 3, MARKS, TILE1, FINE)
    else:
        _stream(v2, s2, at, out, valid, age, b, tile - E1, 2, S2, D2, D0 + D1, P, T, 3, MARKS, TILE2, FINE)
