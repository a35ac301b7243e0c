#!/usr/bin/env bash
# Says which CUDA kernels a build folder holds and for what; fails when one of src/kernels/cuda is missing from it.
#   tools/kernel_report.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."

cache=$1/CMakeCache.txt
if ! grep -q '^ROBOCACHE_HAS_CUDA:INTERNAL=1' "$cache"; then
  echo "SKIPPED: no nvcc (13.0 or newer), no kernel was compiled for sm_80, sm_90 and sm_100"
  exit 0
fi
count=0
for kernel in src/kernels/cuda/*.cu; do
  object=$1/CMakeFiles/robocache.dir/$kernel.o
  [[ -e $object ]] || { echo "kernel_report: $kernel was not compiled: no $object" >&2; exit 1; }
  count=$((count + 1))
done
echo "CUDA: $count kernel files compiled for $(sed -n 's/^CMAKE_CUDA_ARCHITECTURES:[A-Z]*=//p' "$cache")"
