"""What may be handed in beside a notebook: files of weights, by the names that the assignment gives."""

from __future__ import annotations

import re

__all__ = ["MOST_BYTES", "MOST_FILES", "SUFFIX", "is_weights"]

SUFFIX = ".safetensors"
MOST_BYTES = 64 * 2**20  # of one file
MOST_FILES = 4
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,79}}{re.escape(SUFFIX)}")


def is_weights(name: str) -> bool:
    """Whether a file that is handed in may have this name: plain letters, so that it is the same in every zip."""
    return _NAME.fullmatch(name) is not None
