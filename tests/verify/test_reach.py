"""Which questions a change can touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradekit.verify.reach import reach


def cell(question: str | None, source: str, kind: str = "answer") -> dict[str, Any]:
    return {"question": question, "source": source, "kind": kind}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    tests = {
        "q1": "def apply(first, x):\n    return first(x)\n",
        "q2": "def apply(second, x):\n    return second(x)\n",
        "q3": "def apply(third, x):\n    return third(x)\n",
    }
    for name, source in tests.items():
        (tmp_path / f"{name}.py").write_text(source)
    return {name: tmp_path / f"{name}.py" for name in tests}


def test_a_question_touches_those_that_use_its_names_also_by_way_of_others(files: dict[str, Path]) -> None:
    cells = [
        cell("q1", "def first(x):\n    return x"),
        cell(None, "def helper(x):\n    return first(x)", "given"),
        cell("q2", "class second:\n    run = helper"),
        cell("q3", "third = lambda x: x.first"),
        cell("q1", "", "check"),
    ]
    assert reach(cells, files) == {"q1": {"q1", "q2"}, "q2": {"q2"}, "q3": {"q3"}}


@pytest.mark.parametrize(
    "source",
    [
        "def first(x):\n    return x\n\n\ntorch.set_default_dtype(torch.float64)",
        "def first(x):\n    return x\n\n\ntorch.exp = first",
        "table[0] = 1",
        "%magic",
        "def first(x:",
    ],
)
def test_code_that_does_more_than_define_touches_all(files: dict[str, Path], source: str) -> None:
    cells = [cell("q1", source), cell("q2", "def second(x):\n    return x"), cell("q3", "def third(x):\n    return x")]
    assert reach(cells, files)["q1"] == {"q1", "q2", "q3"}


def test_what_a_test_names_itself_counts(files: dict[str, Path]) -> None:
    files["q3"].write_text("def test(env):\n    return env, first\n")
    cells = [cell("q1", "first: int = 3"), cell("q3", "import os as third")]
    assert reach(cells, files)["q1"] == {"q1", "q3"}
