#!/usr/bin/env bash
# Everything that needs a GPU, on a machine without network: Python, CUDA, CMake, Ninja, nanobind, scikit-build-core,
# GoogleTest, pytest, numpy and pyarrow are there already. Each stage takes less than ten minutes.
#   tools/gpu.sh build     the library, tests, benchmarks and Python module, into build/gpu
#   tools/gpu.sh test      the C++ tests and the CUDA ones in Python; a missing CUDA device is an error
#   tools/gpu.sh sanitize  compute-sanitizer memcheck and racecheck over the CUDA tests
#   tools/gpu.sh bench     the CUDA benchmarks to bench.json, bench.html, floor.txt, gradient.txt and points.txt in
#                          $OUT/results (build/gpu/results where OUT is not set)
#   tools/gpu.sh all       the four of them
# Environment:
#   ROBOCACHE_PREBUILT            a folder from tools/prebuild.sh: `build` unpacks it and compiles nothing
#   ROBOCACHE_CUDA_ARCHITECTURES  what to compile for; default: 90-real
#   ROBOCACHE_SANITIZE_CPP        GoogleTest filter of `sanitize`; default: every test with cuda in its name, less, for
#                                 racecheck, those of the longest logs, which take it many minutes
#   ROBOCACHE_BENCH               more options of `robocache-bench run`, such as: --quick --power --only fusion, or
#                                 --operator voxelize --points SCAN.ply, one operator for a stage of few minutes
#   ROBOCACHE_SANITIZE_PYTHON     pytest -k expression of `sanitize`; empty: no Python test
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=$PWD/build/gpu
RESULTS=${OUT:-$BUILD}/results
export PYTHONPATH=$BUILD/site
export ROBOCACHE_REQUIRE_CUDA=1
PYTHON=${PYTHON:-python3}
TESTS=$BUILD/tests/robocache_tests
# Warnings of whatever versions this machine has are not ours to fix.
PYTEST=("$PYTHON" -m pytest -q -o filterwarnings=default -p no:cacheprovider)

say() { printf '== %s\n' "$*"; }

fail() {
  echo "gpu.sh: $*" >&2
  exit 1
}

install_package() { # WHAT [PIP OPTIONS]: a wheel, or '.'
  rm -rf "$BUILD/site"
  "$PYTHON" -m pip install -q --no-index --no-deps --no-build-isolation --target "$BUILD/site" "$@"
}

