#!/usr/bin/env python3
"""Checks the layout rules of the design: counterparts, include arrows, file sizes, names, and paths of machines.

Prints one line a problem and exits with 1 when there is any.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, order=True)
class Problem:
    """One broken rule; line 0 means the whole file."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}" if self.line else f"{self.path}: {self.text}"


class Tree:
    """The files of a source tree (those that git tracks or would track), by path relative to its root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._text: dict[str, str] = {}

    @cached_property
    def files(self) -> list[str]:
        if (self.root / ".git").exists():
            command = ["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard", "-z"]
            listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
            return sorted(f for f in listed if f and (self.root / f).is_file())
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())

    def text(self, path: str) -> str:
        """The content of a file; empty for a binary one."""
        if path not in self._text:
            data = (self.root / path).read_bytes()
            self._text[path] = "" if b"\0" in data else data.decode("utf-8", errors="replace")
        return self._text[path]

    def code(self, pattern: str) -> list[str]:
        return [f for f in self.files if re.fullmatch(pattern, f)]


# --- Every operator has its counterparts ------------------------------------------------------------------------------

COUNTERPARTS = (
    r"include/robocache/{}\.hpp",
    r"src/kernels/{}\.hpp",
    r"src/kernels/cpu/{}(_\w+)?\.cpp",
    r"src/kernels/cuda/{}(_\w+)?\.cu",
    r"python/bindings/{}\.cpp",
    r"tests/cpp/ops/{}_test\.cpp",
    r"tests/python/test_{}\.py",
    r"tests/cases/{}\.json",
    r"benchmarks/(.*/)?{}(_\w+)?\.\w+",
)


def as_glob(pattern: str) -> str:
    """A counterpart's pattern as people write it."""
    return pattern.replace("(.*/)?", "**/").replace(r"(_\w+)?", "*").replace(r"\.\w+", ".*").replace(r"\.", ".")


def check_counterparts(tree: Tree) -> Iterator[Problem]:
    """The sources of src/ops without a header there are the operators; each has all counterparts, each kernel one.

    A contract that declares nothing in ``namespace cuda`` is that of an operator without a CUDA side.
    """
    shared = {PurePosixPath(f).stem for f in tree.code(r"src/ops/\w+\.hpp")}
    operators = {PurePosixPath(f).stem for f in tree.code(r"src/ops/\w+\.cpp")} - shared
    for operator in sorted(operators):
        contract = f"src/kernels/{operator}.hpp"
        on_cuda = contract not in tree.files or "namespace cuda {" in tree.text(contract)
        for pattern in (counterpart.replace("{}", operator) for counterpart in COUNTERPARTS):
            if not tree.code(pattern) and (on_cuda or not pattern.startswith("src/kernels/cuda/")):
                yield Problem(f"src/ops/{operator}.cpp", 0, f"operator '{operator}' has no {as_glob(pattern)}")
    for kernel in tree.code(r"src/kernels/(cpu/\w+\.cpp|cuda/\w+\.cu)"):
        stem = PurePosixPath(kernel).stem
        if not any(stem == op or stem.startswith(op + "_") for op in operators):
            yield Problem(kernel, 0, f"kernel '{stem}' belongs to no operator in src/ops")


# --- Includes run one way ---------------------------------------------------------------------------------------------

# What each area may include, besides itself and the public headers.
ARROWS: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "cuda": frozenset({"core"}),
    "math": frozenset({"core"}),
    "memory": frozenset({"core", "cuda", "math"}),
    "kernels": frozenset({"core", "cuda", "math", "memory"}),
    "ops": frozenset({"core", "cuda", "math", "memory", "kernels"}),
    "io": frozenset({"core", "cuda", "math", "memory"}),
    "engine": frozenset({"core", "cuda", "math", "memory", "kernels", "ops", "io"}),
    "live": frozenset({"core", "cuda", "math", "memory", "kernels", "ops", "io", "engine"}),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?P<open>[<"])(?P<name>[^>"]+)[>"]', re.MULTILINE)
CUDA_HEADER = re.compile(
    r"(cuda|cub|nvtx3|cooperative_groups|thrust)(_\w+)?(\.h|/.*)|cu\w+\.h|\w+\.cuh|curand.*|cublas.*"
)
CUDA_ALLOWED = re.compile(r"src/cuda/.*|src/memory/cuda_[^/]*|src/kernels/cuda/.*")
STANDARD_HEADER = re.compile(r"[a-z_0-9]+")
FOREIGN_TOKEN = re.compile(
    r"\bcuda[A-Z]\w*|\bCU[a-z]\w+|\b__(?:host|device|global|CUDACC|CUDA_ARCH)__\b|\b(?:torch|nanobind|arrow|std::simd|hwy)::"
)


def includes(tree: Tree, path: str) -> Iterator[tuple[int, str, bool]]:
    """(line, name, whether in quotes) of each include."""
    text = tree.text(path)
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start("name")) + 1, match["name"], match["open"] == '"'


