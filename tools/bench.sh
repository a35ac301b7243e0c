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

has_cuda=0
"$PYTHON" -c 'import robocache, sys; sys.exit(not robocache.is_cuda_available())' && has_cuda=1
has_torch=0
"$PYTHON" -c 'import torch' 2>/dev/null && has_torch=1

can_run() { # NAME
  if [[ $1 == *cuda* && $has_cuda -eq 0 ]]; then
    echo "SKIPPED: $1 needs a CUDA device"
    return 1
  fi
}

"$PYTHON" tools/describe_machine.py >"$results/machine.json"
for binary in "$binaries"/bench_*; do
  name=$(basename "$binary")
  if [[ ! -x $binary ]] || ! can_run "$name"; then continue; fi
  echo "== $name"
  "$binary" --json "$results/$name.json"
done
for script in benchmarks/python/*.py; do
  name=$(basename "$script")
  if [[ ! -e $script ]] || ! can_run "$name"; then continue; fi
  if [[ $has_torch -eq 0 ]]; then
    echo "SKIPPED: $name compares with torch, which is not installed"
    continue
  fi
  echo "== $name"
  "$PYTHON" "$script" --json "$results/python_$(basename "$name" .py).json"
done