build() {
  mkdir -p "$BUILD"
  if [[ -n ${ROBOCACHE_PREBUILT:-} ]]; then
    install_package "$ROBOCACHE_PREBUILT"/*.whl
    mkdir -p "$BUILD/tests" "$BUILD/benchmarks"
    install -m 755 "$ROBOCACHE_PREBUILT"/robocache_tests "$BUILD/tests/"
    install -m 755 "$ROBOCACHE_PREBUILT"/bench_* "$BUILD/benchmarks/"
  else
    install_package . -C build-dir="$BUILD" -C cmake.define.ROBOCACHE_CUDA=ON \
      -C cmake.define.CMAKE_CUDA_ARCHITECTURES="${ROBOCACHE_CUDA_ARCHITECTURES:-90-real}"
    cmake -S . -B "$BUILD" -DROBOCACHE_TESTS=ON -DROBOCACHE_BENCHMARKS=ON >/dev/null
    cmake --build "$BUILD" --parallel
  fi
  "$PYTHON" -c 'import robocache as rc; print(rc.check_installation())'
}

# Runs the C++ tests behind a command (or none), in parts side by side, and fails when none ran, or one skipped for want
# of CUDA.
run_cpp() { # FILTER [COMMAND...]
  local filter=$1 logs part parts=$(($(nproc) < 8 ? $(nproc) : 8))
  shift
  logs=$(mktemp -d)
  local running=()
  for ((part = 0; part < parts; ++part)); do
    GTEST_TOTAL_SHARDS=$parts GTEST_SHARD_INDEX=$part \
      "$@" "$TESTS" --gtest_brief=0 --gtest_filter="$filter" >"$logs/$part" 2>&1 &
    running+=($!)
  done
  local failed=0
  for part in "${running[@]}"; do wait "$part" || failed=1; done
  grep -hvE '^\[(-+|=+| RUN |       OK )' "$logs"/* || true
  ((!failed)) || fail "C++ tests failed: $* $filter"
  grep -qE '^\[  PASSED  \] [1-9][0-9]* tests?\.' "$logs"/* || fail "no C++ test matched $filter"
  ! grep -qi '^no CUDA device' "$logs"/* || fail "a CUDA test was skipped"
  rm -rf "$logs"
}

# What pytest printed into a file: tests ran, and none was skipped for want of CUDA.
check_python() {
  grep -qE '(^|[^0-9])[1-9][0-9]* passed' "$1" || fail "no Python test ran"
  ! grep -qiE '^SKIPPED.*(no cuda|cuda is not)' "$1" || fail "a CUDA test was skipped"
}

test_stage() {
  "$PYTHON" -c 'import robocache as rc; assert rc.is_cuda_available(), rc.check_installation()["cuda_reason"]'
  run_cpp '*'
  # A process for each file: what takes long is the oracle, which is Python. Status 5: a file has no such test.
  local log
  log=$(mktemp)
  # shellcheck disable=SC2016  # bash expands it
  printf '%s\0' tests/python/test_*.py |
    xargs -0 -n 1 -P "$(nproc)" bash -c 'said=$("$@" 2>&1) || [[ $? == 5 ]] || status=1; echo "$said"; exit ${status:-0}' \
      pytest "${PYTEST[@]}" -k cuda | tee "$log" || fail "Python tests failed"
  check_python "$log"
  rm -f "$log"
}

sanitize() {
  local sanitizer tool options filter log
  sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
  [[ -x $sanitizer ]] || fail "no compute-sanitizer on this machine"
  for tool in memcheck racecheck; do
    options=(--tool "$tool" --error-exitcode 9)
    # Tests of errors make the runtime refuse calls on purpose; a refusal that nobody expects fails its test.
    [[ $tool != memcheck ]] || options+=(--report-api-errors no)
    filter='*cuda*:*Cuda*:*CUDA*'
    [[ $tool != racecheck ]] || filter+=':-*MoreRowsThan32Bits*:*LongLogs*'
    say "$tool, C++"
    run_cpp "${ROBOCACHE_SANITIZE_CPP:-$filter}" "$sanitizer" "${options[@]}"
    if [[ -n ${ROBOCACHE_SANITIZE_PYTHON=torch-cuda and (outside or ragged or outputs) or another_cuda_stream} ]]; then
      say "$tool, Python"
      log=$(mktemp)
      "$sanitizer" "${options[@]}" --target-processes all "${PYTEST[@]}" tests/python -k "$ROBOCACHE_SANITIZE_PYTHON" |
        tee "$log" || fail "Python tests failed under $tool"
      check_python "$log"
      rm -f "$log"
    fi
  done
}

bench() {
  local options
  read -ra options <<<"${ROBOCACHE_BENCH:-}"
  "$PYTHON" -m robocache_bench run --device cuda --cpp "$BUILD/benchmarks" -o "$RESULTS/bench.json" "${options[@]}"
  "$PYTHON" -m robocache_bench report "$RESULTS/bench.json" -o "$RESULTS/bench.html"
  "$BUILD/benchmarks/bench_align_floor" | tee "$RESULTS/floor.txt"
  "$BUILD/benchmarks/bench_voxelize_cuda" --only grad | tee "$RESULTS/gradient.txt"
  "$BUILD/benchmarks/bench_point_operators_cuda" | tee "$RESULTS/points.txt"
}

stage() {
  local begin=$SECONDS
  say "$1"
  case $1 in
    build) build ;;
    test) test_stage ;;
    sanitize) sanitize ;;
    bench) bench ;;
    *) fail "usage: tools/gpu.sh build|test|sanitize|bench|all" ;;
  esac
  say "$1: done in $((SECONDS - begin)) s"
}

if [[ ${1:-} == all ]]; then
  for name in build test sanitize bench; do stage "$name"; done
else
  stage "${1:-}"
fi
