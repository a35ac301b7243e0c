"""The tables of a run, in Markdown."""

from __future__ import annotations

from robocache_bench import report
from robocache_bench.loader.work import BATCH, SAMPLE
from robocache_bench.results import Results
from robocache_bench.tables import ASKED, ASKED_TITLE, RATIOS, Table, asked


def markdown(results: Results) -> str:
    """All of them, below a line that says where the numbers come from."""
    facts, data = results["machine"], results["data"]
    frames = f"{data['name']}: {data['episodes']} episodes, {data['samples']:,} frames at {data['hz']:g} Hz"
    where = f"{report.host(facts)}; {report.libraries(facts)}"
    return report.markdown_tables(
        f"{frames}; {where}; commit {facts['commit']}; {facts['date']}", [_rates(results), _bars(results)]
    )


def _rates(results: Results) -> Table:
    cells = [["windows", "peer", "setting", "samples/s", "p10", "p90", "checked"]]
    for row in results["rows"]:
        times = row["times"][SAMPLE]
        per_s = [f"{1e6 / times[name]:,.0f}" for name in ("median_us", "p90_us", "p10_us")]
        cells.append([row["case"], row["peer"], row["setting"], *per_s, f"{row['checked']:,}"])
    note = (
        f"Samples a second through a Python loop over shuffled batches of {BATCH}: median, p10 and p90 of the turns; "
    )
    return Table("CPU", note + "how many samples were compared before.", cells)


def _bars(results: Results) -> Table:
    return Table(ASKED_TITLE, RATIOS, [list(ASKED), *map(asked, results["bars"])])
