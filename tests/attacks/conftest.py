"""Every submission of the catalogue, graded once in each place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.suite import grade_in, prepare_folder


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """The bundles and the submissions. Not below pytest's own folder, which an ordinary user may not pass."""
    made = Path(tempfile.mkdtemp(prefix="attacks-"))
    prepare_folder(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def graded(folder: Path) -> Callable[[str], dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}

    def in_place(place: str) -> dict[str, Any]:
        if place not in found:
            found[place] = grade_in(place, folder)
        return found[place]

    return in_place
