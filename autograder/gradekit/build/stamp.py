"""When nothing has changed, nothing is built: a digest of all that goes into a week, kept beside its bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import gradekit
from gradekit.course import Week

__all__ = ["is_fresh", "write_stamp"]


def is_fresh(week: Week) -> bool:
    """Whether what is built is what the sources would build; false when in doubt."""
    try:
        stamp = json.loads(_path(week).read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp == _stamp(week))


def write_stamp(week: Week) -> None:
    _path(week).write_text(json.dumps(_stamp(week), indent=1) + "\n")


def _path(week: Week) -> Path:
    return week.bundle.with_suffix(".stamp.json")


def _stamp(week: Week) -> dict[str, str]:
    """Digests of what goes in and of what came out: a release that was edited or deleted is not fresh either."""
    package = Path(gradekit.__file__).parent
    return {
        "sources": _digest([week.room, week.reference, week.reference.parent / "__init__.py"]),
        "gradekit": _digest([package]),
        "libraries": " ".join(f"{name} {metadata.version(name)}" for name in ("otter-grader", "jupytext", "nbformat")),
        "built": _digest([week.release, week.solutions, week.bundle]),
    }


def _digest(places: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for place in places:
        files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        for path in files:
            if "__pycache__" in path.parts:
                continue
            data = path.read_bytes() if path.is_file() else b"(missing)"
            name = path.relative_to(place.parent).as_posix()
            total.update(f"{name} {len(data)} ".encode() + data)
    return total.hexdigest()
