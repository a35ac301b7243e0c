"""`robocache-bench report`: one self-contained HTML page, and Markdown tables between the markers of a document."""

from __future__ import annotations

import html
from pathlib import Path

from robocache_bench.plots import plots
from robocache_bench.results import Results, Row, share_of_copy
from robocache_bench.tables import Table, tables, us

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

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


def main(results: Results, page: Path | None, documents: list[Path]) -> int:
    """Writes the page and the documents' tables; prints the tables where neither is asked for."""
    for document in documents:
        document.write_text(with_tables(document.read_text(), markdown(results), str(document)))
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(html_page(results))
    if page is None and not documents:
        print(markdown(results))
    return 0


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
    busy = f", busy with {m['load']:g} other processes" if m["load"] > BUSY * m["cores"] else ""
    copies = ", ".join(f"{device} {c['bytes_per_s'] / 1e9:,.0f} GB/s" for device, c in results["copy"].items())
    libraries = ", ".join(f"{name} {version}" for name, version in m["libraries"].items())
    host = f"{m['processor']}, {m['threads']} threads, {m['isa']}{busy}"
    cuda = f"CUDA {m['nvcc'] or m.get('torch_cuda')}"
    run = f"commit {m['commit']}; {m['date']}; seed {results['options']['seed']}"
    return f"{gpus}; {host}; copy (read + write): {copies}; {libraries}; {cuda}; {run}"


def markdown(results: Results) -> str:
    """Every table, below a line that says where the numbers come from."""
    parts = [machine_line(results) + "."]
    for table in tables(results):
        head, *rows = table.cells
        lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        parts.append(f"**{table.title}.** {table.note}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def with_tables(document: str, text: str, name: str = "document") -> str:
    """The document with `text` between its markers.

    Raises
    ------
    BadDocument
        It does not have each marker once, in their order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise BadDocument(f"report: {name} has no single pair of markers, expected {BEGIN} and, below it, {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def html_page(results: Results) -> str:
    """The page: tables and inline plots, and nothing that a browser would have to fetch."""
    drawn = "".join(f"<h2>{html.escape(title)}</h2>\n{svg}\n" for title, svg in plots(results))
    skipped = "".join(
        f"<li>{html.escape(s['case'])}: {html.escape(s['peer'])}: {html.escape(s['why'])}</li>\n"
        for s in results["skipped"]
    )
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>RoboCache benchmarks</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>\n<h1>RoboCache benchmarks</h1>\n'
        f"<p>{html.escape(machine_line(results))}</p>\n{drawn}{''.join(map(_html_table, tables(results)))}"
        f"<h2>Who did not take part</h2>\n<ul>\n{skipped}</ul>\n</html>\n"
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
