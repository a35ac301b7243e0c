"""A scaffolded operator keeps the layout rules and compiles, and its tests fail until it is written."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import check_layout
import pytest
import scaffold_operator

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "smooth_edges"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree with one more operator."""
    root = tmp_path_factory.mktemp("scaffold")
    for folder in ("include", "src", "python", "tests", "benchmarks"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = check_layout.check(root)
    scaffold_operator.scaffold(root, NAME)
    assert check_layout.check(root) == before, "the scaffold breaks a layout rule"
    return root


def test_every_counterpart_is_written(tree: Path) -> None:
    assert (tree / f"src/ops/{NAME}.cpp").exists()
    problems = list(check_layout.check_counterparts(check_layout.Tree(tree)))
    assert [p for p in problems if NAME in str(p)] == []


def test_one_line_edits(tree: Path) -> None:
    assert f"#include <robocache/{NAME}.hpp>\n" in (tree / "include/robocache/robocache.hpp").read_text()
    assert f"  python::bind_{NAME}(m);\n" in (tree / "python/bindings/module.cpp").read_text()
    package = (tree / "python/robocache/__init__.py").read_text()
    assert f'    "{NAME}",\n' in package
    imported = package.split("from robocache._core import (\n")[1].split(")")[0]
    assert f"    {NAME},\n" in imported


@pytest.mark.parametrize("path", [f for f in scaffold_operator.FILES.values() if f.endswith((".cpp", ".cu"))])
def test_it_compiles(tree: Path, path: str) -> None:
    compiler = "nvcc" if path.endswith(".cu") else "g++"
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    options = ["-std=c++20", "-DROBOCACHE_CUDA=0", "-DROBOCACHE_ISA_LEVELS=1", "-DROBOCACHE_ISA=baseline"]
    options += [f"-I{tree / folder}" for folder in ("src", "include", "tests", "tests/cpp")]
    if "bindings" in path:
        nanobind = pytest.importorskip("nanobind")
        options += [f"-I{nanobind.include_dir()}", f"-I{sysconfig.get_path('include')}"]
    check_only = (
        ["-ptx", "-arch=sm_90", "-o", "/dev/null"]
        if compiler == "nvcc"
        else ["-fsyntax-only", "-fvisibility=hidden", "-Wall", "-Werror"]
    )
    done = subprocess.run(
        [compiler, *options, *check_only, str(tree / path.format(NAME))], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_its_tests_fail_until_written(tree: Path) -> None:
    assert "FAIL()" in (tree / f"tests/cpp/ops/{NAME}_test.cpp").read_text()
    assert "pytest.fail(" in (tree / f"tests/python/test_{NAME}.py").read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("align", "exists already"), ("Voxelize", "expected snake_case"), ("align_v2", "'v2' is not allowed in a name")],
)
def test_bad_names_are_refused(name: str, reason: str) -> None:
    with pytest.raises(SystemExit, match=reason):
        scaffold_operator.scaffold(REPOSITORY, name)
