"""The CALVIN reader on folders that the tests write: no real frames may be passed on."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_data import only_problem, problems, read_all
from robocache.cli import main
from robocache.dataset import open
from robocache.errors import DataError


def frame(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {
        "rgb_static": rng.integers(0, 256, (6, 6, 3)).astype(np.uint8),
        "depth_static": rng.standard_normal((6, 6)).astype(np.float32),
        "actions": rng.standard_normal(7),
        "robot_obs": rng.standard_normal(15),
    }


def write(folder: Path, *ranges: tuple[int, int], language: Any = None) -> Path:
    folder.mkdir(parents=True)
    np.save(folder / "ep_start_end_ids.npy", np.array(ranges))
    for first, last in ranges:
        for number in range(first, last + 1):
            np.savez(folder / f"episode_{number:07d}.npz", **frame(number))
    if language is not None:
        (folder / "lang_annotations").mkdir()
        np.save(folder / "lang_annotations/auto_lang_ann.npy", language, allow_pickle=True)
    return folder


LANGUAGE = {
    "language": {"ann": ["open it", "close it"], "task": ["open", "close"], "emb": np.zeros((2, 1, 4), np.float32)},
    "info": {"indx": [(np.int64(11), 12), (3, 5)]},
}


def test_values_are_what_was_written(tmp_path):
    write(tmp_path / "d/training", (3, 6), (10, 14), language=LANGUAGE)
    write(tmp_path / "d/validation", (0, 1))
    data = read_all(open(tmp_path / "d"))
    assert problems(data) == []
    assert (data.format, data.fps) == ("calvin", 30.0)
    assert data.splits == {"training": [0, 1], "validation": [2]}
    kinds = {name: (info.dtype, info.shape, info.kind) for name, info in data.streams.items()}
    assert kinds == {
        "rgb_static": ("uint8", (6, 6, 3), "video"),
        "depth_static": ("float32", (6, 6), "video"),
        "actions": ("float64", (7,), "float"),
        "robot_obs": ("float64", (15,), "float"),
    }
    for episode, numbers in zip(data.episodes, (range(3, 7), range(10, 15), range(2)), strict=True):
        assert episode.length == len(numbers)
        for name in data.streams:
            np.testing.assert_array_equal(episode[name].values, [frame(number)[name] for number in numbers])
    assert data.episodes[2]["actions"].stamps_ns.tolist() == [0, 33_333_333]
    assert [e.tasks for e in data.episodes] == [["close it"], ["open it"], []]
    assert data.episodes[1].metadata == {
        "first_frame": 10,
        "last_frame": 14,
        "instructions": [{"text": "open it", "task": "open", "start": 1, "stop": 3}],
    }
    assert len(open(tmp_path / "d/validation").episodes) == 1


def test_on_the_command_line(tmp_path, capsys):
    write(tmp_path / "d", (0, 3))
    assert main(["inspect", str(tmp_path / "d")]) == 0
    assert "calvin, 1 episode, 0.100 s, 30 fps" in capsys.readouterr().out
    assert main(["align", str(tmp_path / "d"), "--hz", "60", "-o", str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as arrays:
        assert len(arrays["t_ns"]) == 7


def test_damaged_frames_are_named(tmp_path):
    write(tmp_path / "d", (0, 2), (3, 4), (5, 6), (7, 8), (9, 9))
    files = [tmp_path / f"d/episode_{number:07d}.npz" for number in range(10)]
    files[1].unlink()
    whole = files[4].read_bytes()
    files[4].write_bytes(whole[: len(whole) // 2])
    np.savez(files[6], **(frame(6) | {"actions": np.zeros(6)}))
    np.savez(files[8], **{name: values for name, values in frame(8).items() if name != "robot_obs"})
    messages = (
        r"0000001.npz: .*No such file",
        r"0000004.npz: ",
        r"0000006.npz: actions is float64 \[6\], expected",
        "0000008",
    )
    for index, message in enumerate(messages):
        with pytest.raises(DataError, match=rf"episode {index}: .*{message}"):
            open(tmp_path / "d").episodes[index].load()
    data = open(tmp_path / "d", on_bad_episode="skip")
    assert [e.index for e in data.episodes] == [4]
    assert data.episodes.skipped == [0, 1, 2, 3]


def test_flipped_bits_of_a_frame_are_found_by_the_zip_s_checksum(tmp_path):
    write(tmp_path / "d", (0, 1))
    path = tmp_path / "d/episode_0000001.npz"
    whole = bytearray(path.read_bytes())
    at = whole.index(frame(1)["actions"].tobytes())
    whole[at + 3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"episode 0: .*episode_0000001.npz: Bad CRC-32"):
        open(tmp_path / "d").episodes[0].load()


def test_nan_is_kept_and_reported(tmp_path):
    write(tmp_path / "d", (0, 2))
    np.savez(tmp_path / "d/episode_0000001.npz", **(frame(1) | {"actions": np.full(7, np.nan)}))
    assert only_problem(read_all(open(tmp_path / "d"))) == "data: actions has NaN: episode 0 (row 1, 1 in all)"


@pytest.mark.parametrize("ranges", [np.zeros(3, int), np.zeros((1, 2)), np.array([[5, 3]]), np.array([[-1, 3]])])
def test_ranges_that_make_no_sense(tmp_path, ranges):
    write(tmp_path / "d", (0, 1))
    np.save(tmp_path / "d/ep_start_end_ids.npy", ranges)
    with pytest.raises(DataError, match=r"ep_start_end_ids.npy (is|has an episode)"):
        open(tmp_path / "d")


def test_no_frames(tmp_path):
    write(tmp_path / "d", (0, 0))
    path = tmp_path / "d/episode_0000000.npz"
    path.write_bytes(b"nothing")
    data = open(tmp_path / "d", on_bad_episode="skip")
    assert list(data.episodes) == []
    assert "no episode has a first frame that can be read" in problems(data)[0]
    path.unlink()
    with pytest.raises(DataError, match=r"has ep_start_end_ids.npy but no frame"):
        open(tmp_path / "d")


def test_splits_have_the_names_of_the_links_that_lead_to_them(tmp_path):
    write(tmp_path / "a/data", (0, 1))
    write(tmp_path / "b/data", (0, 1))
    for split, target in (("training", "a"), ("validation", "b")):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / split).symlink_to(tmp_path / target / "data")
    assert open(tmp_path / "d").splits == {"training": [0], "validation": [1]}


def test_files_of_another_container(tmp_path):
    """np.load opens each kind under the name of the other, and hands out something else."""
    write(tmp_path / "d", (0, 1), (2, 3))
    for number in (0, 3):
        with (tmp_path / f"d/episode_{number:07d}.npz").open("wb") as file:
            np.save(file, np.zeros(3))
    assert list(open(tmp_path / "d", on_bad_episode="skip").episodes) == []
    with (tmp_path / "d/ep_start_end_ids.npy").open("wb") as file:
        np.savez(file, x=np.zeros((1, 2), int))
    with pytest.raises(DataError, match=r"ep_start_end_ids.npy cannot be read"):
        open(tmp_path / "d")


def test_every_bit_of_the_zip_that_no_checksum_covers(tmp_path):
    """Flags, methods, sizes and names: values or DataError, nothing else."""
    write(tmp_path / "d", (0, 1))
    path = tmp_path / "d/episode_0000001.npz"
    whole = path.read_bytes()
    covered = {name: whole.index(values.tobytes()) for name, values in frame(1).items()}
    inside = {at for name, start in covered.items() for at in range(start, start + frame(1)[name].nbytes)}
    for at in sorted(set(range(len(whole))) - inside):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        try:
            read = open(tmp_path / "d").episodes[0].load()
        except DataError:
            continue
        np.testing.assert_array_equal(read["actions"].values[1], frame(1)["actions"])


def test_ranges_of_more_frames_than_there_are(tmp_path):
    write(tmp_path / "d", (0, 3))
    np.save(tmp_path / "d/ep_start_end_ids.npy", np.array([[0, 10**15], [0, 3]]))
    with pytest.raises(DataError, match=r"episode 0: .*episode_0000004.npz: No such file"):
        open(tmp_path / "d").episodes[0].load()
    assert [e.index for e in open(tmp_path / "d", on_bad_episode="skip").episodes] == [1]


@pytest.mark.parametrize("stray", ["._episode_0000001.npz", "a_1.npz", "stats_2.npz"])
def test_other_files_do_not_name_the_frames(tmp_path, monkeypatch, stray):
    write(tmp_path / "d", (0, 3))
    (tmp_path / "d" / stray).write_bytes(b"x")
    scan = os.scandir

    class StrayFirst(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", lambda path: StrayFirst(sorted(scan(path), key=lambda f: f.name != stray)))
    data = read_all(open(tmp_path / "d"))
    assert problems(data) == []
    assert list(data.streams) == list(frame(0))


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize("language", [Evil(), {"language": {}}, 5], ids=["a call", "keys that lack", "a number"])
def test_instructions_that_cannot_be_read_are_a_problem(tmp_path, monkeypatch, language):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "d", (0, 1), language=np.array(language, object))
    assert "auto_lang_ann.npy: cannot be read" in only_problem(open(tmp_path / "d"))
    assert not (tmp_path / "touched").exists()


def write_pickle(folder: Path, body: bytes) -> Path:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    (folder / "lang_annotations").mkdir(exist_ok=True)
    (folder / "lang_annotations/auto_lang_ann.npy").write_bytes(file.getvalue() + body)
    return folder


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_instructions_as_numpy_1_and_2_pickle_them(tmp_path, module):
    told = {
        "language": {
            "ann": np.array(["open it", "close it"], object),
            "task": np.array([np.str_("open"), "close"], object),
            "emb": np.zeros((2, 1, 4), ">f4", order="F"),
        },
        "info": {"indx": np.array([(0, 1), (np.int16(2), 3)])},
    }
    body = pickle.dumps(np.array(told, object), protocol=3)
    names = {b"numpy.core.multiarray", b"numpy._core.multiarray"}
    for name in names:
        body = body.replace(b"c" + name + b"\n", b"c" + module + b"\n")
    data = open(write_pickle(write(tmp_path / "d", (0, 3)), body))
    assert problems(data) == []
    assert data.episodes[0].metadata["instructions"] == [
        {"text": "open it", "task": "open", "start": 0, "stop": 2},
        {"text": "close it", "task": "close", "start": 2, "stop": 4},
    ]


class Reduced:
    """Pickled as the call that it is given."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self):
        return self.call


