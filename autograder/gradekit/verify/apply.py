"""A variant's change, made to the solution's notebook."""

from __future__ import annotations

import ast
import copy
import runpy
from pathlib import Path
from typing import Any

from gradekit.problem import Problem
from gradekit.verify.variant import Alternate, Equivalent, Mutant, Variant

__all__ = ["apply", "read_equivalents", "read_variants"]

CAUGHT_AT_LEAST = 0.9
"""The share of automatic mutants that the tests of a week must catch, where its mutants.py names no other."""


def read_variants(path: Path, label: str) -> tuple[list[Mutant], list[Alternate]]:
    """MUTANTS and ALTERNATES of a week's mutants.py; Problem if the file is missing, broken, or a list empty."""
    if not path.is_file():
        raise Problem("is missing", where=label, mend="write the wrong answers that the tests must catch")
    try:
        module = runpy.run_path(str(path))
    except Exception as error:
        raise Problem(f"cannot be run: {type(error).__name__}: {error}", where=label) from error
    mutants, alternates = module.get("MUTANTS"), module.get("ALTERNATES")
    for name, found, kind in (("MUTANTS", mutants, Mutant), ("ALTERNATES", alternates, Alternate)):
        if not isinstance(found, list) or not found or not all(isinstance(item, kind) for item in found):
            raise Problem(f"{name} is not a list of {kind.__name__}, with at least one in it", where=label)
    names = [variant.name for variant in [*mutants, *alternates]]  # type: ignore[misc]
    for name in names:
        if names.count(name) > 1:
            raise Problem(f"two variants are named {name!r}", where=label)
    return mutants, alternates  # type: ignore[return-value]


def read_equivalents(path: Path, label: str) -> tuple[list[Equivalent], float]:
    """EQUIVALENT and CAUGHT_AT_LEAST of a week's mutants.py, both optional; Problem where they are something else."""
    module = runpy.run_path(str(path))
    equivalents, share = module.get("EQUIVALENT", []), module.get("CAUGHT_AT_LEAST", CAUGHT_AT_LEAST)
    if not isinstance(equivalents, list) or not all(isinstance(item, Equivalent) for item in equivalents):
        raise Problem("EQUIVALENT is not a list of Equivalent", where=label)
    if not isinstance(share, float) or not 0.5 <= share <= 1:
        raise Problem(f"CAUGHT_AT_LEAST is {share!r}", where=label, mend="give a share from 0.5 to 1.0")
    return equivalents, share


def apply(variant: Variant, solution: Any, label: str) -> Any:
    """A copy of the notebook `solution` with the change made; Problem where it cannot be made."""
    notebook = copy.deepcopy(solution)
    answers = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and str(cell.id).startswith(f"{variant.question}-code-")
    ]
    if not answers:
        raise Problem(f"{variant.name!r} changes {variant.question!r}, which has no answer cell", where=label)
    for old, new in variant.replace.items():
        found = [cell for cell in answers if old in cell.source]
        times = sum(cell.source.count(old) for cell in answers)
        if times != 1:
            raise Problem(
                f"{variant.name!r} replaces a text that stands {times} times in the answer of {variant.question}: "
                f"{old!r}",
                where=label,
                mend="quote a text that stands there exactly once",
            )
        found[0].source = found[0].source.replace(old, new)
    if variant.define:
        answers[-1].source += f"\n\n\n{variant.define.strip()}\n"
    for cell in answers:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            raise Problem(f"{variant.name!r} is not Python: {error.msg}", where=label) from error
    return notebook
