"""All that one student handed in -> the notebook that counts, and a word on everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from gradekit.collect.listing import Listing
from gradekit.collect.record import Row
from gradekit.collect.upload import File, Upload, without_number
from gradekit.collect.weights import take_weights
from gradekit.grade.submission import InvalidSubmission, Notebook, take_notebook
from gradekit.hand_in import SUFFIX

__all__ = ["Choice", "Wanted", "choose"]

_NAMED_AT_MOST = 5  # files, in one line
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """The notebook's name as it was released. `asked`: it is to have that name, whatever the student called it."""

    file_name: str = ""
    asked: bool = False


@dataclass(frozen=True)
class Choice:
    """`notebook` is None where nothing could be taken; `rows`, the one that counts first, say what became of what;
    `weights` came with the notebook, by name.
    """

    upload: Upload
    notebook: Notebook | None
    rows: tuple[Row, ...]
    weights: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return all(row.outcome != "not taken" for row in self.rows)


def choose(uploads: list[Upload], listing: Listing, wanted: Wanted, due: datetime | None) -> Choice:
    """The latest upload counts, by its time, else by its number, else as the platform orders them.

    What cannot be read is passed over for the one before, and said. `uploads` is not empty, and of one student.
    """
    ordered = sorted(
        enumerate(uploads), key=lambda pair: (pair[1].at or _BEGINNING, _attempt(pair[1]), pair[0]), reverse=True
    )
    notebook: Notebook | None = None
    chosen = ordered[0][1]
    first: Row | None = None
    weights: dict[str, bytes] = {}
    rows: list[Row] = []
    for _, upload in ordered:
        blank = _row(upload, due)
        if notebook is not None:
            label = upload.files[0].entry.label if len(upload.files) == 1 else upload.label
            why = f"handed in before {first.file}, which counts" if first else ""
            rows.append(replace(blank, file=label, outcome="duplicate", why=_joined(upload.note, why)))
            continue
        candidates, others, why = _candidates(upload, wanted)
        if not candidates:
            rows.append(replace(blank, outcome="not taken", why=why))
        for file in candidates:
            row = replace(blank, file=file.entry.label)
            if notebook is not None:
                why = f"{first.file}, which counts, came again under its name" if first else ""
                rows.append(replace(row, outcome="duplicate", why=why))
                continue
            try:
                with listing.file(file.entry) as path:
                    read = take_notebook(path, wanted.file_name)
            except InvalidSubmission as reason:
                rows.append(replace(row, outcome="not taken", why=str(reason)))
            except OSError as error:
                rows.append(replace(row, outcome="not taken", why=f"cannot be read: {error.strerror or error}"))
            else:
                notebook, notes = _named(read, file, wanted)
                chosen = upload
                weights, left = take_weights(file, upload, listing)
                first = replace(row, outcome="taken", why=_joined(upload.note, *notes, *left))
        rows += [
            replace(blank, file=file.entry.label, outcome="left out", why=why)
            for file, why in others
            if file.suffix in (".ipynb", ".zip")
        ]
        told = {".ipynb", ".zip"} | ({SUFFIX} if candidates and candidates[0].suffix == ".ipynb" else set())
        besides = [file.name for file, _ in others if file.suffix not in told]
        if first and notebook is not None and besides:
            first = replace(first, why=_joined(first.why, f"without what came with it: {_names(besides)}"))
    return Choice(chosen, notebook, (*([first] if first else []), *rows), weights)


def _candidates(upload: Upload, wanted: Wanted) -> tuple[list[File], list[tuple[File, str]], str]:
    """(the files that may count, the last first; the others, and why; why there is none).

    Notebooks come before zips. Files whose names differ in what was added when they came again are one.
    """
    for suffix in (".ipynb", ".zip"):
        works = [file for file in upload.files if file.suffix == suffix]
        if works:
            break
    else:
        return [], [], _nothing(upload)
    families: dict[str, list[File]] = {}
    for file in works:
        families.setdefault(without_number(file.name, platform=upload.numbered)[0], []).append(file)
    why = ""
    if chosen := _fitting(works, upload, wanted.file_name):
        why = f"another than {wanted.file_name}"
    elif len(families) == 1:
        (chosen,) = families.values()
    else:
        what = "notebooks" if suffix == ".ipynb" else "zips"
        which = f", and none is named {wanted.file_name}" if wanted.file_name else ""
        names = _names([file.name for file in works])
        mend = "" if wanted.file_name else ": --notebook NAME.ipynb says which counts"
        return [], [], f"holds {len(works)} {what}{which} ({names}){mend}"
    if len(chosen) > 1 and len({file.name for file in chosen}) < len(chosen) and not upload.numbered:
        return [], [], f"holds {len(chosen)} notebooks of one name, in several folders: {_paths(chosen)}"
    chosen = sorted(chosen, key=lambda file: (file.order, without_number(file.name, platform=True)[1]), reverse=True)
    others = [
        (file, why if file in works else "the notebook beside it counts") for file in upload.files if file not in chosen
    ]
    return chosen, others, ""


def _fitting(works: list[File], upload: Upload, file_name: str) -> list[File]:
    """The files that have the name that was asked for, whatever was added to it."""
    name = Path(file_name).stem
    if not name:
        return []

    def fits(file: File, *, platform: bool) -> bool:
        return name in (Path(file.name).stem, Path(without_number(file.name, platform=platform)[0]).stem)

    return [file for file in works if fits(file, platform=upload.numbered)] or [
        file for file in works if fits(file, platform=True)
    ]


def _attempt(upload: Upload) -> int:
    """What can be compared: the number that Canvas gives is of a file, not of the upload."""
    return 0 if upload.numbered else upload.attempt or 0


def _nothing(upload: Upload) -> str:
    if not upload.files:
        return _joined(upload.note, "no file was handed in")
    return _joined(upload.note, f"there is no notebook and no zip in it: {_names([f.name for f in upload.files])}")


def _named(notebook: Notebook, file: File, wanted: Wanted) -> tuple[Notebook, list[str]]:
    """Under the name that it is to have, and what is to be said of that."""
    notes = ["its outputs were left out: it is too large with them"] if notebook.shortened else []
    inside = file.suffix == ".zip"
    given = notebook.file_name if inside else file.name
    fits = wanted.file_name in (given, without_number(given, platform=True)[0])
    if wanted.file_name and (fits or wanted.asked):
        if given != wanted.file_name:
            notes.append(f"handed in as {given}")
        given = wanted.file_name
    return Notebook(given, notebook.data, notebook.shortened), notes


def _row(upload: Upload, due: datetime | None) -> Row:
    after = upload.at > due if upload.at is not None and due is not None else None
    marks = [mark for mark in (upload.late, after) if mark is not None]
    late = any(marks) if marks else None
    return Row(
        name=upload.student.name,
        id=upload.student.id,
        file=upload.label,
        submitted=upload.at.isoformat(timespec="seconds") if upload.at else "",
        late={True: "late", False: "in time", None: ""}[late],
        attempt=str(upload.attempt or ""),
        why=upload.note,
    )


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_MOST])
    return shown if len(names) <= _NAMED_AT_MOST else f"{shown} and {len(names) - _NAMED_AT_MOST} more"


def _paths(files: list[File]) -> str:
    return _names([file.entry.label for file in files])


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
