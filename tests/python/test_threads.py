"""Many Python threads, and processes forked after first use."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import robocache as rc
from arrays import Home, numbers
from calls import run
from reference.align_cases import load


def test_many_threads_at_once(home: Home) -> None:
    cases = [c for c in load() if not c.engine_only and c.error is None and c.batch * c.at.shape[-1] < 600]
    want = [[numbers(part) for part in run(home, case, check="now").split()] for case in cases]

    def worker(first: int) -> None:
        for k in range(len(cases)):
            i = (first + k) % len(cases)
            for a, b in zip(run(home, cases[i], check="now").split(), want[i], strict=True):
                np.testing.assert_array_equal(numbers(a), b)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(worker, 11 * i) for i in range(8)]:
            done.result()


def test_errors_reach_the_thread_that_made_them(device: Home) -> None:
    values, at = device.array([[1], [2]]), device.times([5])
    sorted_, unsorted = device.times([0, 10]), device.times([10, 0])

    def worker(i: int) -> int:
        errors = 0
        for k in range(100):
            try:
                rc.align([rc.Stream(values, unsorted if (i + k) % 10 == 0 else sorted_)], at, check="now")
            except ValueError:
                errors += 1
        return errors

    with ThreadPoolExecutor(1 if device.device == "cuda" else 6) as pool:
        assert list(pool.map(worker, range(6))) == [10] * 6


def test_the_gil_is_released(device: Home) -> None:
    """Another thread makes progress while a long call runs; a call that kept the lock would stop it."""
    if device.device == "cpu":  # all of it random access in a long log: slow on any number of processors
        B, S, T, D = 16, 500_000, 200_000, 1
    else:
        B, S, T, D = 64, 2000, 60_000, 128
    rng = np.random.default_rng(0)
    values = device.array(np.ones((1, S, D), np.float32))
    values = values.expand(B, S, D) if device.library == "torch" else np.broadcast_to(values, (B, S, D))
    stamps, at = device.times(np.arange(S) * 10), device.times(rng.integers(0, 10 * S, T))
    ticks, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0)

    out = device.empty((B, T, D))
    rc.resample(values, stamps, at, out=out, check="now")
    thread = threading.Thread(target=count)
    thread.start()
    try:
        progress = []
        for _ in range(5):
            before = ticks[0]
            rc.resample(values, stamps, at, out=out, check="now")
            progress.append(ticks[0] - before)
    finally:
        stop.set()
        thread.join()
    assert max(progress) > 5, progress


def forked(code: str) -> str:
    """What a process prints that runs `code`; forking inside pytest would fork its threads' locks too."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


FORK = """
import os, numpy as np, robocache as rc
values = np.random.default_rng(0).normal(size=(64, 500, 64)).astype(np.float32)
stamps, at = np.arange(500) * 10, np.arange(600) * 8
want = rc.resample(values, stamps, at)
"""


def test_a_forked_child_computes_on_the_cpu() -> None:
    """The parent's threads do not exist in the child: it must not wait for them. Children of children, too."""
    out = forked(
        FORK
        + """
def child():
    assert np.array_equal(rc.resample(values, stamps, at), want)
    if depth < 2:
        fork(depth + 1)
    print("ok", depth, flush=True)

def fork(level):
    global depth
    pid = os.fork()
    if pid == 0:
        depth = level
        try:
            child()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0

fork(1)
assert np.array_equal(rc.resample(values, stamps, at), want)
"""
    )
    assert out.split() == ["ok", "2", "ok", "1"]


def test_fork_while_other_threads_compute() -> None:
    out = forked(
        FORK
        + """
import threading
stop = threading.Event()
def work():
    while not stop.is_set():
        rc.resample(values, stamps, at)
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if np.array_equal(rc.resample(values, stamps, at), want) else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
[t.join() for t in threads]
print("ok")
"""
    )
    assert out == "ok\n"


def test_a_forked_child_gets_a_clear_error_for_cuda(cuda: Home) -> None:
    out = forked(
        FORK
        + """
import torch
on_gpu = [torch.from_numpy(x).cuda() for x in (values, stamps, at)]
rc.resample(*on_gpu, check="now")
torch.cuda.synchronize()
pid = os.fork()
if pid == 0:
    assert np.array_equal(rc.resample(values, stamps, at), want)
    try:
        rc.resample(*on_gpu)
    except RuntimeError as error:
        assert isinstance(error, rc.CudaError) and "fork" in str(error), error
        print("ok", flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert out == "ok\n"


def test_torch_data_loader_workers() -> None:
    """align inside the forked workers of a DataLoader, after the parent has used it."""
    pytest.importorskip("torch")
    out = forked(
        FORK
        + """
import torch
class Windows(torch.utils.data.Dataset):
    def __len__(self):
        return 12
    def __getitem__(self, i):
        return rc.resample(torch.arange(10.0), torch.arange(10), torch.tensor([i % 9, 9]))
loader = torch.utils.data.DataLoader(Windows(), batch_size=4, num_workers=2, multiprocessing_context="fork")
print(torch.cat(list(loader))[:, 0].int().tolist())
"""
    )
    assert out.strip() == str([i % 9 for i in range(12)])
