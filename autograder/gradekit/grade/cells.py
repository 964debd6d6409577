"""The cells that run when a submission is graded: the release's, with the student's code in them.

Order, locked cells and what is executed at all are the release's. A submission contributes source alone: of the cells
that students may edit, and of cells that they added. So no tag, kernel or metadata that a student writes has a say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gradekit.grade.submission import InvalidSubmission

__all__ = ["Cell", "Script", "script"]

MAX_CELLS = 2_000  # with code in them
MAX_CODE = 8 * 2**20  # characters
_LONGEST_CALLS = 4_096  # characters: no cell of Otter's own is longer

# Otter's own calls. Arguments hold no other call, so that nothing of the student's is lost with them. Quantifiers are
# possessive: no text makes them try again and again.
_CALL = (
    r"(?:import otter|grader\s*+=\s*+otter\.Notebook\([^()]*+\)|grader\.(?:check|check_all|export|to_pdf)\([^()]*+\))"
    r"[ \t]*+;?[ \t]*+(?:#[^\n]*+)?+"
)
_ONLY_CALLS = re.compile(rf"(?:{_CALL}\s*+)++")
_CALLS = re.compile(rf"^{_CALL}$", re.MULTILINE)
_INIT = re.compile(r"^import otter[ \t]*+\ngrader[ \t]*+=[ \t]*+otter\.Notebook\([^()\n]*+\)[ \t]*+$", re.MULTILINE)
_CHECK = re.compile(r"""grader\.check\(\s*+["'](\w+)["']""")
# What a cell defines at its top. Found line by line and not by a parser: an answer may be half written, hold magics, or
# be made to exhaust a parser.
_DEFINES = re.compile(
    r"^(?:(?:async[ \t]++)?def[ \t]++(\w++)|class[ \t]++(\w++)|(\w++)[ \t]*+(?::[^=\n]++)?=(?!=))", re.MULTILINE
)

Release = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """A cell to run; for a "check", the place where the tests of `question` run (it has no source)."""

    id: str
    kind: Literal["answer", "given", "added", "check"]
    question: str | None
    source: str


@dataclass(frozen=True)
class Script:
    """The cells in the order in which they run. `notes`: for the instructor, a line each, what was odd."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


@dataclass(eq=False)
class _Written:
    """A code cell of the submission. `of`: the index of the release's cell that it is, or whose place it marks."""

    ids: tuple[str, ...]
    source: str
    of: int | None = None
    locked: bool = False  # Otter's: source is what stood beside Otter's calls


def script(release: Release, notebook: Mapping[str, Any]) -> Script:
    """The judge's notebook: `release` (a bundle's cells.json) with what the author of `notebook` wrote.

    A cell is told by its id. Where ids are lost (some front ends drop them; a cell that is cut and pasted gets another)
    it is told by its text, by the names that it defines and, where most ids are lost, by its place between cells that
    are known. An answer that is not found is left out, so that its question fails; a given cell (imports) that is not
    found runs as in the release. Of several cells with one id the first that was edited is the cell; other edited ones
    run as added cells where they stand, and so does code that was written beside Otter's call in a locked cell. A cell
    that is marked show, or that can be told to be an edited one, does not run.

    The work grows with the length of the submission. InvalidSubmission beyond 2,000 cells or 8 Mi characters of code.
    """
    notes: dict[str, None] = {}  # an ordered set; their text is never the submission's
    written = _written(notebook, notes)
    found = _by_id(release, written, notes)
    _take_out_otters(release, written, notes)
    few_ids = 2 * found < len(release)
    _by_content(release, written, {} if few_ids else notes)
    if all(cell.of is None for cell in written):
        notes["none of its cells could be told to be one of the release's"] = None
    elif few_ids:
        notes["the ids of its cells are lost: cells were told by their content"] = None
        _by_place(release, written, notes)
    return Script(tuple(_in_order(release, written, notes)), tuple(notes))


def _written(notebook: Mapping[str, Any], notes: dict[str, None]) -> list[_Written]:
    cells = notebook.get("cells")
    written: list[_Written] = []
    with_code = characters = 0
    for cell in cells if isinstance(cells, list) else []:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = _source(cell.get("source"), notes)
        metadata = cell.get("metadata")
        # Colab keeps the id in the metadata
        ids = (cell.get("id"), metadata.get("id") if isinstance(metadata, dict) else None)
        written.append(_Written(tuple(name for name in ids if isinstance(name, str)), source))
        with_code += bool(source)
        characters += len(source)
        if with_code > MAX_CELLS:
            raise InvalidSubmission(f"holds more than {MAX_CELLS:,} cells of code")
        if characters > MAX_CODE:
            raise InvalidSubmission(f"holds more than {MAX_CODE // 2**20} MiB of code")
    return written


def _source(source: Any, notes: dict[str, None]) -> str:
    if isinstance(source, list) and all(isinstance(part, str) for part in source):
        source = "".join(source)
    if not isinstance(source, str):
        notes["the source of a cell is no text: it counts as empty"] = None
        return ""
    try:
        source.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: neither Python nor a socket takes it
        notes["a cell holds characters that are no Unicode: question marks stand in their place"] = None
        source = source.encode("utf-8", "replace").decode()
    return source if source.strip() else ""


def _by_id(release: Release, written: list[_Written], notes: dict[str, None]) -> int:
    """How many cells of the release were found by their ids."""
    places = {cell["id"]: index for index, cell in enumerate(release)}
    versions: dict[int, list[_Written]] = defaultdict(list)
    for cell in written:
        index = next((places[name] for name in cell.ids if name in places), None)
        if index is not None:
            versions[index].append(cell)
    for index, cells in versions.items():
        if _is_otters(release[index]):
            for cell in cells:
                cell.of, cell.locked = index, True
            continue
        edited = [cell for cell in cells if not _same(cell.source, release[index])]
        (edited or cells)[0].of = index
        if len(cells) > 1:
            notes[f"several cells have the id {release[index]['id']}: the first that was edited counts as it"] = None
            for cell in cells:  # a copy as it was handed out would undo the answer
                if cell.of is None and _same(cell.source, release[index]):
                    cell.source = ""
    return len(versions)


def _take_out_otters(release: Release, written: list[_Written], notes: dict[str, None]) -> None:
    """Otter's own calls are the release's: away with the student's copies. A check marks its place in the notebook."""
    checks = {cell["question"]: index for index, cell in enumerate(release) if cell["kind"] == "check"}
    marked = {cell.of for cell in written if cell.locked}
    for cell in written:
        if cell.locked and cell.of is not None:
            rest = "" if _same(cell.source, release[cell.of]) else _CALLS.sub("", cell.source)
            cell.source = rest if _lines(rest) else ""
            if cell.source:
                notes[f"the locked cell {release[cell.of]['id']} was edited: what was added to it runs after it"] = None
        elif cell.of is None and _is_call(cell.source):
            named = _CHECK.search(cell.source)
            index = checks.get(named[1]) if named else None
            if index not in marked:  # the first: a check may be called again further down
                cell.of = index
                marked.add(index)
            cell.locked, cell.source = True, ""
        if "otter.Notebook" in cell.source:  # beside code that is to run
            cell.source = _INIT.sub("\n", cell.source)


def _is_call(source: str) -> bool:
    return len(source) <= _LONGEST_CALLS and _ONLY_CALLS.fullmatch("\n".join(_lines(source))) is not None


def _by_content(release: Release, written: list[_Written], notes: dict[str, None]) -> None:
    """By the same text, by half of a given cell's lines, or by half of the names that an answer defines."""
    texts: dict[str, list[_Written]] = defaultdict(list)
    for cell in reversed(_unknown(written)):
        texts[cell.source.strip()].append(cell)
    for index in _missing(release, written):
        if same := texts.get(release[index]["source"].strip()):
            same.pop().of = index
    missing = _missing(release, written)
    if not missing:
        return

    lines = [(cell, set(_lines(cell.source))) for cell in _unknown(written)]
    names = [(cell, _names(cell.source)) for cell, _ in lines]
    for index in missing:
        told = release[index]
        answer = told["kind"] == "answer" and not told["show"]
        wanted = _names(told["source"]) if answer else set(_lines(told["source"]))
        # the first of those that have the most of it
        best, most = None, 0
        for cell, has in names if answer else lines:
            if cell.of is None and len(wanted & has) > most:
                best, most = cell, len(wanted & has)
        if best is not None and 2 * most >= len(wanted):
            best.of = index
            if answer:
                notes[f"the answer cell of {told['question']} has lost its id: it was told by what it defines"] = None


def _by_place(release: Release, written: list[_Written], notes: dict[str, None]) -> None:
    """Cells that stand between two known ones are, in order, those that the release has between these."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, cell in enumerate(written):
        if cell.of is not None:
            first.setdefault(cell.of, place)
            last[cell.of] = place
    missing = set(_missing(release, written))
    gap: list[int] = []
    start = -1
    for index in range(len(release) + 1):
        if index < len(release) and index not in first:
            # what only shows is not told by its place: code that is needed could stand there
            gap += [index] if index in missing and not release[index]["show"] else []
            continue
        stop = first.get(index, len(written))
        between = [cell for cell in written[start + 1 : stop] if cell.of is None and cell.source] if gap else []
        for of, cell in zip(gap, between, strict=False):
            cell.of = of
            if release[of]["kind"] == "answer":
                notes[f"the answer cell of {release[of]['question']} was told by its place alone"] = None
        gap, start = [], last.get(index, start)


def _in_order(release: Release, written: list[_Written], notes: dict[str, None]) -> list[Cell]:
    versions: dict[int, _Written] = {}
    added: dict[int, list[Cell]] = defaultdict(list)  # by the release's cell that they follow; -1: they come first
    here, furthest, count = -1, -1, 0
    for cell in written:
        if cell.of is not None:
            here = cell.of
            if here < furthest:
                notes["cells were moved: the release's order is kept"] = None
            furthest = max(furthest, here)
            if not cell.locked:
                versions[here] = cell
                continue
        if cell.source:
            count += 1
            added[here].append(Cell(f"added-{count}", "added", None, cell.source))

    answers = [cell["question"] for cell in release if cell["kind"] == "answer" and not cell["show"]]
    cells = added[-1]
    for index, told in enumerate(release):
        question, kind = told["question"], told["kind"]
        if kind == "check":
            cells.append(Cell(told["id"], "check", question, ""))
        elif not _is_otters(told) and not told["show"]:
            version = versions.get(index)
            if version is not None:
                cells.append(Cell(told["id"], kind, question, version.source))
            elif kind == "answer":
                which = "the answer cell" if answers.count(question) == 1 else "an answer cell"
                notes[f"{which} of {question} is missing"] = None
            else:
                notes[f"the cell {told['id']} is missing: the release's runs"] = None
                cells.append(Cell(told["id"], "given", question, told["source"]))
        cells += added[index]
    return cells


def _is_otters(cell: Mapping[str, Any]) -> bool:
    return cell["kind"] in ("check", "grader")


def _missing(release: Release, written: list[_Written]) -> list[int]:
    known = {cell.of for cell in written}
    return [index for index, cell in enumerate(release) if index not in known and not _is_otters(cell)]


def _unknown(written: list[_Written]) -> list[_Written]:
    return [cell for cell in written if cell.of is None and cell.source]


def _same(source: str, cell: Mapping[str, Any]) -> bool:
    return source.strip() == str(cell["source"]).strip()


def _lines(source: str) -> list[str]:
    """What a text says: its lines without indentation, blank ones and comments."""
    lines = [line.strip() for line in source.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _names(source: str) -> set[str]:
    return {name for found in _DEFINES.findall(source) for name in found if name}
