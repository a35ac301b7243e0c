#!/usr/bin/env bash
# Writes python/robocache/_core.pyi from the installed module; with --check, fails when the committed one differs.
set -euo pipefail
cd "$(dirname "$0")/.."

stub=python/robocache/_core.pyi
written=$(mktemp)
trap 'rm -f "$written"' EXIT
python -m nanobind.stubgen -q -m robocache._core -p tools/stubs.pattern -o "$written"
if [[ ${1:-} == --check ]]; then
  diff -u "$stub" "$written" || { echo "stubs: $stub is not what the module says; run 'make stubs'" >&2; exit 1; }
else
  cp "$written" "$stub"
fi
