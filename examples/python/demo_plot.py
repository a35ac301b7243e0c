"""The demo's picture: every sensor over one time axis, and a close look at the moment when one of them was silent.

Left the whole log, right a moment of it. Small dots are raw samples, rings are aligned rows, shaded spans have no valid
row. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from arm_log import ArmLog
from demo_devices import Aligned
from demo_report import invalid_spans
from demo_sensors import Sensor, Stamps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

Floats = npt.NDArray[np.float64]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
SHADE, INK, GREY = "#E69F00", "#222222", "#8a8a8a"
MOST_PANELS = 7
MOST_ROW_LINES = 100
DOTS_OVERVIEW = 6000  # more could not be told apart
STYLE = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.edgecolor": "#b0b0b0",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.5,
}


def save(
    path: Path, title: str, sensors: Sequence[Sensor], at_ns: Stamps, aligned: Aligned, log: ArmLog | None
) -> None:
    """Writes the picture; with a `log` its closed form is drawn as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure = draw(title, sensors, at_ns, aligned, log)
        figure.savefig(path, dpi=180)
        plt.close(figure)


def draw(title: str, sensors: Sequence[Sensor], at_ns: Stamps, aligned: Aligned, log: ArmLog | None) -> Figure:
    moving = [i for i, s in enumerate(sensors) if (s.values != s.values[0]).any()]
    drawn = (moving or list(range(len(sensors))))[:MOST_PANELS]
    height = max(3.0, 1.3 * len(drawn))
    figure, axes = plt.subplots(
        len(drawn),
        2,
        figsize=(12, height + 2.0),
        sharex="col",
        squeeze=False,
        gridspec_kw={"width_ratios": [1.5, 1], "hspace": 0.42, "wspace": 0.1},
    )
    window = close_up(sensors, at_ns, aligned)
    for row, i in enumerate(drawn):
        panel = Panel(sensors[i], at_ns, aligned.parts[i].astype(np.float64), aligned.valid[:, i], log)
        panel.overview(axes[row, 0], window)
        panel.close_up(axes[row, 1], window)
    left, right = axes[-1]
    left.set_xlim(0, (at_ns[-1] - at_ns[0]) * 1e-9 + 0.02)
    left.set_xlabel("time since the first sample, s")
    right.set_xlim(*window)
    right.set_xlabel("time, s")
    axes[0, 1].set_title("close-up of the box", loc="left", fontsize=8, color=GREY, pad=4)
    dress(figure, title, summary(sensors, at_ns, aligned.rows.shape[1], len(drawn)), log is not None)
    return figure


def summary(sensors: Sequence[Sensor], at_ns: Stamps, columns: int, drawn: int) -> str:
    samples = sum(len(s.stamps_ns) for s in sensors)
    rate_hz = 1e9 * (len(at_ns) - 1) / max(int(at_ns[-1] - at_ns[0]), 1)
    streams = "1 stream" if len(sensors) == 1 else f"{len(sensors)} streams"
    some = f" ({drawn} drawn)" if drawn < len(sensors) else ""
    rows = f"{len(at_ns):,} rows of {columns:,} columns at {rate_hz:.4g} Hz"
    return f"{samples:,} samples in {streams}{some}  →  {rows}"


def dress(figure: Figure, title: str, subtitle: str, has_truth: bool) -> None:
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.055, right=0.975, top=1 - 1.22 / height, bottom=0.5 / height)
    figure.text(0.055, 1 - 0.34 / height, title, fontsize=14, fontweight="bold")
    figure.text(0.055, 1 - 0.57 / height, subtitle, fontsize=9.5, color=GREY)
    marks: list[Line2D | Patch] = [
        Line2D([], [], ls="", marker="o", ms=2.6, mew=0, color=COLOURS[0], label="raw sample"),
        Line2D([], [], ls="", marker="o", ms=5, mfc="white", mec=COLOURS[0], mew=1.3, label="aligned row, valid"),
        Line2D([], [], ls="", marker="x", ms=5, color=COLOURS[0], mew=1.1, label="aligned row, not valid"),
        Patch(facecolor=SHADE, alpha=0.3, hatch="////", edgecolor="white", label="no valid row"),
    ]
    if has_truth:
        marks.append(Line2D([], [], color=INK, lw=0.8, ls=(0, (4, 2)), label="what really happened"))
    figure.legend(
        handles=marks,
        loc="upper left",
        bbox_to_anchor=(0.047, 1 - 0.63 / height),
        ncols=len(marks),
        frameon=False,
        handletextpad=0.5,
        columnspacing=1.8,
    )


def close_up(sensors: Sequence[Sensor], at_ns: Stamps, aligned: Aligned) -> tuple[float, float]:
    """The window to look at: around the longest invalid span within a stream, else where the rows change most.

    It is wide enough for some samples of the slowest stream.
    """
    times = (at_ns - at_ns[0]) * 1e-9
    spans = [span for i, s in enumerate(sensors) for span in invalid_spans(s, at_ns, aligned.valid[:, i])]
    if spans:
        a, b = max(spans, key=lambda span: span[1] - span[0])
    else:
        change = np.zeros(max(len(times) - 1, 1))
        for sensor, part in zip(sensors, aligned.parts, strict=True):
            shown = np.nan_to_num(part[:, sensor.shown].astype(np.float64))
            travel = np.maximum(np.ptp(shown, axis=0), np.finfo(float).tiny)
            change[: len(times) - 1] += np.abs(np.diff(shown, axis=0) / travel).max(1, initial=0)
        a = b = int(np.argmax(change))
    timings = [s.timing for s in sensors]
    slowest_s = max((t.period_ms * 1e-3 for t in timings if t.drops is not None and t.period_ms), default=0)
    margin = max(0.16, min(2 * slowest_s, 0.8), 0.8 * (times[b] - times[a]))
    return float(max(times[a] - margin, 0)), float(min(times[b] + margin, times[-1] + 0.02))


