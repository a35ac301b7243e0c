"""Runs robocache.align on what the oracle is given, and compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import robocache as rc
from arrays import Home, dtype_name, numbers
from reference.align_answer import Expected, disagreement, rounded
from reference.align_cases import Case, by_hand, load, output_dtype
from reference.align_oracle import Stream


def rows(contract: str) -> pytest.MarkDecorator:
    """The cases of one row of the table."""
    cases = [case for case in load() if case.contract == contract and not case.engine_only]
    assert cases, contract
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def to_stream(home: Home, stream: Stream, layout: str = "plain") -> rc.Stream:
    def optional(a: np.ndarray | None) -> Any:
        return None if a is None else home.array(a, str(a.dtype))

    return rc.Stream(
        home.array(stream.values, stream.dtype, layout),
        home.array(stream.stamps, str(stream.stamps.dtype)),
        interp=stream.interp,
        outside=stream.outside,
        max_gap_ns=stream.max_gap_ns,
        max_age_ns=stream.max_age_ns,
        offset_ns=stream.offset_ns,
        lengths=optional(stream.lengths),
        offsets=optional(stream.offsets),
        mask=optional(stream.mask),
        missing=stream.missing,
        quaternion=stream.quaternion,
    )


def run(home: Home, case: Case, **options: Any) -> rc.AlignResult:
    streams = [to_stream(home, s, layout) for s, layout in zip(case.streams, case.layouts, strict=True)]
    return rc.align(streams, home.array(case.at, str(case.at.dtype)), dtype=case.dtype, **options)


def assert_answer(home: Home, case: Case, result: rc.AlignResult, expected: list[Expected]) -> None:
    """The result is the oracle's answer, and the oracle's answer is the written one where there is one."""
    valid, age = numbers(result.valid), numbers(result.age_ns)
    assert dtype_name(result.valid) == "bool"
    assert dtype_name(result.age_ns) == "int64"
    parts = result.split()
    assert len(parts) == len(case.streams)
    for i, (stream, want, got) in enumerate(zip(case.streams, expected, parts, strict=True)):
        dtype = output_dtype(case, stream)
        assert home.owns(got)
        assert dtype_name(got) == dtype
        assert disagreement(want, numbers(got), dtype) == "", f"streams[{i}]"
        np.testing.assert_array_equal(valid[..., i], want.valid, f"valid of streams[{i}]")
        np.testing.assert_array_equal(age[..., i], want.age_ns, f"age_ns of streams[{i}]")
    if case.expect:
        hand_values, hand_valid, hand_age = by_hand(case)
        for stream, want, hand in zip(case.streams, expected, hand_values, strict=True):
            dtype = output_dtype(case, stream)
            assert disagreement(want, rounded(hand, dtype), dtype) == "", "the oracle and the case table disagree"
        np.testing.assert_array_equal(valid, hand_valid)
        np.testing.assert_array_equal(age, hand_age)


def assert_oracle(home: Home, case: Case) -> None:
    assert_answer(home, case, run(home, case, check="now"), case.answer())


def check(home: Home, case: Case) -> None:
    """One case of the table: the answer, or the error that it expects."""
    if case.error is None:
        result = run(home, case, check="now")
        assert_answer(home, case, result, case.answer())
        return
    assert case.expect is not None
    error = {"InvalidArgument": ValueError, "Unsupported": NotImplementedError}[case.error]
    with pytest.raises(error) as raised:
        run(home, case, check="auto").check()
    for text in case.expect["says"]:
        assert text in str(raised.value), f"{raised.value} lacks {text}"
