"""RoboCache 1.0.0's functions: its argument order, and for each of its defects a test that its kernels would fail.

Numbers are those of the audit (D1 .. D31) and of the good tests of its own suite.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, dtype_name, numbers

BACKENDS = [None, "auto", "cpu", "pytorch"]


def resample(
    home: Home, data: Any, times: Any, targets: Any, time: str = "float64", dtype: str = "float32", **options: Any
) -> np.ndarray:
    """[S] data through resample_trajectories with a batch of one; the result without the batch."""
    data = np.asarray(data, float).reshape(1, -1, 1)
    batch = [home.times(np.asarray(x)[None], time) for x in (times, targets)]
    return numbers(rc.resample_trajectories(home.array(data, dtype), *batch, **options))[0].squeeze(-1)


def fuse(home: Home, streams: list[tuple[Any, Any]], targets: Any, time: str = "float64", **options: Any) -> np.ndarray:
    arguments = []
    for data, times in streams:
        array = np.asarray(data, float)
        arguments += [home.array(array.reshape(1, len(array), -1)), home.times(np.asarray(times)[None], time)]
    return numbers(rc.fuse_multimodal(*arguments, home.times(np.asarray(targets)[None], time), **options))[0]


def test_signatures_are_the_predecessors() -> None:
    assert list(inspect.signature(rc.resample_trajectories).parameters) == [
        "source_data",
        "source_times",
        "target_times",
        "device",
        "backend",
    ]
    assert list(inspect.signature(rc.fuse_multimodal).parameters) == [
        "stream1_data",
        "stream1_times",
        "stream2_data",
        "stream2_times",
        "stream3_data",
        "stream3_times",
        "target_times",
        "backend",
    ]


def test_d1_epoch_times_are_not_rounded_to_float32(home: Home) -> None:
    start = 1_700_000_000
    ns = start * 10**9 + np.arange(10) * 10**7
    assert resample(home, range(10), ns, [ns[0] + 55 * 10**6], "int64") == [5.5]
    np.testing.assert_allclose(
        resample(home, range(10), start + np.arange(10) / 100, [start + 0.055]), [5.5], atol=5e-5
    )
    uptime = 1e5 + np.arange(10) / 1000
    np.testing.assert_allclose(resample(home, range(10), uptime, [1e5 + 0.0045]), [4.5], atol=1e-6)


def test_d1_no_spike_at_a_rounding_boundary_of_float32(home: Home) -> None:
    boundary = int(np.float32(1.7e9)) + 64  # float32 times jump by 128 s here
    ns = boundary * 10**9 + (np.arange(10) - 5) * 10**7
    at = boundary * 10**9 + np.arange(-45, 40) * 10**6
    got = resample(home, np.arange(10) / 10, ns, at, "int64")
    np.testing.assert_allclose(got, (np.arange(-45, 40) + 50) / 100, atol=1e-6)
    as_f64 = resample(home, np.arange(10) / 10, ns / 1e9, at / 1e9)
    assert (as_f64 >= 0).all()
    assert (as_f64 <= 0.9).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_d2_both_sides_are_clamped_in_every_backend(device: Home, backend: str | None) -> None:
    data, times, targets = [10, 20, 30], [0, 1, 2], [-1, 3, 4]
    np.testing.assert_array_equal(resample(device, data, times, targets, backend=backend), [10, 30, 30])
    fused = fuse(device, [(data, times)] * 3, targets, backend=backend)
    np.testing.assert_array_equal(fused, [[10] * 3, [30] * 3, [30] * 3])


def test_d2_extrapolation_is_there_on_request(device: Home) -> None:
    values, stamps, at = device.array([10, 20, 30]), device.times([0, 1, 2]), device.times([-1, 3, 4])
    got = rc.resample(values, stamps, at, outside="extrapolate")
    np.testing.assert_array_equal(numbers(got), [0, 40, 50])


def test_d3_a_zero_length_interval_never_divides(home: Home) -> None:
    assert resample(home, [10, 20, 30, 31], [0, 1, 2, 2], [2.5]) == [31]
    np.testing.assert_array_equal(resample(home, [10, 20, 30, 30], [0, 1, 2, 2], [1.5, 2, 2.5]), [25, 30, 30])
    stream = ([10, 20, 30, 40], [0, 0, 1, 2])
    np.testing.assert_array_equal(fuse(home, [stream] * 3, [-0.5, 0]), [[10] * 3, [20] * 3])


def test_d4_nothing_is_added_to_the_denominator(home: Home) -> None:
    for dt in (1e-3, 1e-7, 1e-9):
        np.testing.assert_array_equal(resample(home, [0, 1], [0, dt], [0, dt / 2, dt]), [0, 0.5, 1])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_d4_identity_is_bit_exact(home: Home, dtype: str) -> None:
    """Also test_resample_identical_times and test_identity_resampling, which allowed 1e-5."""
    rng = np.random.default_rng(4)
    data = home.array(rng.integers(-255, 256, (3, 50, 7)) / 64, dtype)
    times = home.times(np.sort(rng.normal(size=(3, 50)) / 100, axis=1), "float32")
    got = rc.resample_trajectories(data, times, times)
    assert dtype_name(got) == dtype
    np.testing.assert_array_equal(numbers(got), numbers(data))


def test_d5_expanded_times_are_a_shared_clock(home: Home) -> None:
    """Stride 0 in the batch: the predecessor read foreign memory for every row but the first."""
    data = np.tile(np.array([[0.0], [10], [20], [30]]), (8, 1, 1)) + np.arange(8)[:, None, None]
    times = home.array(np.tile([[0.0], [1], [2], [3]], (8, 1, 1)), "float64", "repeated")[..., 0]
    targets = home.array(np.tile([[0.5], [1.5]], (8, 1, 1)), "float64", "repeated")[..., 0]
    got = numbers(rc.resample_trajectories(home.array(data), times, targets))
    np.testing.assert_array_equal(got[..., 0], np.array([5, 15]) + np.arange(8)[:, None])


@pytest.mark.parametrize("layout", ["pitched", "columns", "reversed"])
def test_d5_strides_of_the_data_are_respected(home: Home, layout: str) -> None:
    data = np.random.default_rng(5).normal(size=(4, 9, 6)).astype(np.float32)
    times, targets = (
        home.times(np.arange(9.0)[None].repeat(4, 0), "float64"),
        home.times(np.full((4, 1), 2.5), "float64"),
    )
    want = rc.resample_trajectories(home.array(data), times, targets)
    got = rc.resample_trajectories(home.array(data, "float32", layout), times, targets)
    np.testing.assert_array_equal(numbers(got), numbers(want))


def test_d6_more_than_2_to_the_31_source_elements(device: Home) -> None:
    """Three samples a billion elements apart, the last one reached; nothing but those is touched."""
    if device.library == "torch" and device.device == "cuda":
        import torch

        block = torch.zeros(3_000_000_000, dtype=torch.uint8, device="cuda")
    else:
        block = np.zeros(3_000_000_000, np.uint8)
    far = block.reshape(1, 3, 1_000_000_000)[..., :3]
    far[0, 2] = 7
    stamps, at = [0, 10, 20], [20, 5]
    home = device if device.device == "cuda" else Home("numpy", "cpu")
    got = rc.resample(far, home.times(stamps), home.times(at))
    np.testing.assert_array_equal(numbers(got), [[[7] * 3, [0] * 3]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_d7_every_float_dtype_is_read_as_what_it_is(home: Home, dtype: str) -> None:
    assert resample(home, [1, 2, 4], [0, 1, 2], [1.5], dtype=dtype) == [3]
    array = home.array([[[1.0], [2], [4]]], dtype)
    times = home.times([[0.0, 1, 2]], "float64")
    fused = rc.fuse_multimodal(array, times, array, times, array, times, home.times([[1.5]], "float64"))
    assert dtype_name(fused) == dtype
    np.testing.assert_array_equal(numbers(fused), [[[3, 3, 3]]])


def test_d7_mixed_dtypes_are_refused(home: Home) -> None:
    """test_dtype_consistency of its suite: fp16 + fp32 -> "dtypes must match"."""
    times, at = home.times([[0.0, 1]], "float64"), home.times([[0.5]], "float64")
    a, b = home.array([[[1.0], [2]]], "float16"), home.array([[[1.0], [2]]], "float32")
    with pytest.raises(ValueError, match="fuse_multimodal: stream2_data is float32, expected float16 as stream1_data"):
        rc.fuse_multimodal(a, times, b, times, b, times, at)


def test_d8_mixed_devices_are_refused(cuda: Home) -> None:
    here = Home("torch", "cpu")
    with pytest.raises(ValueError, match=r"source_times|stamps"):
        rc.resample_trajectories(cuda.array([[[1.0], [2]]]), here.times([[0, 1]]), cuda.times([[0]]))


def test_d8_the_tensors_device_is_used_not_the_current_one(cuda: Home) -> None:
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    second = torch.device("cuda:1")
    data = torch.tensor([[[0.0], [10.0]]], device=second)
    times, at = torch.tensor([[0, 10]], device=second), torch.tensor([[5]], device=second)
    with torch.cuda.device(0):
        got = rc.resample_trajectories(data, times, at)
    assert got.device == second
    assert got.item() == 5


def test_d9_one_sample_is_a_constant(home: Home) -> None:
    """Also test_single_point and test_edge_case_single_source of its suite."""
    np.testing.assert_array_equal(resample(home, [7], [1], [0, 1, 2]), [7, 7, 7])
    np.testing.assert_array_equal(fuse(home, [([7], [1]), ([1, 2], [0, 2]), ([5], [0])], [1]), [[7, 1.5, 5]])


def test_d9_times_of_another_batch_size_are_refused_or_shared(home: Home) -> None:
    data, at = home.array(np.zeros((3, 2, 1))), home.times(np.zeros((3, 1)), "float64")
    with pytest.raises(ValueError, match=r"\[1, 2\].*B=3"):
        rc.resample_trajectories(data, home.times([[0.0, 1]], "float64"), at)
    assert tuple(rc.resample_trajectories(data, home.times([0.0, 1], "float64"), at).shape) == (3, 1, 1)


def test_d9_more_than_65535_targets(device: Home) -> None:
    at = np.arange(70_001) / 70_000
    np.testing.assert_allclose(resample(device, [0, 1], [0, 1], at), at, atol=1e-7)


@pytest.mark.parametrize(("B", "S", "T", "D"), [(0, 5, 3, 2), (2, 5, 0, 2), (2, 5, 3, 0), (0, 0, 0, 0)])
def test_d9_empty_sizes_give_empty_outputs(home: Home, B: int, S: int, T: int, D: int) -> None:
    """Also test_empty_batch of its suite."""
    data, times, at = home.empty((B, S, D)), home.empty((B, S), "float64"), home.empty((B, T), "float64")
    assert tuple(rc.resample_trajectories(data, times, at).shape) == (B, T, D)
    assert tuple(rc.fuse_multimodal(data, times, data, times, data, times, at).shape) == (B, T, 3 * D)


@pytest.mark.parametrize("backend", [*BACKENDS, "cuda"])
def test_d14_every_backend_takes_tensors_of_any_device_and_keeps_their_dtype(device: Home, backend: str | None) -> None:
    if backend == "cuda" and not rc.is_cuda_available():
        with pytest.raises(RuntimeError, match=r"backend is 'cuda'.*no CUDA device"):
            resample(device, [1, 2], [0, 1], [0.5], backend="cuda")
        return
    data = device.array([[[1.0], [2]]], "bfloat16" if device.library == "torch" else "float16")
    times, at = device.times([[0.0, 1]], "float64"), device.times([[0.5]], "float64")
    for got in (
        rc.resample_trajectories(data, times, at, backend=backend),
        rc.fuse_multimodal(data, times, data, times, data, times, at, backend=backend),
    ):
        assert device.owns(got)
        assert dtype_name(got) == dtype_name(data)
        assert (numbers(got) == 1.5).all()


def test_device_says_where_to_compute_and_leave_the_result(device: Home) -> None:
    data, times, at = (
        device.array([[[1.0], [2]]]),
        device.times([[0.0, 1]], "float64"),
        device.times([[0.5]], "float64"),
    )
    for where in ["cpu", *(["cuda"] if rc.is_cuda_available() and device.library == "torch" else [])]:
        got = rc.resample_trajectories(data, times, at, where)
        assert Home(device.library, where).owns(got)
        assert numbers(got).item() == 1.5
    with pytest.raises(rc.InvalidArgument, match=r"resample_trajectories: device is 'tpu', expected 'cpu', 'cuda' or"):
        rc.resample_trajectories(data, times, at, "tpu")


@pytest.mark.parametrize("backend", [None, "cuda"])
def test_errors_of_a_device_name_the_call_and_the_argument(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    """numpy has no arrays on CUDA, and torch none on a device that is not there."""
    monkeypatch.setattr(rc._core, "cuda_device_count", lambda: 1)
    arrays = np.zeros((1, 2, 1)), np.array([[0, 1]]), np.array([[0]])
    asked = "backend is 'cuda'" if backend else "device is 'cuda:9'"
    device = None if backend else "cuda:9"
    with pytest.raises(rc.InvalidArgument, match=f"resample_trajectories: {asked}, expected the device that the numpy"):
        rc.resample_trajectories(*arrays, device=device, backend=backend)
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or device:
        with pytest.raises(rc.InvalidArgument, match=rf"resample_trajectories: {asked}, but torch has \d CUDA devices"):
            rc.resample_trajectories(*map(torch.from_numpy, arrays), device=device, backend=backend)
    if backend:
        data, times, at = arrays
        with pytest.raises(rc.InvalidArgument, match="fuse_multimodal: backend is 'cuda', expected the device"):
            rc.fuse_multimodal(data, times, data, times, data, times, at, backend=backend)


def test_errors_of_the_operators_name_the_call_and_its_arguments() -> None:
    data, times, at = np.zeros((1, 2, 1)), np.array([[0, 1]]), np.array([[0]])
    with pytest.raises(rc.InvalidArgument, match=r"^resample_trajectories: .*stamps is \[1, 1\].*source_times"):
        rc.resample_trajectories(data, times[:, :1], at)
    with pytest.raises(rc.InvalidArgument, match=r"^fuse_multimodal: .*'stream2'.*stamps is \[1, 1\].*stream1_times"):
        rc.fuse_multimodal(data, times, data, times[:, :1], data, times, at)


@pytest.mark.parametrize("backend", ["invalid", "triton", "CUDA", ""])
def test_d15_an_unknown_backend_is_the_same_error_in_both(device: Home, backend: str) -> None:
    for call in (resample, lambda home, data, times, at, **o: fuse(home, [(data, times)] * 3, at, **o)):
        with pytest.raises(ValueError, match=r"backend.*'auto', 'cuda', 'cpu'"):
            call(device, [1, 2], [0, 1], [0.5], backend=backend)


def test_d15_self_test_passes() -> None:
    assert rc.self_test() is True


def test_d30_an_empty_call_leaves_no_error_behind(device: Home) -> None:
    """A launch of no blocks surfaced in the next, unrelated operation."""
    resample(device, [], [], [])
    np.testing.assert_array_equal(resample(device, [1, 2], [0, 1], [0.5]), [1.5])
    if device.device == "cuda":
        import torch

        assert (torch.ones(3, device="cuda") * 2).sum().item() == 6


def test_d31_nan_targets_get_nan_and_are_not_valid(home: Home) -> None:
    got = resample(home, [10, 20], [0, 1], [np.nan, 0.5])
    np.testing.assert_array_equal(got, [np.nan, 15])
    stream = rc.Stream(home.array([10, 20]), home.times([0, 1], "float64"))
    result = rc.align([stream], home.times([np.nan, 0.5], "float64"))
    np.testing.assert_array_equal(numbers(result.valid), [[False], [True]])


def test_d31_an_infinite_neighbour_does_not_reach_an_exact_hit(home: Home) -> None:
    np.testing.assert_array_equal(resample(home, [1, np.inf, 3], [0, 1, 2], [0, 1, 2]), [1, np.inf, 3])


@pytest.mark.parametrize("times", [[0.0, 2, 1], [0.0, np.nan, 1]])
def test_d31_unsorted_and_nan_times_are_reported(device: Home, times: list[float]) -> None:
    stream = rc.Stream(device.array([1, 2, 3]), device.times(times, "float64"))
    with pytest.raises(ValueError, match=r"stamps.*expected non-decreasing"):
        rc.align([stream], device.times([0.5], "float64"), check="now")


# The good tests of its suite, with the expectations made exact where they were loose.


def test_linear_interpolation(home: Home) -> None:
    np.testing.assert_array_equal(resample(home, [0, 1, 2], [0, 0.5, 1], [0, 0.25, 0.5, 0.75, 1]), [0, 0.5, 1, 1.5, 2])
    np.testing.assert_array_equal(resample(home, [1, 2, 3], [0, 0.5, 1], [0.25, 0.75]), [1.5, 2.5])


def test_non_uniform_times(home: Home) -> None:
    np.testing.assert_allclose(resample(home, [1, 5, 3], [0, 0.1, 1], [0.05, 0.5]), [3, 5 - 2 * 0.4 / 0.9], rtol=1e-6)


def test_boundary_conditions(home: Home) -> None:
    data = np.random.default_rng(6).normal(size=10).astype(np.float32)
    np.testing.assert_array_equal(resample(home, data, range(1, 11), [0.5, 11]), data[[0, 9]])
    got = resample(home, data, np.linspace(1, 2, 10), [0.5, 1, 1.5, 2, 2.5])
    np.testing.assert_array_equal(got[[0, 1, 3, 4]], data[[0, 0, 9, 9]])


@pytest.mark.parametrize("shape", [(16, 100), (8, 50)])
def test_mismatched_sizes_are_refused(home: Home, shape: tuple[int, int]) -> None:
    at = home.times(np.zeros((8, 3)), "float64")
    with pytest.raises(ValueError, match=r"stamps is \[\d+, \d+\], expected \[B=8, S=100\]"):
        rc.resample_trajectories(home.array(np.zeros((8, 100, 2))), home.times(np.zeros(shape), "float64"), at)


@pytest.mark.parametrize(("B", "S", "T", "D"), [(1, 50, 25, 64), (8, 100, 50, 128), (32, 500, 256, 256)])
def test_against_numpy_interp(device: Home, B: int, S: int, T: int, D: int) -> None:
    rng = np.random.default_rng(7)
    times = np.sort(rng.random((B, S)), axis=1)
    at = rng.uniform(-0.1, 1.1, (B, T))
    data = rng.normal(size=(B, S, D)).astype(np.float32)
    got = numbers(rc.resample_trajectories(device.array(data), *(device.times(x, "float64") for x in (times, at))))
    for b in range(0, B, 7):
        for d in range(0, D, 31):
            np.testing.assert_allclose(got[b, :, d], np.interp(at[b], times[b], data[b, :, d]), atol=2e-6)


@pytest.mark.parametrize("kind", ["nonuniform", "shifted", "jittered", "skewed"])
def test_fused_streams_of_10_100_and_500_hz(device: Home, kind: str) -> None:
    rng = np.random.default_rng(8)
    arguments, want = [], []
    at = np.sort(rng.uniform(-0.1, 1.1, 60))
    for hz, D in [(10, 5), (100, 3), (500, 2)]:
        times = np.arange(hz + 1) / hz
        times = {
            "nonuniform": np.sort(rng.random(hz + 1)),
            "shifted": times + 0.37 / hz,
            "jittered": np.sort(times + rng.normal(size=hz + 1) / hz),
            "skewed": times * 1.003,
        }[kind]
        data = rng.normal(size=(hz + 1, D))
        arguments += [device.array(data[None], "float64"), device.times(times[None], "float64")]
        want.append(np.stack([np.interp(at, times, column) for column in data.T], axis=1))
    got = numbers(rc.fuse_multimodal(*arguments, device.times(at[None], "float64")))[0]
    np.testing.assert_allclose(got, np.concatenate(want, axis=1), rtol=0, atol=1e-12)


def test_clamping_of_ramps(device: Home) -> None:
    """test_multimodal_extrapolation_clamp with ramps: its constants survived any extrapolation."""
    streams = [([10, 20], [0.2, 0.8]), ([0, 100], [0.3, 0.7]), ([5, -5], [0.1, 0.9])]
    np.testing.assert_array_equal(fuse(device, streams, [0, 1]), [[10, 0, 5], [20, 100, -5]])


def test_columns_are_joined_in_order(home: Home) -> None:
    streams = [(np.full((2, D), k), [0, 1]) for k, D in [(1, 10), (2, 20), (3, 30)]]
    np.testing.assert_array_equal(fuse(home, streams, [0.5])[0], [1] * 10 + [2] * 20 + [3] * 30)


def test_every_tenth_call_malformed_gives_exactly_as_many_errors(device: Home) -> None:
    errors = 0
    for i in range(1000):
        try:
            resample(device, [1, 2], [0, 1] if i % 10 else [0, 1, 2], [0.5])
        except ValueError:
            errors += 1
    assert errors == 100
