"""Plots as SVG text: points of named series over two logarithmic or linear axes."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field

COLOURS = ("#d1495b", "#1f77b4", "#2a9d5c", "#8e6bbf", "#b8860b", "#4c9aa8", "#777777", "#c06090", "#556b2f", "#a0522d")
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 16, 48


@dataclass
class Series:
    """Points (x, y, what they are); `line` joins them in the order of x."""

    name: str
    points: list[tuple[float, float, str]]
    line: bool = True
    dashed: bool = False


@dataclass
class Axis:
    """The range of one axis; `log` ones have positive values only."""

    title: str
    low: float
    high: float
    log: bool = True

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        if not self.log:
            return [self.low + (self.high - self.low) * k / 5 for k in range(6)]
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if last - first <= 3 else (1,)
        candidates = [step * 10.0**k for k in range(first, last + 1) for step in steps]
        return [t for t in candidates if self.low * 0.999 <= t <= self.high * 1.001]


def axis(title: str, values: list[float], log: bool = True) -> Axis:
    """An axis that holds the values with some room; a linear one starts at 0."""
    if log:
        return Axis(title, min(values) / 1.3, max(values) * 1.3)
    return Axis(title, 0, max(1.0, max(values) * 1.05), log=False)


@dataclass
class Plot:
    """Series over two axes."""

    x: Axis
    y: Axis
    series: list[Series] = field(default_factory=list)

    def svg(self) -> str:
        body = [*self._grid(), *(part for k, s in enumerate(self.series) for part in self._draw(k, s))]
        what = html.escape(f"{self.y.title} against {self.x.title}", quote=True)
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{what}">{"".join(body)}</svg>'

    def _at(self, x: float, y: float) -> tuple[float, float]:
        width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + width * self.x.place(x), TOP + height * (1 - self.y.place(y))

    def _grid(self) -> list[str]:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = []
        for tick in self.x.ticks():
            x, _ = self._at(tick, self.y.low)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
        for tick in self.y.ticks():
            _, y = self._at(self.x.low, tick)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
        middle = (TOP + bottom) / 2
        parts.append(
            f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{_text(self.x.title)}</text>'
        )
        parts.append(
            f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{_text(self.y.title)}</text>'
        )
        return parts

    def _draw(self, k: int, series: Series) -> list[str]:
        colour = COLOURS[k % len(COLOURS)]
        places = sorted((*self._at(x, y), what) for x, y, what in series.points)
        parts = []
        if series.line and len(places) > 1:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in places)
            dashes = ' stroke-dasharray="5 4"' if series.dashed else ""
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')
        if not series.dashed:
            for x, y, what in places:
                title = f"<title>{_text(f'{series.name}: {what}')}</title>"
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}">{title}</circle>')
        y = TOP + 12 + 18 * k
        x = WIDTH - RIGHT + 14
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16}" y="{y}">{_text(series.name)}</text>')
        return parts


def _text(text: str) -> str:
    return html.escape(text, quote=False)
