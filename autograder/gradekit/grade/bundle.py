"""A bundle, opened for grading."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradekit.grade.by_hand import Manual
from gradekit.problem import UsageProblem
from gradekit.sandbox.scratch import hold, sweep

__all__ = ["Bundle", "open_bundle", "read_bundle"]


@dataclass(frozen=True)
class Bundle:
    """An unpacked bundle. `points` maps each question that tests grade, in order, to what it is worth; `manual` holds
    those that a person marks; `cells` are the release's code cells, see `cells.script`; `hand_in` names the files that
    count beside the notebook.
    """

    assignment: str
    points: dict[str, float]
    folder: Path
    digest: str
    cells: tuple[dict[str, Any], ...]
    manual: dict[str, Manual] = field(default_factory=dict)
    hand_in: tuple[str, ...] = ()

    @property
    def by_hand(self) -> dict[str, float]:
        """What each question that a person marks is worth."""
        return {name: question.points for name, question in self.manual.items()}

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
    sweep()
    folder, held = hold("bundle")
    try:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)  # the instructor's own file
        except (zipfile.BadZipFile, OSError) as error:
            raise _no_bundle(path, error) from error
        yield read_bundle(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def read_bundle(folder: Path, path: Path | None = None) -> Bundle:
    """The bundle that was unpacked into `folder` (from `path`); UsageProblem if it is none."""
    try:
        contents = json.loads((folder / "tests" / "gradekit.json").read_text())
        points = {str(name): float(value) for name, value in contents["points"].items()}
        cells = tuple(json.loads((folder / "tests" / "cells.json").read_text()))
        if "manual" not in contents:
            raise UsageProblem(
                "was built by an older gradekit", where=path or folder, mend="build it again: gradekit build"
            )
        manual = {str(name): Manual(**question) for name, question in contents["manual"].items()}
        hand_in = tuple(str(name) for name in contents.get("hand_in", ()))
        return Bundle(contents["assignment"], points, folder, _digest(folder), cells, manual, hand_in)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_bundle(path or folder, error) from error


def _digest(folder: Path) -> str:
    """Of all that decides what a submission is worth, wherever it was unpacked."""
    found = hashlib.sha256()
    places = [*(folder / "tests").rglob("*"), *(folder / "files").rglob("*")]
    for path in sorted(path for path in places if path.is_file() and "__pycache__" not in path.parts):
        data = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(data)}\n".encode() + data)
    return found.hexdigest()


def _no_bundle(path: Path, error: Exception) -> UsageProblem:
    return UsageProblem(f"is not a bundle: {error}", where=path, mend="give the zip that `gradekit build` wrote")
