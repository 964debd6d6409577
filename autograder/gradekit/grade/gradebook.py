"""Results into nbgrader's gradebook, so that formgrader, late penalties, feedback and export work on them.

nbgrader's own autograde runs the student's code beside the hidden tests. Here the code has run in the kit's jail, and
only scores, comments and a notebook without anything active come to nbgrader.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradekit.grade.bundle import Bundle
from gradekit.grade.by_hand import answered, find_answers
from gradekit.grade.handed_in import check_cells, handed_in
from gradekit.grade.result import QuestionResult, Result
from gradekit.grade.submission import InvalidSubmission, Submission, open_file, read_cells
from gradekit.grade.views import write_whole
from gradekit.problem import Problem, UsageProblem

__all__ = ["course_root", "reach", "students_of", "write_gradebook"]

TIMESTAMP = "timestamp.txt"  # what nbgrader's exchange and `gradekit collect` write beside a submission
_CONFIG = "nbgrader_config.py"
_LOG = logging.getLogger("gradekit.nbgrader")
_LOG.setLevel(logging.ERROR)  # that somebody is late is in the gradebook, and no news for the terminal


def course_root(url: str) -> Path:
    """The folder of nbgrader's course: where an SQLite gradebook lies, else this one. UsageProblem for no URL."""
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as error:
        raise _missing("--gradebook", error) from error
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageProblem(
            f"--gradebook {url!r} is no database URL",
            mend="write it as sqlite:///gradebook.db or postgresql+psycopg://HOST/NAME",
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        return Path(parsed.database).absolute().parent
    return Path.cwd()


def reach(url: str, root: Path) -> None:
    """Open the gradebook, which is made if it is not there, and read nbgrader_config.py in `root`: what is wrong with
    either is to be known before hours of grading. Problem if it is.
    """
    _config(root)
    with _explained(url), _as_nbgrader_runs():
        from nbgrader.api import Gradebook

        Gradebook(url).close()


def students_of(submissions: Sequence[Submission], assignment: str) -> dict[str, str]:
    """Submission's name -> nbgrader's id of the student. UsageProblem where two submissions are of one student.

    In nbgrader's layout, <student>/<assignment>/<notebook>, it is the folder's name; else the submission's.
    """
    found: dict[str, str] = {}
    owners: dict[str, Submission] = {}
    for submission in submissions:
        folder = submission.path.absolute().parent
        student = folder.parent.name if folder.name == assignment else submission.name.split("/")[0]
        if student in owners:
            raise UsageProblem(
                f"{student} has another submission, {owners[student].path}",
                where=submission.path,
                mend="leave one of them: `gradekit collect` chooses",
            )
        owners[student] = submission
        found[submission.name] = student
    return found


def write_gradebook(
    url: str, bundle: Bundle, submissions: Sequence[Submission], results: Sequence[Result], root: Path
) -> None:
    """Put the score of every question, and comments, into the gradebook at `url`, and each submission as a notebook
    with nothing active in it into `root`/autograded/<student>/<assignment>/.

    What a person has entered stays: manual scores (such a question then needs to be looked at again), extra credit,
    comments, extensions, due dates. So does what nbgrader knows of the assignment; cells that it lacks are added. A
    submission that was not graded in full needs to be looked at. Late penalties are those of the plugin that
    nbgrader_config.py in `root` names. Problem where the database cannot be written.
    """
    students = students_of(submissions, bundle.assignment)
    of = {result.submission: result for result in results}
    config = _config(root)
    with _explained(url), _as_nbgrader_runs():
        from nbgrader.api import Gradebook

        with Gradebook(url) as gradebook:
            _describe(gradebook, bundle)
            for submission in submissions:
                if (result := of.get(submission.name)) is not None:
                    _enter(gradebook, bundle, submission, students[submission.name], result)
        for submission in submissions:
            if (result := of.get(submission.name)) is not None:
                student = students[submission.name]
                notebook = handed_in(bundle, submission, result)
                _punish_lateness(url, bundle.assignment, student, notebook, config)
                _write(root / "autograded" / student / bundle.assignment / f"{bundle.assignment}.ipynb", notebook)


def _describe(gradebook: Any, bundle: Bundle) -> None:
    """The assignment and its cells, as nbgrader's generate_assignment enters them."""
    name = bundle.assignment
    gradebook.update_or_create_assignment(name)
    gradebook.update_or_create_notebook(name, name)
    for question, check in check_cells(bundle).items():
        gradebook.update_or_create_grade_cell(check, name, name, max_score=bundle.points[question], cell_type="code")
    for cell in bundle.cells:
        if cell["kind"] == "answer" and not cell["show"]:
            gradebook.update_or_create_solution_cell(cell["id"], name, name)
    for asked in bundle.manual.values():
        kind = {"max_score": asked.points, "cell_type": asked.cell_type}
        gradebook.update_or_create_grade_cell(asked.cell, name, name, **kind)
        gradebook.update_or_create_solution_cell(asked.cell, name, name)


def _enter(gradebook: Any, bundle: Bundle, submission: Submission, student: str, result: Result) -> None:
    name = bundle.assignment
    gradebook.update_or_create_student(student)
    when = _timestamp(submission)
    gradebook.update_or_create_submission(name, student, **({"timestamp": when} if when else {}))
    notebook = gradebook.find_submission_notebook(name, name, student)
    checks = check_cells(bundle)
    for question in result.questions:
        grade = _grade(gradebook, name, checks[question.name], student, notebook)
        grade.auto_score = question.score
        grade.needs_manual_grade = grade.manual_score is not None or result.status != "graded"
    said = {question.name: _comment(question, result) for question in result.questions}
    for cell in bundle.cells:
        if cell["kind"] == "answer" and not cell["show"]:
            comment = _comment_on(gradebook, name, cell["id"], student, notebook)
            comment.auto_comment = said.pop(cell["question"], None)  # once, at the question's first cell
    for asked, written in _by_hand(bundle, submission).items():
        answer = bundle.manual[asked].cell
        grade = _grade(gradebook, name, answer, student, notebook)
        grade.auto_score = None if written else 0.0  # as nbgrader has it: nothing written is worth nothing
        grade.needs_manual_grade = written or grade.manual_score is not None
        _comment_on(gradebook, name, answer, student, notebook).auto_comment = None if written else "No response."
    gradebook.db.commit()


def _by_hand(bundle: Bundle, submission: Submission) -> dict[str, bool]:
    """The questions that a person marks, and whether anything was answered."""
    try:
        notebook = read_cells(submission, bundle.assignment)
    except InvalidSubmission:
        notebook = {"cells": []}
    places = find_answers(bundle.manual, notebook)
    return {
        name: name in places and answered(question, notebook["cells"][places[name]])
        for name, question in bundle.manual.items()
    }


def _grade(gradebook: Any, assignment: str, cell: str, student: str, notebook: Any) -> Any:
    from nbgrader.api import Grade, MissingEntry

    try:
        return gradebook.find_grade(cell, assignment, assignment, student)
    except MissingEntry:  # the question came after this student's submission
        grade = Grade(cell_id=gradebook.find_grade_cell(cell, assignment, assignment).id, notebook=notebook)
        gradebook.db.add(grade)
        return grade


def _comment_on(gradebook: Any, assignment: str, cell: str, student: str, notebook: Any) -> Any:
    from nbgrader.api import Comment, MissingEntry

    try:
        return gradebook.find_comment(cell, assignment, assignment, student)
    except MissingEntry:
        comment = Comment(cell_id=gradebook.find_solution_cell(cell, assignment, assignment).id, notebook=notebook)
        gradebook.db.add(comment)
        return comment


def _comment(question: QuestionResult, result: Result) -> str | None:
    """What a student may read: of hidden tests, how many."""
    lines = [f"{case.name}: {case.message}" for case in question.cases if not case.hidden and not case.passed]
    hidden = [case for case in question.cases if case.hidden]
    if failed := sum(not case.passed for case in hidden):
        lines.append(f"{failed} of {len(hidden)} hidden tests failed")
    if not question.cases:
        lines.append(f"was not tested: {result.note_for_students or result.status}")
    return "\n".join(lines)[:4000] or None


def _timestamp(submission: Submission) -> str | None:
    """When it was handed in, if a file beside it says so. A text that is no time is as good as none."""
    from nbgrader.utils import parse_utc

    try:
        with open_file(submission.path.parent / TIMESTAMP, 200, frozenset({".txt"})) as stream:
            text = stream.read(200).decode("ascii", "replace").strip()
        parse_utc(text)
    except (InvalidSubmission, OSError, ValueError, OverflowError):
        return None
    return text


def _config(root: Path) -> Any:
    from traitlets.config import Config
    from traitlets.config.loader import PyFileConfigLoader

    if not (root / _CONFIG).is_file():
        return Config()
    try:
        return PyFileConfigLoader(_CONFIG, path=str(root)).load_config()
    except Exception as error:  # it is the instructor's own program
        raise Problem(f"cannot be read: {type(error).__name__}: {error}", where=root / _CONFIG) from error


def _punish_lateness(url: str, assignment: str, student: str, notebook: Any, config: Any) -> None:
    from nbgrader.preprocessors import AssignLatePenalties

    about = {"notebook": assignment, "assignment": assignment, "student": student, "db_url": url}
    AssignLatePenalties(config=config, log=_LOG).preprocess(notebook, {"nbgrader": about})


def _write(path: Path, notebook: Any) -> None:
    import nbformat

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n")


@contextmanager
def _as_nbgrader_runs() -> Iterator[None]:
    """nbgrader calls the program `alembic` for a new database: it lies beside Python, wherever the shell would look."""
    from sqlalchemy.exc import SAWarning

    before = os.environ.get("PATH")
    os.environ["PATH"] = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), before)))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Object of type", SAWarning)  # the way in which nbgrader adds objects
            yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


@contextmanager
def _explained(url: str) -> Iterator[None]:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    shown = make_url(url).render_as_string(hide_password=True)
    try:
        yield
    except ImportError as error:
        raise _missing(f"--gradebook {shown}", error) from error
    except SQLAlchemyError as error:
        first = str(error).splitlines()[0]
        raise Problem(
            f"the gradebook {shown} cannot be written: {first}",
            mend="is the URL right, and is the database there? The results are stored: --resume goes on",
        ) from error
    except OSError as error:
        raise Problem(f"cannot be written: {error.strerror or error}", where=error.filename) from error


def _missing(what: str, error: ImportError) -> Problem:
    return Problem(
        f"{what} needs a module that is not there: {error.name or error}",
        mend='pip install "gradekit[instructor]", and the driver of your database',
    )