class Panel:
    """One stream: its overview and its close-up."""

    def __init__(self, sensor: Sensor, at_ns: Stamps, rows: Floats, valid: npt.NDArray[np.bool_], log: ArmLog | None):
        self.sensor, self.at_ns, self.log, self.valid = sensor, at_ns, log, valid
        self.raw_s = (sensor.corrected_ns - at_ns[0]) * 1e-9
        self.row_s = (at_ns - at_ns[0]) * 1e-9
        self.raw, self.rows = sensor.values[:, sensor.shown].astype(np.float64), rows[:, sensor.shown]
        self.colours = COLOURS[: self.raw.shape[1]]

    def overview(self, ax: Axes, window: tuple[float, float]) -> None:
        raw_step, row_step = (-(-len(s) // DOTS_OVERVIEW) for s in (self.raw_s, self.row_s))
        rows = np.where(self.valid[:, None], self.rows, np.nan)
        for column, colour in enumerate(self.colours):
            raw, pale = self.raw[::raw_step, column], (np.array(to_rgb(colour)) + 2) / 3
            ax.plot(self.raw_s[::raw_step], raw, "o", ms=3.6, mew=0, color=pale, rasterized=True)
            ax.plot(self.row_s[::row_step], rows[::row_step, column], ".", ms=1.9, mew=0, color=colour, zorder=3)
        self.shade(ax)
        ax.axvspan(*window, facecolor="none", edgecolor=INK, lw=0.7)
        self.name(ax)
        ax.tick_params(length=2.5)

    def close_up(self, ax: Axes, window: tuple[float, float]) -> None:
        near = (self.row_s >= window[0]) & (self.row_s <= window[1])
        seen = (self.raw_s >= window[0]) & (self.raw_s <= window[1])
        if near.sum() <= MOST_ROW_LINES:
            for t in self.row_s[near]:
                ax.axvline(t, color="#e3e3e3", lw=0.5, zorder=0)
        self.truth(ax, window)
        ring, dot = (5.2 if near.sum() <= 45 else 3.0), (2.6 if seen.sum() <= 60 else 1.2)
        good, bad = near & self.valid, near & ~self.valid
        for column, colour in enumerate(self.colours):
            ax.plot(self.row_s[good], self.rows[good, column], "o", ms=ring, mfc="white", mec=colour, mew=1.1)
            ax.plot(self.row_s[bad], self.rows[bad, column], "x", ms=0.9 * ring, color=colour, mew=1.1)
            ax.plot(self.raw_s[seen], self.raw[seen, column], "o", ms=dot, mew=0, color=colour)
        self.shade(ax)
        self.silence(ax, window)
        ax.margins(y=0.12)
        ax.tick_params(length=2.5)

    def truth(self, ax: Axes, window: tuple[float, float]) -> None:
        if self.log is None:
            return
        t = np.linspace(*window, 800)
        values = self.log.truth_at(self.sensor.name, self.at_ns[0] + np.rint(t * 1e9).astype(np.int64))
        ax.plot(t, values[:, self.sensor.shown], color=INK, lw=0.8, ls=(0, (4, 2)), alpha=0.8, zorder=1)

    def shade(self, ax: Axes) -> None:
        """Where no row is valid: from the last valid row to the next one."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (~self.valid).astype(np.int8), [0]])))
        last = len(self.row_s) - 1
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            start, end = self.row_s[max(a - 1, 0)], self.row_s[min(b, last)]
            ax.axvspan(start, end, facecolor=SHADE, alpha=0.3, hatch="////", edgecolor="white", lw=0, zorder=0.5)

    def silence(self, ax: Axes, window: tuple[float, float]) -> None:
        """Says why rows in the window are not valid, where a gap is the reason."""
        sensor, gaps_ns = self.sensor, np.diff(self.sensor.corrected_ns)
        inside = (self.raw_s[1:] > window[0]) & (self.raw_s[:-1] < window[1])
        if sensor.max_gap_ns is None or not inside.any() or gaps_ns[inside].max() <= sensor.max_gap_ns:
            return
        gap_ms, most_ms = gaps_ns[inside].max() * 1e-6, sensor.max_gap_ns * 1e-6
        ax.set_title(f"silent for {gap_ms:.4g} ms, max gap {most_ms:.4g} ms", loc="right", fontsize=8, pad=4)

    def name(self, ax: Axes) -> None:
        sensor, timing = self.sensor, self.sensor.timing
        rate = "events" if timing.drops is None else f"{timing.rate_hz:.4g} Hz"
        columns = "1 column" if sensor.values.shape[1] == 1 else f"{sensor.values.shape[1]} columns"
        title = ax.set_title(sensor.name, loc="left", fontsize=9.5, fontweight="bold", pad=4)
        ax.annotate(
            f"{rate}, {columns}, {sensor.interp}" + (f" [{sensor.unit}]" if sensor.unit else ""),
            xy=(1, 0),
            xycoords=title,
            xytext=(7, 0.6),
            textcoords="offset points",
            va="bottom",
            fontsize=8,
            color=GREY,
            annotation_clip=False,
        )
        labels = zip(sensor.labels, self.colours, strict=False)
        ax.legend(
            handles=[Line2D([], [], ls="", marker="o", ms=4, color=colour, label=label) for label, colour in labels],
            loc="lower right",
            bbox_to_anchor=(1.01, 1.0),
            ncols=4,
            frameon=False,
            fontsize=8,
            handletextpad=0.1,
            columnspacing=0.9,
            borderaxespad=0,
            borderpad=0.25,
        )
