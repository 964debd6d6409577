"""gradekit verify: what it lets through, and what it must not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradekit.build.make import build_week
from gradekit.course import Week
from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.problem import Problem
from gradekit.verify import Alternate, Mutant
from gradekit.verify.apply import read_equivalents, read_variants
from gradekit.verify.busy import busy, cores
from gradekit.verify.limits import limits
from gradekit.verify.week import Verification, stress_week, verify_week


def surprises(verification: Verification) -> list[str]:
    return [f"{f.kind} {f.name}: {s}" for f in verification.findings for s in f.surprises]


def verify(week: Week, repeats: int = 1) -> Verification:
    build_week(week)
    return verify_week(week, jobs=2, repeats=repeats, seconds=120)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_a_sound_week_is_verified(week: Week) -> None:
    verification = verify(week, repeats=3)
    assert surprises(verification) == []
    assert verification.ok
    kinds = [finding.kind for finding in verification.findings]
    assert kinds == [
        "solution",
        "inputs",
        "blank",
        *["mutant"] * 4,
        *["alternate"] * 2,
        "automatic",
        "repeats",
        "tests",
    ]
    assert verification.findings[0].score == "5/5"
    assert verification.findings[2].score == "0/5"
    assert verification.to_dict()["ok"] is True
    automatic = next(finding for finding in verification.findings if finding.kind == "automatic")
    assert automatic.score == "7/7"  # q1: forgotten, -, x alone; q2: /, x alone, 0.5 alone, 1.0
    assert verification.survivors == ()


def test_every_variant_is_graded_with_the_solutions_weights_and_the_blank_has_none_of_their_points(
    weights_week: Week,
) -> None:
    verification = verify(weights_week)
    assert surprises(verification) == []
    assert [f.score for f in verification.findings if f.kind in ("solution", "blank")] == ["8/8", "0/8"]
    assert {limit.limit: (limit.solution, limit.by) for limit in verification.limits} == {
        "0.6": ("1", "the other way"),
        "0.95": ("1", "the other way"),
    }


def test_under_stress_right_answers_keep_full_marks(week: Week, monkeypatch: pytest.MonkeyPatch) -> None:
    build_week(week)
    pids: list[int] = []
    running: list[int] = []

    @contextlib.contextmanager
    def watched(count: int, **options: float) -> Iterator[None]:
        with busy(count, **options) as started:
            pids[:] = started
            yield

    def look(result: Result) -> None:
        running.append(sum(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "R" for pid in pids))

    monkeypatch.setattr("gradekit.verify.week.busy", watched)
    verification = stress_week(week, jobs=2, repeats=3, per_core=1, seconds=120, on_result=look)
    assert surprises(verification) == []
    assert [finding.kind for finding in verification.findings] == ["solution", "alternate", "alternate", "repeats"]
    assert len(running) == 5
    assert min(running) == cores()  # every one of them, whenever a grading ended


def test_under_stress_an_answer_that_loses_points_is_told(week: Week) -> None:
    rewrite(
        week.mutants,
        "ALTERNATES = [",
        "ALTERNATES = [\n    Alternate('w', question='q1', why='w', replace={'x + x': 'x + 1'}),",
    )
    build_week(week)
    verification = stress_week(week, jobs=2, repeats=2, per_core=1, seconds=120)
    assert not verification.ok
    assert [f.name for f in verification.findings if not f.ok] == ["w"]


def test_a_week_that_lost_a_hidden_test_is_not(week: Week) -> None:
    text = week.source.read_text()
    start = text.index('# %%\n""" # BEGIN TEST CONFIG\npoints: 2\nhidden: true')
    week.source.write_text(text[:start] + text[text.index("# %% [raw]\n# # END TESTS", start) :])
    rewrite(week.source, "# name: q1\n# points: 3", "# name: q1\n# points: 1")
    rewrite(week.source, "*3 points · about", "*1 point · about")
    # the set-up cell is left, so that the question still has a hidden cell; give it a hidden test that sees nothing
    rewrite(
        week.source,
        'def secret_inputs(rng, device):\n    return {"x": check.normal(rng, 5, 3, device=device)}\n',
        'def secret_inputs(rng, device):\n    return {"x": check.normal(rng, 5, 3, device=device)}\n\n# %%\n'
        '""" # BEGIN TEST CONFIG\npoints: 0\nhidden: true\n""" # END TEST CONFIG\n'
        'def test_little(env):\n    """looks at little"""\n    check.run(apply_double, env, x=torch.ones(1))\n',
    )
    found = surprises(verify(week))
    assert "mutant adds one: q1: survived 'agrees*'" in found
    assert "tests test cases: q1: no mutant fails 'looks at little'" in found


