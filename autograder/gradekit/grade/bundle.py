"""A bundle, opened for grading."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gradekit.problem import UsageProblem

__all__ = ["Bundle", "open_bundle"]


@dataclass(frozen=True)
class Bundle:
    """An unpacked bundle. `points` maps each question, in order, to what it is worth."""

    assignment: str
    points: dict[str, float]
    folder: Path
    digest: str

    @property
    def tests(self) -> Path:
        return self.folder / "tests"

    @property
    def files(self) -> Path:
        return self.folder / "files"


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Unpack the zip for as long as the context lasts. UsageProblem if it is not a bundle."""
    if not path.is_file():
        raise UsageProblem("there is no such bundle", where=path, mend="build it: gradekit build")
    folder = Path(tempfile.mkdtemp(prefix="gradekit-bundle-"))
    try:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)  # the instructor's own file
            contents = json.loads((folder / "gradekit.json").read_text())
            points = {str(name): float(value) for name, value in contents["points"].items()}
        except (zipfile.BadZipFile, OSError, ValueError, KeyError, AttributeError) as error:
            raise UsageProblem(
                f"is not a bundle: {error}", where=path, mend="give the zip that `gradekit build` wrote"
            ) from error
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield Bundle(contents["assignment"], points, folder, digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
