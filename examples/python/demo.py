"""The demo: a multi-rate robot log, simulated or of your own, to rows at the same instants; timed, checked,
fed to training and drawn.

python examples/python/demo.py                  # a simulated 7-joint arm
python examples/python/demo.py --data PATH      # the first episode of a dataset
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import arm_log
import demo_checks as checks
import demo_report as report
import numpy as np
import robocache as rc
from demo_devices import ROUNDS, Aligned, align_on, devices, disagreement, has_torch, torch_on
from demo_loader import feed
from demo_sensors import Sensor, Stamps, row_dtype, sensors_of

HZ = 50
PLOT = Path("build/demo/alignment.png")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Align a multi-rate robot log to 50 Hz.")
    parser.add_argument("--data", help="a dataset that rc.open reads; default: a simulated arm")
    parser.add_argument("--plot", type=Path, default=PLOT, help=f"where the picture goes (default: {PLOT})")
    options = parser.parse_args(arguments)

    log = arm_log.generate() if options.data is None else None
    if log:
        sensors, title = list(log.sensors), "A simulated 7-joint arm"
        print(title)
    else:
        try:
            sensors, title = open_episode(options.data)
        except (OSError, ValueError, NotImplementedError) as error:
            print(f"demo: {error}", file=sys.stderr)
            return 2

    at_ns = rc.grid([s.stream(lambda array: array) for s in sensors], hz=HZ)
    print(f"\nIn: {len(sensors)} streams, {sum(len(s.stamps_ns) for s in sensors):,} samples")
    print(report.input_table(sensors))

    answers = run_everywhere(sensors, at_ns, log)
    right = check(sensors, at_ns, answers, log)
    feed(sensors)
    draw(options.plot, title, sensors, at_ns, answers["cpu"], log)
    return 0 if right else 1


def open_episode(path: str) -> tuple[list[Sensor], str]:
    data = rc.open(path)
    if len(data.episodes) == 0:
        raise rc.DataError(f"{path}: no episodes")
    episode = data.episodes[0]
    sensors = sensors_of(data, episode)
    if not sensors:
        raise rc.DataError(f"{path}: episode {episode.index} has no low-dimensional stream with samples")
    which = f", episode {episode.index}, the first of {len(data.episodes)}" if len(data.episodes) > 1 else ""
    title = f"{data.path.resolve().name} ({data.format}){which}"
    print(title)
    for problem in data.problems:
        print(f"  note: {problem}")
    return sensors, title


def run_everywhere(sensors: list[Sensor], at_ns: Stamps, log: arm_log.ArmLog | None) -> dict[str, Aligned]:
    """The answer of each device by its name."""
    present, why_no_cuda = devices()
    answers, times = {}, []
    for device in present:
        answers[device.name], ours = align_on(device, sensors, at_ns)
        times.append({"device": device.name} | report.durations("RoboCache", ours))
        if has_torch():
            peer_rows, peer = torch_on(device, sensors, at_ns)
            times[-1] |= report.durations("torch", peer) | {"best/best": f"{peer.best_ms / ours.best_ms:.1f}x"}
        times[-1]["on"] = device.detail

    rows = answers["cpu"].rows
    print(f"\nOut: {len(rows)} rows x {rows.shape[1]} columns, {row_dtype(sensors)}, at {HZ} Hz, from one call")
    print(report.output_table(sensors, at_ns, answers["cpu"].valid))
    print(f"\nTime of one call, inputs in place, outputs allocated ({ROUNDS} rounds)")
    print(report.table(times))
    if why_no_cuda:
        print(f"  no CUDA: {why_no_cuda}")
    if not has_torch():
        print("  the torch baseline is left out, torch is not installed: pip install torch")
        return answers
    print("  torch: searchsorted, gather and lerp for each stream, then cat; no validity, no age, quaternions lerped")
    if log is not None:
        print(f"  its quaternions: {lerped_quaternions(sensors, at_ns, answers['cpu'].valid, peer_rows, log)}")
    return answers


def lerped_quaternions(
    sensors: list[Sensor], at_ns: Stamps, valid: checks.Bools, peer_rows: np.ndarray, log: arm_log.ArmLog
) -> str:
    """What lerp makes of quaternions whose sign flips."""
    i = next(i for i, s in enumerate(sensors) if s.interp == "slerp")
    first = sum(s.values.shape[1] for s in sensors[:i])
    lerped, truth = peer_rows[valid[:, i], first : first + 4], log.truth_at(sensors[i].name, at_ns[valid[:, i]])
    worst_deg = np.degrees(checks.rotation_angle(lerped, truth).max())
    return f"length down to {np.linalg.norm(lerped, axis=1).min():.2f}, rotation off by up to {worst_deg:.2g} deg"


def check(sensors: list[Sensor], at_ns: Stamps, answers: dict[str, Aligned], log: arm_log.ArmLog | None) -> bool:
    """Prints what was compared; True where every answer is right."""
    right = True
    reference = "the closed form of the log" if log else "the definition of each interpolation"
    for name, aligned in answers.items():
        findings = []
        for i, sensor in enumerate(sensors):
            valid, rows = aligned.valid[:, i], aligned.parts[i]
            findings.append(checks.check_marks(sensor, at_ns, valid, aligned.age_ns[:, i]))
            if log:
                findings.append(checks.check_truth(sensor, log, at_ns, valid, rows))
            else:
                findings.append(checks.check_definition(sensor, at_ns, valid, rows))
        print(f"\nCheck on {name}: valid rows against {reference}")
        print(report.findings_table(findings))
        right = right and all(f.right for f in findings)
    for name in [name for name in answers if name != "cpu"]:
        for i, sensor in enumerate(sensors):
            rows = disagreement(answers["cpu"].parts[i], answers[name].parts[i])
            print(f"  {sensor.name}: {rows or 'no'} rows differ between cpu and {name}")
            right = right and (rows == 0 or sensor.interp == "slerp")
    if log:
        hidden = hidden_newtons(sensors, at_ns, answers["cpu"], log)
        print(f"  unmarked, the drop-out would hide {hidden:.1f} N of the touch")
    print("  all right" if right else "  THE ANSWER IS WRONG")
    return right


def hidden_newtons(sensors: list[Sensor], at_ns: Stamps, aligned: Aligned, log: arm_log.ArmLog) -> float:
    """How far the line across the drop-out is from the force that nobody measured."""
    i = next(i for i, s in enumerate(sensors) if s.name == "wrench")
    brackets = checks.Brackets.of(sensors[i], at_ns)
    lost = brackets.inside & ~brackets.valid(sensors[i])
    return float(np.abs(aligned.parts[i][lost, :3] - log.truth_at("wrench", at_ns[lost])[:, :3]).max())


def draw(
    path: Path, title: str, sensors: list[Sensor], at_ns: Stamps, aligned: Aligned, log: arm_log.ArmLog | None
) -> None:
    try:
        import demo_plot
    except ImportError as error:
        print(f"\nNo picture: {error}; pip install matplotlib")
        return
    demo_plot.save(path, title, sensors, at_ns, aligned, log)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    sys.exit(main())
