"""The wheel of the gradekit that is running, so that a bundle can install it where there is none."""

from __future__ import annotations

import base64
import hashlib
import io
from importlib import metadata
from pathlib import Path

import gradekit
from gradekit.build.archive import write_zip
from gradekit.problem import Problem

__all__ = ["pack_wheel"]


def pack_wheel() -> tuple[str, bytes]:
    """(file name, bytes) of a wheel with this package's files and metadata; the same bytes for the same files.

    Packed from what is running, not built from a checkout, so that it works from an installed gradekit as well.
    The layout is that of the binary distribution format (PEP 427).
    """
    try:
        distribution = metadata.distribution("gradekit")
    except metadata.PackageNotFoundError as error:
        raise Problem("gradekit is not installed", mend="install it: make setup, or pip install -e .") from error
    package = Path(gradekit.__file__).parent
    info = f"gradekit-{distribution.version}.dist-info"
    files = {
        f"gradekit/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    files[f"{info}/METADATA"] = (distribution.read_text("METADATA") or "").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: gradekit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = (distribution.read_text("entry_points.txt") or "").encode()
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    write_zip(buffer, files)
    return f"gradekit-{distribution.version}-py3-none-any.whl", buffer.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
