"""Alignment: one stream or several, resampled at new times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from robocache_bench.operators import Operator
from robocache_bench.operators.align import bars, cases, cpp
from robocache_bench.operators.align.cases import Case
from robocache_bench.operators.align.inputs import STAMP_BYTES, Inputs
from robocache_bench.operators.align.needs import bytes_moved, operations
from robocache_bench.operators.align.oracle import Oracle, tolerance
from robocache_bench.peers import Peer
from robocache_bench.results import Log, Results, Row, is_ours


class Align(Operator):
    """Its times are those of calls on the streams of a shape; bytes and operations are counted from their stamps."""

    name = "align"
    modules: ClassVar = {
        "cpu": ("ours", "torch_eager_compile", "numpy_interp", "scipy_rows", "jax_jit"),
        "cuda": ("ours", "ours_torch", "torch_eager_compile", "triton_align", "jax_jit", "cupy_fused"),
    }

    def cases(self, device: str, points: Path | None) -> list[Case]:
        return cases.cpu_cases() if device == "cpu" else cases.cuda_cases()

    def inputs(self, case: Case, random: np.random.Generator) -> Inputs:
        return Inputs(case, random)

    def oracle(self, x: Inputs, random: np.random.Generator) -> Oracle:
        return Oracle(x, random)

    def tolerance(self, case: Case) -> float:
        return tolerance(case)

    def facts(self, case: Case, peer: Peer, x: Inputs) -> Row:
        """Bytes are those of `x`, in the dtypes that the peer reads and writes."""
        age_bytes = 8 if peer.reads == "int64 ns" or is_ours({"peer": peer.name}) else 4
        return {
            "shape": case.shape.name,
            "interp": case.interp,
            "dtype": case.dtype,
            "marks": case.marks,
            "stamps": peer.reads,
            "bytes": bytes_moved(case, x.stamps_ns, x.at_ns, STAMP_BYTES[peer.reads], age_bytes),
            "operations": operations(case),
            "asked": case.asked,
        }

    def cpp_rows(self, folder: Path, device: str, seed: int, log: Log) -> list[Row]:
        return cpp.run(folder, device, seed, log)

    def judge(self, results: Results, peers: Mapping[str, Row]) -> None:
        bars.judge(results, peers)

    def label(self, row: Row) -> str:
        extras = [row["interp"]] if row["interp"] != "linear" else []
        extras += [{"bfloat16": "bf16", "float32": "f32"}.get(row["dtype"], row["dtype"])]
        extras += ["valid and age"] if row["marks"] else []
        return f"{row['shape']}, {', '.join(extras)}"

    def curve(self, row: Row) -> str | None:
        return "linear" if row["interp"] == "linear" else None


OPERATOR = Align()