def resolve(tree: Tree, path: str, name: str) -> str | None:
    """The file of this tree that an include means; None for a system header."""
    beside = str(PurePosixPath(path).parent / name)
    return next((f for f in (f"src/{name}", f"include/{name}", beside) if (tree.root / f).is_file()), None)


def check_arrows(tree: Tree) -> Iterator[Problem]:
    """An area includes only what stands before it."""
    for path in tree.code(r"(src|include/robocache)/.*\.(hpp|cpp|cu|cuh)"):
        area = path.split("/")[1] if path.startswith("src/") else "public"
        allowed = ARROWS.get(area, frozenset()) | {area}
        for line, name, quoted in includes(tree, path):
            target = resolve(tree, path, name)
            if target is None:
                if quoted:
                    yield Problem(
                        path, line, f'"{name}" is not a file of this tree; write <{name}> for a system header'
                    )
            elif target.startswith("src/") and target.split("/")[1] not in allowed:
                yield Problem(path, line, f"{area} includes {target}, against the arrow")
            elif area == "public" and not target.startswith("include/"):
                yield Problem(path, line, f"public header includes {target}")


def check_areas(tree: Tree) -> Iterator[Problem]:
    """No folder of src is unknown to the arrows."""
    for path in tree.code(r"src/[^/]+/.*"):
        if path.split("/")[1] not in ARROWS:
            yield Problem(path, 0, f"src/{path.split('/')[1]} is no area of the design: {', '.join(ARROWS)}")


def check_cuda_headers(tree: Tree) -> Iterator[Problem]:
    """CUDA headers are reached from the CUDA folders alone, however many includes lie between."""

    def reached(path: str, seen: set[str]) -> str | None:
        for _, name, _ in includes(tree, path):
            target = resolve(tree, path, name)
            if target is None:
                if CUDA_HEADER.fullmatch(name):
                    return name
            elif target not in seen:
                seen.add(target)
                if (inner := reached(target, seen)) is not None:
                    return f"{target} -> {inner}"
        return None

    for path in tree.code(r"(src|include|python/bindings|examples)/.*\.(hpp|cpp|cu|cuh)"):
        if not CUDA_ALLOWED.fullmatch(path) and (chain := reached(path, {path})) is not None:
            yield Problem(
                path, 0, f"includes a CUDA header ({chain}); only src/cuda, src/memory/cuda_* and src/kernels/cuda may"
            )


def check_public_headers(tree: Tree) -> Iterator[Problem]:
    """Public headers name neither CUDA nor a library: they include the standard library and each other."""
    for path in tree.code(r"include/.*\.hpp"):
        if not path.startswith("include/robocache/"):
            yield Problem(path, 0, "public headers live in include/robocache")
        for line, name, _ in includes(tree, path):
            if not name.startswith("robocache/") and not STANDARD_HEADER.fullmatch(name):
                yield Problem(
                    path, line, f"public header includes <{name}>, expected the standard library or <robocache/...>"
                )
        for number, line_text in enumerate(tree.text(path).splitlines(), 1):
            if token := FOREIGN_TOKEN.search(line_text.split("//")[0]):
                yield Problem(path, number, f"public header names '{token[0]}'")


def check_pragma_once(tree: Tree) -> Iterator[Problem]:
    """Each header can be included twice."""
    for path in tree.code(r"(src|include|python|tests|benchmarks)/.*\.(hpp|cuh)"):
        if "#pragma once" not in tree.text(path):
            yield Problem(path, 0, "has no '#pragma once'")


# --- Sizes and names --------------------------------------------------------------------------------------------------

CODE = r"(?:.*/)?[^/]+\.(hpp|cpp|cu|cuh|py|pyi|sh)"
GENERATED = {"python/robocache/_core.pyi"}
LIMITS = ((r"include/.*\.hpp", 150), (CODE, 400))
FUNCTION_LIMIT = 60  # of Python here, docstrings not counted; clang-tidy has the same limit for C++
FORBIDDEN = frozenset({"util", "utils", "helper", "helpers", "manager", "common", "v2", "optimized", "fast", "new"})


