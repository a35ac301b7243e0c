"""What other libraries may lack, and what RoboCache then says."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import numpy as np
import pytest
import robocache as rc
from robocache._frameworks import check_result, from_numpy

TEXT = r"align: dtype is bfloat16, which numpy has only with ml_dtypes, expected .*; hint: pip install ml_dtypes"


def test_bfloat16_without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    stream = rc.Stream(np.zeros((2, 1), np.float32), np.array([0, 1]))
    with pytest.raises(rc.Unsupported, match=TEXT):
        rc.align([stream], np.array([0]), dtype="bfloat16")
    assert rc.align([stream], np.array([0]), dtype="float16").values.dtype == np.float16


def test_only_numpy_needs_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for library in ("torch", "jax", "cupy"):
        check_result("align", library, "bfloat16")
    for library in ("numpy", "other"):
        check_result("align", library, "float16")
        with pytest.raises(rc.Unsupported, match=TEXT):
            check_result("align", library, "bfloat16")


@pytest.mark.parametrize("new", [True, False])
def test_jax_of_any_age_keeps_64_bits(monkeypatch: pytest.MonkeyPatch, new: bool) -> None:
    """jax.enable_x64 was jax.experimental.enable_x64; without it, results would be cut to 32 bits."""
    jax = pytest.importorskip("jax")
    if not new:
        flag = jax.config.jax_enable_x64

        @contextmanager
        def enable_x64(new_val: bool = True):
            jax.config.update("jax_enable_x64", new_val)
            yield
            jax.config.update("jax_enable_x64", flag)

        monkeypatch.delattr(jax, "enable_x64", raising=False)
        monkeypatch.setattr("jax.experimental.enable_x64", enable_x64, raising=False)
    with jax.default_device(jax.devices("cpu")[0]):
        values, one = jax.numpy.zeros((2, 1)), jax.numpy.zeros(1)
    result = rc.align([rc.Stream(values, np.array([0, 1]))], np.array([2**40]))
    assert result.age_ns.dtype == "int64"
    assert int(result.age_ns[0, 0]) == 2**40 - 1
    large = from_numpy(one, np.array([2**40]))
    assert large.dtype == "int64"
