"""What lies in a folder, or in a zip: names, and files that can be read. Nothing is unpacked, no link is followed."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gradekit.grade.submission import (
    MAX_DEPTH,
    MAX_FILES,
    SKIPPED,
    InvalidSubmission,
    open_file,
    open_zip,
    unzip_one,
)
from gradekit.problem import Problem, UsageProblem

__all__ = ["Entry", "Listing", "Stranger", "open_listing"]

MAX_ENTRIES = 200_000  # in all
_LEFT_BY_SYSTEMS = {"Thumbs.db", "desktop.ini", "Icon\r"}
_OTHER_ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


@dataclass(frozen=True)
class Entry:
    """A file: where it lies below the listing's top, where in the source, and what opens it."""

    parts: tuple[str, ...]
    label: str
    place: Path | zipfile.ZipInfo

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix.lower()


@dataclass(frozen=True)
class Stranger:
    """Something in the source that belongs to no student, and why; `harmless` if it can be no student's work."""

    label: str
    why: str
    harmless: bool = False


@dataclass(frozen=True)
class Listing:
    """Files, by name, and the folders that hold them. `title` is what the whole is called."""

    title: str
    entries: tuple[Entry, ...]
    folders: frozenset[tuple[str, ...]]
    strangers: tuple[Stranger, ...] = ()
    archive: zipfile.ZipFile | None = None

    @contextmanager
    def file(self, entry: Entry) -> Iterator[Path]:
        """A path at which this file can be read. Raises InvalidSubmission or OSError."""
        if isinstance(entry.place, Path):
            yield entry.place
        else:
            assert self.archive is not None
            with unzip_one(self.archive, entry.place, entry.suffix) as path:
                yield path

    def text(self, entry: Entry, most: int) -> str:
        """The text of a file of the platform's own. Raises InvalidSubmission or OSError."""
        with self.file(entry) as path, open_file(path, most, frozenset({entry.suffix})) as stream:
            return b"".join(iter(lambda: stream.read(2**20), b"")).decode("utf-8-sig", "replace")

    def tops(self) -> list[str]:
        """The names at the top, of files and folders."""
        return sorted({entry.parts[0] for entry in self.entries} | {parts[0] for parts in self.folders})

    def top_folders(self) -> list[str]:
        return sorted({parts[0] for parts in self.folders})

    def below(self, *above: str) -> Listing:
        """What lies in one folder, as a listing of its own."""
        depth = len(above)
        return replace(
            self,
            title=above[-1],
            entries=tuple(
                replace(entry, parts=entry.parts[depth:])
                for entry in self.entries
                if entry.parts[:depth] == above and len(entry.parts) > depth
            ),
            folders=frozenset(parts[depth:] for parts in self.folders if parts[:depth] == above and len(parts) > depth),
        )


@contextmanager
def open_listing(source: Path) -> Iterator[Listing]:
    """The listing of a folder or a zip, for as long as the context lasts. Problem if it cannot be read."""
    try:
        if os.path.isdir(source):
            yield _of_folder(Path(os.path.realpath(source)))
            return
        if not os.path.lexists(source):
            raise UsageProblem("there is no such file or folder", where=source)
        if source.suffix.lower() != ".zip":
            unpack = source.suffix.lower() in _OTHER_ARCHIVES
            mend = "unpack it, and name the folder" if unpack else "name what the platform gave, or a folder"
            raise UsageProblem("is neither a folder nor a zip", where=source, mend=mend)
        with open_zip(Path(os.path.realpath(source))) as archive:  # a link that was named is followed
            yield _of_zip(source.stem, archive)
    except InvalidSubmission as reason:
        raise Problem(str(reason), where=source, mend="download it again, or unpack it and name the folder") from reason
    except OSError as error:
        where = error.filename or source
        raise Problem(f"cannot be read: {error.strerror or error}", where=os.fsdecode(where)) from error


def _of_folder(top: Path) -> Listing:
    entries: list[Entry] = []
    folders: set[tuple[str, ...]] = set()
    strangers: list[Stranger] = []

    def refuse(error: OSError) -> None:
        if os.fspath(error.filename) == os.fspath(top):
            raise error
        label = _text(Path(os.fsdecode(error.filename)).relative_to(top).as_posix())
        strangers.append(Stranger(label, f"cannot be read: {error.strerror}"))

    for above, subfolders, names in os.walk(top, onerror=refuse):
        parts = tuple(map(_text, Path(above).relative_to(top).parts))
        links = [name for name in subfolders if os.path.islink(os.path.join(above, name))]
        subfolders[:] = sorted(name for name in subfolders if not _passed(name) and name not in links)
        if len(parts) >= MAX_DEPTH and subfolders:
            subfolders.clear()
            strangers.append(Stranger("/".join(parts), f"lies more than {MAX_DEPTH} folders deep", harmless=True))
        found = sorted(name for name in (*names, *links) if not _passed(name))
        if len(found) > MAX_FILES:
            label = "/".join(parts) or top.name
            strangers.append(Stranger(label, f"holds {len(found)} files: only the first {MAX_FILES} were looked at"))
        for name in found[:MAX_FILES]:
            at = (*parts, _text(name))
            entries.append(Entry(at, "/".join(at), Path(above, name)))
        folders |= {(*parts, _text(name)) for name in subfolders}
        if len(entries) + len(folders) > MAX_ENTRIES:
            raise _too_many(top)
    return Listing(top.name, tuple(entries), frozenset(folders), tuple(strangers))


def _of_zip(title: str, archive: zipfile.ZipFile) -> Listing:
    entries: list[Entry] = []
    folders: set[tuple[str, ...]] = set()
    strangers: list[Stranger] = []
    for info in archive.infolist():
        name = info.filename
        # one made by Windows may use either; a student's name may well hold a backslash where it was made elsewhere
        split = name.split("/") if "/" in name else name.split("\\")
        parts = tuple(part for part in split if part not in ("", "."))
        if ".." in parts or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name):
            strangers.append(Stranger(name, "its name leads out of the zip"))
        elif not parts or any(_passed(part) for part in parts):
            continue
        elif len(parts) > MAX_DEPTH:
            strangers.append(Stranger(name[:200], f"lies more than {MAX_DEPTH} folders deep", harmless=True))
        else:
            folder = info.is_dir() or stat.S_ISDIR(info.external_attr >> 16)
            folders |= {parts[:depth] for depth in range(1, len(parts) + folder)}
            if not folder:
                entries.append(Entry(parts, "/".join(parts), info))
        if len(entries) + len(folders) > MAX_ENTRIES:
            raise _too_many(title)
    entries.sort(key=lambda entry: entry.parts)
    return Listing(title, tuple(entries), frozenset(folders), tuple(strangers), archive)


def _text(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8 are spelled out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _passed(name: str) -> bool:
    """Whether a file or folder is no student's: what editors and systems leave behind."""
    return name in SKIPPED or name in _LEFT_BY_SYSTEMS or name.startswith(".")


def _too_many(where: Path | str) -> Problem:
    return Problem(f"holds more than {MAX_ENTRIES} files", where=where, mend="name the folder of one assignment")
