"""Arrays of other libraries: numpy, torch, jax, cupy and anything with DLPack or a buffer, in and out."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, INTEGERS, Home, dtype_name, missing, numbers

STAMPS, AT = [0, 10, 20], [5, 20]
VALUES = [[0, 1], [10, 3], [20, 5]]
ANSWER = [[5, 2], [20, 5]]


@pytest.fixture(params=["numpy-cpu", "torch-cpu", "torch-cuda", "jax-cpu", "jax-cuda", "cupy-cuda"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every library on every device; jax with 64-bit types, which it switches off by default."""
    home = Home(*request.param.split("-"))
    reason = missing(home)
    if reason:
        pytest.skip(reason)
    if home.library != "jax":
        yield home
        return
    import jax

    if home.device == "cuda" and jax.default_backend() != "gpu":
        pytest.skip("jax has no CUDA here")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    with jax.default_device(jax.devices("gpu" if home.device == "cuda" else "cpu")[0]):
        yield home
    jax.config.update("jax_enable_x64", before)


def test_outputs_are_the_callers(library: Home) -> None:
    stream = rc.Stream(library.array(VALUES), library.times(STAMPS))
    result = rc.align([stream], library.times(AT))
    for got, dtype in ((result.values, "float32"), (result.valid, "bool"), (result.age_ns, "int64")):
        assert library.owns(got)
        assert dtype_name(got) == dtype
    result.check()
    np.testing.assert_array_equal(numbers(result.values), ANSWER)
    np.testing.assert_array_equal(numbers(result.valid), [[True], [True]])
    np.testing.assert_array_equal(numbers(result.age_ns), [[5], [0]])
    assert library.owns(rc.resample(library.array(VALUES), library.times(STAMPS), library.times(AT)))
    assert library.owns(rc.grid([stream], hz=1e8))


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_float_keeps_its_dtype(library: Home, dtype: str) -> None:
    if library.library == "cupy" and dtype == "bfloat16":
        pytest.skip("cupy has no bfloat16")
    got = rc.resample(library.array(VALUES, dtype), library.times(STAMPS), library.times(AT))
    assert library.owns(got)
    assert dtype_name(got) == dtype
    np.testing.assert_array_equal(numbers(got), ANSWER)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_integer_keeps_its_dtype(library: Home, dtype: str) -> None:
    got = rc.resample(library.array([[0], [1], [1]], dtype), library.times(STAMPS), library.times(AT))
    assert dtype_name(got) == dtype
    np.testing.assert_array_equal(numbers(got), [[0], [1]])


@pytest.mark.parametrize("time", ["int64", "float64", "float32"])
def test_every_time(library: Home, time: str) -> None:
    got = rc.resample(library.array(VALUES), library.times(STAMPS, time), library.times(AT, time))
    np.testing.assert_array_equal(numbers(got), ANSWER)


def views(home: Home) -> dict[str, Any]:
    """VALUES as views of other arrays: a slice of rows and columns, a transpose, every second row."""
    wide = np.full((7, 9), 99.0)
    wide[2:5, 3:5] = VALUES
    double = np.full((6, 2), 99.0)
    double[::2] = VALUES
    found = {
        "sliced": home.array(wide)[2:5, 3:5],
        "transposed": home.array(np.transpose(VALUES)).T,
        "stepped": home.array(double)[::2],
    }
    if home.library != "jax":  # whose slices are copies
        assert not (found["sliced"].flags.c_contiguous if home.library != "torch" else found["sliced"].is_contiguous())
    return found


@pytest.mark.parametrize("view", ["sliced", "transposed", "stepped"])
def test_views_are_read_in_place(library: Home, view: str) -> None:
    got = rc.resample(views(library)[view], library.times(STAMPS), library.times(AT))
    np.testing.assert_array_equal(numbers(got), ANSWER)


def test_stamps_and_targets_may_be_views(library: Home) -> None:
    stamps = library.times([[0, 7], [10, 7], [20, 7]])[:, 0]
    at = library.times([9, 5, 9, 20, 9])[1::2]
    np.testing.assert_array_equal(numbers(rc.resample(library.array(VALUES), stamps, at)), ANSWER)


def test_expanded_views_cost_no_copy(home: Home) -> None:
    """200,000 batch rows that share 10,000 samples and their clock: 40 GB if either were copied."""
    B, S = 200_000, 10_000
    row, clock = home.array(np.arange(S)), home.times(np.arange(S) * 10)
    at = home.times(np.arange(B)[:, None])
    if home.library == "torch":
        values, stamps = row.expand(B, S), clock.expand(B, S)
    else:
        values, stamps = np.broadcast_to(row, (B, S)), np.broadcast_to(clock, (B, S))
    got = numbers(rc.resample(values, stamps, at, check="off"))
    np.testing.assert_allclose(got[:, 0], np.minimum(np.arange(B) / 10, S - 1), rtol=1e-6)


def test_reversed_and_read_only_numpy_views() -> None:
    backwards = np.array(VALUES[::-1], np.float32)
    backwards.flags.writeable = False
    stamps = np.array(STAMPS[::-1])[::-1]
    stamps.flags.writeable = False
    np.testing.assert_array_equal(rc.resample(backwards[::-1], stamps, np.array(AT)), ANSWER)


def test_numpy_arrays_at_odd_addresses() -> None:
    """Fields of packed records, as sensor drivers write them."""
    packed = np.zeros(3, np.dtype([("flag", "u1"), ("stamp", "<i8"), ("xy", "<f4", 2)], align=False))
    packed["stamp"], packed["xy"] = STAMPS, VALUES
    raw = np.frombuffer(b"\0" + np.array(VALUES, np.float32).tobytes(), np.float32, offset=1).reshape(3, 2)
    assert not raw.flags.aligned
    np.testing.assert_array_equal(rc.resample(raw, np.array(STAMPS), np.array(AT)), ANSWER)
    with pytest.raises(ValueError, match=r"stamps.*element"):  # 17-byte rows: no stride in elements
        rc.resample(raw, packed["stamp"], np.array(AT))


