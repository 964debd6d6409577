"""Feedback for a student: what passed, what failed and why, what was measured, and what to try.

Of hidden tests it says what kind of check failed, and nothing of their names, their inputs or the values they expect.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradekit import picture
from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.grade.views import explained, file_names, write_whole
from gradekit.report.template import MOST, asset, points, template
from gradekit.shown import shown

__all__ = ["write_feedback"]

# What a failed check of each kind means, and what to try. Of a hidden test a student reads this and no more.
_ADVICE = {
    "accuracy": (
        "the result differs from the reference by more than rounding",
        "sizes that are odd, unequal, or 1, and the other options of the function",
    ),
    "gradient": (
        "a gradient differs from the right one by more than rounding",
        "a comparison with autograd in float64 on a small input, one argument at a time",
    ),
    "speed": ("it takes longer than the limit allows", "a profiler: which loop, or which copy, takes the time?"),
    "memory": (
        "it holds more memory than the limit allows",
        "asking of each tensor that is kept whether it is needed later",
    ),
    "scaling": ("its cost grows faster with the size than it may", "looking for work that is done again and again"),
    "outcome": (
        "training did not reach what is asked",
        "several seeds of your own, and a look at the worst run rather than the best",
    ),
    "checkpoint": (
        "the weights that were handed in were not taken, do not fit your network, or do not reach what is asked",
        "loading the file as it lies on your disk into a new network, and scoring it on data that you kept back",
    ),
    "rules": (
        "it uses something that the question forbids, or lacks something it asks for",
        "reading again what may be used",
    ),
    "counts": ("it does more, or fewer, operations than it should", "counting by hand for a small size"),
    "close": (
        "a value, a shape or a property is not what it should be",
        "the smallest case by hand, then corner cases: one, odd, unequal, repeated",
    ),
    "run": ("the code stopped with an error, or gave nothing back", "other inputs than those of the notebook"),
}
_OTHERWISE = ("the test failed", "reading again what is checked")
_NOT_MEASURED = (
    "what it gave was not right yet, or came of something forbidden, so it was not measured",
    "the other tests first",
)
# What is measured without telling anything of what is expected.
_MEASURED = {"speed", "memory", "outcome", "checkpoint"}


@dataclass(frozen=True)
class _Line:
    """A test: its name ("" of a hidden one), what it said, what it measured, what to try."""

    name: str
    passed: bool
    points: float
    said: str
    measured: tuple[str, ...]
    pictures: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class _Part:
    """A question."""

    name: str
    score: float
    possible: float
    lines: tuple[_Line, ...]
    hidden: int
    hidden_passed: int


def write_feedback(folder: Path, results: Sequence[Result], *, title: str) -> Path:
    """Write `folder`/feedback/<submission>.html and .md for each result, and return that folder."""
    page, style = template("feedback.html.j2"), asset("report.css")
    place = folder / "feedback"
    names = file_names(result.submission for result in results)

    def write(result: Result) -> None:
        parts = [_part(question) for question in result.questions]
        note = _note(result)
        name = names[result.submission]
        html = page.render(title=title, result=result, parts=parts, note=note, style=style)
        write_whole(place / f"{name}.html", html)
        write_whole(place / f"{name}.md", _markdown(title, result, parts, note))

    with explained(folder), ThreadPoolExecutor(8) as pool:
        place.mkdir(parents=True, exist_ok=True)
        for _ in pool.map(write, results):
            pass  # an error in one of them is raised here
    return place


def _part(question: QuestionResult) -> _Part:
    hidden = [case for case in question.cases if case.hidden]
    public = [case for case in question.cases if not case.hidden]
    lines = [_of_public(case) for case in public]
    lines += _of_hidden([case for case in hidden if not case.passed])
    passed = sum(case.passed for case in hidden)
    return _Part(question.name, question.score, question.possible, tuple(lines), len(hidden), passed)


def _of_public(case: CaseResult) -> _Line:
    advice = "" if case.passed else _why(case)[1]
    return _Line(
        shown(case.name, 300),
        case.passed,
        case.points,
        "" if case.passed else shown(case.message, MOST),
        *_measured(case),
        advice,
    )


def _of_hidden(failed: Iterable[CaseResult]) -> list[_Line]:
    """One line for each kind of check, so that it cannot be told how many tests of it there are."""
    by_kind: dict[tuple[str, str], list[CaseResult]] = {}
    for case in failed:
        by_kind.setdefault(_why(case), []).append(case)
    lines = []
    for (said, advice), cases in by_kind.items():
        measured = [_measured(case) for case in cases if _kind(case) in _MEASURED]
        texts, pictures = (tuple(dict.fromkeys(item for pair in measured for item in pair[side])) for side in (0, 1))
        lines.append(_Line("", False, sum(case.points for case in cases), said, texts, pictures, advice))
    return lines


def _why(case: CaseResult) -> tuple[str, str]:
    """Why a failed test failed, and what to try."""
    kind = _kind(case)
    if kind in _MEASURED and kind != "checkpoint" and not any(_over(evidence) for evidence in case.evidence):
        return _NOT_MEASURED
    return _ADVICE.get(kind, _OTHERWISE)


def _over(evidence: Mapping[str, Any]) -> bool:
    """Whether it failed for what was measured: a cost beyond the limit, scores that are too low."""
    data = evidence.get("data", {})
    if evidence.get("verdict") != "fail" or evidence.get("check") not in _MEASURED:
        return False
    if data.get("scores") or data.get("refused") or (evidence["check"] == "memory" and "resident_bytes" in data):
        return True
    ratio, limit = data.get("ratio"), data.get("limit")
    return isinstance(ratio, int | float) and isinstance(limit, int | float) and ratio > limit


def _kind(case: CaseResult) -> str:
    """The check that decided: the one that failed, else the last."""
    failed = [evidence for evidence in case.evidence if evidence.get("verdict") == "fail"]
    last = (failed or list(case.evidence))[-1:]
    return str(last[0].get("check")) if last else ""


def _measured(case: CaseResult) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What checks of cost and of training measured, in words and drawn; nothing of a check that measured nothing."""
    found = [evidence for evidence in case.evidence if _is_measured(evidence)]
    drawn = [evidence for evidence in found if picture.svg(evidence)]
    return tuple(_words(evidence) for evidence in found), tuple(_anonymous(evidence) for evidence in drawn)


