"""Do all roads give the same points?

    python benchmarks/parity.py WEEK --output parity.json

The solution, the blank release, every mutant and every alternate of a week, whole, by `gradekit grade`, as
`gradekit grade --gradebook` enters them, by `otter run`, by `otter grade` in Docker and by stock `nbgrader autograde`.
Points must be equal, question by question. Each grading goes to the file at once, and a run that was interrupted goes
on with what is missing. See README.md for how to read it.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import fnmatch
import json
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import throughput

Scores = dict[str, float]
KIT = "gradekit grade"
GRADEBOOK = "gradekit grade --gradebook"
PATIENCE_S = 3600.0
AT_ONCE = 2


@dataclasses.dataclass(frozen=True)
class Material:
    """notebooks: what is graded, by its name, which a file can have; of: what each is a variant of.

    Where files are handed in beside the notebook (`hand_in`) they are zips with both.
    """

    week: str
    bundle: Path
    course: Path
    questions: tuple[str, ...]
    notebooks: Mapping[str, Path]
    of: Mapping[str, str]


def prepare(slug: str, root: Path, only: Sequence[str]) -> Material:
    """Write a notebook for each variant below `root`."""
    import nbformat

    from gradekit.build.make import build_week
    from gradekit.course import Course
    from gradekit.grade.bundle import open_bundle
    from gradekit.verify.apply import apply, read_variants

    course = Course.find(None)
    week = course.week(slug)
    build_week(week)
    mutants, alternates = read_variants(week.mutants, str(week.mutants))
    solution: Any = nbformat.read(week.solutions / week.notebook_name, as_version=4)
    blank: Any = nbformat.read(week.release / week.notebook_name, as_version=4)
    every = {"solution": solution, "blank": blank}
    every |= {variant.name: apply(variant, solution, str(week.mutants)) for variant in [*mutants, *alternates]}
    with open_bundle(week.bundle) as bundle:
        questions, hand_in = tuple(bundle.points), bundle.hand_in
    notebooks, of = {}, {}
    (root / "notebooks").mkdir()
    for number, (name, notebook) in enumerate(every.items()):
        if not only or any(fnmatch.fnmatchcase(name, pattern) for pattern in only):
            file, written = f"v{number:03}", nbformat.writes(notebook)
            notebooks[file] = root / "notebooks" / f"{file}{'.zip' if hand_in else '.ipynb'}"
            if hand_in:
                with zipfile.ZipFile(notebooks[file], "w") as archive:
                    archive.writestr(week.notebook_name, written)
                    for beside in () if name == "blank" else hand_in:
                        archive.write(week.hand_in / beside, beside)
            else:
                notebooks[file].write_text(written, encoding="utf-8")
            of[file] = name
    return Material(week.slug, week.bundle, course.root, questions, notebooks, of)


# ----------------------------------------------------------------------------------------------------- the graders


def kit(material: Material, root: Path, files: Sequence[str]) -> Iterator[tuple[str, Scores]]:
    grade(material, root, files)
    yield from table(root / "kit" / "grades.csv", "submission", material)


def kits_gradebook(material: Material, root: Path, files: Sequence[str]) -> Iterator[tuple[str, Scores]]:
    """What `kit` has graded is not graded again."""
    course = root / "course"
    course.mkdir(exist_ok=True)
    grade(material, root, files, "--gradebook", f"sqlite:///{course / 'gradebook.db'}")
    for file in files:
        yield file, entered(course, material, file)


def grade(material: Material, root: Path, files: Sequence[str], *options: str) -> None:
    chosen = [material.notebooks[file] for file in files]
    words = (material.bundle, *chosen, "-o", root / "kit", "--resume", *options)
    throughput.call(throughput.command("gradekit"), "grade", *words, timeout=PATIENCE_S)


def otter_run(material: Material, root: Path, files: Sequence[str]) -> Iterator[tuple[str, Scores]]:
    def one(file: str) -> tuple[str, Scores]:
        output = Path(tempfile.mkdtemp(dir=root, prefix="otter-"))
        notebook = shutil.copy(material.notebooks[file], output)
        words = (throughput.command("otter"), "run", "--no-logo", "-a", material.bundle, "-o", output, notebook)
        throughput.call(*words, cwd=output, timeout=PATIENCE_S)
        tests = json.loads((output / "results.json").read_text())["tests"]
        return file, {test["name"]: float(test["score"]) for test in tests if test["name"] in material.questions}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(one, files)


def otter_grade(material: Material, root: Path, files: Sequence[str]) -> Iterator[tuple[str, Scores]]:
    folder = Path(tempfile.mkdtemp(dir=root, prefix="docker-"))
    notebooks = [shutil.copy(material.notebooks[file], folder) for file in files]
    grade = (throughput.command("otter"), "grade", "-n", material.week, "-a", material.bundle)
    options = ("--image", throughput.IMAGE, "--containers", AT_ONCE, "--timeout", int(PATIENCE_S), "-o", folder)
    kind = ("--ext", Path(notebooks[0]).suffix[1:])
    throughput.call(*grade, *options, *kind, *notebooks, cwd=folder, timeout=PATIENCE_S)
    yield from table(folder / "final_grades.csv", "file", material)


def nbgrader(material: Material, root: Path, files: Sequence[str]) -> Iterator[tuple[str, Scores]]:
    course = root / "nbgrader"
    if not course.exists():
        gradekit = throughput.command("gradekit")
        throughput.call(gradekit, "build", material.week, "--nbgrader", course, "--course", material.course)
        throughput.call(throughput.command("nbgrader"), "generate_assignment", material.week, cwd=course)
    for file in files:
        submitted = course / "submitted" / file / material.week
        submitted.mkdir(parents=True, exist_ok=True)
        if zipfile.is_zipfile(material.notebooks[file]):
            shutil.unpack_archive(material.notebooks[file], submitted)
        else:
            shutil.copy(material.notebooks[file], submitted / f"{material.week}.ipynb")
    # of all that lies there those that are not graded yet: one start for all
    words = (throughput.command("nbgrader"), "autograde", material.week)
    throughput.call(*words, cwd=course, timeout=PATIENCE_S)
    for file in files:
        yield file, entered(course, material, file)


def entered(course: Path, material: Material, file: str) -> Scores:
    """What is in nbgrader's gradebook of the questions that tests grade."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        graded = gradebook.find_submission_notebook(material.week, material.week, file)
        points = {grade.name.removesuffix("-check"): grade.auto_score for grade in graded.grades}
    return {question: float(points[question]) for question in material.questions}


