"""What was handed in: notebooks, zips and folders -> one submission each, under one name each.

Nothing here is trusted. A file is opened once, without following a link and without waiting, and what was opened is
asked what it is; it is read within bounds of memory, and nothing in a zip is unpacked.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from gradekit.grade.outputs import drop_outputs
from gradekit.problem import UsageProblem

__all__ = [
    "RECORD",
    "SKIPPED",
    "InvalidSubmission",
    "Notebook",
    "Submission",
    "find_submissions",
    "open_file",
    "open_zip",
    "read_cells",
    "read_notebook",
    "take_notebook",
    "unzip_one",
]

RECORD = "collected.csv"  # what `gradekit collect` writes beside the students' folders

MAX_NOTEBOOK_BYTES = 256 * 2**20  # as it was handed in, and a zip as well
# Without outputs. Parsed, JSON takes up to 22 times its bytes ([],[],[]): this bounds it to 350 MB.
MAX_KEPT_BYTES = 16 * 2**20
MAX_FILES = 10_000  # looked at in one student's folder
MAX_DEPTH = 32  # folders in a student's folder
# Nothing is read from a zip in one piece but its directory, of which this is room for 50,000 files.
_LARGEST_READ = 4 * 2**20
_CHUNK = 2**20
SKIPPED = {".ipynb_checkpoints", "__pycache__", "__MACOSX"}
_SUFFIXES = frozenset({".ipynb", ".zip"})
_TEXT_OF_16_OR_32_BITS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
# What else keeps a file from being opened, in the words of the file system.
_ODD_FILES = {errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP}  # a socket, a device that nobody drives


@dataclass(frozen=True)
class Submission:
    """One student's work: `path` is a notebook, or a zip that holds one. `name` is text that any file may hold.

    beside: the folder in which files beside the notebook are this student's, None where there is none: see `beside`.
    """

    name: str
    path: Path
    beside: Path | None = None


@dataclass(frozen=True)
class Notebook:
    """A notebook that was read: its file's name, its bytes, and whether outputs were left out of them."""

    file_name: str
    data: bytes
    shortened: bool


class InvalidSubmission(Exception):
    """This submission cannot be graded; the text says why, in one line that can be printed."""

    def __init__(self, why: str) -> None:
        super().__init__("".join(c if c.isprintable() else "?" for c in why)[:300])


def find_submissions(paths: Iterable[Path]) -> list[Submission]:
    """The submissions that `paths` mean, by name.

    A notebook or a zip is one submission. In a folder every file is one, and every subfolder (a student's own), whose
    name is the submission's. In a student's folder notebooks count, and zips only where there is no notebook; more than
    one are told apart by their names. What is no notebook and no zip is a submission as well, and found invalid when it
    is graded, so that nobody is passed over in silence; names that begin with a dot are left out, and the record that
    `gradekit collect` keeps in a folder. No link is followed, but for a folder's that is named in `paths`. UsageProblem
    where a path does not exist or a folder is empty.

    What lies beside a notebook can be its author's only in a student's own folder, or where no other file of the same
    folder is named: a class's notebooks in one folder share it.
    """
    paths = list(paths)
    named = Counter(path.parent.resolve() for path in set(paths))
    found: list[_Found] = []
    for path in paths:
        if os.path.isdir(path):
            try:
                inside = list(_inside(path, [path.resolve().name]))
            except OSError as error:
                raise UsageProblem(f"cannot be read: {error.strerror}", where=path) from error
            if not inside:
                raise UsageProblem("is empty", where=path, mend="name a folder of submissions")
            found += inside
        elif os.path.lexists(path):
            alone = named[path.parent.resolve()] == 1
            found.append(_Found([path.parent.resolve().name, path.stem], path, path.parent if alone else None))
        else:
            raise UsageProblem("there is no such file or folder", where=path)
    return _named(found)


@dataclass(frozen=True)
class _Found:
    """What a submission may be named after, from the outer folder to the file; the rest as in Submission."""

    parts: list[str]
    path: Path
    beside: Path | None = None


