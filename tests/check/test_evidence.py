from __future__ import annotations

import json
import math

import pytest
import torch

from gradekit import check
from gradekit.check import CheckFailed, evidence


def test_what_runs_inside_is_gathered_and_nothing_else():
    check.close(1, 1)
    with evidence.collect() as outer:
        check.close(1, 1, what="first")
        with evidence.collect() as inner:
            check.close(2, 2, what="second")
        with pytest.raises(CheckFailed):
            check.close(1, 2, what="third")
    check.close(1, 1)
    assert [(e.experiment, e.verdict) for e in outer] == [("first", "pass"), ("third", "fail")]
    assert [e.experiment for e in inner] == ["second"]
    assert outer[1].message == "third is 1: expected 2"
    assert outer[0].check == "close"
    assert outer[0].device == "cpu"


def test_a_mistake_of_the_author_is_filed_as_one():
    with evidence.collect() as found, pytest.raises(check.AuthoringError):
        check.run(torch.sin, {})
    assert found[0].verdict == "fail"
    assert found[0].message.startswith("the check itself stopped: AuthoringError")


def test_data_is_plain_json():
    with evidence.collect() as found, evidence.recording("any", "thing") as draft:
        draft.data = {"a": (1.5, math.nan, -math.inf), 2: torch.float32, "b": None, "c": [True, "x"]}
    assert json.loads(json.dumps(found[0].as_dict(), allow_nan=False))["data"] == {
        "a": [1.5, "nan", "-inf"],
        "2": "torch.float32",
        "b": None,
        "c": [True, "x"],
    }