def test_all_that_is_off_is_told(week: Week) -> None:
    week.mutants.write_text(
        "from gradekit.verify import Alternate, Mutant\n"
        "MUTANTS = [\n"
        "    Mutant('equivalent', question='q1', fails={'q1': '*'}, why='w', replace={'x + x': '2 * x'}),\n"
        "    Mutant('fails more', question='q1', fails={'q1': 'agrees*'}, why='w', replace={'x + x': 'x * 0'}),\n"
        "    Mutant('elsewhere', question='q2', fails={'q1': '*'}, why='w', replace={'0.5': '0.25'}),\n"
        "]\n"
        "ALTERNATES = [Alternate('wrong', question='q1', why='w', replace={'x + x': 'x + 1'})]\n"
    )
    assert surprises(verify(week)) == [
        "mutant equivalent: q1: survived '*'",
        "mutant fails more: q1: also failed 'doubles a small tensor'",
        "mutant elsewhere: q1: survived '*'",
        "mutant elsewhere: q2: also failed 'halves two'",
        "mutant elsewhere: q2: also failed 'halves a tensor of four numbers'",
        "alternate wrong: q1: failed 'agrees with the reference on random tensors'",
    ]


def test_an_automatic_mutant_that_no_test_catches_is_told(week: Week) -> None:
    rewrite(week.source, "    doubled = x + x\n", "    doubled = x + x\n    unused = 3\n")
    week.mutants.write_text(week.mutants.read_text() + "\nCAUGHT_AT_LEAST = 0.95\n")
    verification = verify(week)
    assert {mutation.before for mutation in verification.survivors} == {"unused = 3"}
    assert len(verification.survivors) == 3
    found = surprises(verification)
    assert len(found) == 3
    assert "automatic automatic: survived: q1 line 5, off by one: ' 3' -> ' 4'" in found


def test_what_is_listed_as_equivalent_does_not_count(week: Week) -> None:
    rewrite(week.source, "    doubled = x + x\n", "    doubled = x + x\n    unused = 3\n")
    rewrite(week.mutants, "Alternate, Mutant\n", "Alternate, Equivalent, Mutant\n")
    listed = (
        "CAUGHT_AT_LEAST = 1.0\n"
        "EQUIVALENT = [Equivalent('q1', why='w', replace={'unused = 3': ('pass', 'unused = 2')}), "
        "Equivalent('q1', why='w', replace={'= 3': '= 4'}), Equivalent('q2', why='w', replace={'3': '4'})]\n"
    )
    week.mutants.write_text(week.mutants.read_text() + listed)
    verification = verify(week)
    assert verification.survivors == ()
    assert surprises(verification) == ["automatic automatic: q2: no automatic mutant makes a change {'3': '4'}"]


def test_a_mutant_is_graded_by_what_it_can_touch(week: Week) -> None:
    build_week(week)
    graded: dict[str, list[str]] = {}

    def look(result: Result) -> None:
        graded[result.submission] = [question.name for question in result.questions if question.cases]

    verification = verify_week(week, jobs=2, repeats=1, seconds=120, on_result=look)
    assert verification.ok
    assert graded["solution"] == graded["blank"] == ["q1", "q2"]
    assert graded["adds one"] == ["q1"]
    assert graded["divides by four"] == ["q2"]
    assert verification.results["adds one"].score == 3  # 1 of its own, and the solution's 2 for q2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("EQUIVALENT = [1]", "EQUIVALENT is not a list of Equivalent"),
        ("CAUGHT_AT_LEAST = 95", "CAUGHT_AT_LEAST is 95"),
        ("CAUGHT_AT_LEAST = 0.1", "CAUGHT_AT_LEAST is 0.1"),
    ],
)
def test_a_list_of_equivalents_that_is_none_is_an_error(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mutants.py").write_text(text)
    with pytest.raises(Problem, match=says):
        read_equivalents(tmp_path / "mutants.py", "mutants.py")


def test_a_blank_that_passes_a_test_is_told(week: Week) -> None:
    rewrite(
        week.source,
        "    check.close(check.run(apply_halve, env, x=torch.tensor([2.0])), torch.tensor([1.0]))",
        "    assert env is not None",
    )
    assert "blank blank: q2: passed 'halves two'" in surprises(verify(week))


def test_a_flaky_solution_is_told(week: Week) -> None:
    # Each grading tosses a coin that no seed decides: that all 14 fall alike has a chance of 1 in 8,192.
    rewrite(week.source, "def double(x):\n", "import os\n\nodd = os.urandom(1)[0] % 2\n\n\ndef double(x):\n")
    rewrite(week.source, "    doubled = x + x\n", "    doubled = x + x + odd\n")
    found = surprises(verify(week, repeats=14))
    assert any(line.startswith("repeats repeated: solution, grading") for line in found)


def test_inputs_that_let_a_wrong_answer_pass_are_told(week: Week) -> None:
    rewrite(week.source, '{"x": check.normal(rng, 5, 3, device=device)}', '{"x": torch.zeros(5, 3, device=device)}')
    assert any("would pass as a flipped sign" in line for line in surprises(verify(week)))


def test_a_mutant_that_is_no_python_is_an_error(week: Week) -> None:
    rewrite(week.mutants, '"x + x": "x + 1"', '"x + x": "x +"')
    with pytest.raises(Problem, match=r"'adds one' is not Python"):
        verify(week)


def test_a_mutant_that_does_not_apply_is_an_error(week: Week) -> None:
    rewrite(week.mutants, '"x + x": "x + 1"', '"x - x": "x + 1"')
    with pytest.raises(Problem, match=r"'adds one' replaces a text that stands 0 times in the answer of q1"):
        verify(week)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("MUTANTS = []\nALTERNATES = []\n", "MUTANTS is not a list of Mutant, with at least one in it"),
        ("", "MUTANTS is not a list"),
        ("raise ValueError('x')", "cannot be run: ValueError: x"),
        ("MUTANTS = [1]\nALTERNATES = []\n", "MUTANTS is not a list of Mutant"),
    ],
)
def test_empty_or_broken_lists_are_errors(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mutants.py").write_text(text)
    with pytest.raises(Problem, match=says):
        read_variants(tmp_path / "mutants.py", "mutants.py")


def test_a_missing_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is missing"):
        read_variants(tmp_path / "mutants.py", "mutants.py")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mutant("m", question="q1", why="w", replace={"a": "b"}),
        lambda: Mutant("m", question="q1", why="", replace={"a": "b"}, fails={"q1": "*"}),
        lambda: Mutant("m", question="q1", why="w", replace={"a": "b"}, fails={"q1": ()}),
        lambda: Alternate("a", question="q1", why="w"),
        lambda: Alternate("a", question="q1", why="w", replace={"a": "b"}, define="x = 1"),
    ],
)
def test_a_variant_says_what_it_is(make: object) -> None:
    with pytest.raises(ValueError, match=r"'[am]'"):
        make()  # type: ignore[operator]


