"""A package that was built without nvcc imports, computes on the CPU, and says why it has no CUDA."""

import sys
from pathlib import Path

import numpy as np
import robocache as rc

assert Path(rc.__file__).is_relative_to(Path(sys.argv[1])), rc.__file__
assert not rc.is_cuda_available()
assert rc.self_test()

stamps_ns = np.array([[0, 1000, 2000]])
rows = rc.resample(np.array([[[0.0], [10.0], [20.0]]]), stamps_ns, np.array([[250, 1500]]))
assert np.array_equal(rows, [[[2.5], [15.0]]]), rows

report = rc.check_installation()
print(report["cuda_reason"])
assert not report["cuda_build"]
assert "CUDA" in report["cuda_reason"], report["cuda_reason"]
