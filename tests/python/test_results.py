"""Whose memory results are: each outlives the call, the call's other results, and whatever is allocated next."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, numbers

T = 40
PARTS = ("values", "valid", "age_ns")


def aligned(device: Home, columns: int) -> rc.AlignResult:
    values = np.arange(3.0 * columns).reshape(3, columns)
    return rc.align(
        [rc.Stream(device.array(values.tolist()), device.times([0, 10, 20]), interp="hold")],
        device.times(range(T)),
    )


@pytest.mark.parametrize("columns", [1, 7, 20_000])  # the last are large enough for memory of their own
@pytest.mark.parametrize("kept", PARTS)
def test_a_result_outlives_the_others(device: Home, columns: int, kept: str) -> None:
    result = aligned(device, columns)
    want = {part: numbers(getattr(result, part)).copy() for part in PARTS}
    survivor: Any = getattr(result, kept)
    del result
    gc.collect()
    others = [aligned(device, columns) for _ in range(20)]  # would be given the memory if it were free
    for other in others:
        for part in PARTS:
            getattr(other, part)[...] = 0
    np.testing.assert_array_equal(numbers(survivor), want[kept])


def test_results_do_not_overlap(device: Home) -> None:
    result = aligned(device, 7)
    for part in PARTS:
        want = {other: numbers(getattr(result, other)).copy() for other in PARTS if other != part}
        getattr(result, part)[...] = 1
        for other, numbers_of_it in want.items():
            np.testing.assert_array_equal(numbers(getattr(result, other)), numbers_of_it)


def test_results_are_aligned_for_wide_accesses(device: Home) -> None:
    torch = pytest.importorskip("torch")
    result = aligned(device, 7)
    for part in PARTS:
        array = getattr(result, part)
        assert isinstance(array, torch.Tensor)
        assert array.data_ptr() % 64 == 0
        assert array.is_contiguous()


def test_empty_results(device: Home) -> None:
    result = rc.align([rc.Stream(device.array([[1], [2]]), device.times([0, 10]))], device.times([]))
    assert [tuple(getattr(result, part).shape) for part in PARTS] == [(0, 1), (0, 1), (0, 1)]


# --- Results on CUDA are torch's own memory ---------------------------------------------------------------------------

SECOND = 2_000_000_000  # in cycles, about


def made_on_cuda(number: float) -> dict[str, Any]:
    """Results of a call whose every number depends on `number`."""
    import torch

    values = torch.full((3, 700), number, device="cuda")
    stamps = torch.tensor([0, 10, 20], device="cuda") + int(number)
    stream, at = rc.Stream(values, stamps, outside="nan"), torch.arange(T, device="cuda") % 20
    result = rc.align([stream], at)
    (gradient,) = rc.align_gradient([stream], at, torch.full((T, 700), number, device="cuda"))
    return {"values": result.values, "valid": result.valid, "age_ns": result.age_ns, "gradient": gradient}


@pytest.mark.parametrize("part", [*PARTS, "gradient"])
def test_record_stream_is_heeded(cuda: Home, part: str) -> None:
    """Memory that a busy stream still reads is not handed out again when its result is freed."""
    import torch

    main, side = torch.cuda.current_stream(), torch.cuda.Stream()
    want = made_on_cuda(1.0)[part].cpu()  # also loads the kernels
    assert not torch.equal(made_on_cuda(100.0)[part].cpu().nan_to_num(), want.nan_to_num())
    results = made_on_cuda(1.0)
    array = results.pop(part)
    side.wait_stream(main)
    with torch.cuda.stream(side):
        torch.cuda._sleep(SECOND)
        read = array.clone()
    array.record_stream(side)
    address = array.data_ptr()
    del array
    others = [made_on_cuda(100.0) for _ in range(10)]
    assert not side.query()  # it has not read yet
    assert address not in {other.data_ptr() for made in others for other in made.values()}
    side.synchronize()
    torch.testing.assert_close(read.cpu(), want, rtol=0, atol=0, equal_nan=True)


def test_running_out_of_cuda_memory(cuda: Home) -> None:
    import torch

    values, at = torch.zeros(2, 1, device="cuda").expand(2, 2**28), torch.zeros(1, device="cuda").long().expand(2**20)
    stamps = torch.tensor([0, 10], device="cuda")
    with pytest.raises(rc.OutOfMemory, match=r"^align: .*out of memory"):
        rc.align([rc.Stream(values, stamps)], at)
    with pytest.raises(rc.OutOfMemory, match=r"^resample: .*out of memory"):
        rc.resample(values, stamps, at)
    assert not rc.resample(values[:, :2], stamps, at[:3]).any()  # and goes on


def test_results_are_on_the_device_of_the_values(cuda: Home) -> None:
    """Also where torch's current device is another one, whose context nobody has made."""
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    code = """
import torch, robocache as rc
values, stamps = torch.ones(2, 3, device="cuda:1"), torch.tensor([0, 10], device="cuda:1")
result = rc.align([rc.Stream(values, stamps)], stamps)
assert {result.values.device.index, result.valid.device.index, result.age_ns.device.index} == {1}
assert torch.equal(result.values, values)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