def test_limits_stand_beside_what_was_measured() -> None:
    def graded(**data: float) -> Result:
        case = CaseResult("speed", 1.0, True, True, "", 0.1, ({"check": "speed", "data": data},))
        return Result("s", "graded", (QuestionResult("q1", 1.0, (case,)),))

    solution = graded(limit=3.0, ratio=1.5, low=1.4, high=1.6, pairs=21)
    mutants = {"slow": graded(limit=3.0, ratio=40.0, low=39.0, high=41.0, pairs=5), "right": graded(blind=0.0)}
    built_in = graded(limit=3.0, ratio=55.5, low=0.7, high=0.8, pairs=21)
    others = {"built-in": built_in, "of another question": built_in}
    peers = {"built-in": ("q1", "torch's own"), "of another question": ("q2", "torch's own")}
    (found,) = limits(solution, mutants | others, peers)
    assert (found.limit, found.solution, found.worst, found.by) == ("3 x", "1.5 (1.4 to 1.6)", "40", "slow")
    assert found.peers == "torch's own 56"


def test_of_a_score_the_lowest_is_the_worst() -> None:
    def graded(mean: float) -> Result:
        evidence = {"check": "outcome", "data": {"at_least": 0.9, "mean": mean, "std": 0.01}}
        case = CaseResult("reads", 1.0, True, True, "", 0.1, (evidence,))
        return Result("s", "graded", (QuestionResult("q4", 1.0, (case,)),))

    (found,) = limits(graded(0.98), {"guesses": graded(0.1), "learns": graded(0.5)}, {})
    assert (found.limit, found.solution, found.worst, found.by) == ("0.9", "0.97", "0.09", "guesses")


def test_two_checks_of_one_test_case_are_two_limits() -> None:
    def graded(speed: float, memory: float) -> Result:
        figures = (("speed", 3.0, speed), ("memory", 20.0, memory), ("memory", 9.0, memory / 10))
        evidence = tuple(
            {"check": check, "data": {"limit": limit, "ratio": ratio, "pairs": 9}} for check, limit, ratio in figures
        )
        return Result(
            "s", "graded", (QuestionResult("q1", 1.0, (CaseResult("both", 1.0, True, True, "", 0.1, evidence),)),)
        )

    found = limits(graded(1.0, 10.0), {"slow": graded(4.0, 10.0), "fat": graded(1.5, 100.0)}, {})
    assert [(one.limit, one.worst, one.by) for one in found] == [
        ("3 x", "4", "slow"),
        ("20 x", "100", "fat"),
        ("9 x", "10", "fat"),
    ]


def test_a_mutant_may_fail_what_the_machine_decides() -> None:
    mutant = Mutant("slow", "q1", why="floats", define="x = 1", fails={"q1": "right*"}, may_fail="speed*")
    assert mutant.surprises("q1", ["right answers"]) == []
    assert mutant.surprises("q1", ["right answers", "speed: twice"]) == []
    assert mutant.surprises("q1", ["speed: twice"]) == ["q1: survived 'right*'"]
    assert mutant.surprises("q2", ["speed: twice"]) == ["q2: also failed 'speed: twice'"]
