"""The demo's tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from demo_checks import Bools, Finding
from demo_devices import Duration
from demo_sensors import Sensor, Stamps

LEFT_ALIGNED = {"stream", "interp", "what", "invalid in range"}


def table(rows: Sequence[dict[str, str]]) -> str:
    """Rows of named cells as aligned columns; text to the left, numbers to the right."""
    names = list(rows[0])
    widths = {n: max(len(n), *(len(row[n]) for row in rows)) for n in names}

    def line(cells: dict[str, str]) -> str:
        aligned = (cells[n].ljust(widths[n]) if n in LEFT_ALIGNED else cells[n].rjust(widths[n]) for n in names)
        return ("  " + "  ".join(aligned)).rstrip()

    return "\n".join([line({n: n for n in names}), *(line(row) for row in rows)])


def number(value: float | None, digits: int, unit: str) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}"


def durations(name: str, duration: Duration) -> dict[str, str]:
    return {f"{name} median": f"{duration.median_ms:.3f} ms", f"{name} best": f"{duration.best_ms:.3f} ms"}


def milliseconds(ns: int | None) -> str:
    return "-" if ns is None else f"{ns * 1e-6:.4g} ms"


def input_table(sensors: Sequence[Sensor]) -> str:
    rows = []
    for sensor in sensors:
        timing = sensor.timing
        steady = timing.drops is not None
        rows.append(
            {
                "stream": sensor.name,
                "rate": number(timing.rate_hz, 1, "Hz") if steady else "events",
                "samples": f"{timing.samples}",
                "columns": f"{sensor.values.shape[1]}",
                "dtype": str(sensor.values.dtype),
                "jitter p50": number(timing.jitter_p50_ms, 2, "ms") if steady else "-",
                "p99": number(timing.jitter_p99_ms, 2, "ms") if steady else "-",
                "largest gap": number(timing.largest_gap_ms, 1, "ms"),
                "lost": f"{timing.drops}" if steady else "-",
                "clock": f"{sensor.offset_ns * 1e-6:+.1f} ms" if sensor.offset_ns else "-",
            }
        )
    return table(rows)


def output_table(sensors: Sequence[Sensor], at_ns: Stamps, valid: Bools) -> str:
    rows = []
    for sensor, marks in zip(sensors, valid.T, strict=True):
        rows.append(
            {
                "stream": sensor.name,
                "interp": sensor.interp,
                "max gap": milliseconds(sensor.max_gap_ns),
                "max age": milliseconds(sensor.max_age_ns),
                "valid": f"{marks.mean():.1%}" if len(marks) else "-",
                "invalid in range": spans_text(invalid_spans(sensor, at_ns, marks), at_ns) or "-",
            }
        )
    return table(rows)


def invalid_spans(sensor: Sensor, at_ns: Stamps, valid: Bools) -> list[tuple[int, int]]:
    """Runs (first, last) of rows that lie within the range of the stream and are not valid."""
    stamps = sensor.corrected_ns
    bad = ~valid & (at_ns >= stamps[0]) & ((at_ns <= stamps[-1]) | (sensor.interp == "hold"))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def spans_text(spans: list[tuple[int, int]], at_ns: Stamps, most: int = 3) -> str:
    texts = []
    for a, b in spans[:most]:
        first, last = ((at_ns[i] - at_ns[0]) * 1e-9 for i in (a, b))
        texts.append(f"{first:.2f} s" if a == b else f"{first:.2f} to {last:.2f} s ({b - a + 1} rows)")
    more = f" and {len(spans) - most} more" if len(spans) > most else ""
    return ", ".join(texts) + more


def findings_table(findings: Sequence[Finding]) -> str:
    return table(
        [
            {
                "stream": f.stream,
                "what": f.what,
                "compared": f"{f.compared}",
                "nearest to its bound": f"{f.error:.3g} {f.unit}".rstrip(),
                "bound": f"{f.allowed:.3g} {f.unit}".rstrip(),
                "": "ok" if f.right else "WRONG",
            }
            for f in findings
        ]
    )
