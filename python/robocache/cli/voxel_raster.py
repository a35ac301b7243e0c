"""Draws voxels as shaded cubes seen from a corner: painted one pixel of all cubes at a time, the nearest wins."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_FACES = np.array([0.72, 0.86, 1.0])  # how bright the faces across x, y and z are
_EDGE_PX = 2  # how far a pixel looks for what is in front of it
_EDGE_STRENGTH = 0.22


@dataclass(frozen=True)
class Camera:
    """A parallel projection. `right`, `up` and `towards` (the viewer) are unit vectors."""

    right: Floats
    up: Floats
    towards: Floats

    @staticmethod
    def at(azimuth_rad: float, elevation_rad: float) -> Camera:
        """From this direction, z up in the picture."""
        sa, ca, se, ce = np.sin(azimuth_rad), np.cos(azimuth_rad), np.sin(elevation_rad), np.cos(elevation_rad)
        return Camera(np.array([-sa, ca, 0.0]), np.array([-se * ca, -se * sa, ce]), np.array([ce * ca, ce * sa, se]))

    def project(self, points: Array) -> Floats:
        """Points [N, 3] in the picture [N, 2], metres to the right and up."""
        return np.stack([points @ self.right, points @ self.up], axis=1)


@dataclass(frozen=True)
class Picture:
    """`index` [H, W]: which voxel a pixel shows, -1 for none; `light` [H, W], 0 to 1. Row 0 is the lowest.

    `extent_m`: left, right, bottom, top.
    """

    index: npt.NDArray[np.int64]
    light: Floats
    extent_m: tuple[float, float, float, float]


def is_hidden(occupied: npt.NDArray[np.bool_], at: Array, towards: Floats) -> npt.NDArray[np.bool_]:
    """Which voxels `at` [N, 3] have a neighbour on all three faces that the viewer could see."""
    hidden = np.ones(len(at), bool)
    for axis in range(3):
        beside = at.copy()
        beside[:, axis] += 1 if towards[axis] > 0 else -1
        inside = (beside[:, axis] >= 0) & (beside[:, axis] < occupied.shape[axis])
        beside[:, axis] = np.clip(beside[:, axis], 0, occupied.shape[axis] - 1)
        hidden &= inside & occupied[tuple(beside.T)]
    return hidden


def paint(centres: Floats, voxel_m: Array, camera: Camera, pixels: int) -> Picture:
    """Cubes around `centres` [N, 3] in a picture of about `pixels`."""
    at = camera.project(centres)
    reach = np.abs(np.stack([camera.right, camera.up])) @ np.asarray(voxel_m) / 2
    low, high = at.min(axis=0) - reach, at.max(axis=0) + reach
    pixel_m = float(max(np.sqrt(np.prod(high - low) / pixels), min(voxel_m) / 40))
    margin = np.ceil(reach / pixel_m).astype(np.int64) + 1
    width, height = np.ceil((high - low) / pixel_m).astype(np.int64) + 2 * margin + 1
    first = low - margin * pixel_m
    column, row = ((at - first) / pixel_m).astype(np.int64).T
    depth = centres @ camera.towards
    order = np.argsort(depth, kind="stable").astype(np.int64)  # the nearest last: numpy keeps the last of equal targets
    flat, depth = (row * width + column)[order], depth[order].astype(np.float32)

    nearest = np.full(height * width, -np.inf, np.float32)
    index = np.full(height * width, -1, np.int64)
    light = np.zeros(height * width)
    newest = np.empty(height * width, np.int64)
    rank = np.arange(len(order))
    for (dx, dy), in_front_m, face in _cube_pixels(np.asarray(voxel_m), camera, pixel_m, margin):
        target = flat + dy * width + dx
        newest[target] = rank
        winner = rank[newest[target] == rank]
        winner = winner[depth[winner] + in_front_m > nearest[target[winner]]]
        seen = target[winner]
        nearest[seen], index[seen], light[seen] = depth[winner] + in_front_m, order[winner], _FACES[face]
    shape = (int(height), int(width))
    light = light.reshape(shape) * edges(nearest.reshape(shape), 4 * float(max(voxel_m)) + 8 * _EDGE_PX * pixel_m)
    right, top = first + np.array([width, height]) * pixel_m
    return Picture(index.reshape(shape), light, (float(first[0]), float(right), float(first[1]), float(top)))


def _cube_pixels(
    voxel_m: Floats, camera: Camera, pixel_m: float, margin: Array
) -> list[tuple[tuple[int, int], float, int]]:
    """The pixels that a cube covers, from its centre: ((dx, dy), metres in front of the centre, axis of the face)."""
    half = voxel_m / 2 + 0.3 * pixel_m  # without gaps where centres fall on whole pixels
    out = []
    for dy, dx in itertools.product(*(range(-int(m), int(m) + 1) for m in margin[::-1])):
        ray = dx * pixel_m * camera.right + dy * pixel_m * camera.up
        back, front = np.sort(np.stack([(half - ray) / camera.towards, (-half - ray) / camera.towards]), axis=0)
        if front.min() >= back.max():
            out.append(((dx, dy), float(front.min()), int(front.argmin())))
    return out


def edges(nearest: Array, scale_m: float) -> Floats:
    """Light [H, W] from `nearest` (metres towards the viewer, -inf: nothing): darker beside what is in front.

    That is how a flat picture shows depth. Differences beyond `scale_m` count as that.
    """
    padded = np.pad(nearest, _EDGE_PX, constant_values=-np.inf)
    height, width = nearest.shape
    total = np.zeros(nearest.shape)
    around = (0, _EDGE_PX, 2 * _EDGE_PX)
    with np.errstate(invalid="ignore"):  # nothing beside nothing
        for y, x in itertools.product(around, around):
            ahead = padded[y : y + height, x : x + width] - nearest
            total += np.where(ahead > 0, np.minimum(ahead, scale_m), 0) / scale_m
    return np.exp(-_EDGE_STRENGTH * total)
