"""Gradescope, "Export Submissions": `submission_88123/...`, and `submission_metadata.yml`, which says whose it is.

The metadata is Ruby's YAML: its keys are the folders' names, and the keys below begin with a colon (`:submitters`,
`:created_at`, `:history`). A group's work is given to each of its members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from gradekit.collect.listing import Entry, Listing, Stranger
from gradekit.collect.moment import moment
from gradekit.collect.upload import File, Found, Student, Upload
from gradekit.grade.submission import InvalidSubmission
from gradekit.problem import Problem

__all__ = ["share", "uploads"]

METADATA = "submission_metadata.yml"
_MAX_BYTES = 128 * 2**20
_MAX_DEPTH = 24  # outputs of an autograder are in it as well, of any shape
_MAX_PASSED = 500
_NOTHING = ("", "~", "null", "nil")


def share(listing: Listing) -> float:
    """1 where the metadata lies here."""
    return float(_metadata(listing) is not None)


def _metadata(listing: Listing) -> Entry | None:
    return next((entry for entry in listing.entries if entry.parts == (METADATA,)), None)


def uploads(listing: Listing) -> Found:
    """One upload for every submitter of every submission."""
    entry = _metadata(listing)
    if entry is None:
        raise Problem(f"there is no {METADATA}", where=listing.title, mend="export the submissions again, all of them")
    said = _read(listing, entry)
    files: dict[str, list[File]] = {}
    for other in listing.entries:
        if other is not entry:
            files.setdefault(other.parts[0], []).append(File(other, other.name))
    found: list[Upload] = []
    strangers: list[Stranger] = []
    for folder, about in said.items():
        students = list(_students(about))
        if not students:
            strangers.append(Stranger(folder, f"{METADATA} names no submitter of it"))
        history = about.get(":history") if isinstance(about, dict) else None
        attempt = len(history) + 1 if isinstance(history, list) and history else None
        at = moment(str(about.get(":created_at"))) if isinstance(about, dict) else None
        for student in students:
            others = [other.name for other in students if other is not student]
            note = f"handed in with {', '.join(others)}" if others else ""
            found.append(Upload(student, folder, tuple(files.get(folder, ())), at=at, attempt=attempt, note=note))
    unnamed = sorted(set(listing.tops()) - set(said) - {METADATA})
    strangers += [Stranger(name, f"{METADATA} does not name it", name not in files) for name in unnamed]
    return Found(tuple(found), tuple(strangers))


def _students(about: Any) -> Iterator[Student]:
    submitters = about.get(":submitters") if isinstance(about, dict) else None
    for one in submitters if isinstance(submitters, list) else []:
        if isinstance(one, dict):
            name, sid, email = (_text(one.get(key)) for key in (":name", ":sid", ":email"))
            if name or sid or email:
                yield Student(name or email or sid, sid or email)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) and value.strip() not in _NOTHING else ""


def _read(listing: Listing, entry: Entry) -> dict[str, Any]:
    try:
        said = _value(_events(listing.text(entry, _MAX_BYTES)))
    except (InvalidSubmission, OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Problem(f"cannot be read: {reason}", where=entry.label, mend="export the submissions again") from error
    if not isinstance(said, dict):
        raise Problem("says nothing of any submission", where=entry.label, mend="export the submissions again")
    return said


# YAML ------------------------------------------------------------------------------------------------------------
#
# PyYAML's own loaders walk into every depth (the one in C ends the process there), make objects of tags or refuse them,
# and take a student's number 007 for 7. Here every scalar is text, tags are passed over, and depth has an end.


def _events(text: str) -> Iterator[yaml.Event]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for event in yaml.parse(text, Loader=loader):
        if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            yield event


def _value(events: Iterator[yaml.Event]) -> Any:
    return _node(next(events), events, {}, 0)


def _node(event: yaml.Event, events: Iterator[yaml.Event], anchors: dict[str, Any], depth: int) -> Any:
    if isinstance(event, yaml.AliasEvent):
        return anchors.get(event.anchor or "")
    value: Any = None
    if isinstance(event, yaml.ScalarEvent):
        value = event.value
    elif depth > _MAX_DEPTH:
        _pass_over(events)
    elif isinstance(event, yaml.SequenceStartEvent):
        value = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            value.append(_node(item, events, anchors, depth + 1))
    elif isinstance(event, yaml.MappingStartEvent):
        value = {}
        while not isinstance(item := next(events), yaml.MappingEndEvent):
            key = _node(item, events, anchors, depth + 1)
            value[key if isinstance(key, str) else repr(type(key))] = _node(next(events), events, anchors, depth + 1)
    if isinstance(event, yaml.NodeEvent) and event.anchor:
        anchors[event.anchor] = value
    return value


def _pass_over(events: Iterator[yaml.Event]) -> None:
    depth = 1
    while depth:
        if depth > _MAX_PASSED:  # the parser takes time that grows with the square of it
            raise yaml.YAMLError("it is nested too deeply")
        event = next(events)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
