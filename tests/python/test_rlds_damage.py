"""The RLDS reader on damage: always the values of the file, or an error that names file and byte."""

from __future__ import annotations

import os
import re
import tracemalloc
import zlib
from pathlib import Path

import make_rlds as make
import numpy as np
import pytest
from make_rlds import three
from real_data import only_problem, problems, read_all
from robocache.dataset import open
from robocache.errors import DataError

# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_off_loses_the_records_after(tmp_path):
    root = three(tmp_path)
    path = make.only_shard(root)
    whole = path.read_bytes()
    second = len(make.frame(make.example(make.episode(3, 0))))
    path.write_bytes(whole[: second + 100])
    data = open(root, fps=30)
    assert len(data.episodes) == 3
    data.episodes[0].load()
    for lost in (1, 2):
        with pytest.raises(
            DataError, match=rf"episode {lost}: .*{path.name} at byte {second}: record is cut off after 100"
        ):
            data.episodes[lost]["action"]
    data = open(root, fps=30, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0]
    assert data.episodes.skipped == [1, 2]
    assert "skipped, damaged: 2 episodes, 1-2" in problems(data)[-1]


def test_a_flipped_bit_damages_its_episode_alone(tmp_path):
    root = three(tmp_path)
    path = make.only_shard(root)
    whole = path.read_bytes()
    size = len(make.frame(make.example(make.episode(3, 0))))
    flipped = bytearray(whole)
    flipped[size + size // 2] ^= 4
    path.write_bytes(flipped)
    with pytest.raises(DataError, match=rf"episode 1: .*{path.name} at byte (\d+): ") as caught:
        open(root, fps=30).episodes[1]["action"]
    # The frame's where the checksum tells, that of the protobuf field where the record does not even parse.
    (at,) = re.findall(r"at byte (\d+)", str(caught.value))
    assert size <= int(at) < 2 * size
    data = open(root, fps=30, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0, 2]


def test_every_byte_of_a_shard_matters(tmp_path):
    root = make.write(tmp_path / "d", {"train": [[make.episode(2)]]})
    path = make.only_shard(root)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        with pytest.raises(DataError, match=rf"episode 0: .*{path.name} at byte \d+: "):
            open(root, fps=30).episodes[0].load()


def damaged(tmp_path, **columns):
    """A sound record whose values are not what features.json says."""
    root = make.write(tmp_path / "d", {"train": [[make.episode(2) | columns]]})
    with pytest.raises(DataError, match=rf"episode 0: .*{make.only_shard(root).name} at byte 0: ") as caught:
        open(root, fps=30).episodes[0].load()
    return str(caught.value)


def test_records_that_are_not_what_features_json_says(tmp_path):
    texts = [
        damaged(tmp_path / "a", **{"steps/action": np.ones(3, np.float32)}),
        damaged(tmp_path / "b", **{"steps/action": np.ones(4, np.int64)}),
        damaged(tmp_path / "c", **{"steps/is_first": np.array([2, 0])}),
        damaged(tmp_path / "d", **{"steps/language_instruction": np.array([1, 2])}),
        damaged(tmp_path / "e", **{"steps/observation/state": [b"x"]}),
        damaged(tmp_path / "f", **{"steps/observation/camera": [b"x"]}),
    ]
    assert "steps/action has 3 values, expected 4 in 2 steps" in texts[0]
    assert "steps/action is a list of ints, expected floats" in texts[1]
    assert "steps/is_first is 2 in entry 0, expected bool" in texts[2]
    assert "steps/language_instruction is a list of ints, expected bytes" in texts[3]
    assert "steps/observation/state is a list of bytes, expected floats" in texts[4]
    assert "steps/observation/camera has 1 images, expected 2" in texts[5]


@pytest.mark.parametrize(
    ("encoding", "entries", "text"),
    [
        ("zlib", [zlib.compress(bytes(300_000_000)), b""], "has more bytes in entry 0, expected 8"),
        ("zlib", [zlib.compress(bytes(8)), zlib.compress(bytes(7))], "has 7 bytes in entry 1, expected 8"),
        ("zlib", [zlib.compress(bytes(8)), zlib.compress(bytes(8))[:-2]], "cannot be unpacked in entry 1: it is cut"),
        ("zlib", [b"no", b"zip"], "cannot be unpacked in entry 0"),
        ("bytes", [bytes(4), bytes(12)], "has 4 bytes in entry 0, expected 8"),
    ],
    ids=["a bomb", "short", "cut off", "none", "uneven"],
)
def test_encoded_tensors_have_the_size_that_they_should(tmp_path, encoding, entries, text):
    steps = {"is_first": make.tensor("bool"), "x": make.tensor("float32", 2, encoding=encoding)}
    columns = {"steps/is_first": np.array([1, 0]), "steps/x": entries}
    root = make.write(tmp_path / "d", {"train": [[columns]]}, steps=steps)
    tracemalloc.start()
    with pytest.raises(DataError, match=rf"episode 0: .* at byte 0: steps/x {text}"):
        open(root, fps=30).episodes[0].load()
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_bools_in_bytes_are_0_or_1(tmp_path):
    sound, odd = make.episode(2), make.episode(2)
    sound["steps/held"], odd["steps/held"] = [b"\0\1", b"\1\1"], [b"\0\1", b"\1\2"]
    steps = make.STEPS | {"held": make.tensor("bool", 2, encoding="bytes")}
    data = open(make.write(tmp_path / "d", {"train": [[sound, odd]]}, steps=steps), fps=30)
    assert data.episodes[0]["held"].values.tolist() == [[False, True], [True, True]]
    with pytest.raises(DataError, match=r"episode 1: .* steps/held has the byte 2, expected bool"):
        _ = data.episodes[1]["held"].values


def test_keys_that_are_no_text(tmp_path):
    """The record has a key of bytes that are no UTF-8; features.json one that looks as they do in a message."""
    root = make.write(tmp_path / "d", {"train": [[]]}, steps=make.STEPS | {"x\ufffd": make.tensor("int64")})
    entry = make.chunk(1, make.chunk(1, b"steps/x\xff") + make.chunk(2, make.feature(np.zeros(2, int))))
    make.only_shard(root).write_bytes(make.frame(make.example(make.episode(2)) + make.chunk(1, entry)))
    data = open(root, fps=30)
    with pytest.raises(DataError, match=r"steps/x\ufffd has 0 values, expected 2"):
        data.episodes[0].load()


@pytest.mark.parametrize(("text", "other"), [('"3"', "1e999"), ('"action"', '"\\ud800"')])
def test_features_that_no_record_can_have(tmp_path, text, other):
    path = three(tmp_path) / "features.json"
    path.write_text(path.read_text().replace(text, other, 1))
    with pytest.raises(DataError, match=r"features\.json is not as TFDS writes it"):
        open(path.parent)


def test_metadata_is_checked_like_values(tmp_path):
    root = make.write(tmp_path / "d", {"train": [[make.episode(2)]]})
    path = make.only_shard(root)
    path.write_bytes(path.read_bytes().replace(b"log_0.h5", b"log_1.h5"))
    with pytest.raises(DataError, match=r"episode 0: .* at byte 0: checksum of the data"):
        _ = open(root, fps=30).episodes[0].metadata
    root = make.write(tmp_path / "e", {"train": [[make.episode(2) | {"episode_metadata/id": np.array([], np.int64)}]]})
    with pytest.raises(DataError, match=r"episode 0: .*: episode_metadata/id is damaged"):
        _ = open(root, fps=30).episodes[0].metadata


def test_a_sound_frame_around_no_example(tmp_path):
    root = three(tmp_path)
    make.only_shard(root).write_bytes(make.frame(b"\x0a\xff\x01abc"))
    with pytest.raises(DataError, match=r"episode 0: .* at byte 15: message ends after 3 bytes, expected 255 more"):
        open(root, fps=30).episodes[0].load()


def test_counts_that_do_not_add_up(tmp_path):
    root = three(tmp_path, splits=[{"name": "train", "shardLengths": ["2"]}, {"name": "odd"}])
    data = read_all(open(root, fps=30))
    assert len(data.episodes) == 3
    assert problems(data) == [
        "dataset_info.json: has a split that makes no sense: KeyError 'shardLengths'",
        f"{make.only_shard(root).name}: has 3 records, but dataset_info.json says 2",
    ]


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("index", [False, True])
def test_a_file_cut_off_between_records_loses_them_by_name(tmp_path, left, index):
    source = [make.episode(2, 1), make.episode(3, 2), make.episode(4, 3)]
    root = make.write(tmp_path / "d", {"train": [source[:2], source[2:]]})
    first = root / "cups-train.tfrecord-00000-of-00002"
    first.write_bytes(b"".join(make.frame(make.example(columns)) for columns in source[:left]))
    for _ in range(2):
        data = open(root, fps=30, index=index)
        text = f"{first.name}: has {left} records, but dataset_info.json says 2"
        assert only_problem(data) == text
        with pytest.raises(DataError, match=rf"episode {left}: .*{text.replace(':', '')}"):
            data.episodes[left].load()
    data = open(root, fps=30, on_bad_episode="skip")
    assert [(e.index, e.length) for e in data.episodes] == [(0, 2), (2, 4)][1 - left :]
    assert data.episodes.skipped == list(range(left, 2))
    assert data.splits == {"train": [0, 1, 2]}


@pytest.mark.parametrize("splits", [None, 5, True, {}, "train"])
def test_splits_that_are_no_list(tmp_path, splits):
    data = read_all(open(three(tmp_path, splits=splits), fps=30))
    assert only_problem(data) == f"dataset_info.json: splits is a {type(splits).__name__}, expected a list"


@pytest.mark.parametrize("lengths", ["x", ["x"], [-1], [None], 3, [1.5], [True]])
def test_lengths_that_make_no_sense(tmp_path, lengths):
    data = read_all(open(three(tmp_path, splits=[{"name": "train", "shardLengths": lengths}]), fps=30))
    assert "dataset_info.json: has a split that makes no sense" in only_problem(data)
    assert len(data.episodes) == 3


def test_more_records_than_a_file_can_hold_are_not_believed(tmp_path):
    root = three(tmp_path, splits=[{"name": "train", "shardLengths": ["900000000000000"]}])
    path = make.only_shard(root)
    path.write_bytes(path.read_bytes()[:-3])
    data = open(root, fps=30, on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [0, 1]
    assert data.episodes.skipped == [2]
    assert "bytes, too few for the 900000000000000 records that dataset_info.json says" in problems(data)[0]


def test_json_nested_without_end(tmp_path):
    for name in ("features.json", "dataset_info.json"):
        root = make.write(tmp_path / name, {"train": [[make.episode(2)]]})
        (root / name).write_text("[" * 200_000)
        with pytest.raises(DataError, match=rf"open: .*{name} cannot be read"):
            open(root, fps=30)


# --- files that are not of the dataset ------------------------------------------------------------------------------


def test_files_of_another_dataset_are_left_out(tmp_path):
    root = three(tmp_path)
    other = make.write(tmp_path / "e", {"train": [[make.episode(5)]]})
    make.only_shard(other).rename(root / "mugs-train.tfrecord-00000-of-00001")
    data = read_all(open(root, fps=30))
    assert [e.length for e in data.episodes] == [3, 3, 3]
    assert only_problem(data) == "mugs-*: are files of another dataset than cups and are left out"
    (root / "dataset_info.json").unlink()
    with pytest.raises(DataError, match=r"has files of cups and mugs, expected those of one dataset"):
        open(root, fps=30)


def test_hidden_files_are_none_of_the_dataset(tmp_path):
    root = three(tmp_path)
    (root / f"._{make.only_shard(root).name}").write_bytes(b"\0\5\x16\7")
    assert problems(read_all(open(root, fps=30))) == []
    (root / "dataset_info.json").unlink()
    assert len(read_all(open(root, fps=30)).episodes) == 3


def test_a_dataset_whose_files_have_another_name(tmp_path):
    data = read_all(open(three(tmp_path, name="mugs"), fps=30))
    assert len(data.episodes) == 3
    assert only_problem(data) == "cups-*: are the only files, though the name of the dataset is mugs"


def test_files_of_an_earlier_preparation_are_left_out(tmp_path):
    stale = make.write(tmp_path / "e", {"train": [[make.episode(2)], [make.episode(2)]]})
    root = make.write(tmp_path / "d", {"train": [[make.episode(n)] for n in (3, 4, 5)]})
    for path in stale.glob("*.tfrecord-*"):
        path.rename(root / path.name)
    data = read_all(open(root, fps=30))
    assert [e.length for e in data.episodes] == [3, 4, 5]
    assert only_problem(data) == "cups-train.tfrecord-00000-of-00002: and 1 more are not of 3 and left out"
    (root / "dataset_info.json").unlink()
    with pytest.raises(DataError, match=r"has files of split train that are of 2 and 3, expected of one number"):
        open(root, fps=30)


def test_missing_files_are_told_by_the_names_of_the_others(tmp_path):
    root = make.write(tmp_path / "d", {"train": [[make.episode(n)] for n in (3, 4)]})
    (root / "cups-train.tfrecord-00000-of-00002").unlink()
    (root / "dataset_info.json").unlink()
    data = read_all(open(root, fps=30))
    assert [e.length for e in data.episodes] == [4]
    assert problems(data)[1:] == ["dataset_info.json: split train: 1 of 2 files are missing"]


def test_numbers_beyond_the_count(tmp_path):
    root = make.write(tmp_path / "d", {"train": [[make.episode(n)] for n in (3, 4)]}, splits=[])
    path = root / "cups-train.tfrecord-00001-of-00002"
    path.rename(root / "cups-train.tfrecord-00002-of-00002")
    assert problems(open(root, fps=30)) == [
        "cups-train.tfrecord-00002-of-00002: has a number that is not one of 2 and is left out",
        "dataset_info.json: split train: 1 of 2 files are missing",
    ]


def test_a_count_beyond_all_files(tmp_path):
    root = three(tmp_path)
    (root / "dataset_info.json").unlink()
    make.only_shard(root).rename(root / f"cups-train.tfrecord-00000-of-{10**15}")
    assert problems(open(root, fps=30))[1] == (
        f"dataset_info.json: split train: {10**15 - 1} of {10**15} files are missing"
    )


def test_other_lengths_than_files(tmp_path):
    root = make.write(
        tmp_path / "d", {"train": [[make.episode(n)] for n in (3, 4)]}, splits=[{"name": "train", "shardLengths": [1]}]
    )
    data = read_all(open(root, fps=30))
    assert [e.length for e in data.episodes] == [3, 4]
    assert only_problem(data) == "dataset_info.json: split train: says 1 files, but their names say 2"


def test_a_pipe_is_no_shard_to_wait_for(tmp_path):
    root = three(tmp_path)
    path = make.only_shard(root)
    path.unlink()
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # so that a reader that opens it does not hang the test
    with pytest.raises(DataError, match=r"cannot be read: it is no regular file"):
        open(root, fps=30)
    os.close(writer)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_json_is_no_pipe_to_wait_for(tmp_path, name):
    root = three(tmp_path)
    (root / name).unlink()
    os.mkfifo(root / name)
    writer = os.open(root / name, os.O_RDWR)
    with pytest.raises(DataError, match=rf"{name} cannot be read: it is no regular file"):
        open(root, fps=30)
    os.close(writer)


def test_git_lfs_pointers_and_nothing_else(tmp_path):
    root = three(tmp_path)
    make.only_shard(root).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"has no record that can be read; .* is a Git-LFS pointer.*git lfs pull"):
        open(root)


def test_a_path_that_is_no_text(tmp_path):
    plain = three(tmp_path)
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    plain.rename(root)
    data = read_all(open(root, fps=30, index=True))
    assert [e.length for e in data.episodes] == [3, 3, 3]
    path = make.only_shard(root)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"episode 2: .*/\\xff\\xfe/cups-train.* at byte \d+: record is cut off"):
        open(root, fps=30).episodes[2].load()
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"open: .*/\\xff\\xfe/cups-train.* cannot be read: it is no regular file"):
        open(root, fps=30)
