"""A new week: a room that builds and verifies as it is, with one question to be replaced."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

from gradekit.course import Course, Week
from gradekit.plan.read import Plan, facts_of_unwritten, read_plan
from gradekit.problem import Problem, UsageProblem

__all__ = ["begin_course", "new_week"]

_SLUG = re.compile(r"week(?P<number>0[1-9]|[1-9]\d)(?P<letter>[a-z]?)_(?P<subject>[a-z0-9]+(?:_[a-z0-9]+)*)")
_REFERENCES = (
    '"""Reference implementations, one module a week: what submissions are compared with. For instructors only."""\n'
)


def begin_course(folder: Path) -> Course:
    """The course around `folder`; where there is none, and the folder is empty, a new one in it."""
    try:
        return Course.find(folder)
    except UsageProblem:
        if not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir()):
            raise
    (folder / "source").mkdir()
    (folder / "reference").mkdir()
    return Course(folder.resolve())


def new_week(course: Course, name: str) -> Week:
    """Make a room for `name` (a slug, or the number of a week that the plan has), and its reference.

    What the plan says of the week moves into the room: a fact stands in one place. UsageProblem where the name is that
    of no week, or something of it is there already; then nothing is written.
    """
    plan = read_plan(course) if (course.root / "source" / "plan.toml").is_file() else None
    slug = _slug(name, plan)
    week = Week(course, slug)
    for path in (week.room, week.reference):
        if path.exists():
            raise UsageProblem("is there already", where=week.relative(path), mend="choose another name, or edit that")
    _refuse_second(course, slug, plan)
    planned = facts_of_unwritten(course, slug)
    moves = planned.is_file()
    words = _words(slug, plan)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{slug}-", dir=week.room.parent) as folder:
            room = Path(folder) / slug
            room.mkdir()
            about = planned.read_text(encoding="utf-8") if moves else _filled("about.toml", words)
            (room / "about.toml").write_text(about, encoding="utf-8")
            (room / f"{slug}.py").write_text(_filled("notebook.py.txt", words), encoding="utf-8")
            (room / "mutants.py").write_text(_filled("mutants.py.txt", words), encoding="utf-8")
            package = week.reference.parent / "__init__.py"
            if not package.exists():
                package.write_text(_REFERENCES, encoding="utf-8")
            week.reference.write_text(_filled("reference.py.txt", words), encoding="utf-8")
            shutil.move(room, week.room)
        if moves:
            planned.unlink()
    except OSError as error:
        raise Problem(
            f"cannot be written: {error.strerror or error}",
            where=error.filename or week.room,
            mend="make the folder writable and see that there is room on its disk",
        ) from error
    return week


def _slug(name: str, plan: Plan | None) -> str:
    """The slug that is meant: of a week of the plan, or one that is well formed."""
    if plan is not None:
        for planned in plan.every:
            number = name.removeprefix("week").lstrip("0")
            if name == planned.slug or number in planned.about.week.numbers:
                return planned.slug
    if not _SLUG.fullmatch(name):
        like = f", or one of the plan's ({plan.weeks[0].slug}, ...)" if plan and plan.weeks else ""
        raise UsageProblem(
            f"{name!r} is no name of a week",
            mend=f"name it weekNN_subject, as in week07_optimizers or week14b_rag{like}",
        )
    return name


def _refuse_second(course: Course, slug: str, plan: Plan | None) -> None:
    """Two weeks of one number could not be told apart by it."""
    named = _SLUG.fullmatch(slug)
    if named is None:
        return
    prefix = slug.removesuffix(named["subject"])
    rooms = sorted(path.name for path in (course.root / "source").iterdir() if path.is_dir())
    planned = [week.slug for week in plan.weeks] if plan else []
    for other in [*rooms, *planned]:
        if other != slug and other.startswith(prefix):
            number = f"{int(named['number'])}{named['letter']}"
            raise UsageProblem(f"week {number} is {other!r}", mend=f"name that, or take another number than {number}")


def _words(slug: str, plan: Plan | None) -> dict[str, str]:
    """What the templates are filled with."""
    planned = next((week for week in plan.every if week.slug == slug), None) if plan else None
    named = _SLUG.fullmatch(slug)
    number = f"{int(named['number'])}{named['letter']}" if named else ""
    subject = named["subject"] if named else slug
    title = planned.about.week.title if planned else subject.replace("_", " ").capitalize()
    return {
        "slug": slug,
        "title": title,
        "heading": f"Week {number} · {title}" if number else title,
        "number": f'\nnumber = "{number}"' if number else "",
        "phase": str(planned.about.week.phase) if planned else "1",
    }


def _filled(name: str, words: dict[str, str]) -> str:
    template = resources.files("gradekit.author").joinpath("template", name)
    return Template(template.read_text(encoding="utf-8")).substitute(words)
