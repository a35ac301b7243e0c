#!/usr/bin/env bash
# Runs every benchmark and leaves one JSON file of each, and one of the machine: the C++ ones of a build folder, then
# those of benchmarks/python.
#   tools/bench.sh BENCHMARK_BINARIES RESULTS
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$2"
binaries=$(cd "$1" && pwd)
results=$(cd "$2" && pwd)
PYTHON=${PYTHON:-python3}

"$PYTHON" tools/describe_machine.py >"$results/machine.json"
for binary in "$binaries"/bench_*; do
  [[ -x $binary ]] || continue
  name=$(basename "$binary")
  echo "== $name"
  "$binary" --json "$results/$name.json"
done
for script in benchmarks/python/*.py; do
  name=$(basename "$script" .py)
  [[ -e $script && $name != _* ]] || continue
  echo "== $name.py"
  "$PYTHON" "$script" --json "$results/python_$name.json"
done
