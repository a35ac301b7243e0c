"""The picture of `robocache voxelize`: occupied voxels from above, from the side and from a corner, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robocache.cli.voxel_box import Box
from robocache.cli.voxel_raster import Camera, Picture, edges, is_hidden, paint

Array = npt.NDArray[Any]

# Without its ends, which are too dark on a dark ground.
_COLOURS = LinearSegmentedColormap.from_list("height", mpl.colormaps["turbo"](np.linspace(0.09, 0.93, 256)))
_AZIMUTH_RAD, _ELEVATION_RAD = np.radians(-125.0), np.radians(38.0)
_PIXELS = 2_500_000  # of the view from a corner
_FAR = 0.01  # share of the voxels on each side of an axis that does not widen the picture
_BACKGROUND, _LINES = "#11151c", "#9aa3ad"
_WIDTH_IN, _DPI = 17.0, 110
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#b0b0b0",
    "axes.facecolor": _BACKGROUND,
}


@dataclass(frozen=True)
class _Scene:
    """What is drawn: the part `occupied` of the grid, its voxels `at` [M, 3] in order, its low and high corner."""

    occupied: npt.NDArray[np.bool_]
    at: npt.NDArray[np.int64]
    voxel_m: Array
    low_m: Array
    high_m: Array
    norm: Normalize
    left_out: int


def draw(path: Path, occupied: npt.NDArray[np.bool_], box: Box, title: str) -> None:
    """Writes a PNG of the occupied voxels [X, Y, Z]."""
    with mpl.rc_context(_STYLE):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        scene = _scene(occupied, box)
        if scene is None:
            figure.suptitle(f"{title}: no voxel is occupied")
        else:
            _fill(figure, scene, title)
        figure.savefig(path, format="png", dpi=_DPI)


def _scene(occupied: npt.NDArray[np.bool_], box: Box) -> _Scene | None:
    """The voxels without the few that are far from all others, which would make the rest small."""
    profiles = [np.count_nonzero(occupied, axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    total = int(profiles[0].sum())
    if total == 0:
        return None
    spans = [_span(profile) for profile in profiles]
    part = occupied[tuple(slice(*span) for span in spans)]
    at = np.argwhere(part)
    voxel_m, first = np.array(box.voxel_m), np.array([span[0] for span in spans])
    low_m = np.array(box.origin) + first * voxel_m
    low, high = box.origin[2] + np.array(_quantiles(profiles[2], _FAR)) * voxel_m[2]
    norm = Normalize(low, max(high, low + voxel_m[2]))
    return _Scene(part, at, voxel_m, low_m, low_m + part.shape * voxel_m, norm, total - len(at))


def _span(profile: Array) -> tuple[int, int]:
    """The slices of an axis to draw; `profile` says how many voxels each has."""
    there = np.flatnonzero(profile)
    low, high = _quantiles(profile, _FAR)
    margin = (high - low) // 10
    return max(int(there[0]), low - margin), min(int(there[-1]), high + margin) + 1


def _quantiles(profile: Array, share: float) -> tuple[int, int]:
    """The slices below and above which there is at most this share of the voxels."""
    below = np.cumsum(profile)
    return int(np.searchsorted(below, share * below[-1], "right")), int(np.searchsorted(below, (1 - share) * below[-1]))


def _fill(figure: Figure, scene: _Scene, title: str) -> None:
    camera = Camera.at(_AZIMUTH_RAD, _ELEVATION_RAD)
    visible = scene.at[~is_hidden(scene.occupied, scene.at, camera.towards)]
    centres = scene.low_m + (visible + 0.5) * scene.voxel_m
    picture = paint(centres, scene.voxel_m, camera, _PIXELS)

    # Both columns as high as each other, each with its own aspect.
    x, y, z = scene.high_m - scene.low_m
    narrow, wide = (y + z) / x, picture.index.shape[0] / picture.index.shape[1]
    left_in = float(np.clip(_WIDTH_IN * wide / (narrow + wide), 0.28 * _WIDTH_IN, 0.5 * _WIDTH_IN))
    height_in = max(left_in * narrow, (_WIDTH_IN - left_in) * wide)
    figure.set_size_inches(_WIDTH_IN, float(np.clip(height_in, 4.5, 11)) + 1.4)
    columns: Any = figure.subfigures(1, 2, width_ratios=[left_in, _WIDTH_IN - left_in])
    left, right = columns
    above, side = left.subplots(2, 1, height_ratios=[y, max(z, y / 8)], sharex=True)
    _draw_above(above, scene)
    _draw_side(side, scene)
    corner = right.subplots()
    _draw_corner(corner, scene, picture, centres[:, 2])
    _draw_ground(corner, scene, camera)
    right.colorbar(ScalarMappable(scene.norm, _COLOURS), ax=corner, label="z [m]", shrink=0.6, pad=0.01)
    voxel = " x ".join(f"{v:g}" for v in scene.voxel_m)
    beyond = f", {scene.left_out:,} far ones not shown" if scene.left_out else ""
    figure.suptitle(f"{title}: {len(scene.at) + scene.left_out:,} occupied voxels of {voxel} m{beyond}")


def _draw_above(axes: Axes, scene: _Scene) -> None:
    x, y, z = scene.at.T
    top_m = np.full(scene.occupied.shape[:2], -np.inf)
    top_m[x, y] = scene.low_m[2] + (z + 0.5) * scene.voxel_m[2]  # z ascends: the highest stays
    image = _lit(_COLOURS(scene.norm(top_m.T)), edges(top_m.T, 3.0), np.isfinite(top_m.T))
    axes.imshow(image, origin="lower", extent=_extent(scene, 0, 1), interpolation="nearest")
    axes.set(title="from above", ylabel="y [m]")


def _lit(colours: Array, light: Array, there: npt.NDArray[np.bool_]) -> Array:
    """RGBA [H, W, 4]: the colours in this light, clear elsewhere."""
    return np.where(there[..., None], colours * np.stack([light, light, light, np.ones_like(light)], axis=-1), 0.0)


def _draw_side(axes: Axes, scene: _Scene) -> None:
    voxels = np.count_nonzero(scene.occupied, axis=1)
    shown = np.where(voxels > 0, voxels, np.nan).T
    norm = LogNorm(0.5, max(2, voxels.max()))
    axes.imshow(shown, origin="lower", extent=_extent(scene, 0, 2), cmap="magma", norm=norm, interpolation="nearest")
    axes.set(title="from the side; brighter: more voxels behind one another", xlabel="x [m]", ylabel="z [m]")


def _extent(scene: _Scene, right: int, up: int) -> tuple[float, float, float, float]:
    return scene.low_m[right], scene.high_m[right], scene.low_m[up], scene.high_m[up]


def _draw_corner(axes: Axes, scene: _Scene, picture: Picture, z_m: Array) -> None:
    there = picture.index >= 0
    image = _lit(_COLOURS(scene.norm(z_m))[picture.index], picture.light, there)
    axes.imshow(image, origin="lower", extent=picture.extent_m, zorder=2)
    axes.set(title="from a corner", xticks=[], yticks=[])


def _draw_ground(axes: Axes, scene: _Scene, camera: Camera) -> None:
    """The rectangle below all voxels, with metres along the two edges in front."""
    low, high = scene.low_m, scene.high_m
    near = np.where(camera.towards > 0, high, low)
    far = low + high - near
    line: dict[str, Any] = {"color": _LINES, "linewidth": 0.8, "zorder": 1}
    text: dict[str, Any] = {"color": _LINES, "ha": "center", "va": "top"}
    around = [(near[0], near[1]), (far[0], near[1]), (far[0], far[1]), (near[0], far[1]), (near[0], near[1])]
    axes.plot(*camera.project(np.array([(x, y, low[2]) for x, y in around])).T, **line)
    for axis, other in ((0, 1), (1, 0)):
        outwards = np.zeros(3)
        outwards[other] = np.sign(near[other] - far[other]) * 0.025 * (high - low)[:2].max()
        at = np.array([near[0], near[1], low[2]])
        for tick in MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(low[axis], high[axis]):
            if low[axis] <= tick <= high[axis]:
                at[axis] = tick
                ends = camera.project(np.stack([at, at + outwards]))
                axes.plot(*ends.T, **line)
                axes.annotate(f"{tick:g}", ends[1], fontsize=8, **text)
        at[axis] = (low[axis] + high[axis]) / 2
        axes.annotate(f"{'xy'[axis]} [m]", camera.project((at + 4 * outwards)[None])[0], **text)
