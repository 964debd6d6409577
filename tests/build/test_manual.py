"""Questions that a person marks: in the release, in the solutions, in the bundle and in nbgrader's course."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from otter.export.exporters.base_exporter import BaseExporter

from gradekit.build.make import build_week, load_week
from gradekit.build.nbgrader_course import write_course
from gradekit.build.preprocessors import TEXT_STUB
from gradekit.course import Week
from gradekit.problem import Problem

MODEL_ANSWER = "They do, as long as no double is larger than the largest number of the dtype."
RUBRIC = """**How it is marked** (2 points, by a person)

- 1: says that each undoes the other
- 1: says where they do not"""


def read(folder: Path, week: Week) -> Any:
    return nbformat.read(folder / week.notebook_name, as_version=4)


def cells(notebook: Any) -> dict[str, Any]:
    return {cell.id: cell for cell in notebook.cells}


def swap(week: Week, old: str, new: str) -> None:
    text = week.source.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    week.source.write_text(text.replace(old, new))


def test_students_read_the_rubric_and_have_a_cell_for_their_answer(built_manual_week: Week) -> None:
    release = cells(read(built_manual_week.release, built_manual_week))
    assert RUBRIC in release["q3-text-1"].source
    assert release["q3-answer"].cell_type == "markdown"
    assert release["q3-answer"].source == TEXT_STUB
    assert not (built_manual_week.release / "tests" / "q3.py").exists()


def test_the_model_answer_is_in_the_solutions_alone(built_manual_week: Week) -> None:
    solution = read(built_manual_week.solutions, built_manual_week)
    assert cells(solution)["q3-answer"].source == MODEL_ANSWER
    assert TEXT_STUB not in [cell.source for cell in solution.cells]
    for path in built_manual_week.release.rglob("*"):
        assert path.is_dir() or b"as long as no double" not in path.read_bytes()


def test_a_model_answer_that_shows_elsewhere_in_the_release_is_refused(manual_week: Week) -> None:
    (manual_week.room / "notes" / "more.txt").write_text(MODEL_ANSWER)
    with pytest.raises(Problem, match="shows a line of the solution"):
        build_week(manual_week)


def test_the_answer_is_worth_the_points_and_is_the_students(built_manual_week: Week) -> None:
    for folder in (built_manual_week.release, built_manual_week.solutions):
        marks = cells(read(folder, built_manual_week))["q3-answer"].metadata.nbgrader
        assert (marks.grade, marks.solution, marks.locked, marks.points) == (True, True, False, 2)
        assert marks.cell_type == "markdown"


def test_otter_exports_this_question_and_no_other(built_manual_week: Week) -> None:
    """`otter export --filtering` and `otter grade --pdfs` make PDFs of what is left by this filter."""
    path = built_manual_week.solutions / built_manual_week.notebook_name
    shown = BaseExporter.load_notebook(str(path), filtering=True, pagebreaks=False)
    text = "\n".join(cell.source for cell in shown.cells)
    assert MODEL_ANSWER in text
    assert RUBRIC in text
    assert "def double" not in text
    assert "## q1" not in text


def test_the_bundle_knows_it_and_no_test_grades_it(built_manual_week: Week) -> None:
    with zipfile.ZipFile(built_manual_week.bundle) as bundle:
        facts = json.loads(bundle.read("tests/gradekit.json"))
        assert "tests/q3.py" not in bundle.namelist()
    assert facts["points"] == {"q1": 3, "q2": 2}
    question = facts["manual"]["q3"]
    assert (question["points"], question["cell"], question["blank"]) == (2, "q3-answer", TEXT_STUB)
    assert RUBRIC in question["prose"]["q3-text-1"]


def test_nbgrader_makes_the_same_release_of_it(built_manual_week: Week, tmp_path: Path) -> None:
    write_course(built_manual_week.course, [built_manual_week], tmp_path / "course")  # refuses another one
    source = tmp_path / "course" / "source" / built_manual_week.slug / built_manual_week.notebook_name
    answer = cells(nbformat.read(source, as_version=4))["q3-answer"].source
    assert answer == f"### BEGIN SOLUTION\n{MODEL_ANSWER}\n### END SOLUTION"


def test_an_answer_can_be_a_figure(manual_week: Week) -> None:
    swap(
        manual_week,
        f"# %% [markdown]\n# {MODEL_ANSWER}\n",
        "# %%\n# BEGIN SOLUTION\npicture = draw_everything()\n# END SOLUTION\n",
    )
    built = build_week(manual_week)
    assert [question.name for question in built.manual] == ["q3"]
    answer = cells(read(manual_week.release, manual_week))["q3-answer"]
    assert (answer.cell_type, answer.source) == ("code", "...")
    with zipfile.ZipFile(manual_week.bundle) as bundle:
        (cell,) = [cell for cell in json.loads(bundle.read("tests/cells.json")) if cell["id"] == "q3-answer"]
    assert cell["show"], "grading would execute it"
    write_course(manual_week.course, [manual_week], manual_week.course.root / "nbgrader")


def test_points_of_both_kinds_are_the_assignments(built_manual_week: Week) -> None:
    assignment = load_week(built_manual_week).assignment
    assert assignment.points == 7
    assert [question.name for question in assignment.tested] == ["q1", "q2"]
    assert [(c.points, c.text) for c in assignment.manual[0].rubric] == [
        (1, "says that each undoes the other"),
        (1, "says where they do not"),
    ]


TESTS = """
# %% [raw]
# # BEGIN TESTS

