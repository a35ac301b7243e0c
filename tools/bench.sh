#!/usr/bin/env bash
# Runs every benchmark and leaves one JSON file of each: the C++ ones of a build folder, then those of benchmarks/python.
#   tools/bench.sh BENCHMARK_BINARIES RESULTS
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$2"
binaries=$(cd "$1" && pwd)
results=$(cd "$2" && pwd)

for binary in "$binaries"/bench_*; do
  [[ -x $binary ]] || continue
  name=$(basename "$binary")
  echo "== $name"
  "$binary" --json "$results/$name.json"
done
for script in benchmarks/python/*.py; do
  [[ -e $script ]] || continue
  name=$(basename "$script" .py)
  [[ $name == _* ]] && continue
  echo "== $name.py"
  python -m "benchmarks.python.$name" --json "$results/python_$name.json"
done
