"""The tables of a result, as cells: `report` makes Markdown and HTML of them."""

from __future__ import annotations

from dataclasses import dataclass

from robocache_bench import operators
from robocache_bench.bars import Bar
from robocache_bench.results import OURS, Results, Row, is_ours, median_us, of_case, share_of_copy


@dataclass(frozen=True)
class Table:
    """Cells of text; the first row is the head."""

    title: str
    note: str
    cells: list[list[str]]


@dataclass(frozen=True)
class Kind:
    """What one table shows: some times of one device's rows."""

    title: str
    note: str
    device: str
    times: tuple[str, ...]
    with_bars: bool = False


KINDS = (
    Kind(
        "CPU",
        "Microseconds of a call, median; (new): it returns new arrays. More than 100% of a copy: the caches hold it.",
        "cpu",
        ("out given", "fresh"),
        True,
    ),
    Kind(
        "CUDA, device time",
        "Microseconds of a call, median: CUDA-graph replay over buffers larger than the L2. Bytes are the fewest that "
        "our call can move, each sample counted once; the share is of a device-to-device copy in the same run.",
        "cuda",
        ("graph, cold",),
        True,
    ),
    Kind("CUDA, device time, L2-warm", "As above, over one buffer.", "cuda", ("graph, warm",)),
    Kind(
        "CUDA, calls back to back",
        "Microseconds of wall time a call takes among many, without a graph.",
        "cuda",
        ("stream",),
    ),
    Kind("CUDA, the call", "Microseconds of host time of a call that nobody waits for.", "cuda", ("call",)),
)


ASKED_TITLE = "What is asked, and whether it holds"
ASKED = ("asked", "measured", "holds")
RATIOS = "Ratios to a peer are medians over the rounds of the run; all else is of medians."


def us(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def tables(results: Results) -> list[Table]:
    """Those that the result, of one operator, has rows for."""
    found = [_times(results, kind) for kind in KINDS] + [_energy(results), _bars(results)]
    return [table for table in found if len(table.cells) > 1]


def peers_of(rows: list[Row]) -> list[str]:
    """Peers in the order of their first row, ours first."""
    names = dict.fromkeys(row["peer"] for row in rows)
    return sorted(names, key=lambda name: not name.startswith(OURS))


def label(row: Row) -> str:
    """The case as a table names it, without the device."""
    return operators.of(row).label(row)


def _times(results: Results, kind: Kind) -> Table:
    rows = [r for r in results["rows"] if r["device"] == kind.device and any(t in r["times"] for t in kind.times)]
    columns = [
        (p, t) for p in peers_of(rows) for t in kind.times if any(t in r["times"] for r in rows if r["peer"] == p)
    ]
    has_fresh = len(kind.times) > 1
    head = ["case"] + [f"{p} (new)" if has_fresh and t == "fresh" else p for p, t in columns]
    head += ["MB", "of a copy"] if kind.with_bars else []
    cells = [head]
    for case in dict.fromkeys(row["case"] for row in rows):
        peers = of_case(rows, case)
        line = [label(next(iter(peers.values())))]
        for peer, time in columns:
            value = median_us(peers[peer], time) if peer in peers else None
            line.append("" if value is None else us(value))
        if kind.with_bars:
            line += _bytes_and_share(results, peers, kind.times)
        cells.append(line)
    return Table(kind.title, kind.note, cells)


def _bytes_and_share(results: Results, peers: dict[str, Row], times: tuple[str, ...]) -> list[str]:
    """Of our first row that has one of the times, by the first of them that it has."""
    for row in peers.values():
        time = next((t for t in times if t in row["times"]), None)
        if is_ours(row) and row.get("bytes") and time is not None:
            share = share_of_copy(results, row, time)
            return [f"{row['bytes'] / 1e6:.1f}", "" if share is None else f"{share:.0%}"]
    return ["", ""]


def _bars(results: Results) -> Table:
    cells = [["case", *ASKED]]
    for case in dict.fromkeys(row["case"] for row in results["rows"]):
        for row in of_case(results["rows"], case).values():
            cells += [[f"{row['device']} {label(row)}", *asked(bar)] for bar in row["bars"]]
    return Table(ASKED_TITLE, RATIOS, cells)


def asked(bar: Bar) -> list[str]:
    """The cells below `ASKED`."""
    return [bar["asked"], us(bar["value"]), "yes" if bar["holds"] else "NO"]


def _energy(results: Results) -> Table:
    cells = [["case", "peer", "microjoules a call", "watts over idle", "calls"]]
    for row in results["rows"]:
        if found := row.get("energy"):
            values = (us(found["uj_per_call"]), us(found["watts_over_idle"]), f"{found['calls']}")
            cells.append([label(row), row["peer"], *values])
    return Table("Energy", results.get("energy_method", ""), cells)
