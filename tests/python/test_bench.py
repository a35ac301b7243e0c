"""The benchmark suite: what it counts, what it refuses, and a tiny run from the command to the page."""

from __future__ import annotations

import copy
import html.parser
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robocache_bench import cli, compare, operators, peers, report, results, run_cpu
from robocache_bench.operators.align.cases import Case, Source, cpu_cases, cuda_cases, fusion, resampling
from robocache_bench.operators.align.inputs import Inputs
from robocache_bench.results import Log

ALIGN = operators.every()["align"]
BEGIN, END = report.markers("align")

# --- Cases and peers --------------------------------------------------------------------------------------------------


def test_cases_have_names_of_their_own() -> None:
    cases = [c for op in operators.every().values() for device in ("cpu", "cuda") for c in op.cases(device, None)]
    assert len({c.name for c in cases}) == len(cases)
    assert all(c.name.startswith(f"{c.device} ") for c in cases)
    chosen = operators.selected(cases, ["8x250"], quick=False)
    assert [c.name for c in chosen] == ["cuda 8x250->128x128 linear bfloat16"]
    quick = operators.selected(cases, [], quick=True)
    assert 0 < len(quick) < len(cases)


def test_poses_have_columns_in_sevens() -> None:
    assert all(c.shape.columns % 7 == 0 for c in cpu_cases() + cuda_cases() if c.interp == "se3")


def test_what_a_build_refuses_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    modules = ("ours", "numpy_interp", "no_such_module")
    log = Log()
    case = Case("cpu", resampling(1, 4, 4, 4), "quintic")
    assert peers.contestants(ALIGN.peers_package, case, modules, log) == []
    why = {line["peer"]: line["why"] for line in log.skipped}
    assert "interp is 'quintic', expected" in why["ours"]
    assert why["numpy_interp"] == "numpy has no quintic"
    assert "no_such_module is not installed" in why["no_such_module"]
    assert capsys.readouterr().out.count("SKIPPED: cpu 1x4->4x4 quintic float32: ") == 3


# --- A run ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON of a run of two small cases, beside numpy, scipy and whatever else is installed."""
    path = tmp_path_factory.mktemp("bench") / "tiny.json"
    with pytest.MonkeyPatch.context() as patch:
        shapes = [resampling(2, 20, 15, 4), fusion(2)]
        cases = [
            Case("cpu", shapes[0], asked={"numpy": 0.001}),
            Case("cpu", shapes[1], marks=True, asked={"numpy": 1e9}),
        ]
        patch.setattr(
            "robocache_bench.operators.align.cases.cpu_cases", lambda: [*cases, Case("cpu", shapes[0], "slerp")]
        )
        patch.setattr("robocache_bench.run_cpu.COPY_BYTES", 1 << 20)
        # What torch compiles takes many seconds; the loops are the same for every peer.
        chosen = ["--peer=ours", "--peer=numpy_interp", "--peer=scipy_rows"]
        options = ["--device=cpu", "--operator=align", "--rounds=3", "--seed=7", *chosen]
        assert cli.main(["run", *options, "-o", str(path)]) == 0
    return path


def test_run_keeps_everything(tiny: Path) -> None:
    found = results.load(tiny)
    assert found["options"]["seed"] == 7
    assert {"date", "processor", "threads", "libraries", "commit", "gpus"} <= set(found["machine"])
    assert found["copy"]["cpu"]["bytes_per_s"] > 0
    rows = results.of_case(found["rows"], "cpu 2x20->15x4 linear float32")
    assert {"robocache", "numpy.interp"} <= set(rows)
    for row in found["rows"]:
        assert row["error"] < 1e-5
        assert row["bytes"] > 0
        for time in row["times"].values():
            assert 0 < time["p10_us"] <= time["median_us"] <= time["p90_us"]
            assert len(time["rounds_us"]) == 3
            assert time["samples"] >= 3
    assert set(rows["robocache"]["times"]) == {"out given", "fresh"}
    holds = [bar["holds"] for row in found["rows"] for bar in row["bars"]]
    assert holds == [True, False]  # 0.001 times faster than numpy; a milliard times is asked in vain


def test_run_refuses_to_measure_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--device", "cpu", "--only", "no such case", "-o", str(tmp_path / "x.json")]
    assert cli.main(arguments) == 2
    assert "nothing was measured, expected at least one case" in capsys.readouterr().err


def test_run_refuses_a_scan_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", "--points", str(tmp_path / "none.ply"), "-o", str(tmp_path / "x.json")])
    assert stop.value.code == 2
    assert "none.ply', expected a file" in capsys.readouterr().err


