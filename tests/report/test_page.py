"""The class report: one file, whatever a submission is called and says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from gradekit.grade.result import QuestionResult, Result
from gradekit.report.page import write_report


class Page(HTMLParser):
    """Elements with their attributes, the text of the page, and that of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self._open[-1:] != ["style"]:
            self.text += data


def page(results: list[Result], tmp_path: Path, *, names: bool = False) -> Page:
    return Page(write_report(tmp_path, results, title="week05", names=names).read_text())


def test_what_a_submission_says_stays_text(results: list[Result], tmp_path: Path) -> None:
    found = page(results, tmp_path)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 2, "ours: the data and the program"
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "alert(1)" not in found.scripts[1]
    raw = (tmp_path / "report.html").read_text()
    assert "\x1b" not in raw
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in raw
    assert "<script>alert(1)</script>" in found.text, "a person reads it"


def test_it_needs_nothing_from_elsewhere(results: list[Result], tmp_path: Path) -> None:
    for tag, attributes in page(results, tmp_path).tags:
        for name in ("src", "href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), f"{tag} {name}={value}"


def test_links_within_the_page_lead_somewhere(results: list[Result], tmp_path: Path) -> None:
    found = page(results, tmp_path)
    ids = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    ids |= {f"s{number}" for number in range(len(results))}  # the pages of students
    links = {(attributes.get("href") or "")[1:] for tag, attributes in found.tags if tag == "a"}
    assert links <= ids
    labels = {attributes["aria-labelledby"] for _, attributes in found.tags if "aria-labelledby" in attributes}
    assert labels <= ids


def test_figures_of_the_class_are_there(results: list[Result], tmp_path: Path) -> None:
    text = " ".join(page(results, tmp_path).text.split())
    for said in ("submissions5", "graded in full4", "mean3.4 of 5", "q3 (4 points)", "limit 3"):
        assert said in text


def test_a_student_has_a_page_of_his_own(results: list[Result], tmp_path: Path) -> None:
    data = json.loads(page(results, tmp_path).scripts[0])
    note, _, passed, failed, ratios = data["students"][2]  # by name: the hostile one, ada, ben
    assert note == ""
    assert [data["cases"][index][1] for index in passed] == ["halves two", "fast enough"]
    assert len(failed) == 2
    assert "alert(1)" in data["messages"][failed[0][1]]
    assert list(ratios.values()) == [2.0]


def test_who_is_fastest_is_named_only_if_asked(results: list[Result], tmp_path: Path) -> None:
    def fastest(names: bool) -> str:
        raw = page(results, tmp_path, names=names) and (tmp_path / "report.html").read_text()
        return raw[raw.index('<ol class="fastest">') : raw.index("</ol>")]

    assert "ada" not in fastest(False)
    assert "no. 1" in fastest(False)
    assert "ada" in fastest(True)


def test_scores_stand_below_their_question_where_results_have_others(results: list[Result], tmp_path: Path) -> None:
    first, second = results[:2]
    late = replace(first, questions=(*first.questions[1:], QuestionResult("q9", 4.0)))
    raw = write_report(tmp_path, [late, second], title="week05").read_text()
    table = raw[raw.index('<table id="table">') : raw.index("</table>", raw.index('<table id="table">'))]
    rows = {
        re.search(r"<bdi>(\w+)", row)[1]: re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr")[2:]
    }
    assert re.findall(r'<button type="button">(\w+)', table)[3:] == ["q1", "q2", "q9"]
    assert rows["ada"][2:] == ["3", "2", ""]
    assert rows["ben"][2:] == ["", "2", "0"]
    assert "1 of 1" in raw
