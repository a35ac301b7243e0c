"""The doctor of `robocache inspect`: what only a look at all samples shows, by episode and row."""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import suppress

import make_lerobot
import make_rlds
import numpy as np
import pytest
from real_data import real
from robocache.cli import main
from robocache.cli.inspect import examine
from robocache.dataset import open
from robocache.formats.image_header import image_size


def png(height: int, width: int, colour: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg(height: int, width: int, channels: int = 3, *, marker: int = 0xC0) -> bytes:
    def segment(kind: int, data: bytes) -> bytes:
        return bytes([0xFF, kind]) + struct.pack(">H", 2 + len(data)) + data

    frame = struct.pack(">BHHB", 8, height, width, channels) + bytes(3 * channels)
    return b"\xff\xd8" + segment(0xE0, b"JFIF\0") + segment(0xC4, bytes(20)) + segment(marker, frame) + b"\xff\xd9"


def findings(data):
    return [str(problem) for problem in examine(data).problems]


# --- columns ---------------------------------------------------------------------------------------------------------


def lerobot(tmp_path, states):
    """A dataset of these states; the actions change in each row."""
    source = make_lerobot.episodes(*map(len, states))
    for columns, state in zip(source, states, strict=True):
        columns["observation.state"] = make_lerobot.vectors(np.asarray(state, np.float32))
    return make_lerobot.write_v21(tmp_path / "d", source)


def test_columns_that_never_change_in_any_episode(tmp_path):
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((5, 9)) for _ in range(3)]
    for state in states:
        state[:, [1, 5, 6, 7]] = 4
        state[:, 3] = state[0, 3]  # another value in each episode
    assert findings(open(lerobot(tmp_path, states))) == ["data: observation.state never changes in columns 1, 5-7 of 9"]


def test_columns_are_named_where_they_have_names(tmp_path):
    states = [np.arange(15.0).reshape(5, 3)]
    states[0][:, 1] = 0
    root = lerobot(tmp_path, states)
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.state"]["names"] = ["left", "right", "grip"]
    path.write_text(json.dumps(info))
    assert findings(open(root)) == ["data: observation.state never changes in columns 1 of 3 (right)"]


def test_a_stream_that_hangs_in_one_episode(tmp_path):
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((5, 2)) for _ in range(4)]
    states[1][:] = states[3][:] = 7
    assert findings(open(lerobot(tmp_path, states))) == [
        "data: observation.state does not change in all of an episode: 2 episodes, 1, 3 (first: 5 samples)"
    ]


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_stream_of_one_value(tmp_path, value):
    states = [np.full((3, 2), value), np.full((4, 2), value)]
    assert findings(open(lerobot(tmp_path, states)))[-1] == "data: observation.state never changes"


def test_one_sample_is_no_evidence(tmp_path):
    assert findings(open(lerobot(tmp_path, [np.zeros((1, 2))]))) == []


# --- images ----------------------------------------------------------------------------------------------------------


def test_sizes_of_images():
    assert image_size(png(3, 500)) == (3, 500, 3)
    assert image_size(png(3, 5, colour=6)) == (3, 5, 4)
    assert image_size(jpeg(3, 500)) == (3, 500, 3)
    assert image_size(jpeg(480, 640, 1, marker=0xC2) + bytes(5) + b"trailer") == (480, 640, 1)
    assert image_size(png(1, 1) + b"trailer") == (1, 1, 3)


@pytest.mark.parametrize("whole", [png(3, 5), jpeg(3, 5)], ids=["png", "jpeg"])
def test_images_that_are_cut_off_anywhere(whole):
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"is a (PNG|JPEG) that is cut off|is neither PNG nor JPEG"):
            image_size(whole[:length])


def test_any_bytes_are_an_image_or_none():
    rng = np.random.default_rng(0)
    for whole in (png(3, 5), jpeg(3, 5)):
        for _ in range(2000):
            bytes_ = bytearray(whole)
            for at in rng.integers(0, len(whole), 3):
                bytes_[at] = rng.integers(256)
            with suppress(ValueError):
                assert min(image_size(bytes(bytes_))) >= 0


def test_images_that_are_not_what_features_json_says(tmp_path):
    sound, odd = make_rlds.episode(3, 1), make_rlds.episode(3, 2)
    sound["steps/observation/camera"] = [png(8, 8), jpeg(8, 8), png(8, 8)]
    odd["steps/observation/camera"] = [png(8, 8), jpeg(9, 8), b"GIF89a"]
    data = open(make_rlds.write(tmp_path / "d", {"train": [[sound, odd]]}), fps=5)
    assert findings(data) == [
        "data: observation/camera has images that are not 8x8x3: episode 1 (row 1 is 9x8x3)",
        "data: observation/camera is neither PNG nor JPEG, it begins with 47 49 46 38: episode 1 (row 2)",
    ]


def test_rows_of_several_images_a_step_and_any_size(tmp_path):
    steps = make_rlds.STEPS | {
        "pair": make_rlds.sequence(make_rlds.image(-1, -1, 3), 2),
        "observation": make_rlds.tree({"state": make_rlds.tensor("float32", 3)}),
    }
    episode = make_rlds.episode(3) | {
        "steps/pair": [png(1, 2), png(3, 4), png(1, 2), png(1, 1, 0), png(5, 5), png(2, 2)]
    }
    data = open(make_rlds.write(tmp_path / "d", {"train": [[episode]]}, steps=steps), fps=5)
    assert findings(data) == ["data: pair has images that are not ?x?x3: episode 0 (row 1 is 1x1x1)"]


def test_bridge(capsys):
    assert main(["inspect", str(real("rlds_bridge_octo/bridge_dataset/1.0.0")), "--fps", "5", "--json"]) == 0
    assert [f"{p['where']}: {p['what']}" for p in json.loads(capsys.readouterr().out)["problems"]] == [
        "dataset_info.json: split val: 1 of 1 files are missing, with 25 episodes",
        "data: steps/is_last is not true in the last row alone: 25 episodes, 0-24 (first: row 9, 1 in all)",
        "data: discount never changes",
        "data: reward never changes",
    ]
