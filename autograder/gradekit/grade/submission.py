"""What was handed in: notebooks, zips and folders -> one submission each, under one name each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gradekit.problem import UsageProblem

__all__ = ["InvalidSubmission", "Submission", "find_submissions", "read_notebook"]

# A notebook larger than this is not graded: its outputs alone would fill the memory of the machine.
MAX_NOTEBOOK_BYTES = 64 * 2**20
_SKIPPED = {".ipynb_checkpoints", "__pycache__", "__MACOSX"}
_SUFFIXES = {".ipynb", ".zip"}


@dataclass(frozen=True)
class Submission:
    """One student's work: `path` is a notebook, or a zip that holds one."""

    name: str
    path: Path


class InvalidSubmission(Exception):
    """This submission cannot be graded; the text says why, in one line."""


def find_submissions(paths: Iterable[Path]) -> list[Submission]:
    """The submissions that `paths` mean, by name.

    A notebook or a zip is one submission. In a folder every file is one, and every subfolder (a student's own), whose
    name is the submission's. In a student's folder notebooks count, and zips only where there is no notebook; more than
    one are told apart by their names. What is no notebook and no zip is a submission as well, and found invalid when it
    is graded, so that nobody is passed over in silence; names that begin with a dot are left out. UsageProblem where a
    path does not exist or a folder is empty.
    """
    found: list[tuple[list[str], Path]] = []
    for path in paths:
        if path.is_dir():
            inside = list(_inside(path, [path.resolve().name]))
            if not inside:
                raise UsageProblem("is empty", where=path, mend="name a folder of submissions")
            found += inside
        elif path.exists() or path.is_symlink():
            found.append(([path.resolve().parent.name, path.stem], path))
        else:
            raise UsageProblem("there is no such file or folder", where=path)
    return _named(found)


def _inside(folder: Path, above: list[str]) -> Iterable[tuple[list[str], Path]]:
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED or path.name.startswith("."):
            continue
        if path.is_dir():
            works = _works(path)
            for work in works:
                yield [*above, path.name if len(works) == 1 else f"{path.name}/{work.stem}"], work
            if not works:
                yield [*above, path.name], path
        else:
            yield [*above, path.stem if path.suffix.lower() in _SUFFIXES else path.name], path


def _works(folder: Path) -> list[Path]:
    """The notebooks in a student's folder, or the zips where there are none."""
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _SUFFIXES
        and not any(part in _SKIPPED or part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return [path for path in files if path.suffix.lower() == ".ipynb"] or files


def _named(found: list[tuple[list[str], Path]]) -> list[Submission]:
    """The shortest tail of its path that tells each from the others; a number where even the whole does not."""
    names: dict[str, Path] = {}
    for parts, path in found:
        same = [p for p, other in found if p[-1] == parts[-1] and other != path]
        name = "/".join(parts[-2:]) if same else parts[-1]
        unique, count = name, 1
        while unique in names:
            count += 1
            unique = f"{name}-{count}"
        names[unique] = path
    return [Submission(name, path) for name, path in names.items()]


def read_notebook(submission: Submission, assignment: str) -> bytes:
    """The notebook of a submission, as bytes that are known to be a notebook.

    It is one of `assignment`, or of any where that is empty. Raises InvalidSubmission, saying why in one line.
    """
    try:
        data = _bytes(submission.path, assignment)
    except OSError as error:
        raise InvalidSubmission(f"cannot be read: {error.strerror or error}") from error
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidSubmission("is not a notebook: not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise InvalidSubmission(f"is not a notebook: not JSON ({error})"[:200]) from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise InvalidSubmission("is not a notebook: it has no cells (a notebook of format 3 must be saved anew)")
    metadata = notebook.get("metadata")
    otter = metadata.get("otter") if isinstance(metadata, dict) else None
    named = otter.get("assignment_name") if isinstance(otter, dict) else None
    if assignment and named and named != assignment:
        raise InvalidSubmission(f"is a notebook of {str(named)[:80]!r}, this bundle grades {assignment!r}")
    return data


def _bytes(path: Path, assignment: str) -> bytes:
    if path.is_dir():
        raise InvalidSubmission("the folder holds no notebook and no zip")
    if not path.is_file():
        raise InvalidSubmission("is not a file")
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidSubmission("is neither a notebook (.ipynb) nor a zip")
    if path.suffix.lower() == ".zip":
        return _from_zip(path, assignment)
    if path.stat().st_size > MAX_NOTEBOOK_BYTES:
        raise InvalidSubmission(f"is larger than {MAX_NOTEBOOK_BYTES // 2**20} MiB: clear its outputs and save it anew")
    return path.read_bytes()


def _from_zip(path: Path, assignment: str) -> bytes:
    """The one notebook in a zip, or the one that has the assignment's name. Nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if entry.filename.lower().endswith(".ipynb")
                and not any(part in _SKIPPED or part.startswith("._") for part in entry.filename.split("/"))
            ]
            if len(entries) > 1:
                entries = [e for e in entries if Path(e.filename).name == f"{assignment}.ipynb"]
            if len(entries) != 1:
                raise InvalidSubmission(f"the zip does not hold one notebook named {assignment}.ipynb")
            with archive.open(entries[0]) as stream:
                data = stream.read(MAX_NOTEBOOK_BYTES + 1)  # never more, whatever the zip says of itself
    except InvalidSubmission:
        raise
    except Exception as error:  # zlib, lzma, struct, names that are no text: a zip can be broken in any of its parts
        raise InvalidSubmission(f"is not a zip that can be read: {error}"[:200]) from error
    if len(data) > MAX_NOTEBOOK_BYTES:
        raise InvalidSubmission(f"its notebook is larger than {MAX_NOTEBOOK_BYTES // 2**20} MiB")
    return data
