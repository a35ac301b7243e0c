"""`robocache-bench report`: one self-contained HTML page, and Markdown tables between the markers of a document."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from robocache_bench.plots import plots
from robocache_bench.results import Results, Row, merged, of_operator, scan_of, share_of_copy
from robocache_bench.tables import Table, tables, us

BUSY = 0.25  # processes a processor that run beside a benchmark before its report says so

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1.5rem; }
th, td { border: 1px solid #bbb; padding: .2rem .5rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td.no { background: #f4c7c3; } .wide { overflow-x: auto; } svg { max-width: 48rem; width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: #222; } .grid { stroke: #ddd; fill: none; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } svg text { fill: #ddd; }
  .grid { stroke: #444; } td.no { background: #6b2a26; } th, td { border-color: #555; } }
"""


class BadDocument(ValueError):  # noqa: N818 - named for what is bad, as our errors are
    """A document has no place for the tables."""


def markers(operator: str) -> tuple[str, str]:
    """What encloses the tables of an operator in a document."""
    return f"<!-- bench {operator}: begin -->", f"<!-- bench {operator}: end -->"


def main(runs: list[Results], page: Path | None, documents: list[Path]) -> int:
    """Writes the page and the documents' tables; prints the tables where neither is asked for."""
    skipped = merged(runs)["skipped"]
    parts = by_operator(runs)
    written = {document: with_tables(document.read_text(), parts, str(document)) for document in documents}
    for document, content in written.items():
        document.write_text(content)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(html_page(parts, skipped))
    if page is None and not documents:
        print(text(parts))
    return 0


def by_operator(runs: list[Results]) -> dict[str, Results]:
    """For each operator the rows that runs have of it, with the machine and the commit of the first such run."""
    names = dict.fromkeys(row["operator"] for run in runs for row in run["rows"])
    parts = {name: [part for run in runs if (part := of_operator(run, name))["rows"]] for name in sorted(names)}
    return {name: merged(found) for name, found in parts.items()}


def line(results: Results, row: Row) -> str:
    """One row as a run prints it."""
    times = "  ".join(f"{name} {us(found['median_us'])}" for name, found in row["times"].items())
    share = share_of_copy(results, row, next(iter(row["times"]), ""))
    error = "" if row["error"] is None else f"  error {row['error']:.0e}"
    broken = "".join(f"  NO: {bar['asked']}: {bar['value']:.3g}" for bar in row["bars"] if not bar["holds"])
    of_copy = "" if share is None else f"  {share:.0%} of a copy"
    return f"{row['case']:52} {row['peer']:26} us: {times}{of_copy}{error}{broken}"


def machine_line(results: Results) -> str:
    """Where and when the numbers come from, and of which commit."""
    m = results["machine"]
    gpus = "; ".join(m["gpus"]) or "no GPU"
    copies = ", ".join(f"{device} {c['bytes_per_s'] / 1e9:,.0f} GB/s" for device, c in results["copy"].items())
    cuda = f"CUDA {m['nvcc'] or m.get('torch_cuda')}"
    scan = "" if (found := scan_of(results)) is None else f"scan {found}; "
    run = f"{scan}commit {m['commit']}; {m['date']}; seed {results['options']['seed']}"
    return f"{gpus}; {host(m)}; copy (read + write): {copies}; {libraries(m)}; {cuda}; {run}"


def host(facts: dict[str, Any]) -> str:
    """The processor of a machine, and what else it did."""
    busy = f", busy with {facts['load']:g} other processes" if facts["load"] > BUSY * facts["cores"] else ""
    return f"{facts['processor']}, {facts['threads']} threads, {facts['isa']}{busy}"


def libraries(facts: dict[str, Any]) -> str:
    """Their versions."""
    return ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())


def markdown(results: Results) -> str:
    """Every table of one operator's results, below a line that says where the numbers come from."""
    return markdown_tables(machine_line(results), tables(results))


def markdown_tables(source: str, listed: list[Table]) -> str:
    """Tables below a line that says where they come from."""
    parts = [source + "."]
    for table in listed:
        head, *rows = table.cells
        lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        parts.append(f"**{table.title}.** {table.note}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def text(parts: dict[str, Results]) -> str:
    """The tables of every operator, each below its name."""
    return "\n\n".join(f"# {name}\n\n{markdown(part)}" for name, part in parts.items())


def with_tables(document: str, parts: dict[str, Results], name: str = "document") -> str:
    """The document with the tables of each operator between its markers; of one without rows they stay as they are.

    Raises
    ------
    BadDocument
        It does not have each marker of an operator with rows once, in their order.
    """
    for operator, results in parts.items():
        document = between_markers(document, operator, markdown(results), name)
    return document


def between_markers(document: str, operator: str, content: str, name: str = "document") -> str:
    """The document with something else between the markers of an operator.

    Raises
    ------
    BadDocument
        It does not have each of them once, in their order.
    """
    first, last = markers(operator)
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in before + after:
        raise BadDocument(f"report: {name} has no single pair of markers, expected {first} and, below it, {last}")
    return f"{before}{first}\n{content}\n{last}{after}"


def html_page(parts: dict[str, Results], skipped: list[dict[str, str]]) -> str:
    """The page: tables and inline plots, and nothing that a browser would have to fetch."""
    absent = "".join(
        f"<li>{html.escape(s['case'])}: {html.escape(s['peer'])}: {html.escape(s['why'])}</li>\n" for s in skipped
    )
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>RoboCache benchmarks</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>\n'
        f"{''.join(_html_part(name, part) for name, part in parts.items())}"
        f"<h1>Who did not take part</h1>\n<ul>\n{absent}</ul>\n</html>\n"
    )


def _html_part(operator: str, results: Results) -> str:
    drawn = "".join(f"<h2>{html.escape(title)}</h2>\n{svg}\n" for title, svg in plots(results))
    return (
        f"<h1>RoboCache: {html.escape(operator)}</h1>\n<p>{html.escape(machine_line(results))}</p>\n"
        f"{drawn}{''.join(map(_html_table, tables(results)))}"
    )


def _html_table(table: Table) -> str:
    head, *rows = table.cells
    lines = ["<tr>" + "".join(f"<th>{html.escape(c)}</th>" for c in head) + "</tr>"]
    for row in rows:
        cells = (f"<td{' class=no' if c == 'NO' else ''}>{html.escape(c)}</td>" for c in row)
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return (
        f"<h2>{html.escape(table.title)}</h2>\n<p>{html.escape(table.note)}</p>\n"
        f'<div class="wide"><table>\n{chr(10).join(lines)}\n</table></div>\n'
    )
