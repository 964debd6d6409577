"""Who handed in what: the words that every platform is put into."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from gradekit.collect.listing import Entry, Stranger

__all__ = ["File", "Found", "Student", "Upload", "without_number"]

_NUMBERED = re.compile(
    r"""(?P<base>.+?)
    (?:
      [ ]?\((?P<browser>\d{1,4})\)                           # a browser adds it to a name that it has already,
      | _(?P<export>\d{4}_\d\d_\d\dT\d\d_\d\d_\d\d_\d{1,9})  # Otter's export to every zip,
      | -(?P<platform>\d{1,4})                               # and Canvas to a file that comes again
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Student:
    """`name` as the platform writes it; `id` is its own for this student, where it gives one."""

    name: str
    id: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return ("id", self.id) if self.id else ("name", self.name)


@dataclass(frozen=True)
class File:
    """One file of an upload, by the name that the student gave it. A higher `order` was handed in later."""

    entry: Entry
    name: str
    order: int = 0

    @property
    def suffix(self) -> str:
        return self.entry.suffix


@dataclass(frozen=True)
class Upload:
    """What a student handed in at one time, as far as the platform tells times apart.

    late: the platform's own mark; None where it makes none. `numbered`: the platform adds -1, -2 to files that come
    again. `label`: what to call it where there is no file in it.
    """

    student: Student
    label: str
    files: tuple[File, ...]
    at: datetime | None = None
    late: bool | None = None
    attempt: int | None = None
    numbered: bool = False
    note: str = ""

    def adding(self, file: File) -> Upload:
        return replace(self, files=(*self.files, file))


@dataclass(frozen=True)
class Found:
    """What a platform's module made of a listing."""

    uploads: tuple[Upload, ...]
    strangers: tuple[Stranger, ...] = ()


def without_number(file_name: str, *, platform: bool) -> tuple[str, tuple[str, int, int]]:
    """A file's name without what was added because it came again, and something to tell which came last.

    platform: whether -1 counts as added: week05-1.ipynb is a name that people choose as well.
    """
    stem, dot, suffix = file_name.rpartition(".")
    stem, dot, suffix = (stem, dot, suffix) if dot else (file_name, "", "")
    export, browser, number = "", 0, 0
    while found := _NUMBERED.fullmatch(stem):
        if found["platform"]:
            if not platform or number:
                break
            number = int(found["platform"])
        elif found["browser"]:
            browser = browser or int(found["browser"])
        else:
            export = export or found["export"]
        stem = found["base"]
    return stem + dot + suffix, (export, number, browser)
