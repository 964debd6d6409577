"""The arithmetic of the benchmark, and its own lane on three submissions."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import nbformat
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
throughput = importlib.import_module("throughput")

Lane, Look, Work = throughput.Lane, throughput.Look, throughput.Work


def scores(*points: float) -> dict[str, float]:
    return dict(zip(throughput.ANSWERS, points, strict=True))


def look(graded: int, memory: int = 0, descriptors: int = 8) -> Any:
    return Look(graded, graded / 10, memory, descriptors, memory, descriptors, 12)


def found(kit_s: float, other_s: float, overhead_s: float, private: float) -> Any:
    """Ten submissions of the kit, and one of `otter run` and of nbgrader, with 50 ms of own work each."""
    graded = {f"s{i}": scores(3, 3, 4, 2) for i in range(10)}
    each = (30.0, *([0.05 + overhead_s] * 9))
    return throughput.Found(
        one=Lane("gradekit grade", graded, 10 * kit_s, 1, each, 1.0),
        all_cores=Lane("gradekit grade", graded, 5 * kit_s, 2, each, 1.0),
        others=[
            Lane("otter run", {"s0": scores(3, 3, 4, 2)}, other_s, 1, (), other_s),
            Lane("nbgrader autograde", {"s0": scores(3, 3, 4, 2)}, other_s, 1, (), other_s),
        ],
        left_out={},
        work=Work(0.05, 0.04),
        fork=throughput.Fork(3.0, 5.0, 0.05, 0.02, private, "jail"),
        peak=2**30,
        load=0.0,
    )


# -------------------------------------------------------------------------------------------- the submissions


def test_no_two_of_sixty_submissions_answer_alike() -> None:
    chosen = throughput.choices(60)
    assert len(chosen) == len({tuple(choice.values()) for choice in chosen.values()}) == 60


def test_the_sample_holds_every_kind_of_answer_to_every_question() -> None:
    sample = list(throughput.choices(60).values())[: throughput.SAMPLE]
    for question, answers in throughput.ANSWERS.items():
        assert {choice[question] for choice in sample} == set(answers)


def test_a_kind_of_answer_is_worth_what_it_says() -> None:
    chosen = {"ada": dict.fromkeys(throughput.ANSWERS, "partly")}
    assert throughput.worth(chosen) == {"ada": scores(1, 1, 2, 1)}


# ------------------------------------------------------------------------------------------------------ scores


def test_a_point_more_or_less_is_a_difference() -> None:
    expected = {"ada": scores(3, 3, 4, 2)}
    assert throughput.differing(expected, Lane("otter run", {"ada": scores(3, 3, 4, 2)}, 1.0)) == []
    (said,) = throughput.differing(expected, Lane("otter run", {"ada": scores(3, 3, 3, 2)}, 1.0))
    assert said == "otter run: ada, q3: 3 points, expected 4"


def test_a_question_that_a_grader_leaves_out_is_a_difference() -> None:
    assert throughput.differing({"ada": scores(0, 0, 0, 0)}, Lane("otter run", {"ada": {"q1": 0.0}}, 1.0))


def test_otters_results_are_read_by_question() -> None:
    tests = [{"name": "Public Tests", "output": ""}, {"name": "q1", "score": 3, "max_score": 3}]
    assert throughput.read_otter({"tests": tests}) == {"q1": 3.0}


def test_a_submission_that_the_kit_did_not_grade_in_full_ends_the_benchmark(tmp_path: Path) -> None:
    (tmp_path / "grades.csv").write_text("submission,status,score,possible,q1,q2,q3,q4\nada,timeout,3,12,3,0,0,0\n")
    with pytest.raises(RuntimeError, match="ada is timeout"):
        throughput.read_kit(tmp_path)


# ----------------------------------------------------------------------------------------------------- figures


def test_the_first_submission_which_waits_for_the_start_is_no_overhead() -> None:
    lane = Lane("gradekit grade", {"a": {}, "b": {}, "c": {}}, 31.0, 1, (30.0, 0.25, 0.35))
    assert throughput.overhead(lane, Work(0.05, 0.0)) == pytest.approx(0.25)


def test_a_grader_that_does_not_say_how_long_each_took_has_its_start_in_every_one() -> None:
    assert throughput.overhead(Lane("otter run", {"a": {}, "b": {}}, 20.0), Work(0.05, 0.0)) == pytest.approx(9.95)


def test_targets_are_met_or_missed_by_their_figures() -> None:
    good = [row[1] for row in throughput.targets(found(kit_s=0.1, other_s=8.0, overhead_s=0.09, private=12e6))]
    assert good == ["**met**"] * 4
    bad = [row[1] for row in throughput.targets(found(kit_s=0.5, other_s=8.0, overhead_s=0.11, private=42e6))]
    assert bad == ["**missed**"] * 4


def test_what_was_not_measured_is_not_shown() -> None:
    full = found(kit_s=0.1, other_s=8.0, overhead_s=0.09, private=12e6)
    without = throughput.dataclasses.replace(full, others=full.others[:1], left_out={"nbgrader autograde": "no room"})
    rows = list(throughput.targets(without))
    assert rows[1][1:] == ["not shown", "no room"]
    assert "Left out: nbgrader autograde" in "\n".join(throughput.markdown(without))


def test_the_report_has_every_lane() -> None:
    text = "\n".join(throughput.markdown(found(kit_s=0.1, other_s=8.0, overhead_s=0.09, private=12e6)))
    assert "| otter run | 1 | 1 | 8.000 s | 7.5 | 8.000 s | 7.950 s |" in text


# ---------------------------------------------------------------------------------------------------- processes


def test_a_slope_is_by_the_thousand_and_leaves_out_the_first_look() -> None:
    looks = [look(500, memory=10), look(1000, 100), look(1500, 150), look(2000, 200)]
    assert throughput.slope(looks, lambda one: one.grading_rss) == pytest.approx(100)
    assert math.isnan(throughput.slope(looks[:1], lambda one: one.grading_rss))


def test_what_the_table_at_the_end_takes_is_no_leak() -> None:
    looks = [look(n) for n in range(500, 2500, 500)] + [look(2500, memory=10**9)]
    assert throughput.slope(looks, lambda one: one.grading_rss) == 0


def test_a_leak_of_memory_or_of_descriptors_is_not_flat() -> None:
    flat = [look(n) for n in range(500, 3000, 500)]
    assert all(each <= most for _, each, _, most in throughput.flatness(flat))
    growing = [look(n, memory=n * 10_000) for n in range(500, 3000, 500)]
    opened = [look(n, descriptors=n // 500) for n in range(500, 3000, 500)]
    for looks in (growing, opened):
        assert any(each > most for _, each, _, most in throughput.flatness(looks))


def test_private_memory_is_clean_and_dirty() -> None:
    sizes = throughput.rollup_of("Rss:  900 kB\nPrivate_Clean:  4 kB\nPrivate_Dirty:  8 kB\nPrivate_Hugetlb:  2 kB\n")
    assert throughput.private(sizes) == 12 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_tree_holds_the_children_of_children() -> None:
    command = "import subprocess; print(subprocess.run(['sleep', '30']))"
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.DEVNULL) as process:
        try:
            while len(throughput.tree(process.pid)) < 2:
                assert process.poll() is None
            assert process.pid in throughput.tree(os.getpid())
            assert throughput.rollup(process.pid)["Pss"] > 0
        finally:
            for pid in reversed(throughput.tree(process.pid)):
                os.kill(pid, 9)
    assert throughput.rollup(process.pid) == {}


# ----------------------------------------------------------------------------------------------------- for real


def test_three_submissions_through_the_kit_have_what_their_answers_are_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")
    tmp_path.chmod(0o755)
    material = throughput.prepare(tmp_path, 3)
    lane = throughput.kit(material, tmp_path, 2)
    assert set(lane.scores) == set(material.chosen)
    assert throughput.differing(throughput.worth(material.chosen), lane) == []
    assert len(lane.each) == 3
    assert min(lane.each) > 0
    assert throughput.stored(next(tmp_path.glob("kit-*")) / "results.sqlite") == 3


def test_a_bundles_reference_is_its_own_whatever_was_imported_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = throughput.prepare(tmp_path, 1)
    other = types.ModuleType("reference")
    monkeypatch.setitem(sys.modules, "reference", other)
    with throughput.unpacked(material.bundle, tmp_path / "opened"):
        import reference

        assert str(reference.__path__[0]).startswith(str(tmp_path))
    assert sys.modules["reference"] is other


def test_nbgraders_cells_are_worth_the_same_points(tmp_path: Path) -> None:
    material = throughput.prepare(tmp_path, 1)
    release = nbformat.read(material.release, as_version=4)
    with throughput.unpacked(material.bundle, tmp_path / "opened") as files:
        made, tests = throughput.graded_by_nbgrader(release, files / "tests")
    points = dict.fromkeys(throughput.ANSWERS, 0.0)
    for cell in made.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            points[tests[cell.metadata["nbgrader"]["grade_id"]]] += cell.metadata["nbgrader"]["points"]
    assert points == scores(3, 3, 4, 2)
    assert "grader.check" not in json.dumps(made)
