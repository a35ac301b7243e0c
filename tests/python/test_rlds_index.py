"""The index of the RLDS reader: the same episodes with it and without, whatever is in its file."""

from __future__ import annotations

import os
import struct
from concurrent.futures import ThreadPoolExecutor

import make_rlds as make
import numpy as np
import pytest
from make_rlds import three
from real_data import only_problem, problems, read_all
from robocache.dataset import open
from robocache.errors import DataError
from robocache.formats import rlds_files
from robocache.formats.rlds_index import INDEX_NAME


def break_lengths(path):
    """Breaks the checksum of the second length, at the same size and time: only a walk over the headers sees it."""
    stat = path.stat()
    whole = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", whole[:8])
    whole[12 + length + 4 + 8] ^= 1
    path.write_bytes(whole)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_no_index_unless_asked(tmp_path):
    root = three(tmp_path)
    before = sorted(root.iterdir())
    read_all(open(root, fps=30))
    assert sorted(root.iterdir()) == before


@pytest.mark.parametrize("beside", [True, False])
def test_an_index_is_written_once_and_saves_the_walk(tmp_path, beside):
    root, folder = three(tmp_path), tmp_path / "cache/folder"
    index = True if beside else folder
    data = read_all(open(root, fps=30, index=index))
    (file,) = [root / INDEX_NAME] if beside else folder.iterdir()
    written = file.stat().st_mtime_ns
    again = read_all(open(root, fps=30, index=index))
    assert file.stat().st_mtime_ns == written
    for a, b in zip(data.episodes, again.episodes, strict=True):
        np.testing.assert_array_equal(a["action"].values, b["action"].values)
    break_lengths(make.only_shard(root))
    assert problems(open(root, fps=30, index=index)) == []  # not walked
    assert len(problems(open(root, fps=30))) == 1
    with pytest.raises(DataError, match=r"episode 1: .*checksum of the length"):
        open(root, fps=30, index=index).episodes[1].load()


def test_an_index_of_another_state_is_made_anew(tmp_path):
    root = three(tmp_path)
    open(root, fps=30, index=True)
    path, file = make.only_shard(root), root / INDEX_NAME
    path.write_bytes(b"".join(make.frame(make.example(make.episode(4, seed))) for seed in range(3)))
    assert [e.length for e in open(root, fps=30, index=True).episodes] == [4, 4, 4]
    os.utime(path, ns=(1, 1))
    written = file.read_bytes()
    open(root, fps=30, index=True)
    assert file.read_bytes() != written
    for damage in (b"", b"PK", file.read_bytes()[:100], b"\x93NUMPY"):
        file.write_bytes(damage)
        assert len(read_all(open(root, fps=30, index=True)).episodes) == 3
        assert file.stat().st_size > 500


def test_no_index_of_a_damaged_file(tmp_path):
    root = three(tmp_path)
    break_lengths(make.only_shard(root))
    open(root, fps=30, index=True)
    assert not (root / INDEX_NAME).exists()


def test_an_index_that_cannot_be_written_is_a_problem_no_error(tmp_path):
    root = three(tmp_path)
    (tmp_path / "file").write_text("")
    data = read_all(open(root, fps=30, index=tmp_path / "file"))
    assert "the index cannot be written" in only_problem(data)


@pytest.mark.parametrize("change", [{"offsets": -5}, {"offsets": 10**15}, {"counts": -1}, {"counts": 0}])
def test_an_index_that_points_out_of_the_file_is_made_anew(tmp_path, change):
    root = three(tmp_path)
    open(root, fps=30, index=True)
    with np.load(root / INDEX_NAME) as arrays:
        kept = dict(arrays)
    for name, value in change.items():
        kept[name][0] = value
    np.savez(root / INDEX_NAME, **kept)
    assert len(read_all(open(root, fps=30, index=True)).episodes) == 3
    with np.load(root / INDEX_NAME) as arrays:
        assert arrays["offsets"][0] == 0
        assert arrays["counts"].tolist() == [3]


def test_every_bit_of_an_index_that_is_no_checked_value(tmp_path):
    root = three(tmp_path)
    open(root, fps=30, index=True)
    file = root / INDEX_NAME
    whole = file.read_bytes()
    for at in range(0, len(whole), 2):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at // 2 % 8)]) + whole[at + 1 :])
        assert [e.length for e in open(root, fps=30, index=True).episodes] == [3, 3, 3]
    with file.open("wb") as other:
        np.save(other, np.zeros(3))
    assert len(open(root, fps=30, index=True).episodes) == 3


def test_an_index_is_of_the_files_before_the_walk(tmp_path, monkeypatch):
    root = three(tmp_path)
    path = make.only_shard(root)

    class ChangedMeanwhile(rlds_files.TFRecordFile):
        def scan(self):
            found = super().scan()
            path.write_bytes(b"".join(make.frame(make.example(make.episode(7, seed))) for seed in range(3)))
            return found

    monkeypatch.setattr(rlds_files, "TFRecordFile", ChangedMeanwhile)
    open(root, fps=30, index=True)
    monkeypatch.undo()
    assert [e.length for e in open(root, fps=30, index=True).episodes] == [7, 7, 7]


def test_threads_do_not_write_into_each_other_s_index(tmp_path):
    root = three(tmp_path)

    def open_often(_):
        found = []
        for _ in range(30):
            found += open(root, fps=30, index=True).problems
            (root / INDEX_NAME).unlink(missing_ok=True)
        return found

    with ThreadPoolExecutor(4) as pool:
        assert [problem for found in pool.map(open_often, range(4)) for problem in found] == []
    assert not list(root.glob(".*"))
