"""A folder that somebody made: one notebook (or zip) a student, or one folder a student, each by the student's name."""

from __future__ import annotations

from pathlib import Path

from gradekit.collect.listing import Listing
from gradekit.collect.upload import File, Found, Student, Upload, without_number

__all__ = ["class_folder", "uploads"]

_WORK = (".ipynb", ".zip")


def class_folder(listing: Listing) -> Listing:
    """The folder of the class: the only one in a zip, where that is not a student's own."""
    tops = listing.tops()
    if listing.archive is None or len(tops) != 1 or (tops[0],) not in listing.folders:
        return listing
    below = listing.below(tops[0])
    works = {entry.parts[0] for entry in below.entries if entry.suffix in _WORK}
    named_alike = tops[0].casefold() == without_number(f"{listing.title}.zip", platform=False)[0][:-4].casefold()
    return below if named_alike or len(works) > 1 else listing


def uploads(listing: Listing) -> Found:
    """One upload a student. `ada.ipynb`, `ada.zip` and what lies in `ada/` are all Ada's."""
    tops = listing.tops()
    found = {top: Upload(Student(top), top, ()) for top in listing.top_folders()}
    whole = {top for top in tops if Path(top).suffix.lower() in _WORK}
    for entry in listing.entries:
        if len(entry.parts) > 1:
            student = entry.parts[0]
        elif entry.suffix in _WORK:
            again = without_number(entry.name, platform=False)[0]
            student = Path(again if again in whole else entry.name).stem
        else:
            student = entry.name
        upload = found.setdefault(student, Upload(Student(student), entry.label, ()))
        found[student] = upload.adding(File(entry, entry.name))
    return Found(tuple(found.values()))