class OnlyDLPack:
    """An array of a library that nobody has heard of."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers

    def __dlpack__(self, **options: Any) -> Any:
        return self._numbers.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._numbers.__dlpack_device__()


def test_any_dlpack_array_and_any_buffer() -> None:
    values = OnlyDLPack(np.array(VALUES, np.float32))
    got = rc.resample(values, array.array("q", STAMPS), memoryview(array.array("q", AT)))
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(got, ANSWER)


def test_numpy_results_own_their_memory() -> None:
    """Freed memory is used again; what somebody still looks at is not."""
    values, stamps, at = np.ones((64, 1000, 8), np.float32), np.arange(1000), np.arange(1000)
    kept = rc.resample(values, stamps, at)[3, 5:9]
    for fill in range(2, 8):
        again = rc.resample(values * fill, stamps, at)
        assert again.flags.writeable
        assert (again == fill).all()
        del again
    assert (kept == 1).all()


def mutable(library: Home) -> Home:
    if library.library == "jax":
        pytest.skip("jax arrays are immutable")
    return library


def test_out_is_written_and_returned(library: Home) -> None:
    home = mutable(library)
    arguments = home.array(VALUES), home.times(STAMPS), home.times(AT)
    for dtype in FLOATS if home.library != "cupy" else FLOATS[:3]:
        out = home.empty((2, 2), dtype)
        assert rc.resample(*arguments, out=out) is out
        np.testing.assert_array_equal(numbers(out), ANSWER)
    out = home.empty((2, 2))
    assert rc.align([rc.Stream(*arguments[:2])], arguments[2], out=out).values is out
    np.testing.assert_array_equal(numbers(out), ANSWER)


def test_out_may_be_a_view_of_a_larger_array(library: Home) -> None:
    home = mutable(library)
    large = home.array(np.full((5, 7), -1.0))
    rc.resample(home.array(VALUES), home.times(STAMPS), home.times(AT), out=large[1:4:2, 2:4])
    want = np.full((5, 7), -1.0)
    want[1:4:2, 2:4] = ANSWER
    np.testing.assert_array_equal(numbers(large), want)


def test_out_may_be_one_array_a_stream(library: Home) -> None:
    home = mutable(library)
    stamps = home.times(STAMPS)
    streams = [rc.Stream(home.array(VALUES), stamps), rc.Stream(home.array([[1], [2], [3]], "int32"), stamps)]
    out = [home.empty((2, 2), "float64"), home.empty((2, 1), "int32")]
    result = rc.align(streams, home.times(AT), out=out)
    assert all(a is b for a, b in zip(result.split(), out, strict=True))
    np.testing.assert_array_equal(numbers(out[0]), ANSWER)
    np.testing.assert_array_equal(numbers(out[1]), [[1], [3]])


def test_jax_arrays_are_not_written() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(ValueError, match=r"out is .*jax array, expected a writable array"):
        rc.resample(np.ones((2, 1), np.float32), np.array([0, 1]), np.array([0]), out=jnp.zeros((1, 1)))


def test_torch_transposed_and_expanded_inputs_in_one_call(home: Home) -> None:
    """[S, B, D] data as loaders stack it, a clock of stride 0, targets of stride 0."""
    data = np.random.default_rng(9).normal(size=(9, 4, 3)).astype(np.float32)
    stamps, at = np.arange(9) * 10, np.array([0, 33, 80])
    moved = home.array(data.swapaxes(0, 1).copy(), "float32", "columns")
    wide = home.array(np.tile(stamps[:, None], (4, 1, 1)), "int64", "repeated")[..., 0]
    want = rc.resample(data.swapaxes(0, 1).copy(), stamps, at)
    np.testing.assert_array_equal(numbers(rc.resample(moved, wide, home.times(at))), want)


def test_another_cuda_stream_is_used(cuda: Home) -> None:
    """The input is written late on a side stream: on any other stream the call would read zeros."""
    import torch

    values, stamps, at = torch.zeros(3, 2, device="cuda"), cuda.times(STAMPS), cuda.times(AT)
    late = cuda.array(VALUES)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(200_000_000)
        values.copy_(late)
        got = rc.resample(values, stamps, at)
        result = rc.align([rc.Stream(values, stamps)], at)
        copy = got.clone()  # ordered behind the call, on its stream
    result.check()
    side.synchronize()
    for array_ in (got, copy, result.values):
        np.testing.assert_array_equal(numbers(array_), ANSWER)


@pytest.mark.parametrize("check", ["auto", "off"])
def test_a_call_can_be_captured_in_a_cuda_graph(cuda: Home, check: str) -> None:
    import torch

    values, stamps, at = cuda.array(VALUES), cuda.times(STAMPS), cuda.times(AT)
    out = rc.resample(values, stamps, at, check=check)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        rc.resample(values, stamps, at, out=out, check=check)
    values *= 2
    graph.replay()
    torch.cuda.synchronize()
    np.testing.assert_array_equal(numbers(out), np.array(ANSWER) * 2)


def test_pinned_tensors_are_cpu_tensors(cuda: Home) -> None:
    import torch

    values = torch.tensor(VALUES, dtype=torch.float32).pin_memory()
    got = rc.resample(values, torch.tensor(STAMPS), torch.tensor(AT))
    assert got.device.type == "cpu"
    np.testing.assert_array_equal(got.numpy(), ANSWER)
