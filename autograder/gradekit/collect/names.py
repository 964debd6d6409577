"""What each student's folder is called: a name that is safe everywhere, that people know, and that no other has."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from gradekit.collect.upload import Student
from gradekit.grade.submission import RECORD, SKIPPED

__all__ = ["folder_names", "safe_name", "safe_notebook_name"]

_MAX_BYTES = 100
_NOTEBOOK = ".ipynb"
_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # as Windows reserves them
# Letters that are drawn like Latin ones (Unicode UTS 39, confusables: those of one letter, Greek and Cyrillic).
_DRAWN_ALIKE = str.maketrans(
    "авеһнкмотрсухіјѕԁԛԝӏ" + "αβγηικνορτυχ",
    "abehhkmotpcyxijsdqwl" + "abynikvoptux",
)


def safe_name(text: str, otherwise: str = "student", at_most: int = _MAX_BYTES) -> str:
    """`text` as the name of a file or folder: on every system, on a command line, and for `gradekit grade`."""
    text = unicodedata.normalize("NFC", text)
    text = "".join("_" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else c for c in text)
    text = _NOT_IN_NAMES.sub("_", text)
    text = " ".join(text.split()).lstrip("-. ~").rstrip(". ")
    text = text.encode()[:at_most].decode(errors="ignore").rstrip(". ") or otherwise
    if text in SKIPPED or text == RECORD or _DEVICES.fullmatch(text):
        text = f"{text}_"
    return text


def safe_notebook_name(text: str) -> str:
    """The same of a notebook's file: what had to be changed, it still ends in .ipynb."""
    return safe_name(text.removesuffix(_NOTEBOOK), "notebook", _MAX_BYTES - len(_NOTEBOOK)) + _NOTEBOOK


def folder_names(students: Iterable[Student], taken: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """A folder's name for each student, by key; those in `taken` keep theirs.

    Where two names come to the same, or look the same, each has what tells them apart added: the platform's id, or a
    digest. A file system may take names for the same that differ in case or composition, and so may people.
    """
    everyone = {student.key: student for student in students}
    wanted = {key: safe_name(student.name) for key, student in everyone.items() if key not in taken}
    seen = Counter(_seen(name) for name in (*wanted.values(), *taken.values()))
    found = {key: taken[key] for key in everyone if key in taken}
    used = {_seen(name) for name in taken.values()}
    alone = {key: name for key, name in wanted.items() if seen[_seen(name)] == 1}
    found |= alone
    used |= {_seen(name) for name in alone.values()}
    for key in sorted(wanted.keys() - alone.keys()):
        found[key] = _told_apart(wanted[key], everyone[key], used)
        used.add(_seen(found[key]))
    return found


def _told_apart(name: str, student: Student, used: Collection[str]) -> str:
    digest = hashlib.sha256("\0".join(student.key).encode("utf-8", "surrogatepass")).hexdigest()
    for what in (safe_name(student.id, ""), digest[:8], digest):
        longer = f"{name}_{what}"
        if what and _seen(longer) not in used:
            return longer
    return f"{name}_{digest}_{len(used)}"


def _seen(name: str) -> str:
    """What two names have in common that people, or a file system, may take for one another."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return folded.translate(_DRAWN_ALIKE)
