"""One week's source -> release, solutions and bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from gradekit.build.about import read_about
from gradekit.build.aside import set_aside
from gradekit.build.assignment import Assignment
from gradekit.build.bundle import write_bundle
from gradekit.build.imports import refuse_imports
from gradekit.build.leak import refuse_leaks
from gradekit.build.percent import read_source
from gradekit.build.stamp import built_files, known_files, write_stamp
from gradekit.build.swap import swap_in
from gradekit.build.transform import Transformed, transform
from gradekit.course import Week
from gradekit.hand_in import MOST_BYTES
from gradekit.problem import Problem

__all__ = ["Built", "build_week", "differences", "load_week", "notebook_bytes", "student_files"]


@dataclass(frozen=True)
class Built:
    """What was built, in a temporary folder: swap it in, compare it, or throw it away."""

    assignment: Assignment
    release: Path
    solutions: Path
    bundle: Path


def load_week(week: Week) -> Transformed:
    """Parse and check a week's source without writing anything."""
    read_about(week.about, week.relative(week.about), week.slug)
    return transform(read_source(week.source, week.relative(week.source)), week.slug)


def build_week(week: Week, on_aside: Callable[[Path, Path], None] = lambda place, folder: None) -> Assignment:
    """Build one week and swap the results in, whole. Raises Problem; what was there then stays as it was.

    What somebody changed by hand in the release or the solutions is set aside; `on_aside` is told where it lies.
    """
    with _built(week) as built:
        for finished, place in ((built.release, week.release), (built.solutions, week.solutions)):
            if folder := set_aside(place, finished, known_files(week, place)):
                on_aside(place, folder)
            swap_in(finished, place)
        swap_in(built.bundle, week.bundle)
        write_stamp(week)
        return built.assignment


def differences(week: Week) -> list[str]:
    """How the committed release and solutions differ from what the source builds; empty when they do not."""
    with _built(week) as built:
        return [
            *_differences(built.release, week.release, week),
            *_differences(built.solutions, week.solutions, week),
        ]


@contextmanager
def _built(week: Week) -> Iterator[Built]:
    transformed = load_week(week)
    for path in (week.reference, week.reference.parent / "__init__.py"):
        if not path.is_file():
            raise Problem("there is no reference implementation", where=week.relative(path), mend="write it first")
    week.bundle.parent.mkdir(parents=True, exist_ok=True)
    # in the course itself, so that what is finished can be moved into place in one step
    with tempfile.TemporaryDirectory(prefix=f".{week.slug}-", dir=week.bundle.parent) as folder:
        root = Path(folder)
        files = _given_files(week, transformed.assignment.files)
        built = Built(transformed.assignment, root / "release", root / "solutions", root / "bundle.zip")
        _write(built.release / week.notebook_name, notebook_bytes(transformed.release))
        for name, data in student_files(week, transformed).items():
            _write(built.release / name, data)
        _write(built.solutions / week.notebook_name, notebook_bytes(transformed.solution))
        for name, data in (files | _handed_in(week, transformed.assignment, files)).items():
            _write(built.solutions / name, data)
        label = week.relative(week.release)
        refuse_leaks(built.release, transformed.solution, transformed.release, transformed.tests, label)
        _refuse_imports(built.release, transformed.release, label)
        write_bundle(built.bundle, transformed, week.reference, files)
        yield built


def student_files(week: Week, transformed: Transformed) -> dict[str, bytes]:
    """What lies beside the student's notebook, by name: the files that the assignment names, and the public tests."""
    files = _given_files(week, transformed.assignment.files)
    for question in transformed.assignment.tested:
        text = transformed.tests.render(question.name, include_hidden=False)
        files[f"tests/{question.name}.py"] = text.encode()
    return files


def _given_files(week: Week, names: tuple[str, ...]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in names:
        place = week.room / name
        if not place.resolve().is_relative_to(week.room.resolve()) or not place.exists():
            raise Problem(
                f"`files` names {name!r}, which is not in this folder",
                where=week.relative(week.source),
                mend=f"put it into {week.relative(week.room)}/, or take it out of the assignment config",
            )
        found = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        for path in found:
            inside = path.relative_to(week.room)
            if any(part.startswith(".") or part == "__pycache__" for part in inside.parts):
                continue  # what editors and file browsers leave behind
            if not path.resolve().is_relative_to(week.room.resolve()):
                raise Problem("is a link out of this folder", where=week.relative(path), mend="copy the file here")
            if inside.parts[0] == week.hand_in.name:
                raise Problem("belongs to the solution", where=week.relative(path), mend="take it out of `files`")
            if inside.parts[0] in {"reference", "tests", week.notebook_name}:
                raise Problem("has the name of something that the build makes", where=week.relative(path))
            files[inside.as_posix()] = path.read_bytes()
    return files


def _handed_in(week: Week, assignment: Assignment, given: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the solution hands in beside its notebook, by name. Students get none of it, nor a file of its name."""
    found = {}
    for name in assignment.hand_in:
        if name in given:
            raise Problem(f"`files` and `hand_in` both name {name}", where=week.relative(week.source))
        path = week.hand_in / name
        if not path.is_file() or path.is_symlink():
            raise Problem(
                "is missing: `hand_in` of the assignment config names it",
                where=week.relative(path),
                mend="put there what the solution hands in; `gradekit verify` grades with it",
            )
        if path.stat().st_size > MOST_BYTES:
            raise Problem(
                f"is larger than {MOST_BYTES // 2**20} MiB, and would not be taken", where=week.relative(path)
            )
        found[name] = path.read_bytes()
    if others := sorted({path.name for path in week.hand_in.glob("[!.]*")} - found.keys()):
        raise Problem("is not named in `hand_in`", where=week.relative(week.hand_in / others[0]), mend="take it away")
    return found


def notebook_bytes(notebook: Any) -> bytes:
    """A notebook as nbformat writes it, with a line end at its end."""
    text: str = nbformat.writes(notebook, version=nbformat.NO_CONVERT)
    return (text.rstrip("\n") + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _refuse_imports(release: Path, notebook: Any, label: str) -> None:
    beside = frozenset(p.stem for p in release.glob("*.py"))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            refuse_imports(cell.source, f"{label}, cell {cell.id}", beside)
    for path in sorted((release / "tests").glob("*.py")):
        refuse_imports(path.read_text(), f"{label}/tests/{path.name}", beside)


def _differences(built: Path, committed: Path, week: Week) -> Iterator[str]:
    ours = {path.relative_to(built) for path in built_files(built)}
    theirs = {path.relative_to(committed) for path in built_files(committed)}
    for path in sorted(ours | theirs):
        name = f"{week.relative(committed)}/{path.as_posix()}"
        if path not in theirs:
            yield f"{name} is missing"
        elif path not in ours:
            yield f"{name} is not built from any source"
        elif (built / path).read_bytes() != (committed / path).read_bytes():
            yield f"{name} differs"
