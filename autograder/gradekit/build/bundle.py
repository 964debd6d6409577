"""The bundle: an ordinary Otter autograder zip that also carries the wheel of gradekit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from gradekit.build.archive import write_zip
from gradekit.build.transform import Transformed
from gradekit.build.wheel import pack_wheel

__all__ = ["write_bundle"]

# In the image of `otter grade` only requirements.* (besides setup.sh) is there when setup.sh runs, and the contents of
# a folder of that name are laid beside it. That is the way in for a wheel.
_WHEELS = "requirements.wheels"

_ENVIRONMENT = """\
# Not used: setup.sh installs gradekit with pip. Otter expects the file to be there.
name: otter-env
channels: [conda-forge]
dependencies: [python]
"""


def write_bundle(target: Path, transformed: Transformed, reference: Path, files: Mapping[str, bytes]) -> None:
    """Write the zip. `files` (name -> bytes) is what lies beside the student's notebook, `reference` the module."""
    assignment = transformed.assignment
    config = {
        "lang": "python",
        "assignment_name": assignment.name,
        "show_hidden": False,
        "logo": False,
        # Otter's own summary prints to the log of the container; results.json is what people read
        "print_summary": True,
    }
    image = resources.files("gradekit.build") / "image"
    contents: dict[str, bytes] = {
        name: (image / name).read_bytes() for name in ("run_autograder", "run_otter.py", "setup.sh")
    }
    contents["environment.yml"] = _ENVIRONMENT.encode()
    contents["otter_config.json"] = (json.dumps(config, indent=2) + "\n").encode()
    points = {question.name: question.points for question in assignment.tested}
    facts = {"assignment": assignment.name, "points": points, "manual": _manual(transformed)}
    if assignment.hand_in:
        facts["hand_in"] = list(assignment.hand_in)
    # among the tests: Otter's image holds these and the files, and the files are what students' code can read
    contents["tests/gradekit.json"] = (json.dumps(facts, indent=2) + "\n").encode()
    contents["tests/cells.json"] = (json.dumps(_cells(transformed), indent=1) + "\n").encode()
    for question in assignment.tested:
        contents[f"tests/{question.name}.py"] = transformed.tests.render(question.name, include_hidden=True).encode()
    contents["files/reference/__init__.py"] = (reference.parent / "__init__.py").read_bytes()
    contents[f"files/reference/{reference.name}"] = reference.read_bytes()
    contents |= {f"files/{name}": data for name, data in files.items()}
    name, wheel = pack_wheel()
    contents[f"{_WHEELS}/{name}"] = wheel
    with target.open("wb") as stream:
        write_zip(stream, contents, executable=("run_autograder", "setup.sh"))


def _manual(transformed: Transformed) -> dict[str, dict[str, Any]]:
    """The questions that a person marks: points, the cell of the answer, what it holds when nothing was written, and
    what the question says, which students could change in their copy.
    """
    cells = {cell.id: cell for cell in transformed.release.cells}
    found = {}
    for question in transformed.assignment.manual:
        answer = cells[f"{question.name}-answer"]
        prose = [cell for cell in transformed.release.cells if cell.id.startswith(f"{question.name}-text-")]
        found[question.name] = {
            "points": question.points,
            "cell": answer.id,
            "cell_type": answer.cell_type,
            "blank": answer.source,
            "prose": {cell.id: cell.source for cell in prose},
        }
    return found


def _cells(transformed: Transformed) -> list[dict[str, Any]]:
    """The code cells of the release, in order: what grading takes from here and not from a submission.

    `kind` says whose a cell is: "answer", a question's, which students write; "given", which they may change; "check"
    and "grader", Otter's own, which are locked. `show` cells, and those of a question that a person marks, are not
    executed when grading.
    """
    questions = {question.name for question in transformed.assignment.questions}
    marked = {question.name for question in transformed.assignment.manual}
    cells = []
    for cell in transformed.release.cells:
        if cell.cell_type != "code":
            continue
        # the ids are given by `transform`: q1-code-1, q1-check, otter-init; code-1 stands in no question
        named = re.fullmatch(r"(\w+)-(code|check|answer)(?:-\d+)?", cell.id)
        question = named[1] if named and named[1] in questions else None
        tags = cell.metadata.get("tags", [])
        kind = "given"
        if cell.id.startswith("otter-"):
            kind = "grader"
        elif question and named and named[2] == "check":
            kind = "check"
        elif question and "otter_answer_cell" in tags:
            kind = "answer"
        show = "show" in tags or question in marked
        cells.append({"id": cell.id, "kind": kind, "question": question, "show": show, "source": cell.source})
    return cells
