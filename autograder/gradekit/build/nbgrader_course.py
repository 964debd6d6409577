"""A folder that nbgrader takes for a course of its own, with an assignment for each week."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradekit.build.make import load_week, notebook_bytes, student_files
from gradekit.build.nbgrader_source import source_notebook
from gradekit.build.swap import swap_in
from gradekit.build.transform import Transformed
from gradekit.course import Course, Week
from gradekit.problem import Problem, UsageProblem

__all__ = ["write_course"]

_UNFINISHED = ".gradekit-"
_CONFIG = "nbgrader_config.py"
_OURS = "# Written by gradekit build --nbgrader, which writes it anew."

_SETTINGS = f"""\
{_OURS} Settings of your own go into
# nbgrader_own.py, beside this file: they come last.
from gradekit.build import preprocessors

c = get_config()

# Stubs and hidden tests as in the release that gradekit builds; no hidden test in what students get back.
c.ClearSolutions.code_stub = preprocessors.CODE_STUB
c.ClearSolutions.text_stub = preprocessors.TEXT_STUB
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


def write_course(course: Course, weeks: Iterable[Week], place: Path) -> None:
    """Write nbgrader_config.py and source/<week>/ of each week into `place`: all of it, or nothing.

    A course that was written before is written over; whatever else lies there, submissions and gradebook among it, is
    left alone. UsageProblem if `place` holds anything but such a course, Problem if a week cannot be built, or if
    nbgrader would make something else of it than the release.
    """
    place = place.resolve()
    _refuse_other(course, place)
    assignments = {f"source/{week.slug}": _files(week) for week in weeks}
    try:
        _swap_all(assignments, place)
    except OSError as error:
        raise Problem(f"cannot be written: {error}", where=place) from error


def _swap_all(assignments: Mapping[str, Mapping[str, bytes]], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    # on the same file system, so that what is finished can be moved into place in one step
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=place if place.exists() else place.parent) as folder:
        new = Path(folder) / "course"
        for name, files in assignments.items():
            _write(new / name, files)
        _write(new, {_CONFIG: _SETTINGS.encode()})
        if not place.exists():
            swap_in(new, place)
            return
        for name in [*assignments, _CONFIG]:
            swap_in(new / name, place / name)


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
    if not place.exists() or all(path.name.startswith(_UNFINISHED) for path in place.iterdir()):
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


def _files(week: Week) -> dict[str, bytes]:
    """What lies in the folder of a week, by name."""
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
    return {week.notebook_name: notebook_bytes(notebook), **files}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _refuse_other_release(notebook: Any, transformed: Transformed, week: Week) -> None:
    """Problem unless nbgrader makes the release of `notebook`: not a line more, and not a line less."""
    from gradekit.build.preprocessors import released

    try:
        made = {cell.id: cell for cell in released(copy.deepcopy(notebook)).cells}
    except Exception as error:
        raise Problem(
            f"nbgrader makes no release of its source: {error}",
            where=week.relative(week.source),
            mend="no cell may hold the words by which nbgrader knows solutions and tests, AUTOTEST among them",
        ) from error
    for cell in transformed.release.cells:
        if made.pop(cell.id, None) != cell:
            raise Problem(
                f"nbgrader would not make the release's cell {cell.id} of its source",
                where=week.relative(week.source),
                mend="write its solution between # BEGIN SOLUTION and # END SOLUTION, alone on their lines",
            )
