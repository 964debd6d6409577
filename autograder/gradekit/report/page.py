"""The class report: one HTML file that needs nothing else."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gradekit.grade.result import Result
from gradekit.grade.views import explained, write_whole
from gradekit.report import draw
from gradekit.report.analysis import Analysis, analyse
from gradekit.report.template import asset, template
from gradekit.shown import shown

__all__ = ["FILE_NAME", "write_report"]

FILE_NAME = "report.html"


def write_report(folder: Path, results: Sequence[Result], *, title: str, names: bool = False) -> Path:
    """Write `folder`/report.html, and return its path. For instructors: it names hidden tests.

    `names`: whether the lists of who is fastest say who it is. ValueError without results.
    """
    path, text = folder / FILE_NAME, _page(analyse(results), title, names)
    with explained(folder):
        write_whole(path, text)
    return path


def _page(found: Analysis, title: str, names: bool) -> str:
    scores = [result.score for result in found.results]
    text: str = template("report.html.j2").render(
        title=title,
        when=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        found=found,
        mean=statistics.fmean(scores),
        median=statistics.median(scores),
        complete=sum(result.status == "graded" for result in found.results),
        histogram=draw.histogram(scores, found.possible),
        speed=[(timed, draw.ratios(timed), _fastest(timed.ratios, names)) for timed in found.timed],
        rows=[[result.question(item.name) for item in found.items] for result in found.results],
        look={look.submission for look in found.look},
        style=asset("report.css"),
        script=asset("report.js"),
        data=_embedded(found),
    )
    return text


def _fastest(ratios: Sequence[tuple[str, float, str]], names: bool) -> list[tuple[str, float]]:
    return [
        (shown(who, 60) if names else f"no. {place}", ratio) for place, (who, ratio, _) in enumerate(ratios[:10], 1)
    ]


def _embedded(found: Analysis) -> str:
    """What the page of a student is made of: JSON that no HTML parser takes for the end of its element.

    Texts that many have in common stand once: a case is a number, and so is a message.
    """
    cases = [(item.name, case) for item in found.items for case in item.cases]
    number = {(question, case.name): index for index, (question, case) in enumerate(cases)}
    messages: dict[str, int] = {}
    students = []
    for result in found.results:
        failed, passed, ratios = [], [], {}
        for question in result.questions:
            for case in question.cases:
                index = number[question.name, case.name]
                if case.passed:
                    passed.append(index)
                else:
                    failed.append([index, messages.setdefault(shown(case.message, 600), len(messages))])
                for evidence in case.evidence:
                    ratio = evidence.get("data", {}).get("ratio")
                    if evidence.get("check") == "speed" and isinstance(ratio, float):
                        ratios[index] = round(ratio, 2)
        students.append([shown(result.note, 600), round(result.seconds, 2), passed, failed, ratios])
    data: dict[str, Any] = {
        "cases": [[question, case.name, case.hidden, case.points] for question, case in cases],
        "messages": list(messages),
        "students": students,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
