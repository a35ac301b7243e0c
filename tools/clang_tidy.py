#!/usr/bin/env python3
"""Runs clang-tidy on src, in parallel, skipping what passed before and has not changed since.

A kernel of src/kernels/cpu is read once, as its AVX-512 build; .cu files are nvcc's and are not read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = ("src", "include")


def configure(build: Path, cuda: str) -> None:
    """Configures a build that exists only for its compile commands."""
    options = [f"-DROBOCACHE_CUDA={cuda}", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER_LAUNCHER="]
    subprocess.run(
        ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *options], check=True, stdout=subprocess.DEVNULL
    )


def compile_commands(build: Path) -> dict[str, dict[str, str]]:
    """The last command of each C++ file of src, by its path."""
    commands = json.loads((build / "compile_commands.json").read_text())
    wanted = {c["file"]: c for c in commands if c["file"].endswith(".cpp") and f"{ROOT}/src/" in c["file"]}
    database = build / "tidy"
    database.mkdir(exist_ok=True)
    (database / "compile_commands.json").write_text(json.dumps(list(wanted.values())))
    return wanted


def digest(files: list[Path]) -> str:
    """One hash over the contents of files."""
    total = hashlib.sha256()
    for file in files:
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "tidy")
    parser.add_argument("--cuda", default="AUTO", choices=("AUTO", "ON", "OFF"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    build: Path = arguments.build.resolve()

    configure(build, arguments.cuda)
    commands = compile_commands(build)
    headers = sorted(h for folder in HEADERS for h in (ROOT / folder).rglob("*.hpp"))
    shared = digest([ROOT / ".clang-tidy", *headers])
    passed_file = build / "tidy" / "passed.json"
    passed: set[str] = set(json.loads(passed_file.read_text())) if passed_file.exists() else set()
    keys = {
        f: hashlib.sha256(f"{shared}{digest([Path(f)])}{c['command']}".encode()).hexdigest()
        for f, c in commands.items()
    }
    todo = [f for f in commands if keys[f] not in passed]

    def tidy(file: str) -> bool:
        command = ["clang-tidy", "--quiet", "-p", str(build / "tidy"), "--extra-arg=-Wno-unknown-warning-option", file]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout + "".join(line for line in done.stderr.splitlines(True) if "error:" in line), flush=True)
        return done.returncode == 0

    with ThreadPoolExecutor(arguments.jobs) as pool:
        clean = {f for f, ok in zip(todo, pool.map(tidy, todo), strict=True) if ok}
    passed_file.write_text(json.dumps(sorted(keys[f] for f in commands if f in clean or keys[f] in passed)))
    failed = len(todo) - len(clean)
    print(f"clang-tidy: {len(commands)} files, {len(commands) - len(todo)} unchanged, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
