"""Every layout rule accepts a sound tree and names what is wrong in one that breaks it."""

from __future__ import annotations

from pathlib import Path

import check_layout
import pytest

SOUND = {
    "include/robocache/foo.hpp": "#pragma once\n#include <span>\n#include <robocache/error.hpp>\n",
    "include/robocache/error.hpp": "#pragma once\n#include <stdexcept>\n",
    "src/core/check.hpp": "#pragma once\n#include <robocache/error.hpp>\n",
    "src/cuda/stream.hpp": '#pragma once\n#include <cuda_runtime_api.h>\n#include "core/check.hpp"\n',
    "src/kernels/foo.hpp": (
        '#pragma once\n#include "core/check.hpp"\n#include "robocache/foo.hpp"\nnamespace cuda {\nvoid foo();\n}\n'
    ),
    "src/kernels/cpu/foo.cpp": '#include "kernels/foo.hpp"\n',
    "src/kernels/cuda/foo_dense.cu": '#include <cub/cub.cuh>\n#include "cuda/stream.hpp"\n#include "kernels/foo.hpp"\n',
    "src/ops/foo.cpp": '#include "kernels/foo.hpp"\n',
    "python/bindings/foo.cpp": "#include <nanobind/nanobind.h>\n",
    "python/robocache/foo.py": "def foo() -> None:\n    pass\n",
    "tests/cpp/ops/foo_test.cpp": '#include "kernels/foo.hpp"\n',
    "tests/python/test_foo.py": "def test_foo() -> None:\n    pass\n",
    "tests/cases/foo.json": "[]\n",
    "benchmarks/cpp/foo.cu": "int main() {}\n",
}

LONG_FUNCTION = "def foo() -> int:\n" + "    print()\n" * 61

# What is written over the sound tree (None: removed), and what the check must say about it.
BROKEN = {
    "no public header": ({"include/robocache/foo.hpp": None}, "operator 'foo' has no include/robocache/foo.hpp"),
    "no contract": ({"src/kernels/foo.hpp": None}, "operator 'foo' has no src/kernels/foo.hpp"),
    "no CPU kernel": ({"src/kernels/cpu/foo.cpp": None}, "operator 'foo' has no src/kernels/cpu/foo*.cpp"),
    "no CUDA kernel": ({"src/kernels/cuda/foo_dense.cu": None}, "operator 'foo' has no src/kernels/cuda/foo*.cu"),
    "no binding": ({"python/bindings/foo.cpp": None}, "operator 'foo' has no python/bindings/foo.cpp"),
    "no C++ test": ({"tests/cpp/ops/foo_test.cpp": None}, "operator 'foo' has no tests/cpp/ops/foo_test.cpp"),
    "no Python test": ({"tests/python/test_foo.py": None}, "operator 'foo' has no tests/python/test_foo.py"),
    "no cases": ({"tests/cases/foo.json": None}, "operator 'foo' has no tests/cases/foo.json"),
    "no benchmark": ({"benchmarks/cpp/foo.cu": None}, "operator 'foo' has no benchmarks/**/foo*.*"),
    "another operator's kernel does not count": (
        {"src/kernels/cpu/foo.cpp": None, "src/kernels/cpu/foods.cpp": ""},
        "operator 'foo' has no src/kernels/cpu/foo*.cpp",
    ),
    "kernel without an operator": (
        {"src/kernels/cpu/bar.cpp": ""},
        "src/kernels/cpu/bar.cpp: kernel 'bar' belongs to no operator",
    ),
    "unknown area": ({"src/misc/a.cpp": ""}, "src/misc/a.cpp: src/misc is no area of the design"),
    "against the arrow": (
        {"src/core/a.cpp": '\n#include "kernels/foo.hpp"\n'},
        "src/core/a.cpp:2: core includes src/kernels/foo.hpp, against the arrow",
    ),
    "ops know io": (
        {"src/io/mcap/reader.hpp": "#pragma once\n", "src/ops/foo.cpp": '#include "io/mcap/reader.hpp"\n'},
        "src/ops/foo.cpp:1: ops includes src/io/mcap/reader.hpp, against the arrow",
    ),
    "io knows ops": (
        {"src/io/a.cpp": '#include "kernels/foo.hpp"\n'},
        "src/io/a.cpp:1: io includes src/kernels/foo.hpp, against the arrow",
    ),
    "include of nothing": ({"src/core/a.cpp": '#include "core/b.hpp"\n'}, '"core/b.hpp" is not a file of this tree'),
    "CUDA header in the front door": (
        {"src/ops/foo.cpp": "#include <cuda_runtime.h>\n"},
        "src/ops/foo.cpp: includes a CUDA header (cuda_runtime.h)",
    ),
    "CUDA header behind another": (
        {"src/ops/foo.cpp": '#include "cuda/stream.hpp"\n'},
        "src/ops/foo.cpp: includes a CUDA header (src/cuda/stream.hpp -> cuda_runtime_api.h)",
    ),
    "CUDA header in a binding": (
        {"python/bindings/foo.cpp": "#include <cuda_bf16.h>\n"},
        "python/bindings/foo.cpp: includes a CUDA header",
    ),
    "public header includes src": (
        {"include/robocache/foo.hpp": '#pragma once\n#include "core/check.hpp"\n'},
        "public includes src/core/check.hpp, against the arrow",
    ),
    "public header includes a library": (
        {"include/robocache/foo.hpp": "#pragma once\n#include <nanobind/nanobind.h>\n"},
        "include/robocache/foo.hpp:2: public header includes <nanobind/nanobind.h>",
    ),
    "public header names a CUDA type": (
        {"include/robocache/foo.hpp": "#pragma once\nvoid foo(cudaStream_t stream);\n"},
        "include/robocache/foo.hpp:2: public header names 'cudaStream_t'",
    ),
    "public header elsewhere": ({"include/foo.hpp": "#pragma once\n"}, "public headers live in include/robocache"),
    "no pragma once": ({"src/core/check.hpp": "int check();\n"}, "src/core/check.hpp: has no '#pragma once'"),
    "long public header": (
        {"include/robocache/foo.hpp": "#pragma once\n" + "\n" * 150},
        "include/robocache/foo.hpp: has 151 lines, expected at most 150",
    ),
    "long source": ({"src/core/a.cpp": "\n" * 401}, "src/core/a.cpp: has 401 lines, expected at most 400"),
    "forbidden file name": ({"src/core/string_utils.cpp": ""}, "'utils' is not allowed in a name"),
    "forbidden folder name": ({"src/core/common/a.cpp": ""}, "'common' is not allowed in a name"),
    "CamelCase file": ({"src/core/ThreadPool.cpp": ""}, "'ThreadPool' is not snake_case"),
    "forbidden type name": (
        {"src/core/a.cpp": "class StreamManager {};\n"},
        "src/core/a.cpp:1: 'manager' is not allowed in a name: StreamManager",
    ),
    "forbidden function name": (
        {"python/robocache/foo.py": "def foo_v2() -> None:\n    pass\n"},
        "python/robocache/foo.py:1: 'v2' is not allowed in a name: foo_v2",
    ),
    "long function": ({"python/robocache/foo.py": LONG_FUNCTION}, "foo has 61 lines, expected at most 60"),
    "Python that does not parse": ({"python/robocache/foo.py": "def\n"}, "python/robocache/foo.py:1: does not parse"),
    "path of a machine": (
        {"Makefile": "DATA = /" + "home/me/data\n"},
        "Makefile:1: names the machine path /" + "home/me",
    ),
    "host of a registry": (
        {"Makefile": "pip install --index" + "-url https" + "://example.com/simple x\n"},
        "Makefile:1: names https" + "://example.com, not a known documentation host",
    ),
}


