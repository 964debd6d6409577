"""Automatic mutants: which mistakes are made, where, and where not."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from gradekit.verify.mutate import Mutation, mutations
from gradekit.verify.variant import Equivalent

PROJECT = Path(__file__).parents[2]


def notebook(*sources: str, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    cells = [
        nbformat.v4.new_code_cell(source, id=f"q1-code-{i}", metadata={"tags": list(tags)})
        for i, source in enumerate(sources, start=1)
    ]
    return nbformat.v4.new_notebook(cells=cells)


def made(source: str, given: str = "") -> list[Mutation]:
    return mutations(notebook(source), notebook(given))


def after(source: str, operator: str | None = None) -> set[str]:
    return {m.after for m in made(source) if operator is None or m.operator == operator}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("y = a + b", {"pass", "y = a - b", "y = a", "y = b"}),
        ("y = a - b", {"pass", "y = a + b", "y = a", "y = b", "y = b - a"}),
        ("y = a * b", {"pass", "y = a / b", "y = a", "y = b"}),
        ("y = a // b", {"pass", "y = a * b", "y = a % b"}),
        ("y = a @ b", {"pass", "y = b @ a"}),
        ("y = a < b", {"pass", "y = a <= b"}),
        ("y = a == b", {"pass", "y = a != b"}),
        ("y = a and b", {"pass", "y = a or b", "y = a", "y = b"}),
        ("y = not a", {"pass", "y = a"}),
        ("y = -a", {"pass", "y = a"}),
        ("y = 3", {"pass", "y = 4", "y = 2"}),
        ("y = 0.5", {"pass", "y = 1.0"}),
        ("y = True", {"pass", "y = False"}),
        ("y = 'text'", {"pass"}),
        ("y = f'{a + b}'", {"pass"}),
        ("y = a if c else b", {"pass", "y = b if c else a"}),
        ("y = f(a, b)", {"pass", "y = f(b, a)"}),
        ("y = f(*a, b)", {"pass"}),
        ("y = x.sum(dim=d)", {"pass", "y = x.sum()", "y = x"}),
        ("y = torch.sum(x)", {"pass"}),
        ("y = a.T", {"pass", "y = a"}),
        ("y = a[b, c]", {"pass", "y = a[c, b]"}),
        ("y = a[b:c]", {"pass", "y = a[b:c - 1]"}),
        ("y = a[::s]", {"pass", "y = a[:]"}),
        ("y += a", {"pass", "y -= a", "y = a"}),
        ("return_(y)", {"pass"}),
    ],
)
def test_each_mistake_is_made_once(source: str, expected: set[str]) -> None:
    found = [m.after for m in made(source)]
    assert set(found) == expected
    assert len(found) == len(expected)


def test_loops_end_early_and_flow_changes() -> None:
    source = "for i in range(n):\n    if i:\n        break\n    continue"
    assert after(source) == {"for i in range(n - 1):", "continue", "break"}


def test_only_what_a_student_writes_is_changed() -> None:
    given = "def f(x, k=1):\n    '''Twice x.'''\n    ..."
    source = "def f(x, k=1):\n    '''Twice x.'''\n    return x + k"
    assert {(m.before, m.line) for m in made(source, given)} == {("return x + k", 3)}


def test_annotations_docstrings_and_decorators_stay() -> None:
    source = "@d(1)\ndef f(x: Literal[1]) -> Literal[2]:\n    '''Three.'''\n    y: Literal[4] = a\n    return y"
    assert after(source) == set()


def test_every_source_is_python_with_one_difference_and_the_notebook_is_left_as_it_was() -> None:
    source = "def f(x, n):\n    for i in range(n):\n        x[i, 0] = x[i, 1] + 2 * x[0, i]\n    return x.sum(0)"
    solution = notebook(source)
    found = mutations(solution, notebook(""))
    assert solution.cells[0].source == source
    assert len({m.source for m in found}) == len(found) > 15
    for mutation in found:
        compile(mutation.source, "<mutation>", "exec")


def test_cells_that_show_and_cells_with_magics_are_left_alone() -> None:
    assert mutations(notebook("y = 1", tags=("show",)), notebook("")) == []
    assert made("%timeit f(1)") == []


def test_week_5_has_mutants_of_every_kind() -> None:
    def read(folder: str) -> nbformat.NotebookNode:
        return nbformat.read(PROJECT / folder / "week05_conv" / "week05_conv.ipynb", as_version=4)

    found = mutations(read("solutions"), read("release"))
    kinds = {m.operator for m in found}
    wanted = {"off by one", "dropped term", "swapped arguments", "statement forgotten", "keyword forgotten"}
    assert wanted <= kinds
    assert {m.question for m in found} == {"q1", "q2", "q3", "q4", "q5"}


def test_the_difference_stands_once_and_makes_the_change() -> None:
    for mutation in made("y = f(a + b, a + b, alpha[0]) + gamma * (delta - 1)"):
        old, new = mutation.difference
        assert mutation.before.count(old) == 1
        assert mutation.before.replace(old, new) == mutation.after
        assert old in mutation.name


def test_an_equivalent_names_its_changes_and_no_others() -> None:
    listed = Equivalent("q1", why="w", replace={"+ b": ("- b", "+ c"), "2 * ": ""})
    assert listed.makes("y = a + b", "y = a - b")
    assert listed.makes("y = a + b + b", "y = a + b - b")
    assert listed.makes("y = 2 * 2 * a", "y = 2 * a")
    assert not listed.makes("y = a + b + b", "y = a - b - b")
    assert not listed.makes("y = a + b", "y = a * b")


@pytest.mark.parametrize("options", [{"why": "", "replace": {"a": "b"}}, {"why": "w", "replace": {}}])
def test_an_equivalent_says_why(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="q1"):
        Equivalent("q1", **options)  # type: ignore[arg-type]
