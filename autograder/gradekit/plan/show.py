"""The plan, a week of it and somebody's progress, as they are shown in a terminal. Each gives what Rich prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradekit.build.about import Level, Resource
from gradekit.plan.compute import fit
from gradekit.plan.progress import Left, Reached, Standing
from gradekit.plan.read import Plan, Planned, TierFacts

__all__ = ["show_class", "show_plan", "show_standing", "show_week"]

_UNWRITTEN = "not written yet"


def show_plan(plan: Plan, tier: TierFacts | None = None) -> Iterator[RenderableType]:
    """All weeks with their hours and what there is to hand in; milestones; time; compute; tips."""
    facts, duration = plan.facts, plan.facts.duration
    yield Text(facts.title, style="bold")
    yield Text(facts.summary)
    yield Text(
        f"{duration.weeks} weeks ({duration.months} months), {_span(duration.hours)} a week, "
        f"{duration.peak_hours} h and more in the heaviest",
        style="dim",
    )
    yield from _heading("Before you begin")
    yield from _list(facts.prerequisites)
    yield _weeks(plan, tier)
    yield _table((Text(level, _STYLES[level]), meaning) for level, meaning in facts.levels.items())
    yield from _heading("Milestones")
    yield _table((_after(plan, planned, m.weeks), m.text) for planned in plan.every for m in planned.about.milestones)
    yield from _heading(f"A week of {sum(part.hours for part in facts.schedule)} h")
    yield _table((f"{part.hours} h", part.activity) for part in facts.schedule)
    yield from _compute(plan, tier)
    yield from _heading("What helps")
    yield from _list(tip.text for tip in facts.tips)
    yield from _heading("Names to know")
    further = facts.further
    named = [("platforms", further.platforms), ("tools", further.tools), ("code to read", further.implementations)]
    yield _table((what, ", ".join(names)) for what, names in [*named, ("syllabus", further.syllabus)] if names)


def show_week(plan: Plan, planned: Planned, place: str, tier: TierFacts | None = None) -> Iterator[RenderableType]:
    """One week: what it is for, what to read, what to hand in. place: where its assignment lies."""
    about = planned.about
    phase = next(phase.title for phase in plan.facts.phases if phase.number == about.week.phase)
    yield Text(f"{planned.name} · {about.week.title}", style="bold")
    said = Text.assemble((f"Phase {about.week.phase}: {phase} · ", "dim"), _levels(about.week.levels))
    yield said.append(f" · {_hours(plan, planned)}", style="dim")
    yield Text(about.week.summary)
    yield from _heading("You will be able to")
    yield from _list(about.objectives)
    if about.options:
        yield from _heading("Choose one")
        yield from _list(about.options)
    if about.resources:
        yield from _heading("To read and watch")
        for resource in about.resources:
            yield from _resource(resource)
    fitted = fit(plan, planned, tier.name) if tier else None
    work = about.deliverables if fitted is None else fitted.kept
    if work:
        yield from _heading("To do")
        yield _table((_levels(deliverable.levels), deliverable.text) for deliverable in work)
    if about.milestones:
        yield from _heading("Milestone")
        yield from _list(
            f"{m.text} ({_after(plan, planned, m.weeks).lower()})" if m.weeks else m.text for m in about.milestones
        )
    yield from _heading(f"Compute, {tier.title.lower()}" if tier else "Compute")
    if tier and fitted:
        yield from _list([*fitted.advice, tier.advice])
        yield from _list(f"set aside: {more.text} (needs {more.needs})" for more in fitted.aside)
        yield Padding(Text("; ".join(tier.places), style="dim"), (0, 0, 0, 2), expand=False)
    else:
        heavy = [h for h in plan.facts.compute.heavy if h.week in about.week.numbers]
        yield from _list([about.compute.budget] if about.compute.budget else [])
        yield from _list(f"{h.what}: {'; '.join(h.guidance)}." for h in heavy)
        told = [(t.name, own) for t in plan.facts.compute.tiers if (own := about.compute.on(t.name))]
        if told:
            yield _table(told)
        elif not heavy and not about.compute.budget:
            yield Text("  nothing out of the ordinary", style="dim")
    yield from _heading("Assignment")
    yield Text(f"  {place}" if planned.written else f"  {_UNWRITTEN}", style="" if planned.written else "yellow")


def show_standing(plan: Plan, standing: Standing, name: Text) -> Iterator[RenderableType]:
    """One person's weeks, milestones, hours left and next week."""
    yield Text.assemble(name, f"{' · ' if name else ''}{standing.finished} of {len(plan.weeks)} weeks finished")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("week", "", "points", "state"):
        table.add_column(column, justify="right" if column == "points" else "left")
    for week in standing.weeks:
        if week.best is not None:
            state = Text("finished", "green") if week.finished else Text("begun", "yellow")
            points = f"{week.best.score:g} / {week.best.possible:g}"
            table.add_row(week.planned.label or "–", week.planned.about.week.title, points, state)
    if table.row_count:
        yield table
    yield from _heading(f"Milestones: {standing.met} of {len(standing.milestones)} met")
    yield _table((_state(reached), _named(reached.weeks), reached.milestone.text) for reached in standing.milestones)
    share = f"{plan.facts.finished_at:.0%} of the points of its assignment"
    yield Text(f"  A week is finished with {share}, a milestone met when its weeks are finished.", style="dim")
    yield from _heading("Hours left")
    rest = [("main track", standing.core), ("all that is optional", standing.more)]
    yield _table((what, _span(left.hours), _assumed(plan, left)) for what, left in rest)
    yield from _heading("Next")
    following = standing.following
    if following is None:
        yield Text("  Nothing of the main track is left.", style="green")
        return
    yield Text(f"  {following.name} · {following.about.week.title} ({_hours(plan, following)})", style="bold")
    yield Text(f"  gradekit plan {following.label.split('–')[0]}", style="dim")
    if not following.written:
        yield Text(f"  its assignment is {_UNWRITTEN}", style="yellow")
    if standing.ungraded:
        labels = ", ".join(planned.label for planned in standing.ungraded)
        yield Text(f"  before it, and counted as open: weeks {labels}; their assignments are {_UNWRITTEN}", style="dim")


