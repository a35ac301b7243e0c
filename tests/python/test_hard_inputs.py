"""Inputs that break careless bindings: borrowed objects, sizes that wrap, views that lie."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import robocache as rc
from arrays import Home

STAMPS = np.arange(3)
AT = np.arange(2)


def values(columns: int = 2) -> np.ndarray:
    return np.arange(3 * columns, dtype=np.float32).reshape(3, columns)


def test_streams_that_nobody_else_keeps() -> None:
    class MadeOnTheFly:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> rc.Stream:
            if i >= 3:
                raise IndexError
            gc.collect()
            return rc.Stream(values() + 10 * i, STAMPS.copy(), name=f"stream number {i}")

    result = rc.align(MadeOnTheFly(), AT)
    np.testing.assert_array_equal(result.values, np.hstack([values()[:2] + 10 * i for i in range(3)]))


def test_a_result_beyond_the_address_space() -> None:
    wide = np.broadcast_to(np.float32(0), (2, 2**40))
    many = np.broadcast_to(np.int64(0), (2**24,))
    with pytest.raises(MemoryError, match=r"is \[16777216, 1099511627776\] of float32, expected less than 2\^63"):
        rc.resample(wide, np.arange(2), many)


def test_one_output_for_two_streams_is_no_list() -> None:
    streams = [rc.Stream(values(), STAMPS)] * 2
    with pytest.raises(ValueError, match=r"out is a list of 1 arrays, expected one for each of the 2 streams"):
        rc.align(streams, AT, out=[np.zeros((2, 4), np.float32)])
    result = rc.align(streams, AT, out=[np.zeros((2, 2), np.float32) for _ in streams])
    with pytest.raises(ValueError, match=r"values is in the arrays that out= listed"):
        _ = result.values
    assert len(result.split()) == 2


def test_outputs_that_cannot_be_written_alone() -> None:
    torch = pytest.importorskip("torch")
    data, stamps, at = torch.zeros(3, 2), torch.arange(3), torch.arange(2)
    with pytest.raises(ValueError, match=r"out is expanded"):
        rc.resample(data, stamps, at, out=torch.zeros(1, 2).expand(2, 2))
    with pytest.raises(NotImplementedError, match=r"out is a tensor that requires grad"):
        rc.resample(data, stamps, at, out=torch.zeros(2, 2, requires_grad=True))


def test_lazily_negated_tensors_are_refused() -> None:
    torch = pytest.importorskip("torch")
    negated = torch.complex(torch.ones(3, 1), torch.ones(3, 1)).conj().imag
    with pytest.raises(ValueError, match=r"values is a view whose sign is only marked.*resolve_neg"):
        rc.resample(negated, torch.arange(3), torch.arange(2))
    result = rc.resample(negated.resolve_neg(), torch.arange(3), torch.arange(2))
    assert (result == -1).all()


def test_masked_arrays_are_refused() -> None:
    masked = np.ma.masked_array(values(), mask=values() > 2)
    with pytest.raises(ValueError, match=r"values is a masked array.*filled"):
        rc.resample(masked, STAMPS, AT)


def test_no_offsets_at_all() -> None:
    with pytest.raises(ValueError, match=r"streams\[0\]\.offsets is \[0\], expected \[B\+1\]"):
        rc.align([rc.Stream(values(), STAMPS, offsets=np.zeros(0, np.int64))], AT)


def test_a_fill_may_be_any_number() -> None:
    for fill in (7, 7.0, np.float32(7), np.int64(7)):
        assert rc.resample(values(1), STAMPS, np.array([9]), outside=fill)[0, 0] == 7


def test_resample_names_its_own_arguments() -> None:
    with pytest.raises(ValueError, match=r"^resample: stamps is \[2\], expected \[S=3\]"):
        rc.resample(values(), STAMPS[:2], AT)
    with pytest.raises(ValueError, match=r"^resample: stamps is decreasing or NaN at row 0, sample 1"):
        rc.resample(values(), STAMPS[::-1], AT)
    with pytest.raises(ValueError, match=r"^resample: check is 'x'"):
        rc.resample(values(), STAMPS, AT, check="x")


def test_a_graph_keeps_its_report_from_later_calls(cuda: Home) -> None:
    torch = pytest.importorskip("torch")
    data = torch.zeros(3, 1, device="cuda")
    stamps, at = torch.arange(3, device="cuda"), torch.arange(2, device="cuda")
    out = torch.zeros(2, 1, device="cuda")
    stream = rc.Stream(data, stamps, name="in the graph")
    rc.align([stream], at, out=out)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = rc.align([stream], at, out=out)
    healthy = rc.Stream(data, torch.arange(3, device="cuda"))
    results = [rc.align([healthy], at, out=out) for _ in range(5000)]
    stamps.copy_(torch.tensor([2, 1, 0]))
    graph.replay()
    torch.cuda.synchronize()
    results[-1].check()
    with pytest.raises(ValueError, match=r"streams\['in the graph'\]\.stamps is decreasing"):
        captured.check()
