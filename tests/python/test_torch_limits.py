"""robocache.torch: what it takes, and what it refuses with a word that helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from torch_logs import call, log, rt, targets, torch

# --- Arrays -----------------------------------------------------------------------------------------------------------


class Mode(torch.utils._python_dispatch.TorchDispatchMode):
    """Any mode takes a call through torch's dispatcher."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("given", ["values", "stamps", "at", "mask", "lengths"])
@pytest.mark.parametrize("stream", [rt.Stream, rc.Stream])
def test_arrays_are_tensors(given: str, stream: Any) -> None:
    values, stamps = log("cpu", 3)
    inputs = {"values": values, "stamps": stamps, "at": targets("cpu")}
    inputs["mask"] = torch.ones(stamps.shape, dtype=torch.bool)
    inputs["lengths"] = torch.tensor([6, 6])
    inputs[given] = inputs[given].detach().numpy()
    at = inputs.pop("at")
    streams = [stream(inputs.pop("values"), inputs.pop("stamps"), **inputs)]
    subject = given if given == "at" else rf"streams\[0\].{given}"
    for context in (torch.enable_grad(), torch.no_grad(), Mode()):
        with context, pytest.raises(ValueError, match=f"^align: {subject} is ndarray, expected torch.Tensor"):
            rt.align(streams, at)


def test_what_is_no_stream() -> None:
    with pytest.raises(ValueError, match=r"align: streams\[0\] is Tensor, expected robocache.Stream"):
        rt.align([torch.zeros(3)], targets("cpu"))


def test_modes_give_the_same(where: Any) -> None:
    values, stamps = log(where, 7)
    streams, at = [rt.Stream(values, stamps, interp="se3", outside=(np.float32(2.5), "nan"))], targets(where)
    found = []
    for mode in (torch.enable_grad(), Mode()):
        with mode:
            out = rt.align(streams, at).values
            found.append((out.detach(), *torch.autograd.grad(out.nan_to_num().sum(), values)))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_a_mask_is_bool(where: Any, dtype: Any) -> None:
    values, stamps = log(where, 3)
    mask = torch.ones(stamps.shape, device=where, dtype=dtype)
    for f in (rt.resample, torch.compile(rt.resample, backend="aot_eager")):
        with pytest.raises(ValueError, match=f"mask is {str(dtype)[6:]}, expected bool"):
            f(values, stamps, targets(where), mask=mask)


# --- Derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jvp's own
@pytest.mark.parametrize("transform", ["grad", "vjp", "jacrev", "jvp", "vmap"])
def test_transforms_of_torch_func_are_refused(where: Any, transform: str) -> None:
    values, stamps = log(where, 3)
    values, at = values.detach(), targets(where)

    def total(v: Any) -> Any:
        return rt.resample(v, stamps, at).sum()

    calls = {
        "grad": lambda: torch.func.grad(total)(values),
        "vjp": lambda: torch.func.vjp(total, values),
        "jacrev": lambda: torch.func.jacrev(total)(values),
        "jvp": lambda: torch.func.jvp(total, (values,), (values,)),
        "vmap": lambda: torch.func.vmap(total)(torch.stack([values, values])),
    }
    says = transform if transform in ("jvp", "vmap") else "grad"
    with pytest.raises(NotImplementedError, match=f"align: the call is under torch.func's {says}, expected"):
        calls[transform]()


def test_functionalized_calls_are_none_of_them() -> None:
    values, stamps = log("cpu", 3)
    f = torch.func.functionalize(lambda v: rt.resample(v, stamps, targets("cpu")))
    torch.testing.assert_close(f(values.detach()), rt.resample(values.detach(), stamps, targets("cpu")))


