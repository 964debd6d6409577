"""What may be handed in beside a notebook: files of weights, by the names that the assignment gives."""

from __future__ import annotations

import re

__all__ = ["MOST_BYTES", "MOST_FILES", "SUFFIX", "is_weights"]

SUFFIX = ".safetensors"
MOST_BYTES = 48 * 2**20  # of one file: what is handed in travels in one frame of the wire, inputs beside it
MOST_FILES = 4
_NAME = re.compile(rf"(?!.*-\d{{1,4}}\.)[A-Za-z0-9][A-Za-z0-9_-]{{0,79}}{re.escape(SUFFIX)}")


def is_weights(name: str) -> bool:
    """Whether a file that is handed in may have this name: plain letters, so that it is the same in every zip, and no
    number after a dash at its end, which Canvas adds to what comes again.
    """
    return _NAME.fullmatch(name) is not None