def write(root: Path, files: dict[str, str | None]) -> None:
    for path, text in files.items():
        if text is None:
            (root / path).unlink()
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)


def test_sound_tree_has_no_problem(tmp_path: Path) -> None:
    write(tmp_path, dict(SOUND))
    assert check_layout.check(tmp_path) == []


def test_an_operator_may_be_on_the_cpu_alone(tmp_path: Path) -> None:
    write(tmp_path, dict(SOUND))
    write(tmp_path, {"src/kernels/foo.hpp": "#pragma once\n", "src/kernels/cuda/foo_dense.cu": None})
    assert check_layout.check(tmp_path) == []


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rule_is_reported(tmp_path: Path, name: str) -> None:
    change, expected = BROKEN[name]
    write(tmp_path, dict(SOUND))
    write(tmp_path, change)
    assert [p for p in check_layout.check(tmp_path) if expected in str(p)], check_layout.check(tmp_path)


def test_every_rule_has_a_broken_tree(tmp_path: Path) -> None:
    """A rule without a case here could stop working unseen."""
    broken_rules = set()
    for number, (change, _) in enumerate(BROKEN.values()):
        root = tmp_path / str(number)
        write(root, dict(SOUND))
        write(root, change)
        broken_rules |= {rule for rule in check_layout.CHECKS if list(rule(check_layout.Tree(root)))}
    assert broken_rules == set(check_layout.CHECKS)


def test_exit_status_and_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["check_layout.py", str(tmp_path)])
    write(tmp_path, dict(SOUND))
    assert check_layout.main() == 0
    assert "layout: 0 problems" in capsys.readouterr().out
    write(tmp_path, {"src/core/check.hpp": ""})
    assert check_layout.main() == 1
    assert capsys.readouterr().out.startswith("src/core/check.hpp: has no '#pragma once'\n")