def _inside(folder: Path, above: list[str]) -> Iterator[_Found]:
    for path in sorted(folder.iterdir()):
        if path.name in SKIPPED or path.name.startswith(".") or path.name == RECORD:
            continue
        if os.path.isdir(path) and not path.is_symlink():
            works = _works(path)
            for work in works:
                name = path.name if len(works) == 1 else f"{path.name}/{work.stem}"
                yield _Found([*above, name], work, work.parent)
            if not works:
                yield _Found([*above, path.name], path)
        else:
            yield _Found([*above, path.stem if path.suffix.lower() in _SUFFIXES else path.name], path)


def _works(folder: Path) -> list[Path]:
    """The notebooks in a student's folder, or the zips where there are none."""
    files: list[Path] = []
    looked = 0
    for above, folders, names in os.walk(folder):  # follows no link
        if len(Path(above).relative_to(folder).parts) >= MAX_DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("."))
        # a link to a folder stands among the folders
        files += [Path(above, name) for name in (*names, *folders) if _is_work(Path(above, name))]
        looked += len(names) + len(folders)
        if looked > MAX_FILES:
            break
    files.sort()
    return [path for path in files if path.suffix.lower() == ".ipynb"] or files


def _is_work(path: Path) -> bool:
    return (
        path.suffix.lower() in _SUFFIXES
        and path.name not in SKIPPED
        and not path.name.startswith(".")
        and (path.is_symlink() or not os.path.isdir(path))
    )


def _named(found: list[_Found]) -> list[Submission]:
    """The shortest tail of its path that tells each from the others; a number where even the whole does not."""
    paths: dict[str, set[Path]] = {}
    for work in found:
        paths.setdefault(_text(work.parts[-1]), set()).add(work.path)
    names: dict[str, _Found] = {}
    counts: Counter[str] = Counter()
    for work in found:
        parts = [_text(part) for part in work.parts]
        name = "/".join(parts[-2:]) if len(paths[parts[-1]]) > 1 else parts[-1]
        unique = name
        while unique in names:
            counts[name] += 1
            unique = f"{name}-{counts[name] + 1}"
        names[unique] = work
    return [Submission(name, work.path, work.beside) for name, work in names.items()]