def check_sizes(tree: Tree) -> Iterator[Problem]:
    """Files and Python functions stay small."""
    for path in tree.code(CODE):
        limit = next(n for pattern, n in LIMITS if re.fullmatch(pattern, path))
        lines = tree.text(path).count("\n")
        if lines > limit and path not in GENERATED:
            yield Problem(
                path, 0, f"has {lines} lines, expected at most {limit}; split it by algorithm or responsibility"
            )


def words(name: str) -> set[str]:
    """The words of a snake_case or PascalCase name, in lower case."""
    return {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)}


def check_file_names(tree: Tree) -> Iterator[Problem]:
    """Code files and their folders are snake_case and say what they hold."""
    for path in tree.code(CODE):
        for part in PurePosixPath(path).with_suffix("").parts:
            if bad := words(part) & FORBIDDEN:
                yield Problem(path, 0, f"'{bad.pop()}' is not allowed in a name: say what it holds")
            elif not re.fullmatch(r"[a-z0-9_.]+", part):
                yield Problem(path, 0, f"'{part}' is not snake_case")


def check_cpp_names(tree: Tree) -> Iterator[Problem]:
    """Types and namespaces say what they are."""
    declared = re.compile(r"^\s*(?:template\s*<.*>\s*)?(?:class|struct|union|enum(?:\s+class)?|namespace)\s+([\w:]+)")
    for path in tree.code(r".*\.(hpp|cpp|cu|cuh)"):
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            if (match := declared.match(line)) and (bad := words(match[1]) & FORBIDDEN):
                yield Problem(path, number, f"'{bad.pop()}' is not allowed in a name: {match[1]}")


def check_python(tree: Tree) -> Iterator[Problem]:
    """Python functions are short, and functions and classes say what they do."""
    for path in tree.code(r".*\.py"):
        try:
            module = ast.parse(tree.text(path))
        except SyntaxError as error:
            yield Problem(path, error.lineno or 0, f"does not parse: {error.msg}")
            continue
        for node in ast.walk(module):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            # A test's name is a sentence, which may well say "common" or "v2".
            if (bad := words(node.name) & FORBIDDEN) and not node.name.startswith(("__", "test_")):
                yield Problem(path, node.lineno, f"'{bad.pop()}' is not allowed in a name: {node.name}")
            if isinstance(node, ast.ClassDef):
                continue
            documented = ast.get_docstring(node) is not None
            first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            if lines > FUNCTION_LIMIT:
                yield Problem(path, node.lineno, f"{node.name} has {lines} lines, expected at most {FUNCTION_LIMIT}")


# --- Nothing of anybody's machine -------------------------------------------------------------------------------------

MACHINE_PATH = re.compile(r"(?<![\w.$}/*-])/(?:work|root|home|tmp|mnt|Users)/[\w.-]+")
URL = re.compile(r"https?://([\w.-]+)|--(?:extra-)?index-url")
KNOWN_HOSTS = {
    "arxiv.org",
    "cmake.org",
    "doi.org",
    "docs.nvidia.com",
    "docs.python.org",
    "docs.pytorch.org",
    "git-lfs",
    "git-lfs.github.com",
    "github.com",
    "keepachangelog.com",
    "mcap.dev",
    "peps.python.org",
    "semver.org",
    "www.apache.org",
}


def check_machine_paths(tree: Tree) -> Iterator[Problem]:
    """No path of a machine, and no host but those of documents that a reader may want."""
    for path in tree.files:
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            if match := MACHINE_PATH.search(line):
                yield Problem(path, number, f"names the machine path {match[0]}")
            for url in URL.finditer(line):
                if url[1] not in KNOWN_HOSTS:
                    yield Problem(path, number, f"names {url[0]}, not a known documentation host")


CHECKS: tuple[Callable[[Tree], Iterator[Problem]], ...] = (
    check_counterparts,
    check_areas,
    check_arrows,
    check_cuda_headers,
    check_public_headers,
    check_pragma_once,
    check_sizes,
    check_file_names,
    check_cpp_names,
    check_python,
    check_machine_paths,
)


def check(root: Path) -> list[Problem]:
    """All problems of the tree at ``root``."""
    tree = Tree(root)
    return sorted({problem for rule in CHECKS for problem in rule(tree)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    problems = check(parser.parse_args().root)
    for problem in problems:
        print(problem)
    print(f"layout: {len(problems)} problem{'s' * (len(problems) != 1)}, {len(CHECKS)} rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
