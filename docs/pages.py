"""The pages of the site that are made: the plan, from its data, and the solutions, executed.

    python docs/pages.py

writes docs/plan/ and docs/solutions/, which are not in git. A solution is executed anew only if it has changed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from gradekit.build.about import About
from gradekit.build.make import load_week
from gradekit.course import Course, Week
from gradekit.plan.read import Plan, Planned, read_plan

DOCS = Path(__file__).resolve().parent
SECONDS = 900
_CALLS = re.compile(r"grader\.(?:check|export|to_pdf)|otter\.Notebook")
_MARKS = re.compile(r"^<!-- (?:BEGIN|END) QUESTION -->\n*", re.MULTILINE)


def main() -> int:
    course = Course(DOCS.parent)
    plan = read_plan(course)
    written = {week.slug: week for week in course.weeks()}
    _write_plan(plan, written)
    _write_solutions(plan, written)
    return 0


# ------------------------------------------------------------------------------------------------------- the plan


def _write_plan(plan: Plan, written: dict[str, Week]) -> None:
    folder = DOCS / "plan"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "index.md").write_text("\n".join(_overview(plan)) + "\n", encoding="utf-8")
    for planned in plan.every:
        lines = _page(plan, planned, written.get(planned.slug))
        (folder / f"{planned.slug}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _overview(plan: Plan) -> Iterator[str]:
    facts = plan.facts
    yield f"# {facts.title}"
    yield ""
    yield f"{facts.summary} {facts.duration.weeks} weeks, {_hours(facts.duration.hours)} a week."
    yield ""
    yield "**Before you begin:** " + "; ".join(facts.prerequisites) + "."
    for phase in facts.phases:
        yield from ("", f"## Phase {phase.number} · {phase.title}", "")
        yield "| week | | hours | assignment |"
        yield "| --- | --- | --- | --- |"
        for slug in (*phase.weeks, *phase.modules):
            planned = next(one for one in plan.every if one.slug == slug)
            about = planned.about.week
            ready, hours = "ready" if planned.written else "not written yet", _hours(plan.hours(planned), "")
            yield f"| {planned.label or 'module'} | [{about.title}]({slug}.md) | {hours} | {ready} |"
    yield from ("", "## A week", "", "| | hours |", "| --- | --- |")
    yield from (f"| {activity.activity} | {activity.hours} |" for activity in facts.schedule)
    yield from ("", "## What it asks of a computer", "", facts.compute.posture, "")
    for tier in facts.compute.tiers:
        yield f"- **{tier.title}**: {tier.advice} ({', '.join(tier.places)})"
    yield from ("", "Weeks that ask for more than one GPU has:", "")
    for heavy in facts.compute.heavy:
        yield f"- Week {heavy.week}, {heavy.what}: {'; '.join(heavy.guidance)}"
    yield from ("", "## Levels", "")
    yield from (f"- **{level}**: {text}" for level, text in facts.levels.items())
    yield from ("", "## To get through it", "")
    yield from (f"- {tip.text}" for tip in facts.tips)
    yield from ("", "```{toctree}", ":hidden:", "")
    yield from (planned.slug for planned in plan.every)
    yield "```"


def _page(plan: Plan, planned: Planned, week: Week | None) -> Iterator[str]:
    about = planned.about
    yield f"# {planned.name} · {about.week.title}"
    yield ""
    yield f"{about.week.summary} ({_hours(plan.hours(planned))}, {', '.join(about.week.levels)})"
    yield from _list("By the end you can", about.objectives)
    yield from _list("Choose one", about.options)
    if about.resources:
        yield from ("", "## To read and watch", "")
        for resource in about.resources:
            title = f"[{resource.title}]({resource.url})" if resource.url else resource.title
            took = f", {_hours((resource.hours, resource.hours))}" if resource.hours else ""
            yield f"- {title} ({resource.kind}, {resource.level}{took})"
    yield from ("", "## Assignment", "")
    yield from _assignment(week) if week else ["Not written yet.", ""]
    if about.deliverables:
        yield from _list(
            "What you will have made", [_deliverable(about, number) for number in range(len(about.deliverables))]
        )
    yield from _list("Milestones", [milestone.text for milestone in about.milestones])
    compute = about.compute
    tiers = {"With little": compute.budget, "Without a GPU": compute.gpu_free, "For little money": compute.low_cost}
    tiers["With credits"] = compute.credits
    yield from _list("Compute", [f"**{name}**: {text}" for name, text in tiers.items() if text])


def _assignment(week: Week) -> Iterator[str]:
    assignment = load_week(week).assignment
    minutes = sum(question.minutes for question in assignment.questions)
    yield f"`{week.slug}`: {assignment.points:g} points, about {minutes // 60} hours {minutes % 60} minutes."
    yield from (
        "",
        "| question | | points | minutes | difficulty | graded by |",
        "| --- | --- | --- | --- | --- | --- |",
    )
    for question in assignment.questions:
        public = sum(not case.hidden for case in question.cases)
        by = "a person" if question.manual else f"{public} public and {len(question.cases) - public} hidden tests"
        yield (
            f"| {question.name} | {question.title} | {question.points:g} | {question.minutes}"
            f" | {question.difficulty} of 5 | {by} |"
        )
    yield from ("", f"The [solution, executed](../solutions/{week.slug}.ipynb).")


def _deliverable(about: About, number: int) -> str:
    deliverable = about.deliverables[number]
    notes = [level for level in deliverable.levels if level != "core"]
    if deliverable.needs != "gpu-free":
        notes.append(f"compute: {deliverable.needs}")
    return deliverable.text + (f" ({', '.join(notes)})" if notes else "")


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"- {item}" for item in items]
    if lines:
        yield from ("", f"## {title}", "", *lines)


def _hours(span: tuple[int, int], unit: str = " hours") -> str:
    low, high = span
    return f"{low}{unit}" if low == high else f"{low}–{high}{unit}"


# --------------------------------------------------------------------------------------------------- the solutions


def _write_solutions(plan: Plan, written: dict[str, Week]) -> None:
    folder = DOCS / "solutions"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.ipynb"):
        if old.stem not in written:
            old.unlink()
    for week in written.values():
        _execute(week, folder / week.notebook_name)
    lines = [
        "# Solutions",
        "",
        "Each is the instructor's notebook, executed. Students get it when the week is over.",
        "",
    ]
    lines += [
        f"- [{planned.name}]({planned.slug}.ipynb): {planned.about.week.title}"
        for planned in plan.every
        if planned.written
    ]
    lines += ["", "```{toctree}", ":hidden:", "", *written, "```"]
    (folder / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _execute(week: Week, target: Path) -> None:
    """Execute the solution where its figures lie, unless `target` is of the same notebook."""
    source = week.solutions / week.notebook_name
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if target.exists() and nbformat.read(target, as_version=4).metadata.get("gradekit") == digest:
        return
    print(f"executing {week.slug}", file=sys.stderr)
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not (cell.cell_type == "code" and _CALLS.search(cell.source))]
    NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(week.solutions)}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _MARKS.sub("", cell.source)
    notebook.cells = [
        cell for cell in notebook.cells if cell.source.strip() and cell.id not in ("otter-text", "otter-text-2")
    ]
    notebook.metadata["gradekit"] = digest
    for path in week.solutions.iterdir():
        if path.is_dir() and not path.name.startswith((".", "__")):
            shutil.copytree(path, target.parent / path.name, dirs_exist_ok=True)
    nbformat.write(notebook, target)


if __name__ == "__main__":
    sys.exit(main())
