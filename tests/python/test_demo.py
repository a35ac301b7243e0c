"""The examples run, and the demo notices when its answer is wrong."""

from __future__ import annotations

import doctest
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import robocache as rc

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "python"
sys.path.insert(0, str(EXAMPLES))

import arm_log  # noqa: E402
import demo  # noqa: E402
import demo_checks as checks  # noqa: E402
import demo_devices  # noqa: E402
import demo_loader  # noqa: E402
import demo_report  # noqa: E402
import demo_sensors  # noqa: E402

MS = 1_000_000


@pytest.fixture(scope="module")
def log() -> arm_log.ArmLog:
    return arm_log.generate()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is spent on timing, nor on the picture."""
    monkeypatch.setattr(demo_devices, "ROUNDS", 1)
    monkeypatch.setattr(demo_devices, "ROUND_MS", 0.1)
    monkeypatch.setattr(demo_loader, "ALONE_S", 0.0)
    monkeypatch.setattr(demo_loader, "STEPS", 2)
    monkeypatch.setattr(demo, "draw", lambda *arguments: None)


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_align_basics(tmp_path):
    done = run("align_basics.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.split(" ms")[0].strip(): line for line in done.stdout.splitlines()[1:]}
    assert "values (25, 6), valid (25, 3), age_ns (25, 3)" in done.stdout
    assert "valid   -   valid" in lines["0"]  # before the first orientation
    assert [t for t, line in lines.items() if "  -   valid valid" in line] == ["220", "240", "260", "280"]
    assert "gripper 80 mm, said 120 ms ago" in lines["120"]
    assert "gripper 12 mm, said 10 ms ago" in lines["140"]


@pytest.mark.parametrize(("document", "steps"), [("alignment.md", 7), ("voxelization.md", 6)])
def test_the_worked_examples_of_the_contracts(document, steps):
    failed, tried = doctest.testfile(str(ROOT / "docs" / document), module_relative=False)
    assert tried >= steps
    assert failed == 0


def test_demo_end_to_end(tmp_path):
    done = run("demo.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr
    out = done.stdout
    for name in ("joints", "imu", "imu.orientation", "wrench", "camera", "gripper"):
        assert f"\n  {name} " in out
    assert "600 rows x 543 columns, float32, at 50 Hz" in out
    assert "4.94 to 5.04 s (6 rows)" in out  # the drop-out
    assert "all right" in out
    assert "WRONG" not in out
    assert "Check on cpu" in out
    assert "windows of 10 rows x 543 columns up to samples of joints, 256 a batch" in out
    assert re.search(r"the loader alone: [1-9][\d,]* windows/s", out)
    assert re.search(r"waiting for data: \d+\.\d% of a step", out)
    facts = rc.check_installation()
    if not facts["cuda_device_available"]:
        assert f"no CUDA: {facts['cuda_reason']}" in out
    assert ("torch best" in out) if facts["pytorch_available"] else ("pip install torch" in out)
    if importlib.util.find_spec("matplotlib") is None:
        assert "No picture" in out
        return
    from matplotlib import image

    assert "Picture: build/demo/alignment.png" in out
    picture = image.imread(tmp_path / "build" / "demo" / "alignment.png")
    assert min(picture.shape[:2]) > 1000
    assert np.std(picture[..., :3]) > 0.05


def test_demo_without_torch_and_matplotlib(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(demo_devices, "ROUNDS", 1)
    monkeypatch.delitem(sys.modules, "demo_plot", raising=False)
    for name in ("torch", "matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    assert demo.main(["--plot", str(tmp_path / "a.png")]) == 0
    out = capsys.readouterr().out
    assert "the torch baseline is left out, torch is not installed: pip install torch" in out
    assert "No picture" in out
    assert "pip install matplotlib" in out
    assert "all right" in out


def test_demo_of_a_folder(tmp_path, brief, capsys):
    t = np.arange(100) * 10 * MS
    rows = [f"{stamp},{np.sin(i / 9):.6f},{i}" for i, stamp in enumerate(t) if not 40 <= i < 50]
    (tmp_path / "arm.csv").write_text("\n".join(["stamp_ns,q_rad,count", *rows]) + "\n")
    assert demo.main(["--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "numpy.interp" in out
    assert "0.40 to 0.48 s (5 rows)" in out
    assert "all right" in out


@pytest.mark.parametrize("make", [lambda p: p / "nowhere", lambda p: p])
def test_demo_of_a_bad_path(tmp_path, capsys, make):
    assert demo.main(["--data", str(make(tmp_path))]) == 2
    error = capsys.readouterr().err
    assert error.startswith("demo: ")
    assert error.count("\n") == 1


def test_demo_on_two_devices(monkeypatch, brief, capsys):
    """All of the path to CUDA but the device: torch's arrays on a second one."""
    torch = pytest.importorskip("torch")
    second = demo_devices.Device("cpu:0", "", torch.tensor, lambda array: array.numpy(), lambda: None)
    monkeypatch.setattr(demo, "devices", lambda: ([cpu_only(), second], ""))
    assert demo.main([]) == 0
    out = capsys.readouterr().out
    assert "Check on cpu:0" in out
    assert "camera: no rows differ between cpu and cpu:0" in out

    align = rc.align

    def off_on_torch(streams, *arguments, **options):
        result = align(streams, *arguments, **options)
        if isinstance(result.values, torch.Tensor):
            result.values[300, 0] = torch.nextafter(result.values[300, 0], torch.tensor(10.0))
        return result

    monkeypatch.setattr(rc, "align", off_on_torch)
    assert demo.main([]) == 1
    assert "joints: 1 rows differ between cpu and cpu:0" in capsys.readouterr().out


