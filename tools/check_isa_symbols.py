#!/usr/bin/env python3
"""Checks that code compiled for AVX2 or AVX-512 cannot be picked by the linker for a processor without it.

An inline function that two objects define is kept once, from either. Whatever an object of src/kernels/cpu defines for
other objects must therefore carry the level in its name: a namespace or a template argument.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

LEVELS = {"avx2": re.compile(r"4avx2|3IsaE1E"), "avx512": re.compile(r"6avx512|3IsaE2E")}


def shared_symbols(objects: list[Path]) -> set[str]:
    """The mangled names that the objects define and other objects can see."""
    command = ["nm", "--defined-only", "--extern-only", "--format=posix", *map(str, objects)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # nm names each object on a line of its own, ending in a colon; DW.ref.* only points at a symbol.
    return {line.split()[0] for line in lines if line and not line.endswith(":") and not line.startswith("DW.ref.")}


def demangled(names: list[str]) -> list[str]:
    done = subprocess.run(["c++filt"], check=True, input="\n".join(names), capture_output=True, text=True)
    return done.stdout.splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    build: Path = parser.parse_args().build
    failed = checked = 0
    for level, mark in LEVELS.items():
        objects = sorted(build.glob(f"CMakeFiles/robocache_cpu_{level}.dir/**/*.o"))
        if not objects:
            print(f"isa symbols: no {level} objects in {build}")
            continue
        symbols = shared_symbols(objects)
        checked += len(symbols)
        unmarked = sorted(s for s in symbols if not mark.search(s))
        failed += len(unmarked)
        for name in demangled(unmarked):
            print(f"{level}: defines {name}, whose name does not carry the level; make it internal or inline it")
    print(f"isa symbols: {checked} checked, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
