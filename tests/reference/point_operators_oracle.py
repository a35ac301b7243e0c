"""Naive point operators in numpy, as docs/point_operators.md says them; each cloud or image on its own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from reference.voxelize_oracle import compute_type, transformed


def clouds_of(n: int, lengths: list[int] | None, offsets: list[int] | None, batch: int | None) -> list[np.ndarray]:
    """The rows of points.reshape(-1, 3) that each cloud has; `n` is N, `batch` is B of points [B, N, 3]."""
    if offsets is not None:
        return [np.arange(a, b) for a, b in pairwise(offsets)]
    return [b * n + np.arange(n if lengths is None else lengths[b]) for b in range(1 if batch is None else batch)]


def transform_points(
    points: np.ndarray, transform: np.ndarray, clouds: list[np.ndarray], dtype: str = "float64"
) -> np.ndarray:
    """`points` are in the compute type of `dtype`, and the result is: rounded to `dtype`, NaN where nobody's."""
    flat = points.reshape(-1, 3)
    out = np.full_like(flat, np.nan)
    for b, rows in enumerate(clouds):
        out[rows] = transformed(flat[rows], transform if transform.ndim == 2 else transform[b])
    with np.errstate(over="ignore"):
        return out.astype(dtype if dtype != "bfloat16" else "float32").astype(points.dtype).reshape(points.shape)


def crop(
    points: np.ndarray, low: np.ndarray, high: np.ndarray, clouds: list[np.ndarray], transform: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(kept points in compute type, index, offsets) of `points` in their compute type."""
    C = points.dtype
    if transform is not None:
        points = transform_points(points, transform, clouds, str(C))
    flat = points.reshape(-1, 3)
    index, offsets = [], [0]
    for rows in clouds:
        p = flat[rows]
        with np.errstate(all="ignore"):
            inside = np.isfinite(p) & (p >= np.asarray(low).astype(C)) & (p < np.asarray(high).astype(C))
        index.append(rows[inside.all(axis=1)])
        offsets.append(offsets[-1] + len(index[-1]))
    kept = np.concatenate([*index, np.zeros(0, np.int64)]).astype(np.int64)
    return flat[kept], kept, np.array(offsets)


def depth_to_points(
    depth: np.ndarray, intrinsics: np.ndarray, scale: float, most: float, transform: np.ndarray | None, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """One image: (points, valid), evaluated in the compute type of `dtype`, which the depth is stored in."""
    C = compute_type(dtype)
    h, w = depth.shape
    k = intrinsics.astype(C)
    with np.errstate(all="ignore"):
        z = depth.astype(C) * C(scale)
        valid = (z > 0) & np.isfinite(z) & (z <= C(most))
        z = np.where(valid, z, C(np.nan))
        x = ((np.arange(w).astype(C) - k[0, 2]) / k[0, 0]) * z
        y = ((np.arange(h).astype(C) - k[1, 2]) / k[1, 1])[:, None] * z
    points = np.stack([x, y, z], axis=-1)
    return transformed(points.reshape(-1, 3), transform).reshape(h, w, 3), valid