def _is_measured(evidence: Mapping[str, Any]) -> bool:
    """Whether there is something in figures: what is not finite stands there as text."""
    data = evidence.get("data", {})
    if evidence.get("check") == "checkpoint" and data.get("refused"):
        return True
    trained = evidence.get("check") in ("outcome", "checkpoint")
    wanted = data.get("scores", []) if trained else [data.get("ratio"), data.get("limit")]
    return (
        evidence.get("check") in _MEASURED and bool(wanted) and all(isinstance(value, int | float) for value in wanted)
    )


def _words(evidence: Mapping[str, Any]) -> str:
    data = evidence["data"]
    if evidence["check"] == "checkpoint" and data.get("refused"):
        return shown(str(data["refused"]), MOST)  # of the file alone, which is the student's
    if evidence["check"] in ("outcome", "checkpoint"):
        return f"scores {', '.join(f'{float(score):.4g}' for score in data['scores'])}"
    ratio, limit = float(data["ratio"]), float(data["limit"])
    if evidence["check"] == "memory" and ratio <= limit and evidence["verdict"] == "fail":
        return f"the process grew by {data['resident_bytes'] / 1e6:.3g} MB, which is more than its tensors hold"
    return f"{ratio:.3g} times the reference; the limit is {limit:g}"


def _anonymous(evidence: Mapping[str, Any]) -> str:
    """The picture, without the message of the check in its title."""
    words = f"{evidence['check']}: {_words(evidence)}"
    return re.sub(r"<title>.*?</title>", f"<title>{html.escape(words)}</title>", picture.svg(evidence), flags=re.DOTALL)


def _note(result: Result) -> str:
    """Of what went wrong with the whole."""
    return shown(result.note_for_students, 600) if result.status != "graded" else ""


def _markdown(title: str, result: Result, parts: Sequence[_Part], note: str) -> str:
    lines = [
        f"# {_plain(title)}",
        "",
        f"**{_plain(result.submission)}**: {result.score:g} of {result.possible:g} points",
    ]
    if note:
        lines += ["", f"Not graded in full ({result.status}): {_plain(note)}"]
    for name, worth in result.by_hand.items():
        lines += ["", f"{name}: {worth:g} points that a person gives are not in here."]
    for part in parts:
        lines += ["", f"## {part.name}: {part.score:g} of {part.possible:g} points", ""]
        for line in part.lines:
            mark = "passed" if line.passed else "failed"
            lines.append(f"- **{mark}** {_plain(line.name or 'hidden tests')} ({points(line.points)})")
            if line.said and line.name:
                fence = "`" * max(3, 1 + max(map(len, re.findall("`+", line.said)), default=0))
                lines += [f"  {fence}text", *(f"  {text}" for text in line.said.splitlines()), f"  {fence}"]
            elif line.said:
                lines.append(f"  {_plain(line.said)}")
            lines += [f"  {_plain(text)}" for text in line.measured]
            if line.advice:
                lines.append(f"  *Try:* {line.advice}")
        if part.hidden:
            lines.append(f"- hidden tests: {part.hidden_passed} of {part.hidden} passed")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text of a submission in Markdown: what would be markup is escaped."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$])", r"\\\1", " ".join(shown(text, MOST).split()))
