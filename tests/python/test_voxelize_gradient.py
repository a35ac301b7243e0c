"""voxelize_gradient: against a naive oracle, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.voxelize_oracle import Grid, gradient, sparse, voxel_of
from test_voxelize import FEATURES, assert_same_bits, cloud, options, stored
from test_voxelize_sparse import cut

UNIT = Grid((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (3, 1, 1))


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 2, 30, 700]),
    columns=st.sampled_from([0, 1, 3, 5]),
    shape=st.sampled_from([(1, 1, 1), (7, 9, 2), (16, 1, 40)]),
    reduce=st.lists(st.sampled_from(FEATURES), unique=True, min_size=1),
    dtypes=st.tuples(*[st.sampled_from(["float32", "float64", "float16"])] * 2),
    clouds=st.sampled_from([1, 1, 3]),
)
def test_answers_like_the_oracle(
    seed: int,
    n: int,
    columns: int,
    shape: tuple[int, int, int],
    reduce: list[str],
    dtypes: tuple[str, str],
    clouds: int,
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
    offsets = ends if clouds > 1 else None
    got = rc.voxelize_gradient(points, features, grads, **options(grid), reduce=reduce, offsets=offsets)
    flat, rows = voxel_of(stored(points, dtypes[0]), grid), stored(features, dtypes[1])
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
    assert_same_bits(got, want.astype(dtypes[1]))


def test_padding_and_dropped_points_have_zeros() -> None:
    points = np.full((2, 4, 3), 0.5)
    points[0, 1] = np.nan
    features = np.arange(8.0).reshape(2, 4, 1)[:, ::-1]
    got = rc.voxelize_gradient(
        points, features, [np.ones((2, 3, 1, 1, 1))], **options(UNIT), reduce="max", lengths=np.array([3, 2])
    )
    assert got[..., 0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]


def test_the_first_of_equals_and_of_nan_has_the_gradient() -> None:
    points = np.array([[0.5, 0, 0]] * 4 + [[1.5, 0, 0]] * 4 + [[2.5, 0, 0]] * 2)
    features = np.array([[3.0], [1.0], [1.0], [3.0], [np.inf], [np.nan], [-np.inf], [np.nan], [0.0], [-0.0]])
    one = np.ones((3, 1, 1, 1))
    least, most = (
        rc.voxelize_gradient(points, features, [one], **options(UNIT), reduce=name) for name in ("min", "max")
    )
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


def test_cuda_is_refused(cuda: Home) -> None:
    points = cuda.array([[0.5, 0.5, 0.5]])
    grad_out = [cuda.array(np.ones((3, 1, 1, 3)))]
    with pytest.raises(NotImplementedError, match="voxelize_gradient: points is on CUDA, expected on the CPU"):
        rc.voxelize_gradient(points, points, grad_out, **options(UNIT), reduce="sum")
