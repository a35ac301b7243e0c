"""voxelize_gradient: against a naive oracle, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import FLOATS, Home, numbers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.voxelize_oracle import Grid, gradient, sparse, transformed, voxel_of
from test_voxelize import FEATURES, assert_same_bits, cloud, options, scene, stored
from test_voxelize_sparse import cut

UNIT = Grid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (3, 1, 1))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 2, 30, 700]),
    columns=st.sampled_from([0, 1, 3, 5]),
    shape=st.sampled_from([(1, 1, 1), (7, 9, 2), (16, 1, 40)]),
    reduce=st.lists(st.sampled_from(FEATURES), unique=True, min_size=1),
    dtypes=st.tuples(*[st.sampled_from(["float32", "float64", "float16"])] * 2),
    clouds=st.sampled_from([1, 1, 3]),
    moved=st.booleans(),
)
def test_answers_like_the_oracle(
    device: Home,
    seed: int,
    n: int,
    columns: int,
    shape: tuple[int, int, int],
    reduce: list[str],
    dtypes: tuple[str, str],
    clouds: int,
    moved: bool,
) -> None:
    grid = Grid((0.37, 0.1, 1.0), (-1.25, 0.0, -3.0), shape)
    made = np.random.default_rng(seed)
    points, features = cloud(seed, n, grid, columns)
    features = np.where(made.random(features.shape) < 0.2, np.round(features), features)  # equal ones
    features[made.random(features.shape) < 0.02] = np.nan
    points, features = points.astype(dtypes[0]), features.astype(dtypes[1])
    ends = cut(made, n, clouds)
    batch = () if clouds == 1 else (clouds,)
    grads = [made.normal(size=(*batch, *shape, columns)).astype(dtypes[1]) for _ in reduce]
    transform = made.normal(size=(4, 4)) if moved else None
    got = rc.voxelize_gradient(
        device.array(points, dtypes[0]),
        device.array(features, dtypes[1]),
        [device.array(grad, dtypes[1]) for grad in grads],
        **options(grid),
        reduce=reduce,
        offsets=None if clouds == 1 else device.times(ends),
        transform=None if transform is None else device.array(transform, "float64"),
    )
    flat, rows = voxel_of(transformed(stored(points, dtypes[0]), transform), grid), stored(features, dtypes[1])
    want = np.zeros_like(rows)
    for b in range(clouds):
        mine = np.arange(ends[b], ends[b + 1])
        answer = sparse(flat[mine])
        for voxel, members in zip(answer.voxels, answer.rows, strict=True):
            by = {
                name: stored(grad.reshape(clouds, np.prod(shape), columns)[b, voxel], dtypes[1])
                for name, grad in zip(reduce, grads, strict=True)
            }
            want[mine[members]] = gradient(rows[mine[members]], by)
    assert_same_bits(numbers(got), want.astype(dtypes[1]))


def test_padding_and_dropped_points_have_zeros(device: Home) -> None:
    points = np.full((2, 4, 3), 0.5)
    points[0, 1] = np.nan
    arrays = device.array(points), device.array(np.arange(8.0).reshape(2, 4, 1)[:, ::-1])
    one, lengths = device.array(np.ones((2, 3, 1, 1, 1))), device.times([3, 2])
    for reduce, want in (("max", [[1, 0, 0, 0], [1, 0, 0, 0]]), ("sum", [[1, 0, 1, 0], [1, 1, 0, 0]])):
        got = rc.voxelize_gradient(*arrays, [one], **options(UNIT), reduce=reduce, lengths=lengths)
        assert numbers(got)[..., 0].tolist() == want


def test_the_first_of_equals_and_of_nan_has_the_gradient(device: Home) -> None:
    points = np.array([[0.5, 0, 0]] * 4 + [[1.5, 0, 0]] * 4 + [[2.5, 0, 0]] * 2)
    features = np.array([[3.0], [1.0], [1.0], [3.0], [np.inf], [np.nan], [-np.inf], [np.nan], [0.0], [-0.0]])
    arrays = device.array(points), device.array(features), [device.array(np.ones((3, 1, 1, 1)))]
    least, most = (numbers(rc.voxelize_gradient(*arrays, **options(UNIT), reduce=name)) for name in ("min", "max"))
    assert least[:, 0].tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 1, 0]
    assert most[:, 0].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            {"reduce": "count"},
            r"gradients\[0\].reduce is count, expected a reduction of features; counts have no gradient",
        ),
        ({"reduce": ("sum", "max")}, "grad_out is 1 arrays, expected one for each of 2 reductions"),
        ({"grad_out": [np.zeros((3, 1, 1, 2))]}, r"gradients\[0\].grad_out is \[3, 1, 1, 2\], expected \[3, 1, 1, 3\]"),
        ({"grad_out": [np.zeros((3, 1, 1, 3), "f")]}, r"gradients\[0\].grad_out is float32, expected float64"),
        ({"grad_out": [np.zeros((3, 1, 1, 6))[..., ::2]]}, r"gradients\[0\].grad_out is strided, expected contiguous"),
        ({"offsets": np.array([0, 5])}, "offsets is 0 to 5 of cloud 0"),
    ],
)
def test_errors_name_what_is_wrong(wrong: dict[str, Any], text: str) -> None:
    points = np.zeros((4, 3))
    call = {"points": points, "features": points, "grad_out": [np.zeros((3, 1, 1, 3))], "reduce": "sum"}
    with pytest.raises(rc.InvalidArgument, match=f"voxelize_gradient: {text}"):
        rc.voxelize_gradient(**{**call, **options(UNIT), **wrong})


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 16, 33])
@pytest.mark.parametrize("ends", [None, [10, 30_000, 30_000, 99_000]])
def test_cuda_has_the_bits_of_the_cpu(cuda: Home, dtype: str, columns: int, ends: list[int] | None) -> None:
    made = np.random.default_rng([columns, FLOATS.index(dtype)])
    grid = Grid((0.1, 0.05, 0.2), (-2.0, 0.0, 1.0), (41, 37, 23))
    points = scene(made, 100_000, grid)
    features = np.round(made.normal(size=(100_000, columns)), 1)
    features[made.random(features.shape) < 0.01] = np.nan
    batch = () if ends is None else (len(ends) - 1,)
    grads = [made.normal(size=(*batch, *grid.shape, columns)) for _ in FEATURES]
    for reduce in (*((name,) for name in FEATURES), FEATURES):
        on_cpu, on_cuda = (
            rc.voxelize_gradient(
                home.array(points),
                home.array(stored(features, dtype), dtype),
                [home.array(stored(grad, dtype), dtype) for grad in grads[: len(reduce)]],
                **options(grid),
                reduce=reduce,
                offsets=None if ends is None else home.times(ends),
            )
            for home in (Home("torch", "cpu"), cuda)
        )
        assert_same_bits(numbers(on_cuda), numbers(on_cpu))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_a_call_can_be_captured_in_a_cuda_graph(cuda: Home, reduce: str) -> None:
    import torch

    made = np.random.default_rng(5)
    grid = Grid((0.1, 0.1, 0.1), (0, 0, 0), (30, 20, 25))
    points, features = cuda.array(scene(made, 20_000, grid)), cuda.array(made.normal(size=(20_000, 4)))
    grad_out = [cuda.array(made.normal(size=(30, 20, 25, 4)))]
    rc.voxelize_gradient(points, features, grad_out, **options(grid), reduce=reduce)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = rc.voxelize_gradient(points, features, grad_out, **options(grid), reduce=reduce)
    for _ in range(3):
        points.copy_(cuda.array(scene(made, 20_000, grid)))
        features.copy_(cuda.array(made.normal(size=(20_000, 4))))
        graph.replay()
        want = rc.voxelize_gradient(points, features, grad_out, **options(grid), reduce=reduce)
        assert_same_bits(numbers(got), numbers(want))


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_lengths_out_of_range_read_nothing_else_on_cuda(cuda: Home, reduce: str) -> None:
    points = cuda.array(np.full((2, 5, 3), 0.5))
    grad_out = [cuda.array(np.ones((2, 3, 1, 1, 3)))]
    got = rc.voxelize_gradient(points, points, grad_out, **options(UNIT), reduce=reduce, lengths=cuda.times([-3, 900]))
    assert numbers(got).sum(axis=(1, 2)).tolist() == [0, pytest.approx(15 if reduce == "sum" else 3)]
