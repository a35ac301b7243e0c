"""The performance gate: our times in two results, row by row."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from robocache_bench.results import BadResults, Results, Row, check_one_machine, check_one_scan, is_ours


@dataclass(frozen=True)
class Line:
    """One time of one row in both results."""

    name: str
    before_us: float
    after_us: float
    spread: float  # the larger of the two, as a share of the median

    @property
    def change(self) -> float:
        return self.after_us / self.before_us - 1


@dataclass
class Comparison:
    """Every time of ours by its verdict; `drift` is the median change of the peers' times, the machine's own part."""

    slower: list[Line]
    kept: list[Line]
    noisy: list[Line]
    only_before: list[str]
    only_after: list[str]
    drift: float | None

    @property
    def exit_code(self) -> int:
        """1 when a row got slower than allowed; 2 when none could be judged."""
        if self.slower:
            return 1
        return 0 if self.kept else 2


def spread(time: dict[str, object]) -> float:
    """Half the distance from p10 to p90 of the rounds' medians (of all samples, where rounds are not kept)."""
    rounds = time.get("rounds_us")
    if isinstance(rounds, list) and len(rounds) >= 2:
        deciles = statistics.quantiles(rounds, n=10, method="inclusive")
        return float((deciles[-1] - deciles[0]) / 2 / statistics.median(rounds))
    low, high, median = (float(str(time[key])) for key in ("p10_us", "p90_us", "median_us"))
    return (high - low) / 2 / median


def _times(rows: list[Row], ours: bool) -> dict[str, dict[str, object]]:
    return {
        f"{row['case']} | {row['peer']} | {name}": time
        for row in rows
        if is_ours(row) == ours
        for name, time in row["times"].items()
    }


def _lines(a: Results, b: Results, ours: bool) -> list[Line]:
    before, after = _times(a["rows"], ours), _times(b["rows"], ours)
    return [
        Line(
            name,
            float(str(before[name]["median_us"])),
            float(str(after[name]["median_us"])),
            max(spread(before[name]), spread(after[name])),
        )
        for name in before
        if name in after
    ]


def compare(a: Results, b: Results, max_regression: float) -> Comparison:
    """Sorts our times in `b` by what they are to those in `a`.

    Raises
    ------
    BadResults
        The results are of two machines or two scans, or share no row of ours.
    """
    check_one_machine(a, b)
    check_one_scan(a, b)
    lines = _lines(a, b, ours=True)
    if not lines:
        raise BadResults("compare: the results have no time of ours in common, expected at least one")
    steady = [line for line in lines if line.spread <= max_regression]
    peers = [line.change for line in _lines(a, b, ours=False)]
    before, after = _times(a["rows"], True), _times(b["rows"], True)
    return Comparison(
        slower=[line for line in steady if line.change > max_regression],
        kept=[line for line in steady if line.change <= max_regression],
        noisy=[line for line in lines if line.spread > max_regression],
        only_before=[name for name in before if name not in after],
        only_after=[name for name in after if name not in before],
        drift=statistics.median(peers) if peers else None,
    )


def text(found: Comparison, max_regression: float) -> str:
    """What `robocache-bench compare` prints."""
    out = []
    verdicts = (("SLOWER", found.slower), ("TOO NOISY TO JUDGE", found.noisy), ("ok", found.kept))
    for verdict, lines in verdicts:
        for line in sorted(lines, key=lambda each: -each.change):
            times = f"{line.before_us:10.2f} -> {line.after_us:10.2f} us  {line.change:+7.1%}  (+-{line.spread:.1%})"
            out.append(f"{times}  {verdict:18}  {line.name}")
    out += [f"only in the first:  {name}" for name in found.only_before]
    out += [f"only in the second: {name}" for name in found.only_after]
    if found.drift is not None:
        out.append(f"the peers' times changed by {found.drift:+.1%} in the median: that much is the machine's")
    out.append(
        f"{len(found.slower)} slower by more than {max_regression:.1%}, {len(found.kept)} within it, "
        f"{len(found.noisy)} not judged: their spread is larger than {max_regression:.1%}"
    )
    if found.exit_code == 2:
        out.append("nothing could be judged; hint: a quieter machine, or a larger --max-regression")
    return "\n".join(out)


def percentage(text: str) -> float:
    """'5%' or '0.05' as 0.05."""
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < value < 10:
        raise ValueError(text)
    return value
