"""collected.csv: what was taken, what was not, and why. Another `collect --update` goes on from it."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gradekit.grade.spreadsheet import cell, plain
from gradekit.grade.submission import RECORD, InvalidSubmission, open_file
from gradekit.problem import UsageProblem

__all__ = ["Row", "read_record", "to_csv"]

_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Row:
    """One thing that was handed in. `student` is the folder's name, `name` and `id` are the platform's.

    outcome: taken; duplicate (another of the same student counts); left out (not what was asked for: told, no harm);
    not taken (it should have been).
    """

    student: str = ""
    name: str = ""
    id: str = ""
    assignment: str = ""
    file: str = ""
    submitted: str = ""
    late: str = ""
    attempt: str = ""
    outcome: str = ""
    notebook: str = ""
    why: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Who it is, as Student.key, in the words of the csv."""
        return ("id", plain(self.id)) if self.id else ("name", plain(self.name))


_COLUMNS = [field.name for field in fields(Row)]


def to_csv(rows: list[Row]) -> str:
    """The record as text. A cell that was read from a record is written as it was."""
    lines = [_COLUMNS, *([cell(value) for value in astuple(row)] for row in rows)]
    return "".join(",".join(line) + "\n" for line in lines)


def read_record(folder: Path) -> list[Row] | None:
    """The record in a folder, None where there is none. UsageProblem where it cannot be read."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        with open_file(path, _MAX_BYTES, frozenset({".csv"})) as stream:
            text = b"".join(iter(lambda: stream.read(2**20), b"")).decode("utf-8-sig")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        return [Row(**{column: line[column] or "" for column in _COLUMNS}) for line in lines]
    except (InvalidSubmission, OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        raise UsageProblem(
            f"is not the record that gradekit collect wrote: {error}", where=path, mend="name another --output"
        ) from error
