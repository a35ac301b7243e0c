#!/usr/bin/env bash
# Everything that needs a GPU, on a machine without network: Python, CUDA, CMake, Ninja, nanobind, scikit-build-core,
# GoogleTest, pytest, numpy and pyarrow are there already. Each stage takes less than ten minutes.
#   tools/gpu.sh build     the library, tests, benchmarks and Python module, into build/gpu
#   tools/gpu.sh test      C++ and Python tests; a missing CUDA device is an error
#   tools/gpu.sh sanitize  compute-sanitizer memcheck and racecheck over the CUDA tests
#   tools/gpu.sh bench     the CUDA benchmarks to bench.json and bench.html in $OUT/results (build/gpu/results where OUT
#                          is not set)
#   tools/gpu.sh all       the four of them
# Environment:
#   ROBOCACHE_PREBUILT            a folder from tools/prebuild.sh: `build` unpacks it and compiles nothing
#   ROBOCACHE_CUDA_ARCHITECTURES  what to compile for; default: 90-real
#   ROBOCACHE_SANITIZE_CPP        GoogleTest filter of `sanitize`; default: every test with cuda in its name, less the one
#                                 of 2^31 rows for racecheck, which makes it take many minutes
#   ROBOCACHE_BENCH               more options of `robocache-bench run`, such as: --quick --power --only fusion
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

# Runs the C++ tests behind a command (or none) and fails when none ran, or one skipped for want of CUDA.
run_cpp() { # FILTER [COMMAND...]
  local filter=$1 log
  shift
  log=$(mktemp)
  "$@" "$TESTS" --gtest_brief=0 --gtest_filter="$filter" | tee "$log" | grep -vE '^\[ (RUN |      OK )' || {
    rm -f "$log"
    fail "C++ tests failed: $* $filter"
  }
  grep -qE '^\[  PASSED  \] [1-9][0-9]* tests?\.' "$log" || fail "no C++ test matched $filter"
  ! grep -qi '^no CUDA device' "$log" || fail "a CUDA test was skipped"
  rm -f "$log"
}

run_python() { # [COMMAND... --] PYTEST ARGUMENTS
  local command=() log
  if [[ $1 == command ]]; then
    shift
    while [[ $1 != -- ]]; do
      command+=("$1")
      shift
    done
    shift
  fi
  log=$(mktemp)
  "${command[@]}" "${PYTEST[@]}" "$@" | tee "$log" || fail "Python tests failed"
  grep -qE '(^|[^0-9])[1-9][0-9]* passed' "$log" || fail "no Python test ran"
  ! grep -qiE '^SKIPPED.*(no cuda|cuda is not)' "$log" || fail "a CUDA test was skipped"
  rm -f "$log"
}

test_stage() {
  "$PYTHON" -c 'import robocache as rc; assert rc.is_cuda_available(), rc.check_installation()["cuda_reason"]'
  run_cpp '*'
  run_python tests/python
}

sanitize() {
  local sanitizer tool options filter
  sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
  [[ -x $sanitizer ]] || fail "no compute-sanitizer on this machine"
  for tool in memcheck racecheck; do
    options=(--tool "$tool" --error-exitcode 9)
    # Tests of errors make the runtime refuse calls on purpose; a refusal that nobody expects fails its test.
    [[ $tool != memcheck ]] || options+=(--report-api-errors no)
    filter='*cuda*:*Cuda*:*CUDA*'
    [[ $tool != racecheck ]] || filter+=':-*MoreRowsThan32Bits*'
    say "$tool, C++"
    run_cpp "${ROBOCACHE_SANITIZE_CPP:-$filter}" "$sanitizer" "${options[@]}"
    if [[ -n ${ROBOCACHE_SANITIZE_PYTHON=torch-cuda and (outside or ragged or outputs) or another_cuda_stream} ]]; then
      say "$tool, Python"
      run_python command "$sanitizer" "${options[@]}" --target-processes all -- \
        tests/python -k "$ROBOCACHE_SANITIZE_PYTHON"
    fi
  done
}

bench() {
  local options
  read -ra options <<<"${ROBOCACHE_BENCH:-}"
  "$PYTHON" -m robocache_bench run --device cuda --cpp "$BUILD/benchmarks" -o "$RESULTS/bench.json" "${options[@]}"
  "$PYTHON" -m robocache_bench report "$RESULTS/bench.json" -o "$RESULTS/bench.html"
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