def test_batches_of_gradients_are_refused(where: Any) -> None:
    values, stamps = log(where, 3)
    streams, at = [rt.Stream(values, stamps)], targets(where)
    for out in (rt.align(streams, at).values, torch.ops.robocache.align(*call(streams, at))[0][0]):
        upstream = torch.ones(4, *out.shape, device=where, dtype=out.dtype)
        for create in (False, True):
            with pytest.raises(NotImplementedError, match="align: grad_out is a batch of gradients"):
                torch.autograd.grad(
                    out, values, upstream, is_grads_batched=True, create_graph=create, retain_graph=True
                )
        with pytest.raises(NotImplementedError, match="align: grad_out is a batch of gradients"):
            torch.func.vmap(lambda g, out=out: torch.autograd.grad(out, values, g, retain_graph=True))(upstream)


# --- Numbers among the options ----------------------------------------------------------------------------------------

NUMBERS = [
    ({"max_gap_ns": 15}, np.int64),
    ({"max_age_ns": 4}, np.int32),
    ({"offset_ns": 3}, np.int16),
    ({"outside": 2.5}, np.float64),
    ({"outside": 2.5}, np.float32),
]


@pytest.mark.parametrize(("options", "scalar"), NUMBERS)
def test_numbers_of_numpy(where: Any, options: dict[str, Any], scalar: Any) -> None:
    values, stamps = log(where, 3)
    at = targets(where)
    given = {k: scalar(v) for k, v in options.items()}
    want = rt.align([rt.Stream(values, stamps, **options)], at)
    for stream in (rt.Stream, rc.Stream):
        for context in (torch.enable_grad(), torch.no_grad(), Mode()):
            with context:
                got = rt.align([stream(values, stamps, **given)], at)
            torch.testing.assert_close(tuple(got), tuple(want), rtol=0, atol=0)


@pytest.mark.parametrize(("options", "scalar"), NUMBERS)
def test_numbers_of_numpy_in_traced_code(options: dict[str, Any], scalar: Any) -> None:
    """torch.compile takes them for arrays: it says so, and runs the call as it is where it may."""
    torch._dynamo.reset()
    values, stamps = log("cpu", 3)
    at = targets("cpu")
    ((name, number),) = options.items()
    given = scalar(number)

    def f(v: Any) -> Any:
        return rt.resample(v, stamps, at, **{name: given})

    with pytest.raises(
        Exception, match=f"align: {name} is an array or a number of numpy or torch in code that is traced"
    ):
        torch.compile(f, backend="aot_eager", fullgraph=True)(values)
    torch._dynamo.reset()
    want = rt.resample(values, stamps, at, **options)
    torch.testing.assert_close(torch.compile(f, backend="aot_eager")(values), want, rtol=0, atol=0)


@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize(
    ("option", "numbers"), [("max_gap_ns", (3, 9, 20)), ("offset_ns", (0, 5, -7)), ("outside", (0.5, -2.5, 7.25))]
)
def test_a_compiled_call_takes_other_numbers(option: str, numbers: Any, dynamic: bool | None) -> None:
    torch._dynamo.reset()
    values, stamps = log("cpu", 3)
    at = targets("cpu")

    def f(v: Any, number: Any) -> Any:
        result = rt.align([rt.Stream(v, stamps, **{option: number})], at)
        return result.values, result.valid

    compiled = torch.compile(f, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for number in numbers:
        torch.testing.assert_close(compiled(values, number), f(values, number), rtol=0, atol=0)


def test_columns_may_be_symbols() -> None:
    torch._dynamo.reset()
    _, stamps = log("cpu", 1)
    at = targets("cpu")

    def f(v: Any) -> Any:
        return rt.resample(v, stamps, at, interp=[("linear", v.shape[-1] - 1), ("hold", 1)])

    compiled = torch.compile(f, backend="aot_eager", fullgraph=True, dynamic=True)
    for columns in (3, 4, 6):
        values, _ = log("cpu", columns)
        torch.testing.assert_close(compiled(values), f(values), rtol=0, atol=0)


def test_options_of_a_stream_are_plain() -> None:
    values, stamps = log("cpu", 3)
    outside = {
        0: 0.0,
        np.float32(2.5): 2.5,
        float("nan"): "nan",
        ("hold", "hold"): "hold",
        ("error", 1): ("error", 1.0),
    }
    for given, want in outside.items():
        got = rc.Stream(values, stamps, outside=given).outside
        assert got == want
        assert type(got) is type(want)
