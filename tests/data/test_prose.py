from __future__ import annotations

import dataclasses
import re
import sys
import types

import pytest

from gradekit import data
from gradekit.data.prose import deduplicated, split


@pytest.fixture(autouse=True)
def no_consent(monkeypatch):
    monkeypatch.delenv("GRADEKIT_DATA", raising=False)


def test_sizes_and_types():
    prose = data.prose()
    assert 75 <= len(prose.documents) <= 90  # 78 on Python 3.11 to 3.13
    assert 350_000 < len(prose.text()) < 550_000
    assert list(prose.documents) == sorted(prose.documents)
    assert all(len(text) >= 200 and text.endswith("\n") for text in prose.documents.values())
    assert prose.documents["assert"].startswith('The "assert" statement\n***')
    with pytest.raises(dataclasses.FrozenInstanceError):
        prose.train = ()


def test_it_is_the_same_every_time():
    assert data.prose() == data.prose()


def test_the_split_has_every_document_once_and_a_tenth_of_the_text_in_each_small_part():
    prose = data.prose()
    assert sorted(prose.train + prose.validation + prose.test) == list(prose.documents)
    whole = len(prose.text())
    for part in (prose.validation, prose.test):
        assert 0.07 < len(prose.text(part)) / whole < 0.13
    assert {"calls", "for", "strings"} <= set(prose.validation + prose.test)


def test_a_new_title_moves_no_other():
    titles = list(data.prose().documents)
    before, after = split(titles), split([*titles, "a new one"])
    for old, new in zip(before, after, strict=True):
        assert set(old) <= set(new)


def test_no_paragraph_stands_in_two_documents():
    found: dict[str, str] = {}
    for title, text in data.prose().documents.items():
        for paragraph in re.split(r"\n{2,}", text):
            words = " ".join(paragraph.split())
            if len(words) >= 40 and "***" not in words:
                assert found.setdefault(words, title) == title


def test_a_paragraph_goes_to_the_shortest_document_and_its_heading_with_it():
    one = "A sentence that is long enough to be told from another one."
    other = "Another sentence, which is even longer, so that it counts " * 5
    third = "What neither of the small ones has, in a document of its own. " * 5
    raw = {
        "small": f"Small\n*****\n\n{one}\n\n{other}\n",
        "large": f"Large\n*****\n\nSmall\n=====\n\n{one}\n\n{other}\n\n{third}\n\nshort   \n\nshort",
        "copy": f"Small\n*****\n\n{one}\n\n{other}\n",
    }
    assert deduplicated(raw) == {
        "copy": f"Small\n*****\n\n{one}\n\n{other.strip()}\n",
        "large": f"Large\n*****\n\n{third.strip()}\n\nshort\n\nshort\n",
    }


def test_questions_are_answered_by_documents_that_are_there():
    prose = data.prose()
    assert len(prose.questions) >= 40
    assert len({question.text for question in prose.questions}) == len(prose.questions)
    for question in prose.questions:
        assert question.titles
        assert set(question.titles) <= set(prose.documents)


def test_a_python_without_its_topics_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data", None)
    with pytest.raises(ImportError, match="part of its standard library"):
        data.prose()


WIKI = {
    "train": [
        "",
        " = Robin = \n",
        "\n",
        " A bird . \n",
        " = = Song = = \n",
        " It sings . \n",
        " = Wren = \n",
        " Small . \n",
    ],
    "validation": [" = Robin = \n", " A ship . \n"],
    "test": [" = Owl = \n", " Another bird . \n"],
}


def test_the_full_counterpart_has_the_same_interface(monkeypatch):
    def load_dataset(path, name, *, split):
        assert (path, name) == ("Salesforce/wikitext", "wikitext-2-raw-v1")
        return {"text": WIKI[split]}

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setenv("GRADEKIT_DATA", "full")
    prose = data.prose()
    assert (prose.train, prose.validation, prose.test) == (("Robin", "Wren"), ("Robin (2)",), ("Owl",))
    assert prose.documents["Robin"] == "Robin\n\nA bird . \n = = Song = = \n It sings .\n"
    assert prose.text(prose.test) == "Owl\n\nAnother bird .\n"
    assert prose.questions == ()
    assert "assert" in data.prose(full=False).documents  # whatever the environment says


def test_without_datasets_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="pip install datasets"):
        data.prose(full=True)


def test_without_a_network_it_says_so(monkeypatch):
    def load_dataset(path, name, *, split):
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(RuntimeError, match=r"no route.*unset GRADEKIT_DATA"):
        data.prose(full=True)


def test_another_word_than_full_is_refused(monkeypatch):
    monkeypatch.setenv("GRADEKIT_DATA", "lots")
    with pytest.raises(ValueError, match="expected full"):
        data.prose()