def _text(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8 are spelled out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_notebook(submission: Submission, assignment: str) -> bytes:
    """The notebook of a submission, as bytes that are known to be a notebook with code in it.

    It is one of `assignment`, or of any where that is empty. Outputs are left out where the file is larger than
    MAX_KEPT_BYTES. Raises InvalidSubmission, saying why in one line.
    """
    return _read(submission, assignment)[0]


def read_cells(submission: Submission, assignment: str) -> Mapping[str, Any]:
    """The same notebook, parsed. Of a key that stands twice in one object the last counts, as in Jupyter."""
    return _read(submission, assignment)[1]


def take_notebook(path: Path, file_name: str = "") -> Notebook:
    """The notebook that lies at `path`, or in the zip there: of several in a zip, the one of this name.

    It is known to be a notebook with code in it, of whatever assignment. Raises InvalidSubmission, as read_notebook.
    """
    notebook = _taken(path, file_name)
    _parsed(notebook.data, "")
    return notebook


def _read(submission: Submission, assignment: str) -> tuple[bytes, Mapping[str, Any]]:
    data = _taken(submission.path, f"{assignment}.ipynb" if assignment else "").data
    return data, _parsed(data, assignment)


def _taken(path: Path, file_name: str) -> Notebook:
    try:
        with open_file(path, MAX_NOTEBOOK_BYTES) as stream:
            if path.suffix.lower() == ".zip":
                return _from_zip(stream, file_name)
            return Notebook(path.name, *_bounded(stream))
    except OSError as error:
        raise InvalidSubmission(f"cannot be read: {error.strerror or 'the file system does not say why'}") from error
    except MemoryError as error:
        raise InvalidSubmission("cannot be read: it takes more memory than there is") from error


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip of any size, of which no more than its directory is read. InvalidSubmission where it is none; OSError."""
    with open_file(path, None) as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except (InvalidSubmission, OSError, MemoryError):
            raise
        except Exception as error:
            raise _broken_zip(error) from error
        with archive:
            yield archive


@contextmanager
def unzip_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, suffix: str) -> Iterator[Path]:
    """A file of a zip as a file of its own, whose name is ours, for as long as the context lasts.

    No more is written than MAX_NOTEBOOK_BYTES, whatever the zip says of itself. Raises InvalidSubmission, or OSError.
    """
    _refuse_entry(entry, "it")
    if entry.file_size > MAX_NOTEBOOK_BYTES:
        raise _too_large()
    with tempfile.TemporaryDirectory(prefix="gradekit-") as folder:
        path = Path(folder, f"file{suffix}")
        try:
            with archive.open(entry) as packed, path.open("wb") as stream:
                for chunk in _chunks(packed, MAX_NOTEBOOK_BYTES + 1):
                    stream.write(chunk)
        except (InvalidSubmission, OSError, MemoryError):
            raise
        except Exception as error:
            raise _broken_zip(error) from error
        yield path


@contextmanager
def open_file(path: Path, most: int | None, suffixes: frozenset[str] = _SUFFIXES) -> Iterator[BinaryIO]:
    """A regular file, opened without following a link and without waiting for whoever holds the other end of a pipe.

    InvalidSubmission where it is something else, larger than `most` bytes, or its name has another suffix.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise InvalidSubmission("is a link: hand in the file itself") from error
        if error.errno in _ODD_FILES:
            raise InvalidSubmission("is not a file") from error
        raise
    try:
        before = os.fstat(descriptor)
        if stat.S_ISDIR(before.st_mode):
            empty = not os.listdir(descriptor)
            raise InvalidSubmission("the folder is empty" if empty else "the folder holds no notebook and no zip")
        if not stat.S_ISREG(before.st_mode):
            raise InvalidSubmission("is not a file")
        if path.suffix.lower() not in suffixes:
            raise InvalidSubmission("is neither a notebook (.ipynb) nor a zip")
        if most is not None and before.st_size > most:
            raise _too_large()
        with _Reader(io.FileIO(descriptor, closefd=False)) as stream:
            yield stream
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InvalidSubmission("changed while it was read: grade it again")
    finally:
        os.close(descriptor)


class _Reader(io.BufferedReader):
    """Reads no more than _LARGEST_READ at once, whatever a zip says of the size of its parts."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = _LARGEST_READ
        if size > _LARGEST_READ:
            raise InvalidSubmission("is not a zip that can be read: it lists too many files")
        return super().read(size)


def _bounded(stream: IO[bytes]) -> tuple[bytes, bool]:
    """The whole text, without its outputs where it is large; and whether they were left out."""
    data = b"".join(_chunks(stream, MAX_KEPT_BYTES + 1))
    if len(data) <= MAX_KEPT_BYTES:
        return data, False

    def all_chunks() -> Iterator[bytes]:
        size = len(data)
        yield from (data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK))
        for chunk in _chunks(stream, MAX_NOTEBOOK_BYTES):
            size += len(chunk)
            if size > MAX_NOTEBOOK_BYTES:
                raise _too_large()
            yield chunk

    kept, whole = drop_outputs(all_chunks(), MAX_KEPT_BYTES)
    if len(kept) > MAX_KEPT_BYTES:
        raise InvalidSubmission(f"is larger than {MAX_KEPT_BYTES // 2**20} MiB even without its outputs")
    if not whole:
        raise _cut_short()
    return kept, True


def _chunks(stream: IO[bytes], most: int) -> Iterator[bytes]:
    """What comes next, up to `most` bytes."""
    while most > 0 and (chunk := stream.read(min(_CHUNK, most))):
        most -= len(chunk)
        yield chunk


def _from_zip(stream: BinaryIO, file_name: str) -> Notebook:
    """The one notebook in a zip, or the one of this name. Nothing is unpacked."""
    try:
        with zipfile.ZipFile(stream) as archive:
            name, entry = _one(archive.infolist(), file_name)
            with archive.open(entry) as notebook:
                return Notebook(name, *_bounded(notebook))  # never more, whatever the zip says of itself
    except (InvalidSubmission, OSError, MemoryError):
        raise
    except Exception as error:
        raise _broken_zip(error) from error


def _broken_zip(error: Exception) -> InvalidSubmission:
    """zlib, struct, names that are no text: a zip can be broken in any of its parts."""
    return InvalidSubmission(f"is not a zip that can be read: {error}")


def _one(entries: list[zipfile.ZipInfo], file_name: str) -> tuple[str, zipfile.ZipInfo]:
    found = []
    for entry in entries:
        parts = re.split(r"[/\\]", entry.filename)  # a zip made by Windows may use either
        hidden = any(part in SKIPPED or part.startswith("._") for part in parts)
        if entry.filename.lower().endswith(".ipynb") and not hidden:
            found.append((parts[-1], entry))
    if not found:
        raise InvalidSubmission("there is no notebook in the zip")
    if len(found) > 1:
        named = [(name, entry) for name, entry in found if name == file_name]
        if len(named) != 1:
            which = f"one notebook named {file_name}" if file_name else "one notebook"
            raise InvalidSubmission(f"the zip does not hold {which}, but {len(found)} notebooks")
        found = named
    _refuse_entry(found[0][1], "the notebook in the zip")
    return found[0]


def _refuse_entry(entry: zipfile.ZipInfo, what: str) -> None:
    if entry.flag_bits & 0x1:
        raise InvalidSubmission(f"{what} is encrypted: zip it without a password")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise InvalidSubmission(f"{what} is a link: zip the file itself")
    # The others are unpacked by Python in pieces of any size (bzip2: 4 KiB to gigabytes), or with a memory of any size.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidSubmission("is not a zip that can be read: it is packed by another method than deflate")


def _parsed(data: bytes, assignment: str) -> Mapping[str, Any]:
    if data.startswith(_TEXT_OF_16_OR_32_BITS):
        raise InvalidSubmission("is not a notebook: not UTF-8 but UTF-16 or UTF-32 text; save it as UTF-8")
    try:
        notebook = json.loads(data.decode("utf-8-sig"), parse_int=_integer, parse_constant=lambda literal: None)
    except UnicodeDecodeError as error:
        raise InvalidSubmission("is not a notebook: not UTF-8 text") from error
    except RecursionError as error:
        raise InvalidSubmission("is not a notebook: not JSON that can be read (nested too deeply)") from error
    except MemoryError as error:
        raise InvalidSubmission("cannot be read: it takes more memory than there is") from error
    except json.JSONDecodeError as error:
        if not data.strip():
            raise InvalidSubmission("is not a notebook: not JSON (the file is empty)") from error
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
            raise _cut_short() from error
        raise InvalidSubmission(f"is not a notebook: not JSON ({error})") from error
    if not isinstance(notebook, dict):
        raise InvalidSubmission("is not a notebook: it has no cells")
    _refuse_format(notebook)
    metadata = notebook.get("metadata")
    otter = metadata.get("otter") if isinstance(metadata, dict) else None
    named = otter.get("assignment_name") if isinstance(otter, dict) else None
    if assignment and isinstance(named, str) and named and named != assignment:
        raise InvalidSubmission(f"is a notebook of {named[:80]!r}, this bundle grades {assignment!r}")
    if not any(_has_code(cell) for cell in notebook["cells"]):
        raise InvalidSubmission("there is no code in it")
    return notebook


def _refuse_format(notebook: dict[str, Any]) -> None:
    """Only format 4 has `cells`; a file that does not say its format is taken by them."""
    said = notebook.get("nbformat", 4)
    told = isinstance(said, int) and not isinstance(said, bool)
    if (told and said < 4) or ("worksheets" in notebook and "cells" not in notebook):
        version = f"format {said}" if told and 0 < said < 4 else "an old format"
        raise InvalidSubmission(f"is a notebook of {version}: open it in Jupyter and save it anew, as format 4")
    if told and said > 4:
        version = f"format {said}" if said < 1000 else "a format unknown"
        raise InvalidSubmission(f"is a notebook of {version}, newer than this kit reads: save it as format 4")
    if not isinstance(notebook.get("cells"), list):
        raise InvalidSubmission("is not a notebook: it has no cells")


def _has_code(cell: Any) -> bool:
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return False
    source = cell.get("source")
    parts = source if isinstance(source, list) else [source]
    return any(isinstance(part, str) and not part.isspace() and part != "" for part in parts)


def _integer(digits: str) -> int:
    if len(digits) > sys.int_info.default_max_str_digits:
        raise InvalidSubmission(f"is not a notebook: there is a number of {len(digits)} digits in it")
    return int(digits)


def _too_large() -> InvalidSubmission:
    return InvalidSubmission(f"is larger than {MAX_NOTEBOOK_BYTES // 2**20} MiB: clear its outputs and save it anew")


def _cut_short() -> InvalidSubmission:
    return InvalidSubmission("is not a whole notebook: not JSON to its end, the file is cut short; hand it in again")
