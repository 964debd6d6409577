"""What was collected before, and what comes now: which of the two stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gradekit.collect.record import Row
from gradekit.collect.weights import same_weights
from gradekit.grade.spreadsheet import plain
from gradekit.grade.submission import InvalidSubmission, take_notebook

__all__ = ["merged", "stays"]


def stays(
    row: Row, data: bytes, weights: Mapping[str, bytes], output: Path, at: str, recorded: list[Row]
) -> tuple[bool, Row]:
    """Whether what lies at `output/at` stays, and the new notebook's row with what is to be said of that.

    The later one counts, by time, else by the number of the attempt; where neither is known of both, the one that comes
    now. What this command did not write stays in any case.
    """
    if not os.path.lexists(output / at):
        return False, row
    if not recorded:
        why = f"{at} is there already, and gradekit collect did not write it: move it away, and collect again"
        return True, replace(row, outcome="not taken", notebook="", why=why)
    old = next((old for old in recorded if old.outcome == "taken"), None)
    if old is None:
        return False, row
    order = _order(old, row)
    if order < 0:
        return True, replace(row, outcome="duplicate", notebook="", why=f"handed in before {old.file}, which counts")
    return order == 0 and _same(output / row.notebook, data) and same_weights(output / at, weights), row


def _order(old: Row, new: Row) -> int:
    """Below 0 where the new one was handed in before the old one, above where after, 0 where nothing says so."""
    if old.submitted and new.submitted:
        try:
            then, now = datetime.fromisoformat(old.submitted), datetime.fromisoformat(new.submitted)
            return (now > then) - (now < then)
        except (ValueError, TypeError):  # somebody edited the record
            return 0
    if old.attempt.isdecimal() and new.attempt.isdecimal():
        return (int(new.attempt) > int(old.attempt)) - (int(new.attempt) < int(old.attempt))
    return 0


def _same(path: Path, data: bytes) -> bool:
    try:
        return take_notebook(path).data == data
    except (InvalidSubmission, OSError):
        return False


def merged(before: list[Row], rows: list[Row]) -> list[Row]:
    """The whole record: the new rows, and those of before that they do not speak of."""
    told = {_what(row) for row in rows}
    taken = {(row.key, row.assignment): row for row in rows if row.outcome == "taken"}
    old = []
    for row in before:
        if _what(row) in told:
            continue
        newer = taken.get((row.key, row.assignment)) if row.student else None
        if newer is not None and row.outcome == "taken":
            row = replace(row, outcome="duplicate", notebook="", why=f"handed in before {newer.file}, which counts")
        old.append(row)
    return sorted([*rows, *old], key=lambda row: (row.student, row.assignment, row.outcome != "taken"))


def _what(row: Row) -> tuple[object, ...]:
    return (row.key, row.assignment, plain(row.file), row.submitted)