RECONSTRUCT = np.zeros(1).__reduce__()[0]
DTYPES = {
    "an object behind a plain dtype": Reduced(
        np.dtype, ("V8", False, True), (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
    ),
    "flags": Reduced(np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)),
    "fields": Reduced(np.dtype, ([("a", "O")], False, True)),
    "a byte order": Reduced(np.dtype, ("f8", False, True), (3, b"<", None, None, None, 8, 1, 0)),
}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_addresses_in_a_pickle_are_not_followed(tmp_path, dtype):
    """In a process of its own: what this guards against ends the process."""
    array = Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), dtype, False, b"\x41" * 8))
    write_pickle(write(tmp_path / "d", (0, 1)), pickle.dumps(array, protocol=3))
    script = "import sys, robocache; print(robocache.open(sys.argv[1]).problems)"
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "d"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "auto_lang_ann.npy" in done.stdout


def test_a_pickle_cannot_change_what_later_ones_are_read_by(tmp_path):
    change = Reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"))
    body = pickle.dumps(change, protocol=3)
    name = body[2 : body.index(b"\n", body.index(b"\n") + 1) + 1]
    spoil = b"\x80\x03" + name + pickle.dumps((None, {"__init__": 5}), protocol=3)[2:-1] + b"b."
    assert len(problems(open(write_pickle(write(tmp_path / "a", (0, 1)), spoil)))) == 1
    assert problems(open(write(tmp_path / "b", (3, 6), language=LANGUAGE))) == []


def laughs(depth: int) -> Any:
    """A list whose text is 2 ** depth long."""
    value: Any = []
    for _ in range(depth):
        value = [value, value]
    return value


def numpy_name(name: bytes) -> bytes:
    return b"cnumpy.core.multiarray\n" + name + b"\n"


HOSTILE = {
    "a memo beyond all memory": b"\x80\x02]r\xff\xff\xff\x7f.",
    "a key that is nested without end": b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",
    "arrays in arrays": b"\x80\x02cnumpy\ndtype\nX\x01\0\0\0O\x85Rq\x01"
    + (numpy_name(b"_reconstruct") + b")R(K\x01K\x01\x85h\x01\x89]") * 100_000
    + b"N"
    + b"atb" * 100_000
    + b".",
    "a set": pickle.dumps({1}, protocol=4),
    "a mark that is not there": b"\x80\x02]e.",
    "an item of what is no dict": b"\x80\x02]K\x01K\x01s.",
    "a dtype whose name has no end": b"\x80\x02cnumpy\ndtype\n" + pickle.dumps((laughs(60),), protocol=2)[2:-1] + b"R.",
    "a text that has no end": pickle.dumps(
        np.array({"language": {"ann": [laughs(60)], "task": ["t"]}, "info": {"indx": [(0, 1)]}}, object), protocol=3
    ),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles_are_a_problem(tmp_path, body):
    """In a process of its own, of little memory and time."""
    write_pickle(write(tmp_path / "d", (0, 1)), body)
    script = """
import resource, sys, robocache
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
data = robocache.open(sys.argv[1])
print(len(data.episodes), *data.problems)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "d"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 d/lang_annotations/auto_lang_ann.npy: cannot be read: ")
    assert "MemoryError" not in done.stdout


def test_a_time_that_does_not_fit(tmp_path):
    data = open(write(tmp_path / "d", (0, 20)), fps=1e-9)
    with pytest.raises(DataError, match=r"episode 0: .*tick 20 of 1e-09 Hz does not fit"):
        data.episodes[0].load()


def test_frames_that_are_in_no_episode(tmp_path):
    root = write(tmp_path / "d", (0, 9), (20, 22))
    np.save(root / "ep_start_end_ids.npy", np.array([(20, 21), (2, 7), (4, 5)]))
    (root / "notes_7.npz").write_bytes(b"")
    data = open(root)
    assert problems(data) == []
    data.look_for_strays()
    assert only_problem(data) == "d: frames that are in no episode: 5, first episode_0000000.npz"
