"""Files that were handed in beside a notebook: taken from its zip, or from the folder that it has to itself.

They count only under the names that the assignment gives, and only where it cannot be another student's: see
`Submission.beside`. What is taken is a copy, made before anything of the submission runs.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gradekit.grade.submission import (
    MAX_FILES,
    SKIPPED,
    InvalidSubmission,
    Submission,
    open_file,
    open_zip,
    unzip_one,
)
from gradekit.hand_in import MOST_BYTES, SUFFIX

__all__ = ["TAKEN", "digest_beside", "take_beside"]

TAKEN = "taken"
_CHUNK = 2**20
_OURS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}  # what this machine lacks


def take_beside(submission: Submission, names: Iterable[str], folder: Path) -> dict[str, str]:
    """Copy the files of these names into `folder`. What became of each: TAKEN, "" where it was not handed in, else why
    it was refused, as it goes on after the file's name.

    Raises OSError where there is no room here: that is no fault of the submission's.
    """
    return {name: _copy(submission, name, folder / name) for name in names}


def digest_beside(submission: Submission, names: Iterable[str]) -> str:
    """sha256, in hex, of all that `take_beside` would make of them. Raises as that does."""
    whole = hashlib.sha256()
    for name in names:
        inside = hashlib.sha256()
        became = _pass_on(submission, name, inside.update)
        whole.update(f"{name}\n{became}\n{inside.hexdigest()}\n".encode())
    return whole.hexdigest()


def _copy(submission: Submission, name: str, target: Path) -> str:
    with target.open("xb") as stream:
        became = _pass_on(submission, name, stream.write)
    if became != TAKEN:
        target.unlink()
    return became


def _pass_on(submission: Submission, name: str, sink: Callable[[bytes], object]) -> str:
    """Give the sink the file, piece by piece; what became of it."""
    try:
        with _opened(submission, name) as stream:
            for chunk in _chunks(stream) if stream is not None else ():
                sink(chunk)
        return TAKEN if stream is not None else ""
    except InvalidSubmission as reason:
        return str(reason)
    except OSError as error:
        if error.errno in _OURS:
            raise
        return f"cannot be read: {error.strerror or 'the file system does not say why'}"


@contextmanager
def _opened(submission: Submission, name: str) -> Iterator[BinaryIO | None]:
    """The file, None where there is none. InvalidSubmission where it may not be taken."""
    if submission.path.suffix.lower() == ".zip":
        with open_zip(submission.path) as archive:
            entry = _only([entry for entry in archive.infolist() if _is_named(entry, name)])
            if entry is None:
                yield None
                return
            with unzip_one(archive, entry, SUFFIX) as path, _bounded(path) as stream:
                yield stream
        return
    folder = submission.beside
    if folder is None or not os.path.lexists(folder / name):
        yield None
        return
    if _notebooks(folder) > 1:
        raise InvalidSubmission("lies beside several notebooks, and nobody can say to which it belongs")
    with _bounded(folder / name) as stream:
        yield stream


@contextmanager
def _bounded(path: Path) -> Iterator[BinaryIO]:
    """A regular file of at most MOST_BYTES, which is known before it is read."""
    if stat.S_ISDIR(path.lstat().st_mode):
        raise InvalidSubmission("is a folder")
    with open_file(path, None, frozenset({SUFFIX})) as stream:
        if os.fstat(stream.fileno()).st_size > MOST_BYTES:
            raise _too_large()
        yield stream


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > MOST_BYTES:  # it has grown
            raise _too_large()
        yield chunk


def _is_named(entry: zipfile.ZipInfo, name: str) -> bool:
    parts = re.split(r"[/\\]", entry.filename)  # a zip made by Windows may use either
    return parts[-1] == name and not any(part in SKIPPED or part.startswith("._") for part in parts)


def _only(entries: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo | None:
    if len(entries) > 1:
        raise InvalidSubmission(f"is in the zip {len(entries)} times: one is needed")
    if entries and entries[0].file_size > MOST_BYTES:
        raise _too_large()
    return entries[0] if entries else None


def _notebooks(folder: Path) -> int:
    """How many lie there, as far as people see them."""
    count = 0
    with os.scandir(folder) as entries:
        for looked, entry in enumerate(entries):
            count += entry.name.lower().endswith(".ipynb") and not entry.name.startswith(".")
            if count > 1 or looked > MAX_FILES:
                return 2
    return count


def _too_large() -> InvalidSubmission:
    return InvalidSubmission(f"is larger than {MOST_BYTES // 2**20} MiB")
