"""The folder that is written: all of it or nothing, and in an update each student's folder, the old one or the new."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gradekit.problem import Problem

__all__ = ["Place", "put"]


@dataclass(frozen=True)
class Place:
    """One student's folder below the output (`ada`, or `ada/week05` for nbgrader), and the files in it."""

    folder: str
    files: Mapping[str, bytes]

    @staticmethod
    def stamp(at: datetime) -> bytes:
        """timestamp.txt, as nbgrader writes it."""
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC").encode()


@contextlib.contextmanager
def put(output: Path) -> Iterator[_Stage]:
    """Stage folders beside `output`; they take their places when the context ends, and only if it ends well.

    An output that is not there, or is empty, comes into being at once. In one that is there, what is replaced is put
    back if anything goes wrong.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        resolved = Path(os.path.realpath(output))
        work = Path(tempfile.mkdtemp(prefix=f".{resolved.name}.", suffix=".partial", dir=resolved.parent))
        stage = _Stage(work / "new")
        try:
            stage.folder.mkdir()
            yield stage
            if not resolved.exists() or not os.listdir(resolved):
                os.replace(stage.folder, resolved)
            else:
                _replace(stage, resolved, work / "old")
        finally:
            if not stage.stranded:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise Problem(
            f"cannot be written: {error.strerror or error}",
            where=os.fsdecode(error.filename or output),
            mend="make the folder writable and see that there is room on its disk, or name another --output",
        ) from error


class _Stage:
    """What is to be put, so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: list[str] = []
        self.records: list[str] = []
        self.stranded = False  # something of the old output could not be put back: it is all there is of it

    def add(self, place: Place) -> None:
        folder = self.folder / place.folder
        folder.mkdir(parents=True)
        for name, data in place.files.items():
            _write(folder / name, data)
        self.places.append(place.folder)

    def record(self, name: str, text: str) -> None:
        """A file at the top, which takes its place last."""
        _write(self.folder / name, text.encode("utf-8", "backslashreplace"))
        self.records.append(name)


def _replace(stage: _Stage, output: Path, old: Path) -> None:
    undo: list[tuple[Path, Path]] = []  # (where it is, where it was)
    try:
        for name in (*stage.places, *stage.records):
            there, kept = output / name, old / name
            if os.path.lexists(there):
                kept.parent.mkdir(parents=True, exist_ok=True)
                undo.append((kept, there))
                os.replace(there, kept)
            there.parent.mkdir(parents=True, exist_ok=True)
            undo.append((there, stage.folder / name))
            os.replace(stage.folder / name, there)
    except BaseException as error:
        for here, before in reversed(undo):
            try:
                os.replace(here, before)
            except OSError:
                stage.stranded = stage.stranded or (here.is_relative_to(old) and os.path.lexists(here))
        if stage.stranded:
            raise Problem(
                "was being replaced when that failed, and cannot be put back",
                where=output,
                mend=f"what is missing there lies in {old}: move it back",
            ) from error
        raise


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
