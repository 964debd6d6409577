"""No submission of the catalogue gets, leaks, breaks or leaves behind anything, in any of three places."""

from __future__ import annotations

import collections
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.catalogue import ATTACKS, CASES, CONTROLS, HUNT, Attack
from tests.attacks.suite import CANARY, ID, PLACES, points, said

POSSIBLE = {
    "plain": {"q1": 3.0, "q2": 2.0},
    "costs": {"q1": 3.0, "q2": 1.0},
    "counts": {"q2": 1.0, "q3": 1.0, "q4": 1.0, "q5": 1.0},
}
ANY = -1.0

# One place after the other, whole: each is graded once, in a process of its own.
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("attacks")]

everywhere = pytest.mark.parametrize("place", PLACES)
each = pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.name for case in CASES])


def result_of(graded: Callable[[str], dict[str, Any]], place: str, number: int) -> dict[str, Any] | None:
    """None where this user cannot stand in the place."""
    found = graded(place)
    if "cannot" in found:
        assert os.geteuid() != 0, found["cannot"]
        return None
    result: dict[str, Any] = found["results"][ID.format(number)]
    return result


@everywhere
@each
def test_it_gets_what_it_deserves(graded: Any, place: str, number: int, case: Attack) -> None:
    if (result := result_of(graded, place, number)) is None:
        return
    got, full = points(result), POSSIBLE[case.week]
    assert result["status"] == "invalid" or {name for name in got} == set(full)
    if result["status"] == "invalid":
        assert case.status == "invalid"
        assert not any(got.values())
    else:
        others = {name: value for name, value in got.items() if name != case.question}
        if not case.spoils:
            assert others == {name: value for name, value in full.items() if name != case.question}, said(result)
    if case.known:
        assert case.gets != case.deserves
        assert got[case.question] == case.gets, f"it no longer succeeds: mend the catalogue. {said(result)}"
    elif case.deserves != ANY:
        assert got[case.question] == case.deserves, said(result)


@everywhere
@each
def test_what_happened_is_told(graded: Any, place: str, number: int, case: Attack) -> None:
    if (result := result_of(graded, place, number)) is None:
        return
    if case.status != "*":
        assert result["status"] == case.status, said(result)
    assert re.search(case.told, said(result)), said(result)[:2000]
    if result["status"] != "graded":
        assert result["note"]
    failed = [c for q in result["questions"] for c in q["cases"] if not c["passed"]]
    assert all(c["message"] for c in failed)


@everywhere
@each
def test_nothing_hidden_is_in_its_result(graded: Any, place: str, number: int, case: Attack) -> None:
    if (result := result_of(graded, place, number)) is None:
        return
    assert not CANARY.findall(json.dumps(result))
    assert len(json.dumps(result)) < 200_000
    assert all(c.isprintable() or c in "\n\t" for c in said(result))  # nothing that steers a terminal


@everywhere
def test_nothing_is_left_behind(graded: Any, place: str) -> None:
    found = graded(place)
    if "cannot" not in found:
        assert found["left below the server"] == []
        assert not any(found["left"].values()), found["left"]
        assert found["servers"] == 1  # nobody has ended the fork server


@everywhere
def test_every_result_says_under_what_isolation_it_ran(graded: Any, place: str) -> None:
    found = graded(place)
    if "cannot" not in found:
        levels = {r["machine"]["isolation"]["level"] for r in found["results"].values() if r["status"] != "invalid"}
        assert levels == {"jail"}


def test_hunters_find_what_is_not_hidden() -> None:
    """The same code, run where marks lie open, finds them: a hunter that looks nowhere would pass for a good jail."""
    mark = "CANARY-open-0123abcd"
    blind = []
    with tempfile.TemporaryDirectory(prefix="gradekit-open-", dir="/tmp") as folder:
        (Path(folder) / "reference").mkdir()
        (Path(folder) / "reference" / "__init__.py").write_text(f"MARK = {mark!r}")
        (Path(folder) / "q1.py").write_text(mark)
        for case in ATTACKS:
            if case.code.startswith(HUNT) and case.name != "reads the code of the experiment":
                code = case.code.replace("get_ipython().user_ns", "{}")  # there is no notebook
                program = f"MARK = {mark!r}\nheld = [MARK, 1]\nimport reference\n{code}\nhunt()\nprint(sorted(found))\n"
                ran = subprocess.run(
                    [sys.executable, "-c", program],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    cwd=folder,
                    env={"PATH": os.environ["PATH"], "INSTRUCTORS_TOKEN": mark},
                )
                if mark not in ran.stdout:
                    blind.append((case.name, ran.stderr[-300:]))
    assert not blind


def test_the_catalogue_is_large_and_varied() -> None:
    assert len(ATTACKS) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(collections.Counter(case.kind for case in ATTACKS)) >= 10
    assert all(case.harm for case in ATTACKS)
    assert {case.name for case in CONTROLS} >= {"right", "wrong", "slow", "crashes", "hangs", "noisy", "partly right"}
