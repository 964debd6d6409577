"""A folder that nbgrader takes for a course of its own, with an assignment for each week."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradekit.build.make import load_week, student_files, write_notebook
from gradekit.build.nbgrader_source import source_notebook
from gradekit.build.swap import swap_in
from gradekit.build.transform import Transformed
from gradekit.course import Course, Week
from gradekit.problem import Problem, UsageProblem

__all__ = ["write_course"]

_CONFIG = "nbgrader_config.py"
_OURS = "# Written by gradekit build --nbgrader, which writes it anew."

_SETTINGS = f"""\
{_OURS} Settings of your own go into
# nbgrader_own.py, beside this file: they come last.
from gradekit.build import preprocessors

c = get_config()

# Stubs and hidden tests as in the release that gradekit builds; no hidden test in what students get back.
c.ClearSolutions.code_stub = preprocessors.CODE_STUB
c.GenerateAssignment.preprocessors = preprocessors.generating()
c.GenerateFeedback.preprocessors = preprocessors.feedback()

# Cells that only show something are not run. No student's tag says so of another.
c.Execute.skip_cells_with_tag = "show"
c.Autograde.sanitize_preprocessors = preprocessors.autograding()

# Seconds for a cell: a check trains networks. And for its output to come in on a busy machine.
c.Execute.timeout = 1800
c.Execute.iopub_timeout = 60

load_subconfig("nbgrader_own.py")
"""


def write_course(course: Course, weeks: Sequence[Week], place: Path) -> None:
    """Write nbgrader_config.py and source/<week>/ of each week into `place`: all of it, or nothing.

    A course that was written before is written over; whatever else lies there, submissions and gradebook among it, is
    left alone. UsageProblem if `place` holds anything but such a course, Problem if a week cannot be built, or if
    nbgrader would make something else of it than the release.
    """
    place = place.resolve()
    _refuse_other(course, place)
    place.parent.mkdir(parents=True, exist_ok=True)
    # on the same file system, so that what is finished can be moved into place in one step
    with tempfile.TemporaryDirectory(prefix=".gradekit-", dir=place if place.exists() else place.parent) as folder:
        new = Path(folder) / "course"
        for week in weeks:
            _write_week(new / "source" / week.slug, week)
        (new / _CONFIG).write_text(_SETTINGS, encoding="utf-8")
        if not place.exists():
            swap_in(new, place)
            return
        for week in weeks:
            swap_in(new / "source" / week.slug, place / "source" / week.slug)
        swap_in(new / _CONFIG, place / _CONFIG)


def _refuse_other(course: Course, place: Path) -> None:
    for name in ("source", "reference", "release", "solutions", "autograder"):
        if place.is_relative_to(course.root / name):
            raise UsageProblem(
                f"lies in {name}/ of the course, and holds hidden tests and solutions once it is written",
                where=place,
                mend="name a folder elsewhere: --nbgrader ../nbgrader",
            )
    if place.exists() and not place.is_dir():
        raise UsageProblem("is not a folder", where=place, mend="name another one: --nbgrader DIR")
    if not place.exists() or not any(place.iterdir()):
        return
    config = place / _CONFIG
    try:
        ours = config.read_text(encoding="utf-8").startswith(_OURS)
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise UsageProblem(
            f"holds {f'a {_CONFIG} that gradekit did not write' if config.exists() else 'something else'}",
            where=config if config.exists() else place,
            mend="name a new folder: --nbgrader DIR; source/<week>/ of it can be copied into a course that you have",
        )


def _write_week(folder: Path, week: Week) -> None:
    transformed = load_week(week)
    try:
        reference = week.reference.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"cannot be read: {error}", where=week.relative(week.reference)) from error
    files = student_files(week, transformed)
    if notebooks := sorted(name for name in files if name.endswith(".ipynb")):
        raise Problem(
            f"`files` holds {notebooks[0]}, and nbgrader would grade every notebook of a week",
            where=week.relative(week.source),
            mend="hand it out in another format, or take it out of the assignment config",
        )
    notebook = source_notebook(transformed, reference)
    _refuse_other_release(notebook, transformed, week)
    write_notebook(folder / week.notebook_name, notebook)
    _write(folder, files)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _refuse_other_release(notebook: Any, transformed: Transformed, week: Week) -> None:
    """Problem unless nbgrader makes the release of `notebook`: not a line more, and not a line less."""
    from gradekit.build.preprocessors import released

    made = {cell.id: cell for cell in released(copy.deepcopy(notebook)).cells}
    for cell in transformed.release.cells:
        if made.pop(cell.id, None) != cell:
            raise Problem(
                f"nbgrader would not make the release's cell {cell.id} of its source",
                where=week.relative(week.source),
                mend="write its solution between # BEGIN SOLUTION and # END SOLUTION, alone on their lines",
            )
    if made:
        raise AssertionError(f"cells that the release has not: {sorted(made)}")