def test_a_wrong_peer_is_not_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "robocache_bench.operators.align.cases.cpu_cases", lambda: [Case("cpu", resampling(2, 20, 15, 4))]
        )
        patch.setattr("robocache_bench.run_cpu.COPY_BYTES", 1 << 20)
        patch.setattr("robocache_bench.operators.align.peers.numpy_interp.np.interp", lambda at, stamps, values: at)
        path = tmp_path / "x.json"
        options = ["--device=cpu", "--operator=align", "--rounds=1", "--peer=ours", "--peer=numpy_interp"]
        assert cli.main(["run", *options, "-o", str(path)]) == 1
    assert (
        "cpu 2x20->15x4 linear float32: numpy.interp: WRONG RESULT: numpy.interp is off by" in capsys.readouterr().out
    )
    assert [row["peer"] for row in results.load(path)["rows"]] == ["robocache"]


@pytest.mark.parametrize(("name", "failures"), [("numpy.interp", 0), ("robocache", 1)])
def test_what_a_peer_raises_is_said(name: str, failures: int, capsys: pytest.CaptureFixture[str]) -> None:
    def bind(x: object) -> peers.Bound:
        raise MemoryError("out of it\nand more")

    log = Log()
    case = Case("cpu", resampling(2, 20, 15, 4))
    peer = peers.Peer(name, "int64 ns", bind)
    assert run_cpu.attempted(case, peer, log, lambda: peer.bind(Inputs(case, np.random.default_rng()))) is None
    assert log.failures == failures
    assert capsys.readouterr().out == f"SKIPPED: {case.name}: {name}: MemoryError: out of it\n"


# --- The report -------------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Counts tags, and keeps what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_report_is_one_page_with_plots(tiny: Path, tmp_path: Path) -> None:
    page = tmp_path / "folder" / "report.html"
    assert cli.main(["report", str(tiny), "-o", str(page)]) == 0
    text = page.read_text()
    parsed = Page()
    parsed.feed(text)
    assert parsed.tags["svg"] == 3
    assert parsed.tags["table"] == 2
    assert not parsed.fetched
    assert "url(" not in text
    assert "http" not in text
    assert "nan" not in text.lower().replace("nanosecond", "")
    assert "2x20-&gt;15x4" in text


def test_report_says_when_the_machine_was_busy(tiny: Path) -> None:
    found = results.load(tiny)
    found["machine"] |= {"cores": 2, "load": 0.4}
    assert "busy" not in report.machine_line(found)
    found["machine"]["load"] = 1.5
    assert "busy with 1.5 other processes" in report.machine_line(found)


