"""A release -> the notebook that nbgrader makes the same release from: solutions, tests and reference are in it.

nbgrader copies all that lies beside a source notebook to students. So tests and reference stand inside the check cells,
in the regions that nbgrader takes out.
"""

from __future__ import annotations

import ast
import copy
import re
from typing import Any

from gradekit.build.marks import STUB, is_answer
from gradekit.build.transform import Transformed

__all__ = ["source_notebook"]

# What nbgrader looks for, in any line of any cell.
_DELIMITERS = re.compile(r"(?:BEGIN|END) (?:SOLUTION|HIDDEN TESTS|MARK SCHEME)|AUTOTEST")

_OTTERS_FENCE = re.compile(r"\s*# (?:BEGIN|END) SOLUTION(?: NO PROMPT)?\s*")
_OTTERS_MARK = re.compile(r"\s*# ?SOLUTION(?: NO PROMPT)?\s*$")
_ANY_LINES = r"((?:.*\n)*?.*)"

_CHECK = """\
### BEGIN HIDDEN TESTS
# Not for students. The grader for this question from here on: its check runs all tests and gives the points.
import gradekit.grade.inkernel as grader
grader = grader.Grader({question!r}, {points!r}, globals(), week={week!r}, reference={reference}, tests={tests})
### END HIDDEN TESTS
"""


def source_notebook(transformed: Transformed, reference: str) -> Any:
    """What goes into nbgrader's source/. `reference`: the text of the reference implementation."""
    assignment = transformed.assignment
    notebook = copy.deepcopy(transformed.release)
    solved = {cell.id: cell.source for cell in transformed.solution.cells}
    questions = {f"{question.name}-check": question for question in assignment.tested}
    written = {f"{question.name}-answer" for question in assignment.manual}
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.id in written:
            cell.source = f"### BEGIN SOLUTION\n{solved[cell.id]}\n### END SOLUTION"
        elif is_answer(cell):
            stub = cell.source
            cell.source, exact = _fenced(_unfenced(solved[cell.id]), stub)
            if not exact:
                cell.metadata[STUB] = stub
        elif cell.id in questions and cell.metadata.get("nbgrader", {}).get("grade"):
            question = questions[cell.id]
            hidden = _CHECK.format(
                question=question.name,
                points=cell.metadata.nbgrader.points,
                week=assignment.name,
                reference=_literal(reference),
                tests=_literal(transformed.tests.render(question.name, include_hidden=True)),
            )
            cell.source = hidden + cell.source
    return notebook


def _unfenced(solution: str) -> str:
    """Without Otter's own fences, which are nbgrader's words too."""
    kept = [line for line in solution.split("\n") if not _OTTERS_FENCE.fullmatch(line)]
    return "\n".join(_OTTERS_MARK.sub("", line) for line in kept)


def _fenced(solution: str, stub: str) -> tuple[str, bool]:
    """`solution` in nbgrader's fences, and whether its leaving `...` in the place of each gives `stub`."""
    lines = stub.split("\n")
    left = [line.strip() == "..." and line.endswith("...") for line in lines]
    pattern = "\n".join(_ANY_LINES if own else re.escape(line) for own, line in zip(left, lines, strict=True))
    found = re.fullmatch(pattern, solution)
    if found is None or not any(left):
        return f"### BEGIN SOLUTION\n{solution}\n### END SOLUTION", False
    answers = iter(found.groups())
    for number, line in enumerate(lines):
        if left[number]:
            indent = line[:-3]
            lines[number] = f"{indent}### BEGIN SOLUTION\n{next(answers)}\n{indent}### END SOLUTION"
    return "\n".join(lines), True


def _literal(text: str) -> str:
    """A Python literal, to be read by people, that no line of nbgrader's or IPython's takes for an order."""
    escaped = text.replace("\\", "\\\\").replace("\r", "\\r").replace("\0", "\\0").replace("'''", "\\'\\'\\'")
    escaped = _DELIMITERS.sub(lambda found: f"{found[0][:-1]}\\x{ord(found[0][-1]):02x}", escaped)
    literal = f"'''\\\n{escaped}'''"
    if ast.literal_eval(literal) != text:
        raise AssertionError(f"does not survive being quoted: {text[:60]!r}")
    return literal
