"""nbgrader: its exchange (`inbound/<student>+<assignment>+<time>+<random>/`), or `submitted/<student>/<assignment>/`.

In both `timestamp.txt` says when it was handed in. Times are UTC where they say nothing else, as in nbgrader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from gradekit.collect.listing import Entry, Listing, Stranger
from gradekit.collect.moment import moment
from gradekit.collect.upload import File, Found, Student, Upload
from gradekit.grade.submission import InvalidSubmission
from gradekit.problem import UsageProblem

__all__ = ["share", "uploads"]

TIMESTAMP = "timestamp.txt"
_OWN = {TIMESTAMP, "submission_secret.txt"}
_RECORD = re.compile(
    r"(?P<student>.+?)\+(?P<assignment>[^+]+)"
    r"\+(?P<time>\d{4}-\d\d-\d\d[ T]\d\d[:_]\d\d[:_]\d\d(?:\.\d+)?(?: ?(?:[A-Za-z/_]+|[+-]\d\d:?(?:\d\d)?))?)"
    r"(?:\+(?P<random>[A-Za-z0-9_=-]+))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class _Work:
    student: str
    assignment: str
    label: str
    entries: tuple[Entry, ...]
    at: datetime | None


def share(listing: Listing) -> float:
    """How much of what lies here, or in inbound/ or submitted/, is laid out as nbgrader does."""
    listing = _place(listing)
    if records := sum(_RECORD.fullmatch(top) is not None for top in listing.top_folders()):
        return records / len(listing.tops())
    stamped = {entry.parts[0] for entry in listing.entries if len(entry.parts) == 3 and entry.name == TIMESTAMP}
    if listing.title == "submitted" and any(len(parts) == 2 for parts in listing.folders):
        return 1.0
    return len(stamped) / len(listing.top_folders()) if stamped else 0.0


def uploads(listing: Listing, assignment: str = "", preferred: tuple[str, ...] = ()) -> Found:
    """One upload for each time that a student handed in `assignment`.

    Where there are several and none is named: the first of `preferred` that is there, else UsageProblem.
    """
    listing = _place(listing)
    inbound = any(_RECORD.fullmatch(top) for top in listing.top_folders())
    works, strangers = (_inbound if inbound else _submitted)(listing)
    names = sorted({work.assignment for work in works})
    if assignment and assignment not in names:
        raise UsageProblem(
            f"there is no submission of {assignment!r}", where=listing.title, mend=f"has {', '.join(names)}"
        )
    if not assignment:
        assignment = next((name for name in preferred if name in names), "")
    if not assignment and len(names) > 1:
        raise UsageProblem(
            f"holds several assignments: {', '.join(names)}", where=listing.title, mend=f"add --assignment {names[0]}"
        )
    works = [work for work in works if not assignment or work.assignment == assignment]
    return Found(tuple(_numbered(works)), tuple(strangers))


def _numbered(works: list[_Work]) -> list[Upload]:
    ordered = sorted(works, key=lambda work: (work.at is not None, work.at and work.at.timestamp(), work.label))
    seen: dict[str, int] = {}
    found = []
    for work in ordered:
        seen[work.student] = seen.get(work.student, 0) + 1
        files = tuple(File(entry, entry.name) for entry in work.entries if entry.name not in _OWN)
        found.append(Upload(Student(work.student), work.label, files, at=work.at, attempt=seen[work.student]))
    return found


def _inbound(listing: Listing) -> tuple[list[_Work], list[Stranger]]:
    works, strangers = [], []
    for top in listing.top_folders():
        below = listing.below(top)
        if match := _RECORD.fullmatch(top):
            at = moment(match["time"]) or _stamp(below)
            works.append(_Work(match["student"], match["assignment"], top, below.entries, at))
        else:
            strangers.append(Stranger(top, "its name is none that nbgrader's exchange gives: ada+week05+TIME+RANDOM"))
    return works, strangers + _loose(listing)


def _submitted(listing: Listing) -> tuple[list[_Work], list[Stranger]]:
    works, strangers = [], []
    for student, assignment in sorted(parts for parts in listing.folders if len(parts) == 2):
        below = listing.below(student, assignment)
        works.append(_Work(student, assignment, f"{student}/{assignment}", below.entries, _stamp(below)))
    for entry in listing.entries:
        if len(entry.parts) == 2:
            why = f"lies beside the assignments: submitted/{entry.parts[0]}/ASSIGNMENT/ is where work belongs"
            strangers.append(Stranger(entry.label, why, entry.suffix not in (".ipynb", ".zip")))
    return works, strangers + _loose(listing)


def _loose(listing: Listing) -> list[Stranger]:
    return [
        Stranger(entry.label, "lies in no student's folder", entry.suffix not in (".ipynb", ".zip"))
        for entry in listing.entries
        if len(entry.parts) == 1
    ]


def _stamp(work: Listing) -> datetime | None:
    for entry in work.entries:
        if entry.parts == (TIMESTAMP,):
            try:
                return moment(work.text(entry, 1000))
            except (InvalidSubmission, OSError):
                return None
    return None


def _place(listing: Listing) -> Listing:
    """The folder below a course's own in which submissions lie."""
    for name in ("inbound", "submitted"):
        if (name,) in listing.folders:
            return listing.below(name)
    return listing
