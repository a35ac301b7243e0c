#!/usr/bin/env bash
# Prepares a machine. Both commands do nothing, and use no network, where nothing is missing.
#   tools/bootstrap.sh system [test]   the Debian packages that a build needs; 'test' adds those of the C++ tests
#   tools/bootstrap.sh venv GROUP...   .venv with the dependency groups of pyproject.toml
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

fail() {
  echo "bootstrap: $*" >&2
  exit 1
}

has_python_headers() {
  "$PYTHON" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}

# What is missing, by the name of the Debian package that brings it.
missing_packages() {
  command -v g++ >/dev/null || echo g++
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  has_python_headers || echo python3-dev
  if [[ ${1:-} == test ]]; then
    [[ -e /usr/include/gtest/gtest.h || -e /usr/local/include/gtest/gtest.h ]] || echo libgtest-dev
  fi
}

system() {
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$PYTHON is $("$PYTHON" --version), expected Python 3.10 or newer; set PYTHON"
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -eq 0 ]] && return
  command -v apt-get >/dev/null || fail "missing: ${missing[*]} (names of Debian packages); install them and try again"
  local root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || fail "missing: ${missing[*]}; install them as root and try again"
    root=(sudo)
  fi
  echo "installing Debian packages: ${missing[*]}"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -eq 0 ]] || fail "$PYTHON still lacks ${missing[*]}; is it the system's Python?"
}

pinned() {
  grep -o "\"$1==[^\";]*" pyproject.toml | tr -d '"'
}

# A wheel that the machine offers is used; the index's would bring gigabytes of CUDA libraries to a CPU test.
torch() {
  local wanted
  wanted=$(pinned torch)
  .venv/bin/python -c 'import torch' 2>/dev/null && return
  if [[ ${WITH_TORCH:-0} == 1 ]] || .venv/bin/pip install -q --no-index --no-deps "$wanted" 2>/dev/null; then
    .venv/bin/pip install -q "$wanted"
  else
    echo "no local wheel of $wanted: what needs torch will skip (WITH_TORCH=1 installs it from the index)"
  fi
}

venv() {
  if ! .venv/bin/python -c '' 2>/dev/null; then
    "$PYTHON" -m venv --clear .venv
  fi
  .venv/bin/pip install -q "$(pinned pip)"
  local group arguments=()
  for group in "$@"; do
    if [[ $group == torch ]]; then
      torch
    else
      arguments+=(--group "$group")
    fi
  done
  [[ ${#arguments[@]} -eq 0 ]] || .venv/bin/pip install -q "${arguments[@]}"
}

case ${1:-} in
  system | venv) "$@" ;;
  *) fail "usage: tools/bootstrap.sh system [test] | venv GROUP..." ;;
esac
