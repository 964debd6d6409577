"""What a notebook shows -> away with it while the file is read: outputs can be a hundred times what was written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["drop_outputs"]

_SHOWN = re.compile(rb'"(?:outputs|attachments)"\s*:\s*\Z')  # in a cell: {"cells": [{"outputs": [ ...
_WIDGETS = re.compile(rb'"widgets"\s*:\s*\Z')  # in the notebook's metadata: {"metadata": {"widgets": { ...
_IN_CELL, _IN_METADATA = 3, 2  # how many brackets are open there
_KEY_BYTES = 64  # before a bracket, in which its key is looked for
_QUOTE, _OPEN, _CLOSE = 2, 1, -1


def drop_outputs(chunks: Iterable[bytes], most: int) -> tuple[bytes, bool]:
    """The text of a notebook with its outputs, attachments and widgets emptied; and whether the text is whole.

    Holds one chunk and what it keeps. Nothing is parsed: brackets outside strings are counted, at a bounded cost for
    each byte whatever the text is (200 MB take 1 to 5 s). Text that is no notebook comes out as it was, or less some of
    its parts: it is json that judges it. Stops with more than `most` bytes where more would be kept.
    """
    import numpy as np  # only large notebooks come here

    kinds_of = np.zeros(256, np.int8)
    for characters, kind in ((b"[{", _OPEN), (b"]}", _CLOSE), (b'"', _QUOTE)):
        kinds_of[list(characters)] = kind

    kept = bytearray()
    depth, in_string, held = 0, False, b""
    cutting = 0  # the depth at which what is left out comes to its end; 0 where nothing is left out
    for piece in chunks:
        chunk = held + piece
        escapes = len(chunk) - len(chunk.rstrip(b"\\"))
        held = b"\\" if escapes % 2 else b""  # a backslash stays with what it escapes
        chunk = chunk[: len(chunk) - len(held)]
        # of the same length; every quote that is left begins or ends a string
        plain = chunk.replace(b"\\\\", b"__").replace(b'\\"', b"__")

        kinds = kinds_of[np.frombuffer(plain, np.uint8)]
        places = np.flatnonzero(kinds)
        kinds = kinds[places]
        quotes = kinds == _QUOTE
        inside = (np.cumsum(quotes) + in_string) % 2 == 1
        steps = np.where(quotes | inside, 0, kinds)
        depths = depth + np.cumsum(steps)
        ends = {level: np.flatnonzero((steps == _CLOSE) & (depths == level)) for level in (_IN_CELL, _IN_METADATA)}
        keyed = np.append(True, quotes[:-1])[: len(quotes)]  # a first bracket's key came with the chunk before
        inner = (depths == _IN_CELL + 1) | (depths == _IN_METADATA + 1)

        start = 0  # of what is kept next
        passed = -1  # brackets up to this one are dealt with
        if cutting:
            passed, start, cutting = _end(ends[cutting], places, -1, len(chunk), cutting)
        for bracket in np.flatnonzero((steps == _OPEN) & keyed & inner).tolist():
            if bracket <= passed or cutting:
                continue
            kept += chunk[start : places[bracket]]
            start = int(places[bracket])
            if len(kept) > most:
                return bytes(kept), False
            level = int(depths[bracket]) - 1
            if (_SHOWN if level == _IN_CELL else _WIDGETS).search(kept[-_KEY_BYTES:]):
                kept += chunk[start : start + 1]
                passed, start, cutting = _end(ends[level], places, bracket, len(chunk), level)
        kept += chunk[start:]
        if len(kept) > most:
            return bytes(kept), False
        if len(kinds):
            depth, in_string = int(depths[-1]), bool(inside[-1])
    kept += held
    return bytes(kept), depth == 0 and not in_string


def _end(ends: Any, places: Any, bracket: int, length: int, level: int) -> tuple[int, int, int]:
    """Where the value that `bracket` opens ends: its last bracket, that one's place, and what is still to be cut."""
    at = int(ends.searchsorted(bracket, side="right"))
    if at == len(ends):
        return bracket, length, level
    return int(ends[at]), int(places[ends[at]]), 0
