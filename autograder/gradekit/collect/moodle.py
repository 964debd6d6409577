"""Moodle, "Download all submissions": a folder a student, or all files in one.

`Ada Lovelace_1042_assignsubmission_file_/week05_conv.ipynb` (the last underscore is there or not), or
`Ada Lovelace_1042_assignsubmission_file_week05_conv.ipynb`. The number is this assignment's for the student; where
graders see no names it is `Participant_1042`, and of a group `Group A_7`. What was typed, not uploaded, is in
`assignsubmission_onlinetext`.
"""

from __future__ import annotations

import re

from gradekit.collect.listing import Listing, Stranger
from gradekit.collect.upload import File, Found, Student, Upload

__all__ = ["share", "uploads"]

_GIVEN = re.compile(
    r"(?P<name>.+?)(?:_(?P<id>\d{1,20}))?_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<file>.*))?", re.DOTALL
)
EXPECTED = "Ada Lovelace_1042_assignsubmission_file_/week05_conv.ipynb"


def share(listing: Listing) -> float:
    """How much of what lies here has a name that Moodle gives."""
    tops = listing.tops()
    return sum(_GIVEN.fullmatch(top) is not None for top in tops) / len(tops) if tops else 0.0


def uploads(listing: Listing) -> Found:
    """One upload a student: Moodle gives the last attempt, and says neither when it came nor whether that was late."""
    found: dict[Student, Upload] = {}
    strangers = []
    for top in listing.top_folders():
        if match := _GIVEN.fullmatch(top):
            student = Student(match["name"], match["id"] or "")
            found.setdefault(student, Upload(student, top, ()))
    for entry in listing.entries:
        match = _GIVEN.fullmatch(entry.parts[0])
        if not match:
            work = entry.suffix in (".ipynb", ".zip")
            strangers.append(Stranger(entry.label, f"its name is none that Moodle gives: {EXPECTED}", not work))
            continue
        student = Student(match["name"], match["id"] or "")
        upload = found.setdefault(student, Upload(student, entry.parts[0], ()))
        if match["kind"] == "file":
            name = entry.name if len(entry.parts) > 1 else (match["file"] or entry.name)
            found[student] = upload.adding(File(entry, name))
    return Found(tuple(found.values()), tuple(strangers))
