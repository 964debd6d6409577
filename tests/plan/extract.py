"""What the study plan states as fact, taken from its Markdown: links, titles, figures, levels and technical terms.

    python tests/plan/extract.py PLAN.md > tests/plan/facts.json

The plan itself is not in this repository. Of a sentence only its figures and terms are taken (what holds a digit or is
written in capitals), so that the course can say the same in words of its own.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

LEVELS = {"🔹": "core", "🧩": "optional", "🚀": "advanced", "💸": "budget"}
LINK = re.compile(r"\[[^\]]*\]\((https?://[^)]+)\)")
WEEK = re.compile(r"^### Week (?P<number>\w+): (?P<title>.*)$")
HOURS = re.compile(r"^\*\*Study Time:\*\* ~(\d+)(?:–(\d+))?h")
WORK = ("Deliverables", "Assignments", "Project", "Projects")


def levels(text: str) -> list[str]:
    return [level for mark, level in LEVELS.items() if mark in text]


def bare(text: str) -> str:
    """Without marks, links and white space at the ends."""
    return re.sub(rf"[{''.join(LEVELS)}]", "", LINK.sub("", text)).strip()


def terms(text: str) -> list[str]:
    """The figures of a text, and its words that are names: ResNet-18, CIFAR-10, AMP, 94."""
    figures = re.findall(r"\d+(?:\.\d+)?", bare(text))
    words = [word for word in re.findall(r"\w[\w&+-]*", bare(text)) if re.search(r"[A-Z].*[A-Z0-9]|\d.*[A-Z]", word)]
    return list(dict.fromkeys(figures + words))


def words(text: str, letters: int) -> list[str]:
    """What a text is about, where it has no terms: its long words, without those that only ask for work."""
    asks = {"implement", "include", "including", "multiple", "complete"}
    return [word for word in re.findall(rf"[\w-]{{{letters},}}", bare(text)) if word.casefold() not in asks]


def said(text: str) -> list[str]:
    return terms(text) or words(text, 8)


def resources(text: str, level: str) -> list[dict[str, Any]]:
    """One for each link; links that follow one another share the title in front of them."""
    found = []
    title, end = "", 0
    for link in LINK.finditer(text):
        before = bare(text[end : link.start()]).strip(" |,:").rsplit("; ")[-1]
        hours = re.search(r"— (\d+)h$", before)
        title = re.sub(r"\s*— \d+h$", "", before) or title
        found.append({"title": title, "url": link[1], "level": level} | ({"hours": int(hours[1])} if hours else {}))
        end = link.end()
    return found


def week(number: str, title: str, body: list[str]) -> dict[str, Any]:
    own = levels(title)
    facts: dict[str, Any] = {"number": number, "title": bare(title), "levels": own, "hours": None}
    facts |= {"resources": [], "work": [], "objectives": [], "topics": [], "budget": []}
    part = ""
    for line in body:
        if hours := HOURS.match(line):
            facts["hours"] = [int(hours[1]), int(hours[2] or hours[1])]
        elif line.startswith("💸"):
            facts["budget"] = terms(line)
        elif line.startswith("- "):
            marked = levels(line)
            if part in WORK or not LINK.search(line):
                if part in (*WORK, "Practical"):
                    facts["work"].append({"levels": marked, "terms": said(line)})
                else:
                    facts["resources"].append({"title": bare(line[2:]), "url": None, "level": (marked or own)[0]})
            facts["resources"] += resources(line[2:], (marked or own)[0])
        elif line.startswith("**Objectives:**"):
            facts["objectives"] = terms(line.removeprefix("**Objectives:**"))
        elif re.match(r"[A-Z][\w/ ]+:$", line):
            part = line.rstrip(":")
        elif re.match(r"[A-Z]", line):
            facts["topics"] = words(line, 6)
    return facts


def module(lines: list[str]) -> dict[str, Any]:
    head, first, second = (line.strip().removeprefix("- ") for line in lines)
    links = resources(first.removeprefix("Resources:"), levels(head)[0])
    work = {"levels": [], "terms": said(second.removeprefix("Projects:"))}
    return {"title": bare(head), "levels": levels(head), "resources": links, "work": [work]}


def section(text: str, heading: str) -> list[str]:
    """The lines below a heading of the second level, up to the next one."""
    [found] = re.findall(rf"^## {heading}.*?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [line for line in found.splitlines() if line.strip()]


def extract(text: str) -> dict[str, Any]:
    weeks, modules, phases = [], [], []
    for block in re.split(r"^(?=## Phase)", text, flags=re.MULTILINE)[1:]:
        block = re.split(r"^## (?!Phase)", block, flags=re.MULTILINE)[0]
        head = re.match(r"## Phase (\d): (.*?) \(Weeks (\d+)–(\d+)\)", block)
        assert head
        numbers = []
        for part in re.split(r"^(?=### )", block, flags=re.MULTILINE)[1:]:
            first, *body = part.splitlines()
            if found := WEEK.match(first):
                weeks.append(week(found["number"], found["title"], body))
                numbers.append(found["number"])
            else:
                lines = [line for line in body if line.strip().startswith("- ")]
                modules += [module(lines[i : i + 3]) for i in range(0, len(lines), 3)]
        phases.append({"number": int(head[1]), "title": head[2], "weeks": numbers, "span": [head[3], head[4]]})
        if not numbers:
            *_, options = re.split(r"^Options:$", block, flags=re.MULTILINE)
            choices, final = options.split("Final deliverables:")
            bullets = [{"levels": [], "terms": said(line)} for line in final.splitlines() if line.startswith("- ")]
            told = [said(re.sub(r"^\d\)", "", line)) for line in choices.splitlines() if re.match(r"\d\)", line)]
            capstone = {"number": head[3], "until": head[4], "title": head[2], "levels": levels(block), "hours": None}
            weeks.append(
                capstone
                | {"resources": [], "work": bullets, "objectives": [], "topics": [], "budget": [], "options": told}
            )
    compute: dict[str, list[list[str]]] = {}
    for line in section(text, "Compute Resource Strategy"):
        if line.endswith(":"):
            key = line.split(" (")[0].rstrip(":")
            compute[key] = []
        elif line.startswith("- "):
            compute[key].append(terms(line))
    milestones = [line[2:].split(": ", 1) for line in section(text, "Success Metrics") if line.startswith("- ")]
    schedule = section(text, "Study Schedule")
    return {
        "hours": re.findall(r"\d+", re.findall(r"Study time: (.*)", text)[0]),
        "phases": phases,
        "weeks": weeks,
        "modules": modules,
        "milestones": [{"weeks": re.findall(r"\w*\d\w*", span), "terms": said(text)} for span, text in milestones],
        "compute": compute,
        "schedule": [int(hours) for line in schedule for hours in re.findall(r"\((\d+)h\)", line)],
        "tips": [terms(line[2:]) for line in schedule if re.match(r"\d\)", line)],
        "summary": [line[2:].split(", ") for line in section(text, "Resources Summary") if re.match(r"- [^\[]", line)],
    }


if __name__ == "__main__":
    json.dump(extract(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.stdout, indent=1, ensure_ascii=False)
    print()
