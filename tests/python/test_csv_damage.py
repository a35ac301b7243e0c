"""The reader of CSV folders on damage: named by file and line, or the reasons why no file can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_data import problems
from robocache.dataset import open
from robocache.errors import DataError
from test_csv_folder import write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"s.csv: is empty, expected a header row"),
        ("\n\n", r"s.csv: is empty, expected a header row"),
        ("1,2\n3,4\n", r"s.csv: has no header row: the first line is '1,2'"),
        ("t,v,v\n1,2,3\n", r"s.csv: column 'v' occurs twice"),
        ("t,v\n1,2\n3\n4,5\n", r"s.csv:3: row has 1 cells, expected 2"),
        ("t,v\n1,2\n\n3,4,5\n", r"s.csv:4: row has 3 cells, expected 2"),
        ("t_s,v\n0.1,2\n0.2,oops\n0.3,4\n0.4,5\n", r"s.csv:3: cell of column 'v' is 'oops', expected a number"),
        ("t_s,v\n0.1,2\nlate,3\n", r"s.csv:3: stamp in column 't_s' is 'late', expected a number"),
        ("t_s,v\n0.1,2\n,3\n", r"s.csv:3: stamp in column 't_s' is empty"),
        ("t_s,v\n0.1,2\nnan,3\n", r"s.csv:3: stamp in column 't_s' is 'nan', expected int64 ns at most"),
        ("t_ns,v\n1,2\n9223372036854775808,3\n", r"s.csv:3: stamp .* is '9223372036854775808', expected int64 ns"),
        ("t_s,v\n1,2\n1e30,3\n", r"s.csv:3: stamp in column 't_s' is '1e30', expected int64 ns at most"),
        ("t_s,v\n2020-01-01 00:00:00,2\n2020-99-01 00:00:00,2\n", r"s.csv: stamp in column 't_s'"),
    ],
)
def test_damage_names_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        open(write(tmp_path, s=text))
    write(tmp_path, good="t_s,v\n0.5,1.5\n")
    data = open(tmp_path, on_bad_episode="skip")
    assert list(data.streams) == ["good"]
    assert len(data.problems) == 1
    assert "skipped, damaged" in problems(data)[0]


def test_not_text(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"t,v\xff\xfe\n1,2\n")
    with pytest.raises(DataError, match=r"s.csv is not UTF-8"):
        open(tmp_path)


def test_a_link_to_nowhere_is_a_problem_of_that_file(tmp_path):
    write(tmp_path, good="t_s,v\n0.5,1.5\n")
    (tmp_path / "gone.csv").symlink_to("nowhere.csv")
    with pytest.raises(DataError, match=r"gone.csv cannot be read: .*No such file"):
        open(tmp_path)
    data = open(tmp_path, on_bad_episode="skip")
    assert list(data.streams) == ["good"]
    assert "gone.csv: skipped, damaged: open: " in "\n".join(problems(data))


def test_a_file_that_may_not_be_read_is_a_problem_of_that_file(tmp_path, monkeypatch):
    """As for users without the right; root has it always."""
    write(tmp_path, good="t_s,v\n0.5,1.5\n", secret="t_s,v\n0.5,1.5\n")
    original = Path.open

    def open_unless_secret(self, *args, **options):
        if self.name == "secret.csv":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "open", open_unless_secret)
    data = open(tmp_path, on_bad_episode="skip")
    assert list(data.streams) == ["good"]
    assert "cannot be read: [Errno 13] Permission denied" in "\n".join(problems(data))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"t_s,v\n\xff\xfe,1\n", r"s.csv is not UTF-8 text"),
        (b"t_s,v\n" + b"0.5,a\n" * 5_000 + b"0.5,\xff\n", r"column 'v' is not UTF-8 text"),
        (b"t_s,v\n" + b"0.5,1\n" * 5_000 + b"\xff,1\n", r"s.csv: cannot be parsed: .*UTF8"),
        (b"t_s," + b"v" * 200_000 + b"\n0.5,1\n", r"has no header row: field larger than field limit"),
        (b"\x7fELF\x02\x01\0\0\xff\xff", r"is not UTF-8 text"),
    ],
)
def test_binary_files_are_damage(tmp_path, content, message):
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open(tmp_path)
    write(tmp_path, good="t_s,v\n0.5,1.5\n")
    assert list(open(tmp_path, on_bad_episode="skip").streams) == ["good"]


def test_where_no_file_can_be_read_the_reasons_are_told(tmp_path):
    write(tmp_path, a="x,y\n1,2\n", c="t_s\n0.5\n", d="", e="")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match=r"has no stream that can be read, of 5 CSV files; ") as raised:
        open(tmp_path, on_bad_episode="skip")
    text = str(raised.value)
    for reason in (
        "a.csv: columns are x, y, expected a stamp (stamp_ns",
        "b.csv is not UTF-8 text",
        "c.csv: has stamps but no other column",
        "; and 2 more",
    ):
        assert reason in text
