"""Which questions a change to the answer of one question can touch, read from the code and not run."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["reach"]

_ONLY_NAMES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
    ast.Import,
    ast.ImportFrom,
)


def reach(cells: Sequence[Mapping[str, Any]], tests: Mapping[str, Path]) -> dict[str, frozenset[str]]:
    """Question -> the questions whose tests may see a change to its answer cells, itself among them.

    cells: code cells of the solution, in order, each with `question` (None for a cell of none), `source` and `kind`;
    tests: the test file of each question. A test sees a cell if it names something that the cell defines, or that is
    defined by way of it. A cell of code that does more than define (at its top) may change anything, so it is seen by
    all questions; so is one that cannot be read. What a call in an assignment, or a decorator, does besides giving a
    value is not looked for.
    """
    running = [cell for cell in cells if cell["kind"] not in ("check", "grader")]
    defined = [_defined(str(cell["source"])) for cell in running]
    named = [_named(str(cell["source"])) for cell in running]
    sees: dict[str, set[int]] = {}
    for question, path in tests.items():
        todo, seen = [_named(path.read_text(encoding="utf-8"))], set()
        while todo:
            names = todo.pop()
            for index, names_here in enumerate(defined):
                if index not in seen and (names_here is None or names is None or names & names_here):
                    seen.add(index)
                    todo.append(named[index])
        sees[question] = seen
    touched: dict[str, frozenset[str]] = {}
    for question in tests:
        own = {index for index, cell in enumerate(running) if cell["question"] == question}
        touched[question] = frozenset({question, *(other for other in tests if own & sees[other])})
    return touched


def _defined(source: str) -> set[str] | None:
    """The names that a cell binds at its top; None if it does more than that."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return None
    names: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if not isinstance(statement, _ONLY_NAMES):
            return None
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if not all(isinstance(target, ast.Name) for target in targets):
                return None  # an element or an attribute of something else
            names.update(target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
        else:
            names.add(statement.name)
    return names


def _named(source: str) -> set[str] | None:
    """The names that a text uses, those of parameters among them; None if it is not Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
