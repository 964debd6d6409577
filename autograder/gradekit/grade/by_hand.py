"""Questions that a person marks: what they ask, and what a submission answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Manual", "answered", "find_answers", "text_of"]

_MARKS = re.compile(r"^<!-- (?:BEGIN|END) QUESTION -->$", re.MULTILINE)


@dataclass(frozen=True)
class Manual:
    """A question that a person marks, as the bundle knows it.

    `cell` is the id of the answer, a cell of `cell_type`, which holds `blank` when it is handed out; `prose` the cells
    of text in which the question is asked, by id.
    """

    points: float
    cell: str
    cell_type: str
    blank: str
    prose: Mapping[str, str]


def find_answers(manual: Mapping[str, Manual], notebook: Mapping[str, Any]) -> dict[str, int]:
    """Question -> the place of its answer among the cells of a submission; not in there if none is found.

    An answer is told by its id. Where ids are lost it is the first cell of its kind behind the question's heading.
    """
    cells = notebook.get("cells")
    cells = [cell if isinstance(cell, dict) else {} for cell in cells] if isinstance(cells, list) else []
    found: dict[str, int] = {}
    for name, question in manual.items():
        taken = set(found.values())
        named = [i for i, cell in enumerate(cells) if question.cell in _ids(cell) and i not in taken]
        # one whose kind the student changed is the answer all the same
        places = [i for i in named if _is(cells[i], question)] or named
        if not places:
            places = _behind_the_heading(name, question, cells)
        written = [i for i in places if answered(question, cells[i])]
        if places:
            found[name] = (written or places)[0]
    return found


def answered(question: Manual, cell: Mapping[str, Any]) -> bool:
    """Whether anything was written into the cell of the answer, beside what was handed out."""
    return _MARKS.sub("", text_of(cell.get("source"))).strip() not in ("", question.blank.strip())


def _behind_the_heading(name: str, question: Manual, cells: list[dict[str, Any]]) -> list[int]:
    heading = re.compile(rf"^##\s+{re.escape(name)}\s+·", re.MULTILINE)
    another = re.compile(r"^##\s+\w+\s+·", re.MULTILINE)
    prose = [(i, text_of(cell.get("source"))) for i, cell in enumerate(cells) if cell.get("cell_type") == "markdown"]
    headings = [i for i, text in prose if heading.search(text)]
    for start in headings[:1]:
        for i in range(start + 1, len(cells)):
            if _is(cells[i], question):
                text = text_of(cells[i].get("source"))
                return [] if another.search(text) or text.lstrip().startswith("<!-- END QUESTION -->") else [i]
    return []


def _is(cell: Mapping[str, Any], question: Manual) -> bool:
    return cell.get("cell_type") == question.cell_type


def _ids(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    metadata = cell.get("metadata")
    return (cell.get("id"), metadata.get("id") if isinstance(metadata, dict) else None)  # Colab's are in the metadata


def text_of(source: Any) -> str:
    """The source of a cell, or the text of an output, as nbformat has it: a string, or a list of them; else nothing."""
    if isinstance(source, list) and all(isinstance(part, str) for part in source):
        source = "".join(source)
    return source if isinstance(source, str) else ""
