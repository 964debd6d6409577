"""When nothing has changed, nothing is built: a digest of all that goes into a week, kept beside its bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import gradekit
from gradekit.course import Week

__all__ = ["built_files", "digest", "is_fresh", "known_files", "write_stamp"]

_LEFT_BEHIND = frozenset({"__pycache__", ".ipynb_checkpoints", ".OTTER_LOG"})


def is_fresh(week: Week) -> bool:
    """Whether what is built is what the sources would build; false when in doubt."""
    return _read(week) == _stamp(week)


def write_stamp(week: Week) -> None:
    _path(week).write_text(json.dumps(_stamp(week), indent=1) + "\n")


def known_files(week: Week, place: Path) -> dict[str, str]:
    """Digests of what was built into `place`, release or solutions, by name; none if nothing is on record."""
    known = _read(week).get("built", {})
    return dict(known.get(place.parent.name, {})) if isinstance(known, dict) else {}


def built_files(place: Path) -> list[Path]:
    """The files of a folder that is built, but for what Jupyter, Python and Otter leave there."""
    files = (path for path in place.rglob("*") if path.is_file())
    return sorted(path for path in files if _LEFT_BEHIND.isdisjoint(path.relative_to(place).parts))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _path(week: Week) -> Path:
    return week.bundle.with_suffix(".stamp.json")


def _read(week: Week) -> dict[str, Any]:
    try:
        stamp = json.loads(_path(week).read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _stamp(week: Week) -> dict[str, Any]:
    """Digests of what goes in and of what came out: a release that was edited or deleted is not fresh either."""
    package = Path(gradekit.__file__).parent
    folders = (week.release, week.solutions)
    return {
        "sources": _total([week.room, week.reference, week.reference.parent / "__init__.py"]),
        "gradekit": _total([package]),
        "libraries": " ".join(f"{name} {metadata.version(name)}" for name in ("otter-grader", "jupytext", "nbformat")),
        "built": {
            folder.parent.name: {p.relative_to(folder.parent).as_posix(): digest(p) for p in built_files(folder)}
            for folder in folders
        },
        "bundle": digest(week.bundle),
    }


def _total(places: Iterable[Path]) -> str:
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
