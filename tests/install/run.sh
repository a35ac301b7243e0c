#!/usr/bin/env bash
# Installs the library into a scratch prefix, builds the consumer against it through find_package, and runs that: the
# static library as it was built for the package (with CUDA where there is nvcc), and a shared one for the CPU alone.
# Then installs the Python package as a machine without nvcc builds it.
#   tests/install/run.sh BUILD SCRATCH
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$(realpath "$1")
mkdir -p "$2"
scratch=$(realpath "$2")

consume() { # NAME BUILD
  local prefix=$scratch/$1/prefix
  rm -rf "${scratch:?}/$1"
  cmake --install "$2" --component dev --prefix "$prefix" >/dev/null
  cmake -S tests/install -B "$scratch/$1/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$prefix" -DEXAMPLE="$PWD/examples/cpp/align.cpp" >/dev/null
  cmake --build "$scratch/$1/consumer"
  ctest --test-dir "$scratch/$1/consumer" --output-on-failure --no-tests=error
}

cmake --build "$build" --target robocache >/dev/null
consume static "$build"

cmake --preset release -B "$scratch/shared-build" -DBUILD_SHARED_LIBS=ON -DROBOCACHE_CUDA=OFF >/dev/null
cmake --build "$scratch/shared-build"
consume shared "$scratch/shared-build"

pip install -q --no-build-isolation --no-deps --upgrade --target "$scratch/site" \
  -C build-dir="$scratch/cpu-package" -C cmake.define.ROBOCACHE_CUDA=OFF .
PYTHONPATH=$scratch/site python tests/install/cpu_only.py "$scratch/site"
