"""A naive writer of RLDS folders, from the formats' definitions alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Columns = dict[str, Any]


# --- TFRecord and tf.train.Example -----------------------------------------------------------------------------------


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def varint(value: int) -> bytes:
    value %= 1 << 64
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def chunk(field: int, payload: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def feature(values: Any) -> bytes:
    """A list of bytes or str becomes a BytesList, an array of floats a FloatList, any other an Int64List."""
    if isinstance(values, list):
        texts = [value.encode() if isinstance(value, str) else value for value in values]
        return chunk(1, b"".join(chunk(1, text) for text in texts))
    flat = np.asarray(values).reshape(-1)
    if flat.dtype.kind == "f":
        return chunk(2, chunk(1, flat.astype("<f4").tobytes()))
    return chunk(3, chunk(1, b"".join(varint(int(value)) for value in flat)))


def example(columns: Mapping[str, Any]) -> bytes:
    entries = (chunk(1, chunk(1, key.encode()) + chunk(2, feature(values))) for key, values in columns.items())
    return chunk(1, b"".join(entries))


# --- features.json ---------------------------------------------------------------------------------------------------


def tensor(dtype: str, *shape: int, encoding: str = "none") -> dict[str, Any]:
    dimensions = {"dimensions": [str(size) for size in shape]} if shape else {}
    return {"tensor": {"shape": dimensions, "dtype": dtype, "encoding": encoding}}


def image(*shape: int) -> dict[str, Any]:
    return {
        "image": {"shape": {"dimensions": [str(size) for size in shape]}, "dtype": "uint8", "encodingFormat": "png"}
    }


def tree(features: Mapping[str, Any]) -> dict[str, Any]:
    return {"featuresDict": {"features": dict(features)}}


def sequence(feature_: dict[str, Any], length: int = -1) -> dict[str, Any]:
    return {"sequence": {"feature": feature_, "length": str(length)}}


TEXT: dict[str, Any] = {"text": {}}
STEPS = {
    "observation": tree({"state": tensor("float32", 3), "camera": image(8, 8, 3)}),
    "action": tensor("float32", 2),
    "is_first": tensor("bool"),
    "language_instruction": TEXT,
}
METADATA = tree({"file_path": TEXT, "id": tensor("int32")})


# --- folders ---------------------------------------------------------------------------------------------------------


def episode(steps: int, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        "steps/observation/state": rng.standard_normal((steps, 3)).astype(np.float32),
        "steps/observation/camera": [b"\x89PNG %d" % step for step in range(steps)],
        "steps/action": rng.standard_normal((steps, 2)).astype(np.float32),
        "steps/is_first": np.arange(steps) == 0,
        "steps/language_instruction": ["stack the cups"] * steps,
        "episode_metadata/file_path": [f"log_{seed}.h5"],
        "episode_metadata/id": np.array([seed]),
    }


def write(
    root: Path,
    by_split: Mapping[str, Sequence[Sequence[Columns]]],
    *,
    steps: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Writes a folder: for each split its shards, each a list of episodes. `changes` are keys of dataset_info.json."""
    root.mkdir(parents=True)
    features = tree({"steps": sequence(tree(STEPS if steps is None else steps)), "episode_metadata": METADATA})
    (root / "features.json").write_text(json.dumps(features))
    told = [{"name": name, "shardLengths": [str(len(s)) for s in shards]} for name, shards in by_split.items()]
    info = {"name": "cups", "version": "1.0.0", "fileFormat": "tfrecord", "splits": told}
    (root / "dataset_info.json").write_text(json.dumps(info | changes))
    for name, shards in by_split.items():
        for number, episodes in enumerate(shards):
            path = root / f"cups-{name}.tfrecord-{number:05d}-of-{len(shards):05d}"
            path.write_bytes(b"".join(frame(example(columns)) for columns in episodes))
    return root


def three(tmp_path: Path, **changes: Any) -> Path:
    """One file of three episodes of three steps."""
    return write(tmp_path / "d", {"train": [[episode(3, seed) for seed in range(3)]]}, **changes)


def only_shard(root: Path) -> Path:
    (path,) = root.glob("*.tfrecord-*")
    return path
