"""Evidence as a picture, in a notebook and in a terminal."""

import json
import sys
import types
from xml.etree import ElementTree

import pytest

from gradekit import picture
from gradekit.check import evidence

SPEED = {
    "check": "speed",
    "experiment": "convolve",
    "message": "5.0 times the reference",
    "data": {
        "limit": 3.0,
        "student_s": [0.0050, 0.0051, 0.0049, 0.0060],
        "reference_s": [0.0010, 0.0010, 0.0011, 0.0009],
    },
}
OUTCOME = {
    "check": "outcome",
    "experiment": "train",
    "message": "",
    "data": {"at_least": 0.95, "scores": [0.97, 0.98, 0.96]},
}
MEMORY = {
    "check": "memory",
    "experiment": "attention",
    "message": "",
    "data": {"limit": 2.0, "student_bytes": 67_100_000, "floor_bytes": 19_000_000},
}


def drawn(found):
    """(horizontal place of each circle by row, that of the dashed line) of an SVG."""
    root = ElementTree.fromstring(found)
    name = "{http://www.w3.org/2000/svg}"
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{name}circle")]
    limit = next(float(line.get("x1")) for line in root.iter(f"{name}line") if line.get("stroke-dasharray"))
    return circles, limit


@pytest.mark.parametrize("found", [SPEED, OUTCOME, MEMORY], ids=lambda found: found["check"])
def test_every_sample_is_a_point_on_its_side_of_the_limit(found):
    circles, limit = drawn(picture.svg(found))
    data = found["data"]
    if found["check"] == "speed":
        assert len(circles) == 8
        yours, reference = circles[:4], circles[4:]
        assert all(x > limit for x, _ in yours)  # 5 ms, the limit is 3
        assert all(x < limit for x, _ in reference)
        assert [x for x, _ in yours].index(max(x for x, _ in yours)) == 3
    elif found["check"] == "outcome":
        assert len(circles) == len(data["scores"])
        assert all(x > limit for x, _ in circles)
    else:
        (yours, _), (reference, _) = circles
        assert reference < limit < yours


def test_in_a_terminal_the_rows_stand_above_the_limit():
    student, reference, limit = picture.lines(SPEED)
    assert student.startswith("yours ")
    assert student.endswith("5.05 ms")
    assert reference.endswith("1 ms")
    assert limit.endswith("3 ms: limit")
    at = limit.index("┃")
    assert set(reference[11:at]) > {" "}
    assert set(reference[at : 11 + 48]) == {" "}
    assert set(student[11:at]) == {" "}


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"check": "close", "data": {}},
        {"check": "speed", "data": {"message": "it was wrong before it was timed"}},
        {"check": "speed", "data": {"limit": 3.0, "student_s": [], "reference_s": []}},
        {"check": "speed", "data": {"limit": 3.0, "student_s": [0.0], "reference_s": [0.1]}},
        {"check": "outcome", "data": {"at_least": None, "scores": [0.5]}},
        {"check": "outcome", "data": {"at_least": 0.9, "scores": ["nan"]}},
    ],
    ids=str,
)
def test_where_nothing_was_measured_there_is_no_picture(found):
    assert picture.svg(found) == ""
    assert picture.lines(found) == []


def test_what_came_from_a_submission_stays_text():
    found = SPEED | {"experiment": "<script>alert(1)</script>", "message": '"><img src=x>'}
    assert "<script" not in picture.svg(found)
    assert "<img" not in picture.svg(found)
    ElementTree.fromstring(picture.svg(found))


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch):
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")


@pytest.fixture
def notebook(monkeypatch):
    """A notebook's kernel, as far as the kit looks at one; gives what was displayed."""
    shown = []
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    display = types.ModuleType("IPython.display")
    display.display = lambda content, raw: shown.append(content)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.delenv("GRADEKIT_SEED", raising=False)
    return shown


def record():
    with evidence.recording("speed", "convolve") as draft:
        draft.data, draft.message = dict(SPEED["data"]), "as fast as that"


def test_in_a_notebook_the_picture_shows_itself(notebook):
    record()
    (content,) = notebook
    assert content["text/html"].count("<circle") == 8
    assert "as fast as that" in content["text/html"]
    assert content["text/plain"].splitlines()[-1].endswith("3 ms: limit")


def test_while_grading_nothing_is_shown(notebook, monkeypatch):
    with evidence.collect() as found:
        record()
    assert len(found) == 1
    monkeypatch.setenv("GRADEKIT_SEED", "1")
    record()
    assert notebook == []


def test_without_a_notebook_nothing_is_shown(notebook, monkeypatch):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    record()
    assert notebook == []


def test_the_evidence_of_a_real_check_can_be_drawn():
    from gradekit import check

    def same(work, x):
        return work(x)

    names = {"__name__": "answers"}
    exec("import torch\ndef work(x):\n    return torch.softmax(x @ x, -1)", names)
    with evidence.collect() as found:
        check.speed(same, dict(names), dict(names), lambda rng, on: {"x": check.normal(rng, 64, 64)}, at_most=9.0)
    stored = json.loads(json.dumps(found[0].as_dict()))
    assert picture.svg(stored).count("<circle") == 2 * stored["data"]["pairs"]
    assert len(picture.lines(stored)) == 3