def test_report_writes_between_the_markers(tiny: Path, tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"before\n\n{BEGIN}\nyesterday\n{END}\n\nafter\n")
    for _ in range(2):  # the second time it replaces its own
        assert cli.main(["report", str(tiny), "--markdown", str(document)]) == 0
    text = document.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "yesterday" not in text
    assert text.count("**CPU.**") == 1
    ours = next(r for r in results.load(tiny)["rows"] if r["peer"] == "robocache")
    assert f"| {ours['times']['out given']['median_us']:.3g} |" in text


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{END}{BEGIN}", BEGIN * 2 + END])
def test_report_refuses_a_document_without_its_place(text: str, tiny: Path, tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(text)
    assert cli.main(["report", str(tiny), "--markdown", str(document)]) == 2
    assert document.read_text() == text


def test_report_keeps_what_it_has_no_rows_for(tiny: Path, tmp_path: Path) -> None:
    begin, end = report.markers("voxelize")
    document = tmp_path / "README.md"
    document.write_text(f"{BEGIN}\n{END}\n\n{begin}\nof another run\n{end}\n")
    assert cli.main(["report", str(tiny), "--markdown", str(document)]) == 0
    assert document.read_text().endswith(f"{END}\n\n{begin}\nof another run\n{end}\n")
    assert "**CPU.**" in document.read_text()


def test_each_operator_has_the_machine_line_of_its_run(tiny: Path) -> None:
    one, other = results.load(tiny), results.load(tiny)
    other["rows"] = [{**row, "operator": "voxelize", "case": f"another {row['case']}"} for row in other["rows"]]
    other["machine"]["commit"] = "another commit"
    parts = report.by_operator([one, other])
    assert {name: part["machine"]["commit"] for name, part in parts.items()} == {
        "align": one["machine"]["commit"],
        "voxelize": "another commit",
    }
    assert len(parts["voxelize"]["rows"]) == len(one["rows"])


def test_results_from_before_there_were_operators(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = results.load(tiny)
    for row in old["rows"]:
        del row["operator"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    assert cli.main(["report", str(path)]) == 0
    assert "| 2x20->15x4, f32 |" in capsys.readouterr().out
    assert cli.main(["compare", str(path), str(tiny), "--max-regression", "900%"]) == 0
    (tmp_path / "new.json").write_text(json.dumps({**old, "rows": [{**old["rows"][0], "operator": "fly"}]}))
    assert cli.main(["report", str(tmp_path / "new.json")]) == 2
    assert "operator is 'fly', expected one of align, voxelize" in capsys.readouterr().err


def test_reports_of_two_runs_are_joined(tiny: Path, tmp_path: Path) -> None:
    other = results.load(tiny)
    for row in other["rows"]:
        row["case"], row["device"] = row["case"].replace("cpu", "cuda"), "cuda"
    joined = results.merged([results.load(tiny), other])
    assert len(joined["rows"]) == 2 * len(other["rows"])
    assert len(results.merged([other, other])["rows"]) == len(other["rows"])
    other["machine"]["processor"] = "another"
    with pytest.raises(results.BadResults, match="processor is 'another', expected"):
        results.merged([results.load(tiny), other])


# --- The gate ---------------------------------------------------------------------------------------------------------


def steady(found: dict[str, Any]) -> dict[str, Any]:
    """The results, each round at its median."""
    found = copy.deepcopy(found)
    for row in found["rows"]:
        for time in row["times"].values():
            time["rounds_us"] = [time["median_us"]] * 3
    return found


def test_gate(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = steady(results.load(tiny))

    def gate(after: dict[str, Any], *options: str) -> tuple[int, str]:
        for name, content in (("a", before), ("b", after)):
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        code = cli.main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), *options])
        return code, capsys.readouterr().out

    def changed(factor: float, peer: str = "robocache") -> dict[str, Any]:
        after = copy.deepcopy(before)
        row = next(r for r in after["rows"] if r["peer"] == peer)
        row["times"]["fresh"]["median_us"] *= factor
        return after

    assert gate(before)[0] == 0
    assert gate(changed(1.04))[0] == 0
    code, text = gate(changed(1.06))
    assert code == 1
    assert text.count("SLOWER") == 1
    assert "+6.0%" in text
    assert gate(changed(1.06), "--max-regression", "10%")[0] == 0
    assert gate(changed(1.5), "--max-regression", "0.6")[0] == 0
    assert gate(changed(9, peer="numpy.interp"))[0] == 0  # a slower peer is no regression of ours

    noisy = changed(3)
    row = next(r for r in noisy["rows"] if r["peer"] == "robocache")
    middle = row["times"]["fresh"]["median_us"]
    row["times"]["fresh"]["rounds_us"] = [0.5 * middle, middle, 1.5 * middle]
    code, text = gate(noisy)
    assert code == 0
    assert text.count("TOO NOISY TO JUDGE") == 1

    fewer = copy.deepcopy(before)
    lost = next(r for r in fewer["rows"] if r["peer"] == "robocache")
    fewer["rows"].remove(lost)
    code, text = gate(fewer)
    assert code == 0
    assert f"only in the first:  {lost['case']} | robocache | fresh" in text


def test_gate_of_nothing_but_noise_does_not_pass(tiny: Path) -> None:
    found = results.load(tiny)
    for row in found["rows"]:
        for time in row["times"].values():
            time["rounds_us"] = [1.0, 2.0, 3.0]
    assert compare.compare(found, found, 0.05).exit_code == 2


def test_gate_refuses(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = results.load(tiny)
    other = tmp_path / "b.json"

    def refusal(text: str) -> str:
        other.write_text(text)
        assert cli.main(["compare", str(tiny), str(other)]) == 2
        return capsys.readouterr().err

    assert "format is None, expected 'robocache-bench 1'" in refusal("{}")
    assert "format is 'list'" in refusal("[]")
    assert "b.json" in refusal("not JSON")
    another = {**found, "machine": {**found["machine"], "gpus": ["another"]}}
    assert "gpus is ['another'], expected" in refusal(json.dumps(another))
    assert "no time of ours in common" in refusal(json.dumps({**found, "rows": []}))
    for share in ("five", "-5%", "0"):
        with pytest.raises(SystemExit) as stop:
            cli.main(["compare", str(tiny), str(tiny), f"--max-regression={share}"])
        assert stop.value.code == 2
        assert "expected a share such as 5% or 0.05" in capsys.readouterr().err


def test_shapes_say_what_they_are() -> None:
    assert fusion(4).columns == 588
    assert resampling(2, 3, 4, 5).sources == (Source(3, 5),)
