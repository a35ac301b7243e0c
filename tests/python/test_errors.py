"""Bad input: every message names the argument, what it was, and what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home

F32, I64 = np.float32, np.int64


def arguments(**changed: Any) -> dict[str, Any]:
    """A call of rc.resample that works, [B=2, S=3, D=4] at [B=2, T=5], with something changed."""
    good = {
        "values": np.zeros((2, 3, 4), F32),
        "stamps": np.array([[0, 1, 2]] * 2),
        "at": np.zeros((2, 5), I64),
    }
    return {**good, **changed}


def zeros(*shape: int, dtype: Any = F32) -> np.ndarray:
    return np.zeros(shape, dtype)


# (what is changed, what the text must hold: subject, got, expected)
SHAPES = [
    ({"stamps": zeros(2, 4, dtype=I64)}, ["stamps is [2, 4]", "[B=2, S=3]"]),
    ({"stamps": zeros(3, 3, dtype=I64)}, ["stamps is [3, 3]", "[B=2, S=3]"]),
    ({"stamps": zeros(4, dtype=I64)}, ["stamps is [4]", "[S=3]"]),
    ({"stamps": zeros(dtype=I64)}, ["stamps is []", "expected"]),
    ({"values": zeros(2, 3, 4, 5)}, ["values is [2, 3, 4, 5]", "[B, S, D]"]),
    ({"values": zeros(dtype=F32)}, ["values is []", "expected"]),
    ({"at": zeros(3, 5, dtype=I64)}, ["[2, 3, 4]", "B=3"]),
    ({"at": zeros(2, 5, 1, dtype=I64)}, ["at is [2, 5, 1]", "T]"]),
    ({"at": zeros(dtype=I64)}, ["at is []", "T]"]),
    ({"lengths": zeros(3, dtype=I64)}, ["lengths is [3]", "B=2"]),
    ({"offsets": zeros(2, 2, dtype=I64)}, ["offsets is [2, 2]", "[G+1]"]),
    ({"offsets": zeros(3, dtype=I64)}, ["values is [2, 3, 4]", "[N, D]"]),
    ({"lengths": zeros(2, dtype=I64), "offsets": zeros(3, dtype=I64)}, ["lengths is given beside offsets", "one of"]),
    ({"out": zeros(2, 5, 3)}, ["out is [2, 5, 3]", "D=4"]),
    ({"out": zeros(5, 4)}, ["out is [5, 4]", "[B, T, D]"]),
    ({"out": zeros(2, 5, 8)[..., ::2]}, ["out is strided", "contiguous columns"]),
]

DTYPES = [
    ({"stamps": zeros(2, 3)}, ["stamps is float32", "int64"]),
    ({"stamps": zeros(2, 3, dtype=np.int32)}, ["stamps is int32", "int64 or float64 or float32"]),
    ({"stamps": zeros(2, 3, dtype="M8[ns]")}, ["stamps is of dtype datetime64[ns]", "int64 ns", ".view('int64')"]),
    ({"at": zeros(2, 5, dtype=np.uint64)}, ["at is uint64", "int64 or float64 or float32"]),
    ({"values": zeros(2, 3, 4, dtype=np.complex64)}, ["values is of dtype complex64", "float, integer or bool"]),
    ({"values": zeros(2, 3, 4, dtype=object)}, ["values is of dtype object", "float, integer or bool"]),
    ({"values": zeros(2, 3, 4, dtype="U3")}, ["values is of dtype <U3", "float, integer or bool"]),
    ({"values": zeros(2, 3, 4, dtype=">f4")}, ["values is of dtype >f4", "native byte order"]),
    ({"lengths": zeros(2)}, ["lengths is float32", "int32 or int64"]),
    (
        {"values": zeros(6, 4), "stamps": zeros(6, dtype=I64), "offsets": zeros(3, dtype="u1")},
        ["offsets is uint8", "int"],
    ),
]

OPTIONS = [
    ({"interp": "cubic"}, ["interp is 'cubic'", "'hold', 'nearest', 'linear', 'slerp'"]),
    ({"interp": 3}, ["interp is '3'", "'linear'"]),
    ({"outside": "clamp"}, ["outside is 'clamp'", "'hold', 'nan', 'extrapolate', 'error'"]),
    ({"outside": ("hold", "hold", "hold")}, ["outside has 3 items", "(before, after)"]),
    ({"outside": ("hold", None)}, ["outside is 'None'", "'hold'"]),
    ({"max_gap_ns": -1}, ["max_gap_ns is -1", ">= 0"]),
    ({"max_age_ns": -5}, ["max_age_ns is -5", ">= 0"]),
    ({"check": "later"}, ["check is 'later'", "'auto', 'now' or 'off'"]),
]

NO_ARRAYS = [
    ({"values": [[1.0]]}, ["values is list", "array"]),
    ({"stamps": [0, 1, 2]}, ["stamps is list", "array"]),
    ({"at": 5}, ["at is int", "array"]),
    ({"out": [[0.0]]}, ["out", "array"]),
]


@pytest.mark.parametrize(("changed", "says"), SHAPES + DTYPES + OPTIONS + NO_ARRAYS, ids=lambda x: str(x)[:60])
def test_messages(changed: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        rc.resample(**arguments(**changed))
    assert isinstance(raised.value, rc.InvalidArgument)
    for text in says:
        assert text in str(raised.value), raised.value


def test_the_call_that_the_messages_are_about_works() -> None:
    assert rc.resample(**arguments()).shape == (2, 5, 4)


@pytest.mark.parametrize("option", ["max_gap_ns", "max_age_ns", "offset_ns"])
def test_times_in_options_are_whole_nanoseconds(option: str) -> None:
    with pytest.raises(TypeError):
        rc.Stream(zeros(1, 1, 1), zeros(1, 1, dtype=I64), **{option: 0.5})


@pytest.mark.parametrize("interp", ["linear", "slerp"])
@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8"])
def test_blending_integers_is_not_implemented(interp: str, dtype: str) -> None:
    with pytest.raises(
        NotImplementedError, match=rf"interp is {interp}, expected hold or nearest for {dtype}"
    ) as raised:
        rc.resample(**arguments(values=zeros(2, 3, 4, dtype=dtype), interp=interp))
    assert isinstance(raised.value, rc.Unsupported)


def test_floats_are_not_written_to_integers() -> None:
    with pytest.raises(NotImplementedError, match=r"out is int32, expected float32 \(as the values\) or a float dtype"):
        rc.resample(**arguments(out=zeros(2, 5, 4, dtype=np.int32)))


def test_slerp_needs_groups_of_four() -> None:
    with pytest.raises(ValueError, match=r"values is \[2, 3, 6\], expected a multiple of 4 columns for slerp"):
        rc.resample(**arguments(values=zeros(2, 3, 6), interp="slerp"))


def test_a_stream_is_named_by_its_name_or_number() -> None:
    good, bad = (rc.Stream(zeros(2, 1), np.array(s)) for s in ([0, 1], [1, 0]))
    at = np.array([0])
    with pytest.raises(ValueError, match=r"streams\[1\]\.stamps"):
        rc.align([good, bad], at)
    named = rc.Stream(zeros(2, 1), np.array([1, 0]), name="wrist")
    with pytest.raises(ValueError, match=r"wrist.*\.stamps"):
        rc.align([good, named], at)


@pytest.mark.parametrize(
    ("streams", "says"),
    [([], "streams is empty"), (None, "streams"), ([1], r"streams\[0\] is int, expected robocache.Stream")],
)
def test_streams_must_be_streams(streams: Any, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        rc.align(streams, np.array([0]))


def test_align_outputs() -> None:
    stamps, at = np.array([0, 1]), np.array([0])
    streams = [rc.Stream(zeros(2, 1), stamps), rc.Stream(zeros(2, 2), stamps)]
    with pytest.raises(ValueError, match=r"out is a list of 3 arrays, expected one for each of the 2 streams"):
        rc.align(streams, at, out=[zeros(1, 1)] * 3)
    with pytest.raises(ValueError, match=r"out\[1\] is .*1\], expected .*D=2\]"):
        rc.align(streams, at, out=[zeros(1, 1), zeros(1, 1)])
    with pytest.raises(ValueError, match=r"out is float32, expected dtype=float64"):
        rc.align(streams, at, out=zeros(1, 3), dtype="float64")
    with pytest.raises(ValueError, match=r"dtype is float8, expected"):
        rc.align(streams, at, dtype="float8")
    frozen = zeros(1, 3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"out is read-only.*expected a writable array"):
        rc.align(streams, at, out=frozen)


def test_outputs_have_memory_of_their_own() -> None:
    values, stamps = zeros(2, 5, 4), np.array([[0, 1, 2, 3, 4]] * 2)
    with pytest.raises(ValueError, match=r"resample: out is in the memory of values, expected memory of its own"):
        rc.resample(values, stamps, zeros(2, 5, dtype=I64), out=values)
    both = zeros(2, 5, 4)
    streams = [rc.Stream(values, stamps)] * 2
    with pytest.raises(ValueError, match=r"out\[1\] is in the memory of out\[0\], expected memory of its own"):
        rc.align(streams, zeros(2, 5, dtype=I64), out=[both, both])
    halves = zeros(2, 5, 8)  # in the gaps of one another
    rc.align(streams, zeros(2, 5, dtype=I64), out=[halves[..., :4], halves[..., 4:]])


def test_batches_must_agree() -> None:
    stamps = np.array([0, 1])
    streams = [rc.Stream(zeros(2, 2, 1), stamps), rc.Stream(zeros(3, 2, 1), stamps)]
    with pytest.raises(ValueError, match=r"streams\[1\]\.values is \[3, 2, 1\], expected \[B=2"):
        rc.align(streams, np.array([0]))


def test_faults_in_the_data_name_row_and_item(device: Home) -> None:
    values, at = device.array(np.zeros((2, 3, 1))), device.times([0])
    clock = device.times([0, 1, 2])
    for stream, says in [
        (
            rc.Stream(values, device.times([[0, 1, 2], [0, 2, 1]])),
            r"stamps is decreasing.*row 1, sample 2.*non-decreasing",
        ),
        (rc.Stream(values, clock, lengths=device.times([3, 4])), r"lengths.*row 1, expected 0 <= length <= S"),
        (rc.Stream(values, clock, lengths=device.times([-1, 3])), r"lengths is negative.*row 0"),
        (
            rc.Stream(device.array(np.zeros((3, 1))), clock, offsets=device.times([0, 2, 1])),
            r"offsets is decreasing.*row 1, expected 0 <= offsets\[g\]",
        ),
        (rc.Stream(values, clock, outside="error"), r"at is outside.*row 1, target 0.*'error'"),
    ]:
        late = device.times([[1], [3]]) if "target" in says else at
        with pytest.raises(ValueError, match=says):
            rc.align([stream], late, check="now")


def test_errors_are_the_standard_ones_too() -> None:
    assert issubclass(rc.InvalidArgument, ValueError)
    assert issubclass(rc.Unsupported, NotImplementedError)
    assert issubclass(rc.DataError, OSError)
    assert issubclass(rc.CudaError, RuntimeError)
    assert issubclass(rc.OutOfMemory, MemoryError)


def test_out_of_memory_says_how_much() -> None:
    """An output of 2^50 bytes from stride-0 inputs."""
    values = np.broadcast_to(zeros(1, 1), (1 << 20, 1, 1))
    at = np.broadcast_to(np.array([0]), (1 << 28,))
    with pytest.raises(MemoryError, match=r"\d+ bytes|GiB|TiB|PiB") as raised:
        rc.resample(values, np.array([0]), at)
    assert isinstance(raised.value, rc.OutOfMemory)


def test_cuda_arrays_in_a_build_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if rc.check_installation()["cuda_build"] or not torch.cuda.is_available():
        pytest.skip("needs torch with CUDA beside a RoboCache without it")
    with pytest.raises(NotImplementedError, match="no CUDA backend"):
        rc.resample(torch.zeros(1, 1, device="cuda"), torch.zeros(1, device="cuda"), torch.zeros(1, device="cuda"))


def test_other_devices_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises((ValueError, BufferError), match=r"meta|device"):
        rc.resample(
            torch.zeros(1, 1, device="meta"), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
        )
