"""What somebody wrote into a folder that is built, a student's answers for one, outlives the next build."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from gradekit.build.stamp import built_files, digest

__all__ = ["FOLDER", "set_aside"]

FOLDER = ".set-aside"  # beside the weeks; not in git


def set_aside(place: Path, finished: Path, known: Mapping[str, str]) -> Path | None:
    """Copy what is in `place` but was neither built there (`known`: digests by name) nor is in `finished`.

    Returns the folder that has the copies, a new one each time, or None if there was nothing to keep.
    """
    kept = [
        path
        for path in built_files(place)
        if (found := digest(path)) != known.get(path.relative_to(place.parent).as_posix())
        and found != digest(finished / path.relative_to(place))
    ]
    if not kept:
        return None
    folder = _new(place.parent / FOLDER, place.name)
    for path in kept:
        copy = folder / path.relative_to(place)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    return folder


def _new(parent: Path, name: str) -> Path:
    number = 1
    while True:
        folder = parent / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder
