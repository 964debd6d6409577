"""The notebook that runs is the judge's: the release's order and locked cells, the student's source."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gradekit.grade.cells import Script, script
from gradekit.grade.submission import InvalidSubmission

ROOT = Path(__file__).parents[2]
Notebook = dict[str, Any]

RELEASE: list[dict[str, Any]] = [
    {"id": id, "kind": kind, "question": question, "show": id == "code-2", "source": source}
    for id, kind, question, source in [
        ("otter-init", "grader", None, 'import otter\ngrader = otter.Notebook("w.ipynb")'),
        ("code-1", "given", None, "import torch\nfrom torch import nn"),
        ("q1-code-1", "answer", "q1", "def double(x):\n    ..."),
        ("q1-check", "check", "q1", 'grader.check("q1")'),
        ("code-2", "given", None, "plot(double)\nplot(1)\nplot(2)"),
        ("q2-code-1", "answer", "q2", "def halve(x):\n    ..."),
        ("q2-check", "check", "q2", 'grader.check("q2")'),
        ("otter-export", "grader", None, "grader.export(pdf=False)"),
    ]
]


def code(source: Any, id: str | None = None, **more: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
    return cell | ({"id": id} if id else {}) | more


def handed_out() -> Notebook:
    return {"cells": [code(cell["source"], cell["id"]) for cell in RELEASE], "metadata": {}, "nbformat": 4}


def done(**answers: str) -> Notebook:
    """The release with both questions answered; `answers` by id with _ for -."""
    sources = {"q1-code-1": "def double(x):\n    return x + x", "q2-code-1": "def halve(x):\n    return x / 2"}
    sources |= {name.replace("_", "-"): source for name, source in answers.items()}
    notebook = handed_out()
    for cell in notebook["cells"]:
        cell["source"] = sources.get(cell["id"], cell["source"])
    return notebook


def at(notebook: Notebook, id: str) -> int:
    return next(i for i, cell in enumerate(notebook["cells"]) if cell.get("id") == id)


def without_ids(notebook: Notebook) -> Notebook:
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        cell.pop("id", None)
    return notebook


def ids(told: Script) -> list[str]:
    return [cell.id for cell in told.cells]


def source(told: Script, id: str) -> str:
    return next(cell.source for cell in told.cells if cell.id == id)


ORDER = ["code-1", "q1-code-1", "q1-check", "q2-code-1", "q2-check"]


def test_an_ordinary_submission_is_the_release_with_the_answers_in_it_and_nothing_to_note() -> None:
    told = script(RELEASE, done())
    assert ids(told) == ORDER
    assert [cell.kind for cell in told.cells] == ["given", "answer", "check", "answer", "check"]
    assert [cell.question for cell in told.cells] == [None, "q1", "q1", "q2", "q2"]
    assert source(told, "q1-code-1") == "def double(x):\n    return x + x"
    assert source(told, "q1-check") == ""
    assert told.notes == ()


def test_an_untouched_release_has_nothing_to_note() -> None:
    assert script(RELEASE, handed_out()).notes == ()


@pytest.mark.parametrize(
    "metadata",
    [
        {"tags": ["show"]},
        {"tags": ["skip-execution", "remove-cell"]},
        {"deletable": False, "editable": False},
        None,
        7,
        [],
    ],
    ids=str,
)
def test_what_a_student_writes_beside_the_source_changes_nothing(metadata: Any) -> None:
    notebook = done()
    for cell in notebook["cells"]:
        cell |= {"metadata": metadata, "outputs": "?", "execution_count": "x", "attachments": 1, "extra": {}}
    notebook |= {"metadata": {"kernelspec": {"name": "bash"}, "language_info": {"name": "R"}}, "extra": 1}
    assert script(RELEASE, notebook) == script(RELEASE, done())


def test_markdown_and_raw_cells_do_not_run() -> None:
    notebook = done()
    for kind in ("markdown", "raw", "heading", None, 3):
        notebook["cells"].insert(2, {"cell_type": kind, "source": "import os", "metadata": {}})
    notebook["cells"] += [None, 3, "text", []]
    assert script(RELEASE, notebook) == script(RELEASE, done())


def test_a_cell_that_is_for_show_does_not_run_edited_or_not() -> None:
    for text in ("plot(double)\nplot(1)\nplot(2)", "while True: pass", ""):
        assert ids(script(RELEASE, done(code_2=text))) == ORDER


@pytest.mark.parametrize("text", ["plot(double)\nplot(1)\nplot(2)", "plot(double)\nplot(1)\nplot(3)\nplot(4)"])
def test_a_cell_for_show_that_has_lost_its_id_is_known_by_its_lines(text: str) -> None:
    notebook = done()
    notebook["cells"][at(notebook, "code-2")] = code(text, "another")
    assert ids(script(RELEASE, notebook)) == ORDER
    assert ids(script(RELEASE, without_ids(notebook))) == ORDER


def test_added_cells_run_where_they_stand() -> None:
    notebook = done()
    for index in (8, 5, 4, 3, 0):
        notebook["cells"].insert(index, code(f"added = {index}", f"mine{index}"))
    told = script(RELEASE, notebook)
    assert [cell.id if cell.kind != "added" else cell.source for cell in told.cells] == [
        "added = 0",
        "code-1",
        "q1-code-1",
        "added = 3",
        "q1-check",
        "added = 4",
        "added = 5",
        "q2-code-1",
        "q2-check",
        "added = 8",
    ]
    assert len(set(ids(told))) == len(told.cells)
    assert told.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        'grader.check("q1")',
        "# check\ngrader.check('q2')  # again\n\ngrader.check_all();",
        "grader.export(\n    pdf=False,\n    run_tests=True,\n)",
        '# Initialize Otter\nimport otter\ngrader = otter.Notebook("w.ipynb")',
        "import otter",
        'grader.check("q9")',
    ],
)
def test_copies_of_otters_cells_are_dropped(text: str) -> None:
    notebook = done()
    notebook["cells"].insert(3, code(text, "copy"))
    notebook["cells"].append(code(text))
    notebook["cells"].append(code("last = 1"))
    told = script(RELEASE, notebook)
    assert ids(told) == [*ORDER, "added-1"]
    assert told.notes == ()


def test_what_stands_beside_otters_calls_in_a_locked_cell_runs() -> None:
    notebook = done(
        otter_init='import otter\ngrader = otter.Notebook("w.ipynb")\nimport math',
        q1_check='grader.check("q1")\nseen = 1',
    )
    told = script(RELEASE, notebook)
    assert ids(told) == ["added-1", "code-1", "q1-code-1", "q1-check", "added-2", "q2-code-1", "q2-check"]
    assert [source(told, f"added-{i}").strip() for i in (1, 2)] == ["import math", "seen = 1"]
    assert told.notes == tuple(
        f"the locked cell {name} was edited: what was added to it runs after it" for name in ("otter-init", "q1-check")
    )


def test_a_check_that_calls_something_else_is_code_of_the_student() -> None:
    notebook = done()
    notebook["cells"].append(code('grader.check(open("x"))'))
    assert ids(script(RELEASE, notebook)) == [*ORDER, "added-1"]


def test_otter_is_not_started_by_a_cell_of_the_student() -> None:
    told = script(RELEASE, done(code_1='import torch\nimport otter\ngrader = otter.Notebook("x")\nimport math'))
    assert source(told, "code-1") == "import torch\n\n\nimport math"  # lines keep their numbers


def test_a_deleted_answer_is_missing_and_the_rest_is_there() -> None:
    notebook = done()
    del notebook["cells"][at(notebook, "q2-code-1")]
    told = script(RELEASE, notebook)
    assert ids(told) == ["code-1", "q1-code-1", "q1-check", "q2-check"]
    assert told.notes == ("the answer cell of q2 is missing",)


def test_an_answer_made_a_text_is_missing() -> None:
    notebook = done()
    notebook["cells"][at(notebook, "q2-code-1")]["cell_type"] = "markdown"
    assert script(RELEASE, notebook).notes == ("the answer cell of q2 is missing",)


def test_a_deleted_given_cell_runs_as_in_the_release() -> None:
    notebook = done()
    del notebook["cells"][at(notebook, "code-1")]
    told = script(RELEASE, notebook)
    assert source(told, "code-1") == "import torch\nfrom torch import nn"
    assert told.notes == ("the cell code-1 is missing: the release's runs",)


def test_deleted_locked_cells_are_there_again() -> None:
    notebook = done()
    notebook["cells"] = [c for c in notebook["cells"] if not c["id"].endswith(("check", "init", "export"))]
    assert script(RELEASE, notebook) == script(RELEASE, done())


def test_an_answer_that_was_cut_and_pasted_is_told_by_what_it_defines() -> None:
    notebook = done()
    cell = notebook["cells"].pop(at(notebook, "q1-code-1"))
    notebook["cells"].insert(5, cell | {"id": "5f0c"})
    notebook["cells"].insert(6, code("after = 1", "mine"))
    told = script(RELEASE, notebook)
    assert source(told, "q1-code-1") == "def double(x):\n    return x + x"
    assert ids(told).index("q1-code-1") < ids(told).index("q1-check")
    assert "the answer cell of q1 has lost its id: it was told by what it defines" in told.notes
    assert "cells were moved: the release's order is kept" in told.notes


def test_moved_cells_are_run_in_the_releases_order() -> None:
    notebook = done()
    notebook["cells"].reverse()
    told = script(RELEASE, notebook)
    assert ids(told) == ORDER
    assert told.notes == ("cells were moved: the release's order is kept",)


STUB, ONE, TWO = "def double(x):\n    ...", "def double(x):\n    return x", "def double(x):\n    return 2 * x"


@pytest.mark.parametrize(
    ("copies", "run"),
    [
        ([STUB, ONE], [ONE]),
        ([ONE, STUB], [ONE]),
        ([ONE, TWO], [ONE, TWO]),
        ([STUB, TWO, ONE, STUB], [TWO, ONE]),
        ([STUB, STUB], [STUB]),
    ],
)
def test_of_cells_with_one_id_the_edited_ones_run(copies: list[str], run: list[str]) -> None:
    notebook = done()
    place = at(notebook, "q1-code-1")
    notebook["cells"][place : place + 1] = [code(text, "q1-code-1") for text in copies]
    told = script(RELEASE, notebook)
    assert [c.source for c in told.cells[1:] if c.kind in ("answer", "added")][: len(run)] == run
    assert told.cells[1].id == "q1-code-1"
    assert ids(told).count("q1-code-1") == 1
    assert len(told.cells) == len(ORDER) + len(run) - 1
    assert told.notes == ("several cells have the id q1-code-1: the first that was edited counts as it",)


@pytest.mark.parametrize("odd", [None, 3, {"a": 1}, ["x = 1\n", 3], [["x"]], True])
def test_a_source_that_is_no_text_is_empty(odd: Any) -> None:
    notebook = done()
    notebook["cells"][at(notebook, "q1-code-1")]["source"] = odd
    notebook["cells"].append(code(odd))
    told = script(RELEASE, notebook)
    assert source(told, "q1-code-1") == ""
    assert told.notes == ("the source of a cell is no text: it counts as empty",)
    assert ids(told) == ORDER


def test_a_source_may_be_a_list_of_lines() -> None:
    notebook = done(q1_code_1=["def double(x):\n", "    return x * 2"])  # type: ignore[arg-type]
    assert source(script(RELEASE, notebook), "q1-code-1") == "def double(x):\n    return x * 2"


def test_half_a_surrogate_is_replaced_so_that_the_source_can_be_sent() -> None:
    told = script(RELEASE, done(q1_code_1='x = "\ud83d"'))
    assert source(told, "q1-code-1").encode() == b'x = "?"'
    assert len(told.notes) == 1


@pytest.mark.parametrize("odd", [None, 3, "cells", {"cells": 1}])
def test_cells_that_are_no_list_are_none(odd: Any) -> None:
    told = script(RELEASE, {"cells": odd})
    assert [cell.kind for cell in told.cells] == ["given", "check", "check"]


def test_a_notebook_of_something_else_says_so() -> None:
    told = script(RELEASE, {"cells": [code("print(1)", "a"), code("y = 2", "b")]})
    assert "none of its cells could be told to be one of the release's" in told.notes
    assert "the answer cell of q1 is missing" in told.notes


def test_colab_keeps_ids_in_the_metadata() -> None:
    notebook = done()
    for cell in notebook["cells"]:
        cell["metadata"] = {"id": cell.pop("id")}
    assert script(RELEASE, notebook) == script(RELEASE, done())


def test_without_ids_cells_are_told_by_their_content() -> None:
    told = script(RELEASE, without_ids(done()))
    assert told.cells == script(RELEASE, done()).cells
    assert told.notes == ("the ids of its cells are lost: cells were told by their content",)


def test_without_ids_an_answer_that_defines_something_else_is_told_by_its_place() -> None:
    notebook = without_ids(done(q2_code_1="%%time\ndef half(x):\n    return x / 2\n  oops("))
    told = script(RELEASE, notebook)
    assert "def half" in source(told, "q2-code-1")
    assert "the answer cell of q2 was told by its place alone" in told.notes


def test_without_ids_a_given_cell_that_was_rewritten_is_told_by_its_place() -> None:
    told = script(RELEASE, without_ids(done(code_1="import numpy as np")))
    assert source(told, "code-1") == "import numpy as np"
    assert ids(told) == ORDER


def test_without_ids_added_cells_keep_their_places() -> None:
    notebook = without_ids(done())
    notebook["cells"].insert(3, code("after_q1 = double"))
    notebook["cells"].insert(6, code("before_q2 = 1"))
    told = script(RELEASE, notebook)
    assert [c.source if c.kind == "added" else c.id for c in told.cells] == [
        "code-1",
        "q1-code-1",
        "after_q1 = double",
        "q1-check",
        "before_q2 = 1",
        "q2-code-1",
        "q2-check",
    ]


def test_without_ids_a_second_version_of_an_answer_runs_after_the_first() -> None:
    notebook = without_ids(done())
    notebook["cells"].insert(3, code("def double(x):\n    return 2 * x"))
    told = script(RELEASE, notebook)
    assert [c.kind for c in told.cells[1:4]] == ["answer", "added", "check"]


# Week 5 as it is released and solved


@pytest.fixture(scope="module")
def week5() -> tuple[list[dict[str, Any]], Notebook, Notebook]:
    from gradekit.build.bundle import _cells
    from gradekit.build.make import load_week
    from gradekit.course import Course

    transformed = load_week(Course(ROOT).week("5"))
    as_json = [json.loads(nbformat.writes(n)) for n in (transformed.release, transformed.solution)]
    return _cells(transformed), as_json[0], as_json[1]


def regenerate(notebook: Notebook) -> None:
    for i, cell in enumerate(notebook["cells"]):
        cell["id"] = f"{i:08x}"


def strip(notebook: Notebook) -> None:
    notebook["nbformat_minor"] = 4
    for cell in notebook["cells"]:
        del cell["id"]


def to_colab(notebook: Notebook) -> None:
    strip(notebook)
    for i, cell in enumerate(notebook["cells"]):
        cell["metadata"] = {"id": f"Xy{i}"}


@pytest.mark.parametrize("lose", [regenerate, strip, to_colab])
@pytest.mark.parametrize("which", [1, 2], ids=["release", "solution"])
def test_week_5_without_ids_is_the_same_script(
    week5: tuple[list[dict[str, Any]], Notebook, Notebook], lose: Callable[[Notebook], None], which: int
) -> None:
    release, *notebooks = week5
    whole = script(release, notebooks[which - 1])
    assert whole.notes == ()
    assert [cell.question for cell in whole.cells if cell.kind == "answer"] == ["q1", "q2", "q3", "q4", "q5"]
    notebook = copy.deepcopy(notebooks[which - 1])
    lose(notebook)
    told = script(release, notebook)
    assert told.cells == whole.cells
    assert told.notes == ("the ids of its cells are lost: cells were told by their content",)


def test_week_5_with_half_of_its_ids_is_the_same_script(
    week5: tuple[list[dict[str, Any]], Notebook, Notebook],
) -> None:
    release, _, solution = week5
    whole = script(release, solution)
    for seed in range(20):
        rng = random.Random(seed)
        notebook = copy.deepcopy(solution)
        for cell in notebook["cells"]:
            if rng.random() < 0.5:
                del cell["id"]
        assert script(release, notebook).cells == whole.cells


# Bounds


def test_too_many_cells_are_refused() -> None:
    notebook = done()
    notebook["cells"] += [code(f"x = {i}") for i in range(10_000)]
    with pytest.raises(InvalidSubmission, match="holds more than 2,000 cells of code"):
        script(RELEASE, notebook)


def test_too_much_code_is_refused() -> None:
    with pytest.raises(InvalidSubmission, match="holds more than 8 MiB of code"):
        script(RELEASE, done(q1_code_1="#" * (9 * 2**20)))


def test_empty_cells_and_texts_are_no_matter_however_many() -> None:
    notebook = done()
    notebook["cells"] += [code(""), {"cell_type": "markdown", "source": "x"}] * 50_000
    assert script(RELEASE, notebook) == script(RELEASE, done())


HARD = {
    "5 MB in one line": ["x" * 5_000_000],
    "5 MB of lines": ["y = 1\n" * 800_000],
    "blanks": ["x" + " " * 4_000_000 + "y"],
    "blanks after a call": ['grader.check("q1")' + " " * 4_000 + "x"] * 1_500,
    "open calls": ["grader.check(\n" * 500_000],
    "calls": ["grader.check()" * 290 + "("] * 1_900,
    "open arguments": ["grader.check(" + "a" * 4_000] * 1_900,
    "annotations": [("x:" * 2_000 + "\n") * 1_900],
    "one line in each": ["import torch\nfrom torch import os\ndef double(x): 1"] * 1_900,
    "closing brackets": ["import otter\ngrader = otter.Notebook(" + ") " * 2_000_000],
    "one id": ["def double(x): return 1"] * 1_900,
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("known", ["ids", "no ids", "one id"])
def test_the_work_is_bounded(name: str, known: str) -> None:
    notebook = done() if known == "ids" else without_ids(done())
    del notebook["cells"][5], notebook["cells"][1]  # so that there is something to look for
    notebook["cells"] += [code(text, "q1-code-1" if known == "one id" else None) for text in HARD[name]]
    started = time.process_time()
    told = script(RELEASE, notebook)
    assert time.process_time() - started < 5
    assert len(told.notes) < 20


def test_notes_hold_nothing_of_the_submissions_text() -> None:
    evil = "\x1b[31m<script>"
    notebook = done()
    notebook["cells"] = [code(evil, evil), *notebook["cells"][3:], code([evil, 3], evil), code(evil, "q1-check")]
    told = script(RELEASE, notebook)
    assert told.notes
    assert all("\x1b" not in note and "<" not in note for note in told.notes)
    assert all(evil not in cell.id for cell in told.cells)
