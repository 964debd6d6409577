"""Canvas, "Download Submissions": `lovelaceada_LATE_1042_88123_week05_conv-1.ipynb`, all in one folder.

The numbers are the student's and the file's; a file's grows with time, whoever uploads. A name that a student hands in
again has -1, -2, ... before its suffix. Where graders see no names it is `LATE_anon_x3Yz9_88123_...`. What a student
typed or linked to instead of uploading is `lovelaceada_1042_text.html` or `..._link.html`.
"""

from __future__ import annotations

import re

from gradekit.collect.listing import Listing, Stranger
from gradekit.collect.upload import File, Found, Student, Upload, without_number

__all__ = ["share", "uploads"]

_WHO = r"(?:(?P<name>[^\W_]\w*?)_)??(?:(?P<late>LATE)_)?(?P<user>[1-9]\d*|anon_[A-Za-z0-9]+)"
_FILE = re.compile(_WHO + r"_(?P<number>[1-9]\d*)_(?P<file>.+)", re.DOTALL)
_TYPED = re.compile(_WHO + r"_(?P<file>text|link)\.html")
EXPECTED = "lastnamefirstname_1042_88123_week05_conv.ipynb"


def _match(name: str) -> re.Match[str] | None:
    found = _TYPED.fullmatch(name) or _FILE.fullmatch(name)
    # what begins with two numbers may be anything, a date for one
    return found if found and (found["name"] or found["user"].startswith("anon_")) else None


def share(listing: Listing) -> float:
    """How much of what lies here has a name that Canvas gives. No two files have one number."""
    found = [match for top in listing.tops() if (match := _match(top))]
    numbers = {match.groupdict().get("number") or match.string for match in found}
    return min(len(numbers), len(found)) / len(listing.tops()) if len(numbers) == len(found) and found else 0.0


def uploads(listing: Listing) -> Found:
    """One upload a student, or two where some files are late and others not."""
    found: dict[tuple[str, bool], Upload] = {}
    strangers = []
    for entry in listing.entries:
        match = _match(entry.parts[0])
        if not match:
            work = entry.suffix in (".ipynb", ".zip")
            strangers.append(Stranger(entry.label, f"its name is none that Canvas gives: {EXPECTED}", not work))
            continue
        student = Student(match["name"] or match["user"], match["user"])
        late = bool(match["late"])
        typed = "number" not in match.groupdict()
        upload = found.setdefault((match["user"], late), Upload(student, entry.label, (), late=late, numbered=True))
        if not typed:
            name = match["file"] if len(entry.parts) == 1 else entry.name
            upload = upload.adding(File(entry, name, int(match["number"][:18])))
        found[match["user"], late] = upload
    ordered = sorted(found.values(), key=lambda upload: max((file.order for file in upload.files), default=0))
    return Found(tuple(map(_counted, ordered)), tuple(strangers))


def _counted(upload: Upload) -> Upload:
    """With the number of the attempt, where Canvas had to number a file."""
    last = max(upload.files, key=lambda file: file.order, default=None)
    number = without_number(last.name, platform=True)[1][1] if last else 0
    return Upload(**{**vars(upload), "attempt": number + 1 if number else None})