def show_class(plan: Plan, standings: Sequence[tuple[Text, Standing]]) -> Iterator[RenderableType]:
    """A class: a line for each person."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("who", overflow="fold")
    for column in ("weeks finished", "milestones", "hours left"):
        table.add_column(column, justify="right")
    table.add_column("next")
    for name, standing in standings:
        following = standing.following
        table.add_row(
            name or Text("(no name)", "dim"),
            f"{standing.finished} / {len(plan.weeks)}",
            f"{standing.met} / {len(standing.milestones)}",
            _span(standing.core.hours),
            f"{following.label} {following.about.week.title}" if following else "–",
        )
    yield table
    yield Text("Hours left are those of the main track. --student NAME shows one of them.", style="dim")


_STYLES: dict[Level, str] = {"core": "green", "optional": "cyan", "advanced": "magenta", "budget": "yellow"}


def _weeks(plan: Plan, tier: TierFacts | None) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("week", justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("level")
    table.add_column("hours", justify="right", no_wrap=True)
    table.add_column(tier.name if tier else "assignment")
    for phase in plan.facts.phases:
        table.add_row("", Text(f"Phase {phase.number}: {phase.title}", "bold"))
        for slug in (*phase.weeks, *phase.modules):
            planned = plan.find(slug)
            hours = planned.about.week.hours
            ready = "ready" if planned.written else _UNWRITTEN
            last = fit(plan, planned, tier.name).verdict if tier else ready
            table.add_row(
                planned.label or Text("–", "dim"),
                planned.about.week.title,
                _levels(planned.about.week.levels),
                _span(hours) if hours else Text("–", "dim"),
                Text(last, "dim" if last in ("as it is", _UNWRITTEN) else "green" if last == "ready" else "yellow"),
            )
        table.add_section()
    return table


def _resource(resource: Resource) -> Iterator[RenderableType]:
    """Its link stands on a line of its own, whole however narrow the terminal is."""
    takes = f"{resource.kind}, {resource.hours} h" if resource.hours else resource.kind
    title = Text.assemble(
        "  ", (f"{resource.level:<10}", _STYLES[resource.level]), resource.title, (f" ({takes})", "dim")
    )
    yield title
    yield Group(Text(f"{'':12}{resource.url or 'no link'}", style="dim", no_wrap=True, overflow="ignore"))


def _compute(plan: Plan, tier: TierFacts | None) -> Iterator[RenderableType]:
    compute = plan.facts.compute
    yield from _heading("Compute")
    yield Text(f"  {compute.posture}")
    for shown in (tier,) if tier else compute.tiers:
        yield Text.assemble("  ", (shown.title, "bold"), f" (--compute {shown.name})")
        yield Padding(Text(shown.advice, style="dim"), (0, 0, 0, 4), expand=False)
        for place in shown.places:
            yield Padding(Text(place), (0, 0, 0, 4), expand=False)
    yield from _heading("The heavy weeks")
    yield _table((f"week {heavy.week}", heavy.what, "; ".join(heavy.guidance)) for heavy in compute.heavy)
    if tier:
        aside = [(p.label, work.text, work.needs) for p in plan.every for work in fit(plan, p, tier.name).aside]
        if aside:
            yield from _heading(f"Set aside on {tier.name}")
            yield _table((f"week {label}", text, f"needs {needs}") for label, text, needs in aside)


def _heading(text: str) -> Iterator[RenderableType]:
    yield Text()
    yield Text(text, style="bold")


def _list(items: Iterable[str]) -> Iterator[RenderableType]:
    for item in items:
        yield Padding(Text(f"· {item}"), (0, 0, 0, 2), expand=False)


def _table(rows: Iterable[Sequence[str | Text]]) -> RenderableType:
    """Columns without lines."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _levels(levels: Iterable[Level]) -> Text:
    return Text(", ").join(Text(level, _STYLES[level]) for level in levels)


def _span(hours: tuple[int, int]) -> str:
    low, high = hours
    return f"{low} h" if low == high else f"{low}–{high} h"


def _hours(plan: Plan, planned: Planned) -> str:
    if planned.about.week.hours:
        return _span(planned.about.week.hours)
    return f"hours not stated, {plan.hours(planned)[0]} h assumed"


def _assumed(plan: Plan, left: Left) -> str:
    if not left.assumed:
        return ""
    weeks = "1 week" if left.assumed == 1 else f"{left.assumed} weeks"
    return f"{weeks} without stated hours, at {plan.facts.duration.average_hours} h a week"


def _after(plan: Plan, planned: Planned, numbers: Sequence[str]) -> str:
    """ "Week 6", "Weeks 10–12"."""
    if len(numbers) == 1:
        return f"Week {numbers[0]}"
    return f"Weeks {numbers[0]}–{numbers[-1]}" if numbers else planned.name


def _state(reached: Reached) -> Text:
    if reached.met:
        return Text("met", "green")
    unwritten = all(not planned.written for planned in reached.missing)
    return Text("no assignment yet", "dim") if unwritten else Text("to come", "yellow")


def _named(weeks: Sequence[Planned]) -> str:
    return weeks[0].name if len(weeks) == 1 else f"Weeks {weeks[0].label}–{weeks[-1].label}"