def table(path: Path, column: str, material: Material) -> Iterator[tuple[str, Scores]]:
    """The rows of a table of grades that are of notebooks of ours."""
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            if (file := Path(row[column]).stem) in material.notebooks:
                yield file, {question: float(row[question]) for question in material.questions}


Grader = Callable[[Material, Path, Sequence[str]], Iterator[tuple[str, Scores]]]
GRADERS: dict[str, Grader] = {
    KIT: kit,
    GRADEBOOK: kits_gradebook,
    "otter run": otter_run,
    "otter grade": otter_grade,
    "nbgrader autograde": nbgrader,
}
BATCH = {KIT: 1000, GRADEBOOK: 1000, "otter run": AT_ONCE, "otter grade": 8, "nbgrader autograde": 8}
"""Submissions of a call, after which what was found is kept."""


# ------------------------------------------------------------------------------------------------ what came of it


def differences(found: Mapping[str, Mapping[str, Scores]], names: Sequence[str]) -> list[str]:
    """A line for each question of each variant on which the graders do not agree; and for what one has not graded."""
    lines = []
    for name in names:
        of_each = {grader: scores.get(name) for grader, scores in found.items()}
        missing = [grader for grader, scores in of_each.items() if scores is None]
        lines += [f"{name}: not graded by {grader}" for grader in missing]
        graded = {grader: scores for grader, scores in of_each.items() if scores is not None}
        for question in dict.fromkeys(q for scores in graded.values() for q in scores):
            points = {grader: scores.get(question) for grader, scores in graded.items()}
            if len(set(points.values())) > 1:
                shown = ", ".join(f"{grader} {value}" for grader, value in points.items())
                lines.append(f"{name}, {question}: {shown}")
    return lines


def markdown(found: Mapping[str, Mapping[str, Scores]], names: Sequence[str], seconds: float) -> Iterator[str]:
    off = differences(found, names)
    first = next(iter(found.values()))
    columns = list(dict.fromkeys(question for scores in first.values() for question in scores))
    yield "## Parity"
    yield ""
    yield f"{throughput.head()}. {len(names)} notebooks by {', '.join(found)}; {seconds / 60:.0f} minutes."
    yield ""
    yield f"{len(off)} differences" + (":" if off else ": every question has the same points by each.")
    yield from (f"- {line}" for line in off)
    yield ""
    graded = [name for name in names if name in first]
    yield from throughput.table(["notebook", *columns], [[n, *(f"{first[n][q]:g}" for q in columns)] for n in graded])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Do all roads give the same points?")
    parser.add_argument("week")
    parser.add_argument("--output", type=Path, required=True, help="the file of what was found; it is gone on with")
    parser.add_argument("--grader", action="append", choices=list(GRADERS), help="by default all but otter grade")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="names of variants, as in fnmatch"
    )
    options = parser.parse_args(arguments)
    chosen = options.grader or [grader for grader in GRADERS if grader != "otter grade"]
    found: dict[str, dict[str, Scores]] = json.loads(options.output.read_text()) if options.output.exists() else {}
    started = time.perf_counter()
    root = Path(tempfile.mkdtemp(prefix="gradekit-parity-"))
    try:
        material = prepare(options.week, root, options.only)
        for grader in chosen:
            known = found.setdefault(grader, {})
            todo = [file for file, name in material.of.items() if name not in known]
            for first in range(0, len(todo), BATCH[grader]):
                for file, scores in GRADERS[grader](material, root, todo[first : first + BATCH[grader]]):
                    known[material.of[file]] = scores
                options.output.write_text(json.dumps(found, indent=1) + "\n")
                throughput.say(f"{grader}: {min(first + BATCH[grader], len(todo))} of {len(todo)}")
    except RuntimeError as error:
        throughput.say(f"parity.py: {error}")
        return 1
    finally:
        shutil.rmtree(root, ignore_errors=True)
    names = list(material.of.values())
    shown = {grader: found[grader] for grader in chosen}
    print("\n".join(markdown(shown, names, time.perf_counter() - started)))
    return 1 if differences(shown, names) else 0


if __name__ == "__main__":
    sys.exit(main())
