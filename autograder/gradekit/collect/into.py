"""A source -> a folder of submissions by student, and a record of all that was found."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from gradekit.collect import canvas, folder, gradescope, moodle, nbgrader
from gradekit.collect.choose import Choice, Wanted, choose
from gradekit.collect.layout import Place, put
from gradekit.collect.listing import Listing, Stranger, open_listing
from gradekit.collect.names import folder_names, safe_name, safe_notebook_name
from gradekit.collect.recognise import recognise
from gradekit.collect.record import Row, read_record, to_csv
from gradekit.collect.update import merged, stays
from gradekit.collect.upload import Found, Student, Upload
from gradekit.grade.submission import RECORD
from gradekit.problem import Problem, UsageProblem

__all__ = ["Collected", "Request", "collect_into"]

NOT_TAKEN = "not-taken.txt"  # in the folder of a student of whom nothing could be taken


@dataclass(frozen=True)
class Request:
    """What was asked for. nbgrader: the assignment whose `submitted/<student>/<assignment>/` is to be written."""

    kind: str = ""
    notebook: str = ""
    assignment: str = ""
    due: datetime | None = None
    nbgrader: str = ""
    update: bool = False

    @property
    def wanted(self) -> Wanted:
        implied = f"{self.nbgrader}.ipynb" if self.nbgrader else ""
        return Wanted(self.notebook or implied, asked=bool(self.notebook))


@dataclass(frozen=True)
class Collected:
    """What came of it: the platform, and the rows about this source (the record may hold others, from before)."""

    kind: str
    record: Path
    rows: tuple[Row, ...]
    students: int

    def of(self, outcome: str) -> list[Row]:
        return [row for row in self.rows if row.outcome == outcome]


def collect_into(
    source: Path,
    output: Path,
    request: Request,
    on_start: Callable[[int], None] = lambda students: None,
    on_student: Callable[[], None] = lambda: None,
) -> Collected:
    """Collect what lies in `source` into `output`. Problem, and nothing is written, where that cannot be done."""
    before = _check(source, output, request)
    with open_listing(source) as listing:
        kind, place = recognise(listing, request.kind)
        found = _found(kind, place, request)
        by_student: dict[tuple[str, str], list[Upload]] = {}
        for upload in found.uploads:
            by_student.setdefault(upload.student.key, []).append(upload)
        if not by_student:
            raise Problem("holds no submission", where=source, mend="name what the platform gave, or a folder")
        names = _folders([uploads[-1].student for uploads in by_student.values()], before)
        recorded: dict[tuple[str, str], list[Row]] = {}
        for row in before:
            if row.assignment == request.nbgrader:
                recorded.setdefault(row.key, []).append(row)
        on_start(len(by_student))
        rows: list[Row] = []
        with put(output) as stage:
            for key, uploads in by_student.items():
                choice = choose(uploads, place, request.wanted, request.due)
                placed, told = _placed(
                    choice, names[key], output, request, recorded.get(_who(choice.upload.student), [])
                )
                if placed is not None:
                    stage.add(placed)
                rows += told
                on_student()
            rows += [_of_stranger(stranger, request) for stranger in (*listing.strangers, *found.strangers)]
            rows.sort(key=lambda row: (row.student, row.outcome != "taken"))
            stage.record(RECORD, to_csv(merged(before, rows)))
    return Collected(kind, output / RECORD, tuple(rows), len(by_student))


def _check(source: Path, output: Path, request: Request) -> list[Row]:
    """The record of before, if this is an update. UsageProblem if what was asked for cannot be meant."""
    if request.notebook and (
        safe_notebook_name(request.notebook) != request.notebook or not request.notebook.endswith(".ipynb")
    ):
        raise UsageProblem(f"--notebook {request.notebook}: expected a file's name, as week05_conv.ipynb")
    if request.nbgrader and (safe_name(request.nbgrader) != request.nbgrader or "+" in request.nbgrader):
        raise UsageProblem(f"--nbgrader {request.nbgrader}: expected the name of an assignment, as week05_conv")
    if output.exists() and not output.is_dir():
        raise UsageProblem("is not a folder", where=output, mend="name another --output")
    here, there = (Path(os.path.realpath(path)) for path in (source, output))
    if source.is_dir() and (here.is_relative_to(there) or there.is_relative_to(here)):
        raise UsageProblem(f"lies in {source}, or around it", where=output, mend="name an --output outside of it")
    if not output.exists() or not os.listdir(output):
        return []
    if not request.update:
        raise UsageProblem("is not empty", where=output, mend="name another --output, or add what is new with --update")
    before = read_record(output)
    if before is None and not request.nbgrader:
        raise UsageProblem(
            f"holds no {RECORD}: gradekit collect did not write it", where=output, mend="name another --output"
        )
    layouts = {bool(row.assignment) for row in before or [] if row.student}
    if layouts - {bool(request.nbgrader)}:
        mend = "leave out --nbgrader, or name another --output" if request.nbgrader else "add --nbgrader ASSIGNMENT"
        raise UsageProblem("was laid out the other way, with or without --nbgrader", where=output, mend=mend)
    return before or []


def _found(kind: str, place: Listing, request: Request) -> Found:
    if kind == "nbgrader":
        stem = request.notebook.removesuffix(".ipynb")
        return nbgrader.uploads(place, request.assignment, tuple(filter(None, (request.nbgrader, stem))))
    if request.assignment:
        raise UsageProblem(f"--assignment {request.assignment}: what {kind} gives is of one assignment")
    platforms = {
        "canvas": canvas.uploads,
        "moodle": moodle.uploads,
        "gradescope": gradescope.uploads,
        "folder": folder.uploads,
    }
    return platforms[kind](place)


def _folders(students: list[Student], before: list[Row]) -> dict[tuple[str, str], str]:
    """Each student's folder, by key: the one of before, where there is one."""
    recorded = {row.key: row.student for row in before if row.student}
    taken: dict[tuple[str, str], str] = {}
    for student in students:
        if folder_of_before := recorded.pop(_who(student), ""):
            taken[student.key] = folder_of_before
    taken |= {("elsewhere", name): name for name in recorded.values()}  # students that this source does not speak of
    return folder_names(students, taken)


