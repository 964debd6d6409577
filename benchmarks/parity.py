"""One notebook, three graders: do `gradekit grade`, `otter run` and `nbgrader autograde` give the same points?

    .venv/bin/python benchmarks/parity.py                       week 5: solution, blank, and a mutant of each question
    .venv/bin/python benchmarks/parity.py --mutants 99          every mutant
    .venv/bin/python benchmarks/parity.py --week 1 --course tests/course

Builds the week and nbgrader's course in a temporary folder, makes the release there with nbgrader, grades the same
files with all three, question by question, prints Markdown, and ends with an error where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Points = Mapping[str, float]
PATIENCE_S = 1800  # for one submission


def submissions(week: Any, mutants: int) -> Iterator[tuple[str, str, Any]]:
    """(name, what it is, notebook): the solution, the blank, and up to so many mutants of each question."""
    import nbformat

    from gradekit.verify.apply import apply, read_variants

    solution: Any = nbformat.read(week.solutions / week.notebook_name, as_version=4)
    yield "solution", "the solution", solution
    yield "blank", "as handed out", nbformat.read(week.release / week.notebook_name, as_version=4)
    label = week.relative(week.mutants)
    taken: Counter[str] = Counter()
    for mutant in read_variants(week.mutants, label)[0]:
        taken[mutant.question] += 1
        if taken[mutant.question] <= mutants:
            name = f"{mutant.question}-{taken[mutant.question]}"
            yield name, mutant.name, apply(mutant, solution, label)


def gradekit(bundle: Path, folder: Path) -> dict[str, Points]:
    from gradekit.grade.batch import grade_batch
    from gradekit.grade.bundle import open_bundle
    from gradekit.grade.engine import Terms
    from gradekit.grade.submission import find_submissions

    with open_bundle(bundle) as opened:
        results = grade_batch(opened, find_submissions([folder]), jobs=1, terms=Terms(PATIENCE_S, PATIENCE_S))
    return {result.submission: {q.name: q.score for q in result.questions} for result in results}


def otter(bundle: Path, folder: Path, root: Path) -> dict[str, Points]:
    found: dict[str, Points] = {}
    for notebook in sorted(folder.glob("*.ipynb")):
        output = root / "otter" / notebook.stem
        output.mkdir(parents=True)
        call("otter", "run", "--no-logo", "-a", bundle, "-o", output, notebook, cwd=root)
        tests = json.loads((output / "results.json").read_text())["tests"]
        found[notebook.stem] = {test["name"]: test["score"] for test in tests if "score" in test}
    return found


def nbgrader(course: Path, slug: str, folder: Path) -> dict[str, Points]:
    from nbgrader.api import Gradebook

    for notebook in sorted(folder.glob("*.ipynb")):
        handed_in = course / "submitted" / notebook.stem / slug
        handed_in.mkdir(parents=True)
        shutil.copy(notebook, handed_in / f"{slug}.ipynb")
    call("nbgrader", "autograde", slug, cwd=course)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        return {
            submission.student_id: {
                grade.name.removesuffix("-check"): grade.auto_score
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in book.assignment_submissions(slug)
        }


def call(program: str, *arguments: object, cwd: Path) -> None:
    """Run a program of this environment; nbgrader looks for others on the path."""
    home = Path(sys.executable).parent
    path = os.pathsep.join([str(home), os.environ.get("PATH", "")])
    command = [str(home / program), *map(str, arguments)]
    outcome = subprocess.run(
        command, cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        sys.exit(f"{program} failed:\n{outcome.stdout}{outcome.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--week", default="week05_conv")
    parser.add_argument("--course", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--mutants", type=int, default=1, help="of each question")
    asked = parser.parse_args()
    import nbformat

    from gradekit.build.make import build_week
    from gradekit.build.nbgrader_course import write_course
    from gradekit.course import Course

    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        root = Path(folder)
        for name in ("source", "reference"):
            shutil.copytree(asked.course / name, root / "course" / name)
        week = Course(root / "course").week(asked.week)
        build_week(week)
        write_course(week.course, [week], root / "nbgrader")
        call("nbgrader", "generate_assignment", week.slug, cwd=root / "nbgrader")
        made = (root / "nbgrader" / "release" / week.slug / week.notebook_name).read_bytes()
        same = made == (week.release / week.notebook_name).read_bytes()
        print(f"nbgrader's release is {'the same file as' if same else 'ANOTHER FILE than'} Otter's.\n")
        whats = {}
        (root / "work").mkdir()
        for name, what, notebook in submissions(week, asked.mutants):
            whats[name] = what
            nbformat.write(notebook, root / "work" / f"{name}.ipynb")
        lanes = {
            "gradekit grade": gradekit(week.bundle, root / "work"),
            "otter run": otter(week.bundle, root / "work", root),
            "nbgrader autograde": nbgrader(root / "nbgrader", week.slug, root / "work"),
        }
    questions = sorted(lanes["gradekit grade"]["solution"])
    print(f"| submission | grader | {' | '.join(questions)} | |")
    print(f"| --- | --- |{' --- |' * len(questions)} --- |")
    differ = 0
    for name, what in whats.items():
        for lane, found in lanes.items():
            points = found.get(name, {})
            wrong = points != lanes["gradekit grade"][name]
            differ += wrong
            listed = " | ".join(f"{points[q]:g}" if q in points else "–" for q in questions)
            print(f"| {what} | {lane} | {listed} | {'differs' if wrong else ''} |")
    sys.exit(f"{differ} of {len(whats) * (len(lanes) - 1)} differ" if differ or not same else 0)


if __name__ == "__main__":
    main()
