"""What rc.Loader makes of `normalize`."""

from __future__ import annotations

import numpy as np
import pytest
import robocache as rc
from made_store import made_store


def test_normalized_values_can_be_restored():
    store = made_store(streams=("state", "action"))
    loader = rc.Loader(
        store,
        {"state": rc.last(2), "action": rc.last(1)},
        53,
        normalize={"state": "mean_std", "action": "min_max"},
        dtype="float64",
        framework="numpy",
    )
    batch = next(iter(loader))
    assert batch["state"].dtype == np.float64
    assert abs(batch["state"][:, 1].mean()) < 1e-6
    assert abs(batch["state"][:, 1].std() - 1) < 1e-6
    assert batch["action"].min() == pytest.approx(-1, abs=1e-5)
    assert batch["action"].max() == pytest.approx(1, abs=1e-5)
    assert loader.normalizers["state"].statistics["mean"].tolist() == [26, -26]
    restored = loader.normalizers["action"].restore(batch["action"][:, 0])
    np.testing.assert_allclose(restored, store.values("action")[batch["index"]], rtol=1e-5, atol=1e-4)


def test_statistics_of_ones_own():
    store = made_store()
    given = {"state": {"mean": [1, 2], "std": [4, 0]}}
    batch = next(iter(rc.Loader(store, {"state": rc.last(1)}, 4, shuffle=False, normalize=given, framework="numpy")))
    np.testing.assert_array_equal(batch["state"][:, 0], [[(i - 1) / 4, 0] for i in range(4)])


def test_values_without_statistics_are_named():
    builder = rc.StoreBuilder([rc.StreamInfo("state", (2,), "float32", None, "float")])
    builder.append(0, {"state": (np.array([[0, np.nan], [1, 2]], np.float32), np.arange(2))})
    with pytest.raises(rc.DataError, match="the mean of stream 'state', column 1, is nan"):
        rc.Loader(builder.finish(), {"state": rc.last(1)}, 1, normalize="mean_std")


def test_a_column_that_never_changes_becomes_0():
    builder = rc.StoreBuilder([rc.StreamInfo("state", (3,), "float64", None, "float")])
    builder.append(0, {"state": (np.array([[0.1, k, 1.7e9] for k in range(1000)]), np.arange(1000))})
    store = builder.finish()
    for mode in ("mean_std", "min_max"):
        loader = rc.Loader(store, {"state": rc.last(1)}, 1000, shuffle=False, normalize=mode, framework="numpy")
        values = next(iter(loader))["state"][:, 0]
        assert not values[:, [0, 2]].any()
        restored = loader.normalizers["state"].restore(values)
        np.testing.assert_allclose(restored, store.values("state"), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("std is negative in column 1", {"mean": [0, 0], "std": [1, -2]}),
        ("min is more than max in column 0", {"min": [5, 0], "max": [1, 1]}),
        ("column 1 is 1.7e+09 +- 1", {"mean": [0, 1.7e9], "std": [1, 1]}),
        ("expected numbers", {"mean": "x", "std": [1, 1]}),
        ("has 1, expected mean and std", {1: 2}),
    ],
)
def test_statistics_that_no_values_have_are_refused(text, how):
    with pytest.raises(ValueError) as error:
        rc.Loader(made_store(), {"state": rc.last(1)}, 4, normalize={"state": how})
    assert text in str(error.value)


def test_a_held_out_set_is_normalized_as_the_training_set_was():
    train = rc.Loader(made_store((50,)), {"state": rc.last(1)}, 4, normalize="mean_std")
    held = rc.Loader(made_store((9,)), {"state": rc.last(1)}, 4, normalize=train.normalizers)
    np.testing.assert_array_equal(held.normalizers["state"].scale, train.normalizers["state"].scale)