class Corrupted:
    """A result of rc.align with one thing wrong."""

    def __init__(self, result, values=None, valid=None, age_ns=None):
        self.values = result.values if values is None else values
        self.valid = result.valid if valid is None else valid
        self.age_ns = result.age_ns if age_ns is None else age_ns
        self.edges = np.cumsum([part.shape[1] for part in result.split()])[:-1]

    def split(self):
        return np.split(self.values, self.edges, axis=1)


def changed(array, row, column, change):
    array = np.array(array)
    array[row, column] = change(array[row, column])
    return array


CORRUPTIONS = {
    "a joint": lambda r: Corrupted(r, values=changed(r.values, 300, 2, lambda x: x + 1e-3)),
    "a rotation": lambda r: Corrupted(r, values=changed(r.values, 300, 20, lambda x: x + 2e-3)),
    "a force": lambda r: Corrupted(r, values=changed(r.values, 300, 26, lambda x: x + 0.1)),
    "an image feature": lambda r: Corrupted(r, values=changed(r.values, 300, 400, lambda x: x + 5e-3)),
    "a missing number": lambda r: Corrupted(r, values=changed(r.values, 300, 400, lambda x: np.nan)),
    "the gripper": lambda r: Corrupted(r, values=changed(r.values, 300, 542, lambda x: x + 1)),
    "a row of the drop-out passed as valid": lambda r: Corrupted(r, valid=changed(r.valid, 249, 3, lambda x: True)),
    "a row lost": lambda r: Corrupted(r, valid=changed(r.valid, 100, 0, lambda x: False)),
    "an age": lambda r: Corrupted(r, age_ns=changed(r.age_ns, 100, 5, lambda x: x + 1)),
    "one row late": lambda r: Corrupted(r, values=np.roll(r.values, 1, axis=0)),
}


@pytest.mark.parametrize("what", CORRUPTIONS)
def test_demo_notices_a_wrong_answer(monkeypatch, brief, capsys, what):
    align = rc.align
    monkeypatch.setattr(demo, "devices", lambda: ([cpu_only()], ""))
    monkeypatch.setattr(rc, "align", lambda *a, **k: CORRUPTIONS[what](align(*a, **k)))
    assert demo.main([]) == 1
    assert "THE ANSWER IS WRONG" in capsys.readouterr().out


def cpu_only() -> demo_devices.Device:
    return demo_devices.Device("cpu", "", lambda array: array, lambda array: array, lambda: None)


