"""Scores as a table that a platform imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from gradekit.grade.result import Result
from gradekit.grade.spreadsheet import cell
from gradekit.grade.views import explained, write_whole

__all__ = ["PLATFORMS", "Known", "Platform", "write_table"]

Platform = Literal["canvas", "moodle", "gradescope"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)

Known = Mapping[str, tuple[str, str]]
"""Submission -> the student's name and id, as the platform gave them."""


def write_table(folder: Path, results: Sequence[Result], platform: Platform, *, title: str, known: Known) -> Path:
    """Write `folder`/<platform>.csv, and return its path. Of whom nothing is `known` the submission's name is the name.

    canvas: the gradebook's import, with its row of possible points; it finds students by ID, which `gradekit collect`
    took from the names of the files. moodle: the worksheet for grading offline, by its Identifier. gradescope: the
    columns of its own export of scores, by name and SID. Points that a person gives are not in them.
    """
    who = {result.submission: known.get(result.submission, (result.submission, "")) for result in results}
    possible = f"{max((result.possible for result in results), default=0.0):g}"
    if platform == "canvas":
        rows = [
            ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title],
            ["    Points Possible", *[""] * 4, possible],
        ]
    elif platform == "moodle":
        rows = [["Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments"]]
    else:
        rows = [["Name", "SID", "Total Score", "Max Points", "Status"]]
    for result in sorted(results, key=lambda result: result.submission):
        name, number = who[result.submission]
        score, most = f"{result.score:g}", f"{result.possible:g}"
        if platform == "canvas":
            rows.append([name, number, "", "", "", score])
        elif platform == "moodle":
            told = "" if result.status == "graded" else f"not graded in full: {result.status}"
            rows.append([f"Participant {number}" if number else "", name, score, most, told])
        else:
            rows.append([name, number, score, most, "Graded" if result.status == "graded" else "Ungraded"])
    path = folder / f"{platform}.csv"
    with explained(folder):
        write_whole(path, "".join(",".join(map(_cell, row)) + "\n" for row in rows))
    return path


def _cell(text: str) -> str:
    return text if text == "    Points Possible" else cell(text)
