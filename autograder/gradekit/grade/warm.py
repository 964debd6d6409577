"""What a fork server loads before it forks: what is loaded then costs a class once, and what is not each submission.

So everything that grading needs for certain, what the release imports, and what the week's own code makes torch or the
kit import at its first use. Of the tests and the reference the fork server learns no more than which of two libraries
they are about.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradekit.grade.bundle import Bundle

__all__ = ["COMPILER", "modules"]

_ALWAYS = ("gradekit.sandbox.worker", "gradekit.grade.judge")

COMPILER = ("torch._dynamo", "torch.utils.flop_counter")

_ON_MENTION = (
    # Optimizers, modes that see operators (as the checks that count have), checkpoints and `backward(dout)` import the
    # compiler at their first use, with sympy, which takes as long as torch itself. A guess that is wrong costs time.
    (
        COMPILER,
        re.compile(
            r"\b(optim|compile|checkpoint|backward|grad|\w*Mode|rules|forbid|memory|counts|scaling|speed|outcome)\b"
        ),
    ),
    (("sklearn.datasets",), re.compile(r"\b(digits|sklearn)\b")),
)


def modules(bundle: Bundle) -> tuple[str, ...]:
    """Names of modules, in the order in which they are to be imported."""
    text = "\n".join(_sources(bundle))
    mentioned = [name for names, pattern in _ON_MENTION if pattern.search(text) for name in names]
    return tuple(dict.fromkeys((*_ALWAYS, *mentioned, *_imported(bundle.cells))))


def _sources(bundle: Bundle) -> Iterator[str]:
    """The week's own code: release, tests, reference."""
    yield from (cell["source"] for cell in bundle.cells)
    for folder in (bundle.tests, bundle.files):
        for path in sorted(folder.rglob("*.py")):
            yield path.read_text(encoding="utf-8", errors="replace")


def _imported(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """The modules that the instructor's own cells import at their top."""
    found: dict[str, None] = {}
    for cell in cells:
        with contextlib.suppress(SyntaxError):
            for node in ast.parse(cell["source"]).body if cell["kind"] == "given" else []:
                if isinstance(node, ast.Import):
                    found.update(dict.fromkeys(alias.name for alias in node.names))
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found[node.module] = None
    return list(found)
