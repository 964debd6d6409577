"""What a release may import: Python itself, and what the plain install of gradekit brings."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement

from gradekit.problem import Problem

__all__ = ["refuse_imports"]


def refuse_imports(code: str, place: str, also: frozenset[str] = frozenset()) -> None:
    """Problem if `code` imports a module that a student does not have. `also`: modules that lie in the release."""
    for module, line in _imported(code, place):
        if module in sys.stdlib_module_names or module in also or module in _plain_modules():
            continue
        why = "is for instructors only" if module == "reference" else "is not in the plain install"
        raise Problem(
            f"line {line} imports {module!r}, which {why}",
            where=place,
            mend="import it in a hidden test, or add the package to the dependencies of gradekit",
        )


def _imported(code: str, place: str) -> Iterator[tuple[str, int]]:
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in code.splitlines())
    try:
        tree = ast.parse(plain)
    except SyntaxError as error:
        raise Problem(f"is not Python: {error.msg} (line {error.lineno} of the cell)", where=place) from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno


@cache
def _plain_modules() -> frozenset[str]:
    """Top-level modules of gradekit and of all that it requires without any extra."""
    wanted, found = ["gradekit"], set[str]()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for text in requires:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    owners = metadata.packages_distributions()
    modules = {m for m, dists in owners.items() if any(d.lower().replace("_", "-") in found for d in dists)}
    return frozenset(modules | {"gradekit"})  # an editable install lists no modules
