"""What one would write with torch alone: searchsorted, gather and lerp for each stream, then cat.

It does less than `align`: no validity, no age, quaternions blended as if they were plain vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TorchStream:
    """values [S, D]; stamps_ns [S] int64 on the common clock."""

    values: torch.Tensor
    stamps_ns: torch.Tensor
    interp: str


def align(streams: Sequence[TorchStream], at_ns: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Rows [T, sum D] at times [T] int64; the end samples are held."""
    return torch.cat([_column_block(stream, at_ns, dtype) for stream in streams], dim=1)


def _column_block(stream: TorchStream, at_ns: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    values, stamps = stream.values, stream.stamps_ns
    last = len(stamps) - 1
    left = torch.searchsorted(stamps, at_ns, right=True).sub_(1).clamp_(min=0)
    if stream.interp == "hold" or last == 0:
        return values[left].to(dtype)
    left.clamp_(max=last - 1)
    right = left + 1
    start = stamps[left]
    weight = ((at_ns - start) / (stamps[right] - start)).clamp_(0, 1)
    if stream.interp == "nearest":
        return values[torch.where(weight > 0.5, right, left)].to(dtype)
    return torch.lerp(values[left], values[right], weight.to(values.dtype).unsqueeze(1)).to(dtype)