@pytest.mark.parametrize("interp", ["hold", "nearest", "linear", "slerp"])
def test_the_check_of_real_data_notices_a_wrong_row(interp):
    stamps = np.array([0, 10, 25, 25, 40]) * MS
    values = np.random.default_rng(3).normal(size=(5, 4))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    sensor = demo_sensors.Sensor("s", values, stamps, interp)
    at_ns = np.array([0, 3, 10, 21, 25, 33, 40]) * MS
    result = rc.align([sensor.stream(lambda array: array)], at_ns)
    valid = np.asarray(result.valid[:, 0])
    assert checks.check_definition(sensor, at_ns, valid, result.values).right
    assert checks.check_marks(sensor, at_ns, valid, np.asarray(result.age_ns[:, 0])).right
    wrong = result.values.copy()
    wrong[3] = values[1] if interp == "nearest" else values[2]  # 21 ms: nearer to the last sample of 25 ms
    assert not checks.check_definition(sensor, at_ns, valid, wrong).right


@pytest.mark.parametrize("seed", range(4))
def test_the_closed_form_agrees_with_itself(seed):
    log = arm_log.generate(seed)
    t, h = np.linspace(0.5, 11.5, 4000), 1e-5
    joints, imu = log.truths["joints"].value(t), log.truths["imu"].value(t)
    slope = (log.truths["joints"].value(t + h) - log.truths["joints"].value(t - h)) / (2 * h)
    np.testing.assert_allclose(slope[:, :7], joints[:, 7:], atol=1e-8)

    # Body rates: q' = q * (0, rates) / 2.
    q0, q1 = (log.truths["imu.orientation"].value(t + d) for d in (-h, h))
    q1 = np.where((q0 * q1).sum(1, keepdims=True) < 0, -q1, q1)
    (x, y, z, w), d = ((q0 + q1) / 2).T, ((q1 - q0) / (2 * h)).T
    rates = 2 * np.stack(
        [
            w * d[0] - x * d[3] - y * d[2] + z * d[1],
            w * d[1] - y * d[3] - z * d[0] + x * d[2],
            w * d[2] - z * d[3] - x * d[1] + y * d[0],
        ],
        -1,
    )
    np.testing.assert_allclose(rates, imu[:, :3], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(imu[:, 3:], axis=1), 9.81)

    for name in ("joints", "imu", "wrench", "camera"):  # the stated bounds on the second derivative hold
        value, h = log.truths[name].value, 1e-3
        second = (value(t + h) - 2 * value(t) + value(t - h)) / h**2
        assert (np.abs(second).max(0) <= log.truths[name].curvature * (1 + 1e-6) + 1e-6).all(), name


def test_the_log_is_as_it_is_said_to_be(log):
    timings = {s.name: s.timing for s in log.sensors}
    rates = {name: 1e3 / t.period_ms for name, t in timings.items() if t.drops is not None}
    assert rates == pytest.approx(
        {"joints": 500, "imu": 1000, "imu.orientation": 100, "wrench": 200, "camera": 30}, rel=0.01
    )
    assert timings["wrench"].drops == 24  # 120 ms at 200 Hz
    assert timings["camera"].drops == 2
    assert timings["gripper"].drops is None
    assert len({s.offset_ns for s in log.sensors if s.name != "imu"}) == 5
    assert {s.name: s.values.shape[1] for s in log.sensors}["camera"] == 512
    quaternions = next(s.values for s in log.sensors if s.interp == "slerp")
    assert ((quaternions[1:] * quaternions[:-1]).sum(1) < 0).sum() >= 3  # the sign flips
    again = arm_log.generate()
    assert all(np.array_equal(a.values, b.values) for a, b in zip(log.sensors, again.sensors, strict=True))


def test_spans_leave_out_what_is_before_and_after(log):
    wrench = next(s for s in log.sensors if s.name == "wrench")
    at_ns = arm_log.START_NS + np.arange(-5, 605) * 20 * MS
    valid = checks.Brackets.of(wrench, at_ns).valid(wrench)
    ((first, last),) = demo_report.invalid_spans(wrench, at_ns, valid)
    lost_ns = (at_ns[first : last + 1] - arm_log.START_NS) * 1e-9
    assert arm_log.WRENCH_LOST_S[0] - 0.005 < lost_ns[0] < lost_ns[-1] < arm_log.WRENCH_LOST_S[1] + 0.005
    assert not valid[:5].any()


def test_rows_a_sample_late_are_wrong(log):
    sensor = log.sensors[0]
    at_ns = sensor.corrected_ns[10:-10]
    valid = np.ones(len(at_ns), bool)
    assert checks.check_truth(sensor, log, at_ns, valid, sensor.values[10:-10]).right
    assert not checks.check_truth(sensor, log, at_ns, valid, sensor.values[9:-11]).right
