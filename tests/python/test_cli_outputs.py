"""What `robocache align` writes: every dtype, shape and name in every format, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import make_lerobot as make
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from robocache.cli.outputs import METADATA_MEMBER
from robocache.cli.writers import Column, open_output
from test_cli import error_line
from test_cli_align import align, columns

INT64_MAX = np.iinfo(np.int64).max

DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
]


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
def test_every_dtype_and_shape_in_every_output(tmp_path, suffix, capsys):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    source = make.episodes(4, 3)
    for episode in source:
        rows = len(episode["index"])
        for dtype in DTYPES:
            episode[dtype] = make.vectors((np.arange(rows * 6).reshape(rows, 2, 3) % 2).astype(dtype))
            episode[f"{dtype}.scalar"] = pa.array((np.arange(rows) % 2).astype(dtype))
    del source[1]["int16"]
    features = make.info(source, "v2.1", 30)["features"]
    root = make.write_v21(tmp_path / "d", source, features=features)
    out = tmp_path / f"x{suffix}"
    align(root, "--hz", "30", "-o", out)
    got = load(out)
    assert got["episode_index"].tolist() == [0] * 4 + [1] * 3
    for dtype in DTYPES:
        name = {"bool": "bool"}.get(dtype, dtype)
        assert got[name].shape == (7, 2, 3)
        assert got[name].dtype == got[f"{name}.scalar"].dtype == np.dtype(dtype)
        assert got[f"{name}.scalar"].tolist() == [0, 1, 0, 1, 0, 1, 0]
        rows = slice(0, 4) if dtype == "int16" else slice(None)
        expected = np.concatenate([np.arange(24) % 2, np.arange(18) % 2]).reshape(7, 2, 3)
        np.testing.assert_array_equal(got[name][rows], expected[rows].astype(dtype))
    assert got["int16.valid"].tolist() == [True] * 4 + [False] * 3  # the second episode has no such stream
    assert got["int16.age_ns"][4:].tolist() == [INT64_MAX] * 3
    capsys.readouterr()


def load(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            assert json.loads(arrays[METADATA_MEMBER])["hz"] == 30
            return {name: arrays[name] for name in arrays.files if name != METADATA_MEMBER}
    if path.suffix == ".safetensors":
        import safetensors.numpy

        return dict(safetensors.numpy.load_file(path))
    out = {}
    for name, column in columns(path).items():
        array, shape = column.combine_chunks(), []
        while pa.types.is_fixed_size_list(array.type):
            shape.append(array.type.list_size)
            array = array.flatten()
        out[name] = array.to_numpy(zero_copy_only=False).reshape(-1, *shape)
    return out


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
def test_streams_may_have_any_name(tmp_path, suffix, capsys):
    """Names that numpy.savez has for itself, and ours."""
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    folder = tmp_path / "log"
    folder.mkdir()
    names = ["file", "args", "kwds", "allow_pickle", "robocache"]
    for i, name in enumerate(names):
        (folder / f"{name}.csv").write_text(f"t_s,v_m\n0.0,{i}\n0.1,{i}\n")
    align(folder, "--hz", "30", "-o", tmp_path / f"x{suffix}")
    got = load(tmp_path / f"x{suffix}")
    assert {name: got[name].tolist() for name in names} == {name: [i] * 4 for i, name in enumerate(names)}
    capsys.readouterr()


def test_parquet_is_written_as_it_comes(tmp_path):
    columns = [Column("v", np.dtype(np.float32), (8,))]
    with open_output(tmp_path / "x.parquet", columns, {}) as writer:
        for _ in range(5):
            writer.write({"v": np.zeros((50_000, 8), np.float32)})
        assert next(tmp_path.glob(".x.parquet.*.tmp")).stat().st_size > 0
    groups = pq.read_metadata(tmp_path / "x.parquet")
    assert groups.num_rows == 250_000
    assert max(groups.row_group(i).num_rows for i in range(groups.num_row_groups)) <= 1 << 16


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
def test_damage_half_way_leaves_no_file(tmp_path, capsys, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    source = make.episodes(30, 30, 30)
    source[1]["action"] = pa.array([[1.0, 2.0], [3.0]] * 15, pa.list_(pa.float32()))
    root = make.write_v21(tmp_path / "d", source)
    out = tmp_path / f"x{suffix}"
    out.write_text("what was there before")
    assert "episode 1: " in error_line(capsys, "align", root, "--hz", "30", "-o", out)
    assert out.read_text() == "what was there before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", out.name]
    align(root, "--hz", "30", "--on-bad-episode", "skip", "-o", out)
    assert "skipped, damaged: episodes 1\n" in capsys.readouterr().err
    assert sorted({*load(out)["episode_index"].tolist()}) == [0, 2]
