"""What the tests of collecting share: notebooks, and sources as a folder or as the zip that a browser saves."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gradekit.collect.into import Collected, Request, collect_into

NOTEBOOK = "week05_conv.ipynb"


def notebook(said: str = "x = 1") -> bytes:
    cell = {"cell_type": "code", "id": "q1", "source": said, "metadata": {}, "outputs": []}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def packed(files: Mapping[str, bytes], path: Path) -> bytes:
    """A student's own zip."""
    return zipped(path, files).read_bytes()


def laid_out(folder: Path) -> dict[str, str]:
    """What lies in the output: path -> the code in a notebook, "" for anything else; without the record."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "collected.csv":
            text = path.read_text()
            code = json.loads(text)["cells"][0]["source"] if path.suffix == ".ipynb" else ""
            found[path.relative_to(folder).as_posix()] = code
    return found


def record(folder: Path) -> list[dict[str, str]]:
    with (folder / "collected.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


class Collecting:
    """Collects `source` into one folder of the test's, again and again."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "download"
        self.output = folder / "out"

    def __call__(self, source: Path | None = None, **asked: Any) -> Collected:
        collected = collect_into(source or self.source, self.output, Request(**asked))
        left = [path.name for path in self.output.parent.iterdir() if path.name.endswith(".partial")]
        assert not left
        return collected

    @property
    def files(self) -> dict[str, str]:
        return laid_out(self.output)

    @property
    def rows(self) -> list[dict[str, str]]:
        return record(self.output)

    def said(self, *columns: str) -> list[tuple[str, ...]]:
        return [tuple(row[column] for column in columns) for row in self.rows]


@pytest.fixture
def collecting(tmp_path: Path) -> Collecting:
    return Collecting(tmp_path)
