"""What was handed in, as a notebook for a person to read: the code that was graded, and nothing active.

It carries nbgrader's cell metadata (schema 3), from which formgrader and generate_feedback know the cells.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping
from typing import Any

from gradekit.grade.bundle import Bundle
from gradekit.grade.by_hand import find_answers, text_of
from gradekit.grade.cells import Cell, script
from gradekit.grade.result import QuestionResult, Result
from gradekit.grade.submission import InvalidSubmission, Submission, read_cells
from gradekit.shown import shown

__all__ = ["check_cells", "handed_in"]

MOST_PROSE = 200_000  # characters of a cell of text
MOST_PICTURES, LARGEST_PICTURE = 20, 2 * 2**20  # bytes
MOST_TEXT = 4_000  # characters of what a cell has printed
MOST_CELLS = 2_000
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
# A tag of HTML, or a macro of MathJax that does more than show.
_ACTIVE = re.compile(r"<(?=[A-Za-z/!?])|\\(?=(?:href|require|style|class|cssId|data|mmlToken)(?![A-Za-z]))")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_SCHEME = re.compile(r"\b(?:javascript|vbscript|data)(?=\s*\\?:)", re.IGNORECASE)
_OTTERS = re.compile(r"^<!-- (?:BEGIN|END) QUESTION -->$\n*", re.MULTILINE)  # no reader should see them
_BEGIN, _END = "<!-- BEGIN QUESTION -->", "<!-- END QUESTION -->"
_PNG = b"\x89PNG\r\n\x1a\n"


def handed_in(bundle: Bundle, submission: Submission, result: Result, *, marked_for_export: bool = False) -> Any:
    """A notebook (of nbformat 4.5). Of an invalid submission, the questions alone.

    Code is what the judge ran, where it ran it. Text that the student wrote holds no HTML; of the outputs that were
    handed in, plain text and PNG pictures stay. Beneath each question stands what came of it, without a word on hidden
    tests but their number. A question that a person marks is asked in the release's words, with its rubric;
    `marked_for_export` puts Otter's marks around it, by which `otter export` finds it.
    """
    import nbformat

    try:
        notebook: Mapping[str, Any] = read_cells(submission, bundle.assignment)
        told = script(bundle.cells, notebook).cells
    except InvalidSubmission:
        notebook, told = {"cells": []}, ()
    answers = find_answers(bundle.manual, notebook)
    known = {str(cell["id"]): cell for cell in bundle.cells}
    reader = _Reader(bundle, result, answers, marked_for_export)
    kept = {*range(MOST_CELLS), *answers.values()}
    written = [cell if place in kept else None for place, cell in enumerate(notebook["cells"])]
    cells = reader.in_its_order(written, told, known)
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    nbformat.validate(made)
    return made


def check_cells(bundle: Bundle) -> dict[str, str]:
    """Question -> the id of the cell that checks it, by which nbgrader knows its points."""
    found = {str(cell["question"]): str(cell["id"]) for cell in bundle.cells if cell["kind"] == "check"}
    return {question: found.get(question, f"{question}-check") for question in bundle.points}


class _Reader:
    def __init__(self, bundle: Bundle, result: Result, answers: Mapping[str, int], for_export: bool) -> None:
        self._bundle = bundle
        self._for_export = for_export
        self._answer_at = {place: name for name, place in answers.items()}
        self._answers = {question.cell for question in bundle.manual.values()}
        self._asked = {
            cell: (name, text) for name, question in bundle.manual.items() for cell, text in question.prose.items()
        }
        self._questions = {question.name: question for question in result.questions}
        self._said: set[str] = set()
        self._pictures = 0
        self._prose = 0

    def in_its_order(
        self, written: list[Any], told: tuple[Cell, ...], known: Mapping[str, Mapping[str, Any]]
    ) -> list[Any]:
        """Code stands as the judge ran it; text, and what only shows, comes after the cell of the release that it
        followed. Questions that a person marks, and whose answer is not there, come last.
        """
        following: dict[str, list[Any]] = {"": []}
        outputs: dict[str, list[Any]] = {}
        after = ""
        for place, theirs in enumerate(written):
            if not isinstance(theirs, dict):
                continue
            kind, name = theirs.get("cell_type"), theirs.get("id")
            if place in self._answer_at:
                following[after] += self._answer(self._answer_at[place], theirs)
            elif isinstance(name, str) and name in self._asked:
                following[after] += self._asking(name)
            elif kind == "code" and isinstance(name, str) and name in known:
                after = name
                following.setdefault(after, [])
                if name in self._answers:  # a copy of an answer that is found elsewhere
                    following[after].append(self._code(f"copy-{place}", text_of(theirs.get("source")), solution=False))
                    continue
                outputs.setdefault(name, self._outputs(theirs))
                if known[name]["show"]:
                    shown = self._code(name, text_of(theirs.get("source")), solution=False)
                    shown.outputs = outputs[name]
                    following[after].append(shown)
            elif kind in ("markdown", "raw"):
                following[after].append(self._text(text_of(theirs.get("source"))))
        cells = following.pop("")
        ran = {cell.id for cell in told}
        for name in itertools.takewhile(lambda name: name not in ran, known):  # beneath Otter's first cell, the title
            cells += following.pop(name, [])
        for cell in told:
            if cell.kind == "check" and cell.question in self._questions:
                cells.append(self._check(cell.id, self._questions[cell.question]))
            elif cell.kind != "check":
                cells.append(self._code(cell.id, cell.source, solution=cell.kind == "answer"))
                cells[-1].outputs = outputs.get(cell.id, [])
            for name in self._up_to(cell.id, known, ran):
                cells += following.pop(name, [])
        cells += [cell for left in following.values() for cell in left]
        there = {cell.question for cell in told if cell.kind == "check"}
        for question in self._questions.values():
            if question.name not in there:
                cells.append(self._check(check_cells(self._bundle)[question.name], question))
        for name in self._bundle.manual:
            if name not in self._answer_at.values():
                cells += self._answer(name, {})
        return _unique(cells)

    @staticmethod
    def _up_to(name: str, known: Mapping[str, Any], ran: set[str]) -> list[str]:
        """A cell of the release, and those after it that did not run."""
        names = list(known)
        if name not in known:
            return []
        found = [name]
        for later in names[names.index(name) + 1 :]:
            if later in ran:
                break
            found.append(later)
        return found

    def _check(self, name: str, question: QuestionResult) -> Any:
        import nbformat

        source = next((str(cell["source"]) for cell in self._bundle.cells if cell["id"] == name), "")
        cell = nbformat.v4.new_code_cell(source or f'grader.check("{question.name}")')
        cell.id = name
        cell.metadata["nbgrader"] = _about(name, question.possible)
        said = [f"{question.name}: {question.score:g} of {question.possible:g} points"]
        for case in question.cases:
            if not case.hidden:
                said.append(f"passed  {case.name}" if case.passed else f"failed  {case.name}: {case.message}")
        if hidden := [case for case in question.cases if case.hidden]:
            said.append(f"hidden tests: {sum(case.passed for case in hidden)} of {len(hidden)} passed")
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=_printed("\n".join(said)) + "\n")]
        return cell

    def _code(self, name: str, source: str, *, solution: bool) -> Any:
        import nbformat

        shown = _valid(source)
        if self._for_export:  # Otter reads its marks in code as well
            shown = re.sub(r"<(?=!--)", "<\N{ZERO WIDTH SPACE}", shown)
        cell = nbformat.v4.new_code_cell(shown)
        cell.id = name
        if solution:
            cell.metadata["nbgrader"] = _about(name)
        return cell

    def _asking(self, name: str) -> list[Any]:
        """A cell of text in which such a question is asked, once."""
        import nbformat

        if name in self._said:
            return []
        self._said.add(name)
        _, text = self._asked[name]
        cell = nbformat.v4.new_markdown_cell(text if self._for_export else _OTTERS.sub("", text))
        cell.id = name
        return [cell]

    def _answer(self, name: str, theirs: Mapping[str, Any]) -> list[Any]:
        """What was answered to a question that a person marks; below what it asks."""
        import nbformat

        question = self._bundle.manual[name]
        cells = [cell for asked in question.prose for cell in self._asking(asked)]
        source = text_of(theirs.get("source")) if theirs else question.blank
        if question.cell_type == "code":
            cells.append(self._code(question.cell, source, solution=False))
            cells[-1].outputs = self._outputs(theirs)
        else:
            cells.append(self._text(source))
            cells[-1].id = question.cell
        cells[-1].metadata["nbgrader"] = _about(question.cell, question.points, kind=question.cell_type, by_hand=True)
        if self._for_export:  # where the answer was moved away from its question, the mark is needed again
            cells.insert(-1, nbformat.v4.new_markdown_cell(_BEGIN))
            cells[-2].id = f"{name}-begin"
        return cells

    def _text(self, source: str) -> Any:
        import nbformat

        self._prose += 1
        ends = f"{_END}\n\n" if self._for_export and source.startswith(_END) else ""
        cell = nbformat.v4.new_markdown_cell(ends + _inert(_OTTERS.sub("", _valid(source))[:MOST_PROSE]))
        cell.id = f"text-{self._prose}"
        return cell

    def _outputs(self, cell: Mapping[str, Any]) -> list[Any]:
        import nbformat

        found = []
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            if not isinstance(output, dict):
                continue
            data = output.get("data")
            if output.get("output_type") == "stream":
                text = _printed(text_of(output.get("text")))[:MOST_TEXT]
                found.append(nbformat.v4.new_output("stream", name="stdout", text=text))
            elif isinstance(data, dict):
                if picture := self._picture(text_of(data.get("image/png"))):
                    found.append(nbformat.v4.new_output("display_data", data={"image/png": picture}))
                elif plain := _printed(text_of(data.get("text/plain")))[:MOST_TEXT]:
                    found.append(nbformat.v4.new_output("stream", name="stdout", text=plain + "\n"))
        return found

    def _picture(self, text: str) -> str:
        """The text of a PNG file in base64, "" if it is none."""
        if not text or len(text) > LARGEST_PICTURE * 4 // 3 or not _BASE64.fullmatch(text):
            return ""
        try:
            data = base64.b64decode(text)
        except ValueError:
            return ""
        self._pictures += 1
        if self._pictures > MOST_PICTURES or not data.startswith(_PNG):
            return ""
        return base64.b64encode(data).decode()


def _about(name: str, points: float | None = None, *, kind: str = "code", by_hand: bool = False) -> dict[str, Any]:
    """nbgrader's metadata of an answer, or of the cell with which a question of so many points is graded.

    `by_hand`: of a cell that is both.
    """
    grade = points is not None
    return {
        "cell_type": kind,
        "grade": grade,
        "grade_id": name,
        "locked": grade and not by_hand,
        "schema_version": 3,
        "solution": by_hand or not grade,
        "task": False,
        **({"points": points} if grade else {}),
    }


def _unique(cells: list[Any]) -> list[Any]:
    """No id twice: the first keeps it."""
    seen: set[str] = set()
    for number, cell in enumerate(cells):
        if cell.id in seen:
            cell.id = f"cell-{number}"
            cell.metadata.pop("nbgrader", None)
        seen.add(cell.id)
    return cells


def _inert(text: str) -> str:
    """Markdown in which no HTML is any, no link runs a program, and no formula links: to a reader it looks the same.

    Nothing is parsed: in every reading of HTML a tag begins with < and a letter, /, ! or ?, so a space of no width
    behind the < is enough; so it is behind the & of an entity, which could spell any of this, and behind the name of a
    scheme that is no address.
    """
    for pattern in (_ENTITY, _SCHEME, _ACTIVE):
        text = pattern.sub("\\g<0>\N{ZERO WIDTH SPACE}", text)
    return text


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _printed(text: str) -> str:
    """Without what would steer a terminal."""
    return shown(_valid(text))