# %%
\"\"\" # BEGIN TEST CONFIG
points: 2
\"\"\" # END TEST CONFIG
def test_three(env):
    \"\"\"three\"\"\"
    pass

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
"""

REFUSED = [
    (
        "no rubric",
        "# rubric:\n#   - 1: says that each undoes the other\n#   - 1: says where they do not\n",
        "",
        "no rubric",
    ),
    ("a sum of 3", "- 1: says that each", "- 2: says that each", "its rubric adds up to 3"),
    ("a line without points", "- 1: says that each", "- says that each", "is no line of a rubric"),
    ("no points for it", "- 1: says that each", "- 0: says that each", "is no line of a rubric"),
    ("a rubric for tests", "# manual: true\n", "", "q3 has a rubric, and tests grade it"),
    ("manual that is no yes or no", "manual: true", "manual: maybe", "`manual` is 'maybe'"),
    ("two cells for the answer", f"# {MODEL_ANSWER}\n", f"# {MODEL_ANSWER}\n\n# %%\nx = 1\n", "there are 2"),
    ("no cell for the answer", f"# %% [markdown]\n# {MODEL_ANSWER}\n", "", "there are 0"),
    (
        "a prompt",
        "\n# %% [raw]\n# # BEGIN SOLUTION\n",
        "\n# %% [raw]\n# # BEGIN PROMPT\n\n# %% [markdown]\n# Here.\n\n# %% [raw]\n# # END PROMPT\n"
        "\n# %% [raw]\n# # BEGIN SOLUTION\n",
        "it takes no PROMPT",
    ),
    ("tests beside a rubric", "\n# %% [raw]\n# # END QUESTION\n", TESTS, "marked by a person, and has tests"),
]


@pytest.mark.parametrize(("old", "new", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refuses(manual_week: Week, old: str, new: str, says: str) -> None:
    head, _, tail = manual_week.source.read_text().rpartition("# # BEGIN QUESTION\n")
    assert tail.count(old) == 1
    manual_week.source.write_text(f"{head}# # BEGIN QUESTION\n{tail.replace(old, new)}")
    with pytest.raises(Problem) as refusal:
        build_week(manual_week)
    assert says in str(refusal.value)
    assert refusal.value.where
    assert refusal.value.mend
