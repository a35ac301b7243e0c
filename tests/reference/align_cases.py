"""Reads tests/cases/align.json as numpy arrays; tests/cases/README.md describes the format and the generator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from reference.align_answer import FLOATS, INT64_MAX, Expected, rounded
from reference.align_oracle import Stream, align

TABLE = Path(__file__).parents[1] / "cases" / "align.json"
OPTIONS = ("interp", "outside", "max_gap_ns", "max_age_ns", "offset_ns", "missing", "quaternion")
LISTS = {
    "lengths": np.int64,
    "offsets": np.int64,
    "rows": np.int64,
    "scale": np.float32,
    "bias": np.float32,
    "mask": bool,
}


@dataclass(frozen=True)
class Case:
    name: str
    contract: str
    streams: list[Stream]
    at: np.ndarray  # [B, T] or [T]
    origin: np.ndarray | None = None
    dtype: str | None = None
    split: bool = False
    layouts: list[str] = field(default_factory=list)
    expect: dict[str, Any] | None = None  # the answer by hand
    bench: list[int] = field(default_factory=list)

    @property
    def engine_only(self) -> bool:
        """Uses parts of the C++ interface that Python does not offer."""
        parts = [(s.rows, s.scale, s.bias) for s in self.streams]
        return self.origin is not None or any(part is not None for p in parts for part in p)

    @property
    def error(self) -> str | None:
        return (self.expect or {}).get("error")

    @property
    def batch(self) -> int:
        if self.at.ndim == 2:
            return len(self.at)
        first = self.streams[0]
        return len(first.offsets) - 1 if first.offsets is not None else len(first.values)

    def answer(self) -> list[Expected]:
        return align(self.streams, np.broadcast_to(self.at, (self.batch, self.at.shape[-1])), self.origin)


def output_dtype(case: Case, stream: Stream) -> str:
    return case.dtype or stream.dtype


def _number(x: Any) -> Any:
    return float(x) if isinstance(x, str) else x


def _array(nested: Any, dtype: str) -> np.ndarray:
    """Nested lists of numbers as an array; bfloat16 is kept in float64."""
    flat = np.array(nested, dtype=object)
    if dtype == "bfloat16":
        dtype = "float64"
    return np.array([_number(x) for x in flat.ravel()], dtype=dtype).reshape(flat.shape)


def _options(spec: dict[str, Any]) -> dict[str, Any]:
    options = {k: spec[k] for k in OPTIONS if k in spec}
    if isinstance(spec.get("interp"), list):
        options["interp"] = [(mode, columns) for mode, columns in spec["interp"]]
    return options


def _explicit(entry: dict[str, Any]) -> Case:
    time = entry.get("time", "int64")
    streams = []
    for s in entry["streams"]:
        dtype = s.get("dtype", "float32")
        values = _array(s["values"], dtype)
        values = values.reshape(*np.shape(s["stamps"]), s["columns"]) if "columns" in s else values
        if dtype == "bfloat16":
            values = _nearest_bfloat16(values)
        options = _options(s)
        lists = {k: np.array(s[k], t) for k, t in LISTS.items() if k in s}
        streams.append(Stream(values, _array(s["stamps"], time), dtype=dtype, **options, **lists))
    origin = _array(entry["origin"], time) if "origin" in entry else None
    return Case(
        entry["name"],
        entry["contract"],
        streams,
        _array(entry["at"], time),
        origin,
        entry.get("dtype"),
        entry.get("split", False),
        ["plain"] * len(streams),
        entry["expect"],
    )


def _nearest_bfloat16(x: np.ndarray) -> np.ndarray:
    return rounded(x, "bfloat16").astype(np.float64)


GAMMA, M1, M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
LENGTH, FIRST, STEP, DUPLICATE, VALUE, TARGET, CHOICE, MASK, NAN = range(9)
TARGETS = 255  # the "stream" of draws that belong to the targets
VALUE_BITS = {"float64": 40, "float32": 24, "float16": 11, "bfloat16": 8}


class Draws:
    """draw(what, k) of tests/cases/README.md, for an array of k."""

    def __init__(self, seed: int, stream: int) -> None:
        with np.errstate(over="ignore"):
            self._base = np.uint64(seed) * GAMMA + (np.uint64(stream) << np.uint64(56))

    def __call__(self, what: int, count: int) -> np.ndarray:
        with np.errstate(over="ignore"):
            x = self._base + (np.uint64(what) << np.uint64(48)) + np.arange(count, dtype=np.uint64)
            x = (x ^ (x >> np.uint64(30))) * M1
            x = (x ^ (x >> np.uint64(27))) * M2
        return x ^ (x >> np.uint64(31))


def _values(draws: Draws, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    x = draws(VALUE, int(np.prod(shape)))
    if dtype in VALUE_BITS:
        m = VALUE_BITS[dtype]
        real = (x % np.uint64(1 << m)).astype(np.float64) * 2.0 ** -(m - 3) - 4
        return real.astype("float64" if dtype == "bfloat16" else dtype).reshape(shape)
    x = x & np.uint64(1) if dtype == "bool" else x
    return x.astype(dtype).reshape(shape)


def _in_time(ns: np.ndarray, time: str) -> np.ndarray:
    return ns if time == "int64" else (ns.astype(np.float64) / 1e9).astype(time)


@dataclass
class _Log:
    """One generated stream with its stamps still in int64 ns, and where each segment starts and ends."""

    stamps: np.ndarray  # [G, S] or [S]
    lengths: np.ndarray  # [G]
    values: np.ndarray  # [G, S, D]
    mask: np.ndarray  # as stamps
    ragged: str | None


def _log(spec: dict[str, Any], draws: Draws, batch: int, start: int, span: int) -> _Log:
    S, D = spec["samples"], spec["columns"]
    G = 1 if spec.get("clock") == "shared" else batch
    step = max(1, span // S)
    first = start + (draws(FIRST, G) % np.uint64(step)).astype(np.int64)
    steps = np.int64(step // 2) + (draws(STEP, G * S) % np.uint64(step)).astype(np.int64)
    steps[draws(DUPLICATE, G * S) % np.uint64(256) < spec.get("duplicates", 0)] = 0
    steps = steps.reshape(G, S)
    steps[:, 0] = first
    stamps = np.cumsum(steps, axis=1)
    values = _values(draws, (batch, S, D), spec.get("dtype", "float32"))
    if "nans" in spec:
        values[(draws(NAN, values.size) % np.uint64(256) < spec["nans"]).reshape(values.shape)] = np.nan
    mask = (draws(MASK, G * S) % np.uint64(256) >= spec.get("masked", 0)).reshape(G, S)
    if spec.get("layout") == "repeated":
        values[1:] = values[:1]
    ragged = spec.get("ragged")
    lengths = np.full(G, S, np.int64)
    if ragged:
        lengths = (draws(LENGTH, G) % np.uint64(S + 1)).astype(np.int64)
        for g, n in enumerate(lengths):
            stamps[g, n:] = start - 1 - np.arange(n, S)
            values[g, n:] = 77 if spec.get("dtype", "float32") not in FLOATS else np.nan
    return _Log(stamps, lengths, values, mask, ragged)


def _targets(entry: dict[str, Any], logs: list[_Log], batch: int, start: int, span: int) -> np.ndarray:
    T = entry["targets"]
    draws = Draws(entry["seed"], TARGETS)
    uniform = (draws(TARGET, batch * T) % np.uint64(span + span // 4)).astype(np.int64) + (start - span // 8)
    for k, c in enumerate(int(c) for c in draws(CHOICE, batch * T)):
        if c % 8 < 5:
            continue
        log = logs[(c >> 8) % len(logs)]
        segment = k // T if len(log.stamps) > 1 else 0
        n = int(log.lengths[segment])
        uniform[k] = log.stamps[segment, (c >> 16) % n] if n else start
    at = uniform.reshape(batch, T)
    return at if entry.get("order") == "shuffled" else np.sort(at, axis=1)


def _generated(entry: dict[str, Any], batch: int | None = None) -> Case:
    B = entry["batch"] if batch is None else batch
    start, span = entry.get("start_ns", 1_700_000_000_000_000_000), entry.get("span_ns", 1_000_000_000)
    time = entry.get("time", "int64")
    logs = [_log(s, Draws(entry["seed"], i), B, start, span) for i, s in enumerate(entry["streams"])]
    streams = []
    for spec, log in zip(entry["streams"], logs, strict=True):
        stamps, values, mask, lists = _in_time(log.stamps, time), log.values, log.mask, {}
        if spec.get("clock") == "shared":
            stamps, mask = stamps[0], mask[0]
        if log.ragged == "lengths":
            lists["lengths"] = log.lengths
        elif log.ragged == "offsets":
            kept = np.arange(spec["samples"]) < log.lengths[:, None]
            stamps, values, mask = stamps[kept], values[kept], mask[kept]
            lists["offsets"] = np.concatenate([[0], np.cumsum(log.lengths)])
        if "masked" in spec:
            lists["mask"] = mask
        options = _options(spec)
        streams.append(Stream(values, stamps, dtype=spec.get("dtype", "float32"), **options, **lists))
    return Case(
        entry["name"],
        "generated",
        streams,
        _in_time(_targets(entry, logs, B, start, span), time),
        dtype=entry.get("dtype"),
        split=entry.get("split", False),
        layouts=[s.get("layout", "plain") for s in entry["streams"]],
        bench=entry.get("bench", []),
    )


def _table() -> dict[str, list[dict[str, Any]]]:
    table: dict[str, list[dict[str, Any]]] = json.loads(TABLE.read_text())
    return table


def load() -> list[Case]:
    """Every case, explicit ones first."""
    table = _table()
    return [_explicit(e) for e in table["explicit"]] + [_generated(e) for e in table["generated"]]


def bench_shapes() -> list[tuple[str, int]]:
    """(name, B) of the cases that are benchmark shapes."""
    return [(e["name"], B) for e in _table()["generated"] for B in e.get("bench", [])]


def generate(name: str, batch: int) -> Case:
    """The generated case `name` with another batch size: the inputs of a benchmark."""
    (entry,) = [e for e in _table()["generated"] if e["name"] == name]
    return _generated(entry, batch)


def by_hand(case: Case) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The written answer of an explicit case: values per stream, valid, age_ns."""
    assert case.expect is not None
    shape = (case.batch, case.at.shape[-1])
    values = [
        _array(v, "float64" if output_dtype(case, s) in FLOATS else output_dtype(case, s)).reshape(
            *shape, s.values.shape[-1]
        )
        for v, s in zip(case.expect["values"], case.streams, strict=True)
    ]
    marks = (*shape, len(case.streams))
    valid = np.array(case.expect["valid"], bool).reshape(marks)
    age = np.array([min(int(a), INT64_MAX) for a in np.array(case.expect["age_ns"], object).ravel()], np.int64)
    return values, valid, age.reshape(marks)
