"""The three plots of an operator on a device: time against size, share of the copy bandwidth, roofline."""

from __future__ import annotations

from collections.abc import Callable

from robocache_bench import operators
from robocache_bench.results import Results, Row, median_us, share_of_copy
from robocache_bench.svg import Axis, Plot, Series, axis
from robocache_bench.tables import label, peers_of, us

MAIN_TIME = {"cpu": ("out given", "fresh"), "cuda": ("graph, cold", "stream")}


def plots(results: Results) -> list[tuple[str, str]]:
    """(title, SVG) of each device that has rows; the result is of one operator."""
    return [plot for device in ("cpu", "cuda") for plot in _of_device(results, device)]


def _time_of(row: Row) -> str | None:
    """The time that the plots show of a row: into given outputs, by graph replay; else what there is."""
    return next((name for name in MAIN_TIME[row["device"]] if name in row["times"]), None)


def _of_device(results: Results, device: str) -> list[tuple[str, str]]:
    rows = [r for r in results["rows"] if r["device"] == device and r.get("bytes") and _time_of(r) is not None]
    copy = results["copy"].get(device)
    if not rows or copy is None:
        return []
    found = []
    curves = {r["case"]: operators.of(r).curve(r) for r in rows}
    for title in sorted({curve for curve in curves.values() if curve is not None}):
        shown = [r for r in rows if curves[r["case"]] == title]
        found.append((f"{device.upper()}: time against size ({title})", _time_plot(shown, copy["bytes_per_s"])))
        found.append((f"{device.upper()}: share of the copy bandwidth ({title})", _share_plot(results, shown)))
    counted = [r for r in rows if r.get("operations")]
    if counted:
        found.append((f"{device.upper()}: roofline", _roofline(results, counted, copy["bytes_per_s"])))
    return [(title, plot.svg()) for title, plot in found]


def _us(row: Row) -> float:
    return median_us(row, _time_of(row) or "") or 0.0


def _series(rows: list[Row], point: Callable[[Row], tuple[float, float, str]], line: bool) -> list[Series]:
    return [Series(p, [point(r) for r in rows if r["peer"] == p], line) for p in peers_of(rows)]


def _time_plot(rows: list[Row], copy: float) -> Plot:
    def point(row: Row) -> tuple[float, float, str]:
        return row["bytes"] / 1e6, _us(row), f"{label(row)}, {us(_us(row))} us"

    sizes = [r["bytes"] / 1e6 for r in rows]
    floor = [(mb, mb * 1e6 / copy * 1e6, "") for mb in (min(sizes), max(sizes))]
    x = axis("bytes that must move, MB", sizes)
    y = axis("time of a call, us", [_us(r) for r in rows] + [f[1] for f in floor])
    return Plot(x, y, [*_series(rows, point, line=True), Series("a copy of these bytes", floor, dashed=True)])


def _share_plot(results: Results, rows: list[Row]) -> Plot:
    def point(row: Row) -> tuple[float, float, str]:
        share = share_of_copy(results, row, _time_of(row) or "") or 0.0
        return row["bytes"] / 1e6, share, f"{label(row)}, {share:.0%}"

    series = _series(rows, point, line=True)
    x = axis("bytes that must move, MB", [r["bytes"] / 1e6 for r in rows])
    return Plot(x, axis("share of the copy bandwidth", [p[1] for s in series for p in s.points], log=False), series)


def _roofline(results: Results, rows: list[Row], copy: float) -> Plot:
    def point(row: Row) -> tuple[float, float, str]:
        rate = row["bytes"] / (_us(row) * 1e-6) / 1e9
        return row["operations"] / row["bytes"], rate, f"{label(row)}, {rate:.0f} GB/s"

    series = _series(rows, point, line=False)
    peak = results["copy"][rows[0]["device"]].get("operations_per_s")
    intensities = [p[0] for s in series for p in s.points]
    high = max([*intensities, 2 * peak / copy if peak else 0])
    x = Axis("operations / byte", min(intensities) / 1.3, high * 1.3)
    y = axis("GB/s of bytes that must move", [p[1] for s in series for p in s.points] + [copy / 1e9])
    series.append(Series("copy bandwidth", [(x.low, copy / 1e9, ""), (x.high, copy / 1e9, "")], dashed=True))
    if peak:
        bound = [(i, min(copy, peak / i) / 1e9, "") for i in (peak / copy, x.high)]
        series.append(Series("float32 arithmetic", bound, dashed=True))
    return Plot(x, y, series)
