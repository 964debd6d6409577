"""A finished folder or file takes the place of the old one at once: nobody sees half of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["swap_in"]


def swap_in(finished: Path, place: Path) -> None:
    """Move `finished` to `place`, replacing what is there. Both must lie on one file system."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if finished.is_file():
        os.replace(finished, place)
        return
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    try:
        finished.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
