# Each target is complete on a fresh Debian machine with git, make and python3: it installs what is missing and is quick
# when nothing is. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export PYTHON ?= python3
JOBS ?= $(shell nproc)
VENV := .venv
BUILD := build

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
export CTEST_PARALLEL_LEVEL := $(JOBS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
ifneq ($(shell command -v ccache),)
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
export CMAKE_CUDA_COMPILER_LAUNCHER ?= ccache
endif

SOURCES := CMakeLists.txt pyproject.toml $(shell find cmake include src python -type f -not -path '*/__pycache__/*')
WARNINGS_AS_ERRORS := $(if $(CI),ON,OFF)
PIP_BUILD := pip install -q --no-build-isolation --no-deps

.PHONY: help
help:  ## What this file can do
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
	  awk -F'\t' '{ printf "%-14s %s\n", $$1, $$2 }'

# --- Tools and the package --------------------------------------------------------------------------------------------

$(VENV)/.have-base: pyproject.toml tools/bootstrap.sh
	tools/bootstrap.sh system
	tools/bootstrap.sh venv build run torch
	touch $@

$(VENV)/.have-test: $(VENV)/.have-base
	tools/bootstrap.sh system test
	tools/bootstrap.sh venv test
	touch $@

$(VENV)/.have-lint: $(VENV)/.have-base
	tools/bootstrap.sh venv lint
	touch $@

$(VENV)/.have-robocache: $(VENV)/.have-base $(SOURCES)
	@echo "== building and installing the package into .venv (minutes the first time)"
	$(PIP_BUILD) -C build-dir=$(BUILD)/package -C cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=$(WARNINGS_AS_ERRORS) .
	@tools/kernel_report.sh $(BUILD)/package
	touch $@

.PHONY: install
install: $(VENV)/.have-robocache  ## Build the Python package and install it into .venv

# --- What users run ---------------------------------------------------------------------------------------------------

.PHONY: demo bench bench-operators bench-loader
demo: $(VENV)/.have-robocache  ## Align a simulated robot log, or a real one: make demo DATA=path
	$(VENV)/bin/python examples/python/demo.py $(if $(DATA),--data '$(DATA)')

bench: bench-operators $(if $(BENCH),,bench-loader)  ## Benchmarks beside their peers: build/results/bench.json, .html

bench-operators: $(VENV)/.have-test $(VENV)/.have-robocache
	cmake -S . -B $(BUILD)/package -DROBOCACHE_BENCHMARKS=ON >/dev/null
	cmake --build $(BUILD)/package
	robocache-bench run --cpp $(BUILD)/package/benchmarks -o $(BUILD)/results/bench.json $(BENCH)
	robocache-bench report $(BUILD)/results/bench.json -o $(BUILD)/results/bench.html

# Real robot data, if it is where the tests look for it.
LOADER_DATA ?= $(firstword $(wildcard $(addsuffix /lerobot_v30_g1_real,$(ROBOCACHE_TEST_DATA) ../shared/data)))

bench-loader: $(VENV)/.have-test $(VENV)/.have-robocache  ## The loader beside LeRobot's and torch: loader.json there
ifeq ($(LOADER_DATA),)
	@echo "SKIPPED: loader: no dataset is given; hint: make bench-loader LOADER_DATA=path"
else
	robocache-bench loader --data '$(LOADER_DATA)' -o $(BUILD)/results/loader.json
endif

# --- Tests ------------------------------------------------------------------------------------------------------------

.PHONY: test test-layout test-cpp test-asan test-tsan test-python test-install
test: test-layout test-cpp test-asan test-tsan test-python test-install  ## All tests, the quick ones first
	@echo "== make test: all steps passed"

test-layout: lint-layout  ## The layout rules

test-cpp: $(VENV)/.have-test $(VENV)/.have-robocache  ## C++ tests, optimised; compiles every kernel and benchmark
	@echo "== C++ tests"
	cmake -S . -B $(BUILD)/package -DROBOCACHE_TESTS=ON -DROBOCACHE_BENCHMARKS=ON >/dev/null
	cmake --build $(BUILD)/package
	@tools/kernel_report.sh $(BUILD)/package
	$(PYTHON) tools/check_isa_symbols.py $(BUILD)/package
	ctest --test-dir $(BUILD)/package --output-on-failure --no-tests=error

test-asan: $(VENV)/.have-test  ## C++ tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@echo "== C++ tests, asan and ubsan"
	cmake --preset asan-ubsan >/dev/null
	cmake --build --preset asan-ubsan
	ctest --preset asan-ubsan

test-tsan: $(VENV)/.have-test  ## C++ tests of threaded code with ThreadSanitizer
	@echo "== C++ tests, tsan"
	cmake --preset tsan >/dev/null
	cmake --build --preset tsan
	ctest --preset tsan

test-python: $(VENV)/.have-test $(VENV)/.have-robocache  ## Python tests against the installed package
	@echo "== Python tests"
	tools/stubs.sh --check
	python -m pytest -q

test-install: $(VENV)/.have-test $(VENV)/.have-robocache  ## A consumer of the installed library, and a CPU-only package
	@echo "== install test"
	tests/install/run.sh $(BUILD)/package $(BUILD)/install-test

# --- Lint -------------------------------------------------------------------------------------------------------------

CPP_FILES = git ls-files -co --exclude-standard '*.hpp' '*.cpp' '*.cu' '*.cuh'

.PHONY: lint lint-layout lint-python lint-cpp lint-shell format stubs
lint: lint-layout lint-python lint-cpp lint-shell  ## Formatting, static analysis and types; make -k lint to see all
	@echo "== make lint: clean"

lint-layout:
	$(PYTHON) tools/check_layout.py

lint-python: $(VENV)/.have-lint
	ruff check .
	ruff format --check .
	mypy

lint-cpp: $(VENV)/.have-lint
	$(CPP_FILES) | xargs clang-format --dry-run -Werror
	tools/clang_tidy.py --jobs $(JOBS)

lint-shell: $(VENV)/.have-lint
	git ls-files -co --exclude-standard '*.sh' .ci/run | xargs shellcheck

format: $(VENV)/.have-lint  ## Format everything
	ruff check --fix-only -q .
	ruff format -q .
	$(CPP_FILES) | xargs clang-format -i

stubs: $(VENV)/.have-robocache  ## Regenerate python/robocache/_core.pyi
	tools/stubs.sh

.PHONY: clean
clean:  ## Remove what was built; .venv stays, less the package's stamp
	rm -rf $(BUILD) $(VENV)/.have-robocache
