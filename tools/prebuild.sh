#!/usr/bin/env bash
# Builds what tools/gpu.sh needs on a machine without a GPU, into the ignored folder prebuilt/: the test and benchmark
# binaries and a wheel for $PYTHON. Carry the folder with the checkout and name it there in ROBOCACHE_PREBUILT.
#   PYTHON=python3.12 tools/prebuild.sh
# Environment: ROBOCACHE_CUDA_ARCHITECTURES as in tools/gpu.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
architectures=${ROBOCACHE_CUDA_ARCHITECTURES:-90-real}
build=$PWD/build/prebuild
venv=$build/venv
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

tools/bootstrap.sh system test
if ! "$venv/bin/python" -c '' 2>/dev/null; then
  "$PYTHON" -m venv --clear "$venv"
  "$venv/bin/pip" install -q "$(grep -o 'pip==[0-9.]*' pyproject.toml)"
fi
"$venv/bin/pip" install -q --group build
export PATH=$venv/bin:$PATH

rm -rf prebuilt
pip wheel -q --no-build-isolation --no-deps -w prebuilt -C build-dir="$build/cmake" -C cmake.define.ROBOCACHE_CUDA=ON \
  -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$architectures" .
cmake -S . -B "$build/cmake" -DROBOCACHE_TESTS=ON -DROBOCACHE_BENCHMARKS=ON -DROBOCACHE_TEST_CASES_DIR=tests/cases >/dev/null
cmake --build "$build/cmake"
install -s -m 755 "$build"/cmake/tests/robocache_tests "$build"/cmake/benchmarks/bench_* prebuilt/
git rev-parse HEAD >prebuilt/commit
git status --porcelain --untracked-files=no | grep -q . && echo "with local changes" >>prebuilt/commit
du -sh prebuilt
