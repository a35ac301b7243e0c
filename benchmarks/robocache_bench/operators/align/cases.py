"""What is measured of alignment: shapes, interpolations and dtypes, and what the project asks of each on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """One stream: samples in each batch row, and columns."""

    samples: int
    columns: int


@dataclass(frozen=True)
class Shape:
    """B batch rows, T targets, and the streams that go to one output row."""

    name: str
    batch: int
    targets: int
    sources: tuple[Source, ...]

    @property
    def columns(self) -> int:
        return sum(s.columns for s in self.sources)


def resampling(batch: int, samples: int, targets: int, columns: int) -> Shape:
    """One stream: B x S -> T x D."""
    return Shape(f"{batch}x{samples}->{targets}x{columns}", batch, targets, (Source(samples, columns),))


def fusion(batch: int) -> Shape:
    """Camera features, joints and a force sensor: 30x512 + 100x64 + 200x12 -> 50x588."""
    return Shape(f"fusion B={batch}", batch, 50, (Source(30, 512), Source(100, 64), Source(200, 12)))


def wide_fusion(batch: int) -> Shape:
    """100x512 + 200x128 + 300x64 -> 128x704."""
    return Shape(f"wide fusion B={batch}", batch, 128, (Source(100, 512), Source(200, 128), Source(300, 64)))


# Shapes whose energy a call takes is measured, too.
POWER_SHAPES = ("32x500->256x256", "64x1000->512x512", "fusion B=256")

# Columns that one element of an interpolation takes.
GROUP = {"slerp": 4, "se3": 7}


@dataclass(frozen=True)
class Case:
    """One row of the tables: the same work for each peer.

    `asked` maps a comparison to the ratio (their time over ours) that the project asks for. It is filled in on the CPU
    alone: what is asked on CUDA follows from rules (`bars.py`).
    """

    device: str
    shape: Shape
    interp: str = "linear"
    dtype: str = "float32"
    marks: bool = False  # valid and age are written, too
    asked: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        marks = ", valid and age" if self.marks else ""
        return f"{self.device} {self.shape.name} {self.interp} {self.dtype}{marks}"

    @property
    def elements(self) -> int:
        return self.shape.batch * self.shape.targets * self.shape.columns

    @property
    def takes_power(self) -> bool:
        return self.shape.name in POWER_SHAPES


def cpu_cases() -> list[Case]:
    """float32: linear beside torch and numpy, curves and rotations beside scipy."""
    return [
        Case("cpu", resampling(32, 500, 256, 256), asked={"out given": 1.2, "fresh": 1.2, "numpy": 20}),
        Case("cpu", resampling(256, 500, 250, 32), asked={"out given": 2, "fresh": 2, "numpy": 20}),
        Case("cpu", resampling(64, 1000, 512, 512), asked={"out given": 1.3, "fresh": 2.5, "numpy": 20}),
        Case("cpu", fusion(64), marks=True, asked={"out given": 1.2, "fresh": 1.2, "numpy": 20}),
        Case("cpu", resampling(64, 1000, 512, 8), "pchip", asked={"scipy": 10}),
        Case("cpu", resampling(64, 1000, 512, 512), "pchip", asked={"scipy": 10}),
        Case("cpu", resampling(64, 1000, 512, 4), "slerp", asked={"scipy": 10}),
        Case("cpu", resampling(64, 1000, 512, 32), "slerp", asked={"scipy": 10}),
        Case("cpu", resampling(64, 1000, 512, 7), "se3"),
        Case("cpu", resampling(64, 1000, 512, 32), "angle"),
    ]


def cuda_cases() -> list[Case]:
    """The shapes that the project's bars name, then the other interpolations on shapes of at least 8 MB."""
    resamplings = [
        resampling(8, 250, 128, 128),
        resampling(32, 500, 256, 256),
        resampling(256, 500, 250, 32),
        resampling(64, 4096, 1024, 32),
        resampling(64, 1000, 512, 512),
        resampling(1024, 1000, 500, 32),
        resampling(256, 1000, 512, 512),
    ]
    fusions = [fusion(4), fusion(64), fusion(256), fusion(1024), wide_fusion(256)]
    cases = [Case("cuda", shape, dtype="bfloat16") for shape in resamplings]
    cases += [Case("cuda", shape, dtype="float32") for shape in (resamplings[3], resamplings[4])]
    cases += [Case("cuda", shape, dtype="bfloat16", marks=marks) for shape in fusions for marks in (False, True)]
    for interp in ("slerp", "pchip", "angle"):
        cases += [Case("cuda", shape, interp, "bfloat16") for shape in (resamplings[2], resamplings[4])]
    poses = resampling(1024, 1000, 500, 28)
    cases += [Case("cuda", poses, interp, "bfloat16") for interp in ("linear", "se3")]
    return cases
