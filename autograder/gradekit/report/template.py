"""The report's templates: HTML in which every text is escaped, unless it says otherwise."""

from __future__ import annotations

from importlib import resources
from typing import Any

from gradekit.shown import shown

__all__ = ["asset", "template"]

MOST = 2000  # characters of a text, where the template names no other length


def template(name: str) -> Any:
    """A template of Jinja's, by its file's name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gradekit.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"shown": _shown, "points": points}
    return environment.get_template(name)


def asset(name: str) -> str:
    """A style sheet or a program, which a template takes in whole."""
    return (resources.files("gradekit.report") / "templates" / name).read_text(encoding="utf-8")


def _shown(text: str, most: int = MOST) -> str:
    return shown(text, most)


def points(number: float) -> str:
    return f"{number:g} point{'s' * (number != 1)}"