def _who(student: Student) -> tuple[str, str]:
    return Row(name=student.name, id=student.id).key


def _placed(
    choice: Choice, name: str, output: Path, request: Request, recorded: list[Row]
) -> tuple[Place | None, list[Row]]:
    """The student's folder as it is to be, None if it is to stay as it is; and the rows, filled in."""
    student = choice.upload.student
    at = f"{name}/{request.nbgrader}" if request.nbgrader else name
    alike = "" if name == safe_name(student.name) else "another student's name is, or looks, the same"
    rows = [
        replace(row, student=name, assignment=request.nbgrader, why="; ".join(filter(None, (row.why, alike))))
        for row in choice.rows
    ]
    if choice.notebook is None:
        if request.nbgrader or any(row.outcome == "taken" for row in recorded) or os.path.lexists(output / at):
            return None, rows
        said = "".join(f"{row.file}: {row.why}\n" for row in rows)
        return Place(at, {NOT_TAKEN: said.encode("utf-8", "backslashreplace")}), rows
    file_name = safe_notebook_name(choice.notebook.file_name)
    first = replace(rows[0], notebook=f"{at}/{file_name}")
    kept, row = stays(first, choice.notebook.data, choice.weights, output, at, recorded)
    files = {file_name: choice.notebook.data, **choice.weights}
    if request.nbgrader and choice.upload.at is not None:
        files[nbgrader.TIMESTAMP] = Place.stamp(choice.upload.at)
    return None if kept else Place(at, files), [row, *rows[1:]]


def _of_stranger(stranger: Stranger, request: Request) -> Row:
    outcome = "left out" if stranger.harmless else "not taken"
    return Row(assignment=request.nbgrader, file=stranger.label, outcome=outcome, why=stranger.why)
