#!/usr/bin/env python3
"""Writes the files of an operator, so that they compile and its tests fail until it is written.

tools/scaffold_operator.py voxelize   makes include/robocache/voxelize.hpp, src/kernels/voxelize.hpp ... and the
one-line edits that make it known. ``git ls-files '*voxelize*'`` shows the whole.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from check_layout import FORBIDDEN, words

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).resolve().parent / "operator"

# Where each template goes.
FILES = {
    "header.hpp.in": "include/robocache/{}.hpp",
    "kernels.hpp.in": "src/kernels/{}.hpp",
    "kernels_cpu.cpp.in": "src/kernels/cpu/{}.cpp",
    "kernels_cuda.cu.in": "src/kernels/cuda/{}.cu",
    "ops.cpp.in": "src/ops/{}.cpp",
    "bindings.cpp.in": "python/bindings/{}.cpp",
    "test.cpp.in": "tests/cpp/ops/{}_test.cpp",
    "test.py.in": "tests/python/test_{}.py",
    "cases.json.in": "tests/cases/{}.json",
    "bench.cpp.in": "benchmarks/cpp/{}.cpp",
}

# One-line edits: in this file, each line that matches the pattern is one of a sorted block that gets this line too.
EDITS = (
    ("include/robocache/robocache.hpp", r"#include <robocache/\w+\.hpp>", "#include <robocache/{}.hpp>"),
    ("python/bindings/bindings.hpp", r"void bind_\w+\(nanobind::module_& m\);", "void bind_{}(nanobind::module_& m);"),
    ("python/bindings/module.cpp", r"  python::bind_\w+\(m\);", "  python::bind_{}(m);"),
    ("python/robocache/__init__.py", r'    "\w+",', '    "{}",'),
)
IMPORT = re.compile(r"(?<=^from robocache\._core import \(\n)(?:    \w+,\n)+(?=\)$)", re.MULTILINE)


def pascal(name: str) -> str:
    """The PascalCase form of a snake_case name."""
    return "".join(word.capitalize() for word in name.split("_"))


def add_line(text: str, pattern: str, line: str) -> str:
    """Put a line into the block of lines that match, before the first that sorts after it."""
    lines = text.splitlines()
    block = [i for i, existing in enumerate(lines) if re.fullmatch(pattern, existing)]
    if not block:
        raise SystemExit(f"scaffold: no line matches {pattern}; add by hand: {line}")
    at = next((i for i in block if lines[i] > line), block[-1] + 1)
    lines.insert(at, line)
    return "\n".join(lines) + "\n"


def scaffold(root: Path, name: str) -> list[str]:
    """Write the files of operator ``name`` into ``root`` and return all paths that were written or edited."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise SystemExit(f"scaffold: the name is '{name}', expected snake_case, a verb")
    if bad := words(name) & FORBIDDEN:
        raise SystemExit(f"scaffold: '{bad.pop()}' is not allowed in a name: say what the operator does")
    targets = {template: path.format(name) for template, path in FILES.items()}
    if existing := [path for path in targets.values() if (root / path).exists()]:
        raise SystemExit(f"scaffold: {existing[0]} exists already")

    edited: dict[str, str] = {}
    for path, pattern, line in EDITS:
        edited[path] = add_line((root / path).read_text(), pattern, line.format(name))
    package = "python/robocache/__init__.py"
    edited[package] = IMPORT.sub(lambda m: add_import(m[0], name), edited[package])

    for template, path in targets.items():
        text = (TEMPLATES / template).read_text().replace("@name@", name).replace("@Name@", pascal(name))
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path, text in edited.items():
        (root / path).write_text(text)
    return [*targets.values(), *edited]


def add_import(names: str, name: str) -> str:
    """The lines of the import list with one more name, in the linter's order: classes, then functions."""
    return "".join(sorted([*names.splitlines(keepends=True), f"    {name},\n"], key=lambda n: (n.islower(), n)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="snake_case, a verb")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for path in scaffold(arguments.root, arguments.name):
        print(path)
    print("next: fill the TODOs, then 'make stubs', 'make format', 'make test'; CONTRIBUTING.md walks through one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
