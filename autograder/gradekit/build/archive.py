"""Zip files that are the same to the byte for the same contents."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from typing import BinaryIO

__all__ = ["write_zip"]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


def write_zip(target: BinaryIO, files: Mapping[str, bytes], executable: Iterable[str] = ()) -> None:
    """Write `files` (name -> bytes) in the order given, with no date, owner or platform in it."""
    scripts = set(executable)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever it is written
            entry.external_attr = (0o755 if name in scripts else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
