"""Random calls of align for hypothesis: every mode, dtype, layout, policy and limit; few instants, so that duplicates
and exact hits are common."""

from __future__ import annotations

from typing import Any

import numpy as np
from arrays import FLOATS
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from reference.align_answer import rounded
from reference.align_cases import Case
from reference.align_oracle import CURVES, UNIT, Stream

INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
LAYOUTS = ("plain", "pitched", "columns", "reversed")
MODES = ("hold", "nearest", *CURVES)
# unit of time in ns or s: few distinct stamps a unit apart
UNITS = {"int64": (1, 7, 1_000_000), "float64": (1 / 64, 0.01), "float32": (1 / 32, 0.1)}
STARTS = {"int64": (0, -40, 1_700_000_000_000_000_000), "float64": (0.0, 1.7e9), "float32": (0.0,)}


def examples(count: int) -> Any:
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers of very different sizes, some equal; integers small enough to be exact in any float but 16-bit ones."""
    if dtype == "bool":
        return rng.integers(0, 2, shape)
    if dtype not in FLOATS:
        return rng.integers(0 if dtype == "uint8" else -100, 120, shape)
    size = 2.0 ** rng.integers(-8, 9, (*shape[:-2], 1, shape[-1]))
    return rounded(rng.normal(size=shape) * size, dtype).astype(np.float64)


def with_bad_samples(rng: np.random.Generator, values: np.ndarray, runs: list[tuple[Any, int]], bad: float) -> None:
    """A share of the columns' samples becomes NaN, and of the quaternions' zero or infinite."""
    values[rng.random(values.shape) < bad] = np.nan
    first = 0
    for mode, columns in runs:
        unit = UNIT.get(mode, columns or 1)
        for end in range(first + unit, first + columns + 1, unit) if mode in UNIT else ():
            where = rng.random(values.shape[:-1]) < bad
            values[where, end - 4 : end] = rng.choice([0.0, np.inf])
        first += columns


@st.composite
def policies(draw: st.DrawFn) -> Any:
    one = st.sampled_from(["hold", "nan", "extrapolate", 2.5, -1, 0])
    return draw(st.one_of(one, st.tuples(one, one)))


@st.composite
def column_runs(draw: st.DrawFn, modes: tuple[str | None, ...], most: int) -> list[tuple[str | None, int]]:
    """Up to `most` (mode, columns)."""
    runs = []
    for mode in draw(st.lists(st.sampled_from(modes), min_size=1, max_size=most)):
        if mode in UNIT:
            columns = draw(st.sampled_from([1, 2])) * UNIT[mode]
        else:
            columns = draw(st.sampled_from([1, 2, 3, 5] if most > 1 else [1, 2, 3, 5, 9, 17]))
        runs.append((mode, columns))
    return runs


@st.composite
def streams(
    draw: st.DrawFn, time: str, start: Any, unit: Any, B: int, modes: tuple[str | None, ...], most: int, gaps: bool
) -> Stream:
    runs = draw(column_runs(modes, most))
    smooth = any(mode in CURVES for mode, _ in runs)
    dtype = draw(st.sampled_from(FLOATS if smooth else FLOATS + INTEGERS))
    columns = sum(width for _, width in runs)
    samples = draw(st.integers(0, 9 if not gaps else 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ragged = draw(st.sampled_from([None, None, "lengths", "offsets"]))
    shared = ragged is None and draw(st.booleans())
    ticks = [sorted(draw(st.lists(st.integers(0, 12), min_size=samples, max_size=samples))) for _ in range(B)]
    ticks = ticks[:1] * B if shared else ticks
    stamps = (start + np.array(ticks, np.int64).reshape(B, samples) * unit).astype(time)
    values = random_values(rng, (B, samples, columns), dtype)
    arrays: dict[str, Any] = {}
    if gaps:
        arrays["missing"] = draw(st.sampled_from(["propagate", "skip", "skip", "hold", "hold"]))
        if draw(st.booleans()):
            arrays["mask"] = rng.random((B, samples)) < draw(st.sampled_from([0.5, 0.8, 0.95]))
        if dtype in FLOATS:
            with_bad_samples(rng, values, runs, draw(st.sampled_from([0.0, 0.03, 0.2])))
    if ragged:
        lengths = np.array(draw(st.lists(st.integers(0, samples), min_size=B, max_size=B)), np.int64)
        padding = np.arange(samples) >= lengths[:, None]
        if ragged == "lengths":
            stamps[padding] = stamps[padding][::-1] - unit  # not sorted any more
            values[padding] = np.nan if dtype in FLOATS else 77
            arrays["lengths"] = lengths.astype(draw(st.sampled_from(["int32", "int64"])))
        else:
            stamps, values = stamps[~padding], values[~padding]
            arrays["offsets"] = np.concatenate([[0], np.cumsum(lengths)])
            if "mask" in arrays:
                arrays["mask"] = arrays["mask"][~padding]
    if "mask" in arrays and shared:
        arrays["mask"] = arrays["mask"][0] if draw(st.booleans()) else arrays["mask"]
    ns = int(unit * 1e9) if time != "int64" else unit
    limit = st.one_of(st.none(), st.none(), st.integers(0, 6).map(lambda k: k * ns))
    return Stream(
        values,
        stamps[0] if shared else stamps,
        dtype,
        runs[0][0] if most == 1 else runs,
        draw(policies()),
        draw(limit),
        draw(limit),
        draw(st.sampled_from([0, 0, ns, -3 * ns, 1])),
        quaternion=draw(st.sampled_from(["xyzw", "wxyz"])) if "screw" in dict(runs) else "xyzw",
        **arrays,
    )


@st.composite
def calls(draw: st.DrawFn, *modes: str | None, runs: int = 1, gaps: bool = False) -> Case:
    """A call with up to three streams of these modes; `runs`: at most so many a stream; `gaps`: samples are missing."""
    time = draw(st.sampled_from(["int64", "int64", "float64", "float32"]))
    start, unit = draw(st.sampled_from(STARTS[time])), draw(st.sampled_from(UNITS[time]))
    B, T = draw(st.integers(1, 3)), draw(st.integers(0, 9))
    many = [draw(streams(time, start, unit, B, modes, runs, gaps)) for _ in range(draw(st.integers(1, 3)))]
    half = max(1, unit // 2) if time == "int64" else unit / 2
    ticks = draw(st.lists(st.integers(-6, 30), min_size=B * T, max_size=B * T))
    at = (start + np.array(ticks, np.int64).reshape(B, T) * half).astype(time)
    split = draw(st.booleans())
    dtype = None if split else draw(st.sampled_from(FLOATS))
    layouts = [draw(st.sampled_from(LAYOUTS)) for _ in many]
    return Case("", "", many, at[0] if B > 1 and draw(st.booleans()) else at, None, dtype, split, layouts)
