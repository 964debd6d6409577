"""What people and other programs read of the results: grades.csv for the class, one JSON file a submission.

Views are made from results and hold nothing of their own: the same results give the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from gradekit.grade.result import Result
from gradekit.grade.spreadsheet import cell, quoted
from gradekit.problem import Problem

__all__ = ["explained", "file_names", "write_grades", "write_result", "write_views", "write_whole"]

# Most of the time goes into waiting for the disk, which takes the writes of several threads at once.
_WRITERS = 8


def write_views(folder: Path, results: Iterable[Result]) -> Path:
    """`folder/grades.csv` and one JSON file each below `folder/results`; the path of the former.

    Each file is whole at any moment, the old one or the new. Nothing is removed. Names of submissions that a file
    system may take for the same (Ada and ada) have a digest in their files' names. Problem if it cannot be written.
    """
    results = list(results)
    names = file_names(result.submission for result in results)
    paths = {submission: folder / "results" / f"{name}.json" for submission, name in names.items()}
    with explained(folder):
        (folder / "results").mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_WRITERS) as pool:
            one_each = {result.submission: result for result in results}.values()
            for _ in pool.map(lambda result: write_whole(paths[result.submission], _json(result)), one_each):
                pass  # an error in one of them is raised here
        _flush(folder / "results")
    return write_grades(folder, results)


def write_result(folder: Path, result: Result) -> Path:
    """`folder/results/<submission>.json`, in Gradescope's schema."""
    path = folder / "results" / f"{_file_name(result.submission, unique=True)}.json"
    with explained(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _json(result))
    return path


def write_grades(folder: Path, results: Sequence[Result]) -> Path:
    """`folder/grades.csv`: submission, status, score, possible, and a column a question.

    Questions that a person marks come last, with nothing in their cells: `score` and `possible` are without them.
    """
    questions = list(dict.fromkeys(q.name for result in results for q in result.questions))
    questions += dict.fromkeys(name for result in results for name in result.by_hand)
    rows = [["submission", "status", "score", "possible", *map(quoted, questions)]]
    for result in sorted(results, key=lambda r: r.submission):
        scores = {question.name: f"{question.score:g}" for question in result.questions}
        name = cell(result.submission)
        per_question = [scores.get(question, "") for question in questions]
        rows.append([name, result.status, f"{result.score:g}", f"{result.possible:g}", *per_question])
    path = folder / "grades.csv"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(",".join(row) + "\n" for row in rows))
        _flush(folder)
    return path


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Tell a person what the system means where something cannot be written into `folder`."""
    try:
        yield
    except OSError as error:
        raise Problem(
            f"the grades cannot be written: {error.strerror or error}",
            where=error.filename or folder,
            mend="make the folder writable and see that there is room on its disk, or name another folder",
        ) from error


def write_whole(path: Path, text: str) -> None:
    """All of it or nothing, also when the machine stops: it is on the disk before it takes the old one's place."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # another process may write the same view
    try:
        with partial.open("wb") as stream:
            stream.write(text.encode("utf-8", errors="backslashreplace"))  # a lone surrogate becomes JSON's own \udXXX
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _flush(folder: Path) -> None:
    """Have the disk remember the new names in a folder, where it is able to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# File names ------------------------------------------------------------------------------------------------------


def file_names(submissions: Iterable[str]) -> dict[str, str]:
    """Submission -> the name, without a suffix, of files of its own, which no other's are taken for."""
    submissions = list(submissions)
    spellings = Counter(_caseless(submission) for submission in submissions)
    return {name: _file_name(name, unique=spellings[_caseless(name)] == 1) for name in submissions}


def _file_name(submission: str, *, unique: bool) -> str:
    """A safe file name that people still recognise; a digest keeps apart what cleaning would make the same.

    `unique`: no other submission's name differs in case alone.
    """
    clean = re.sub(r"[^\w.\- ]", "_", submission).strip(". ").lstrip("-. ")
    clean = clean.encode(errors="replace")[:120].decode(errors="ignore") or "submission"
    if clean != submission or not unique or _ends_like_a_digest(clean):
        clean += f"-{hashlib.sha256(submission.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    return clean


def _ends_like_a_digest(name: str) -> bool:
    """Whether somebody may have chosen the name for being the file of somebody else."""
    return re.search(r"-[0-9a-f]{16}\Z", name, re.IGNORECASE) is not None


def _caseless(name: str) -> str:
    """What a file system that ignores case and composition compares (canonical caseless matching, Unicode D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


# JSON ------------------------------------------------------------------------------------------------------------


def _json(result: Result) -> str:
    data = result.to_gradescope()
    try:
        return _indented(data, 0) + "\n"
    except ValueError:  # a number that JSON has no word for
        return _indented(_finite(data), 0) + "\n"


def _indented(value: Any, depth: int) -> str:
    """`json.dumps(value, indent=1, ensure_ascii=False)`, byte for byte, in less time.

    With an indent Python's own encoder does without its part in C. Here that part encodes whatever holds no other
    containers (the samples of a measurement, above all), with the line break and the indent as its separator.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    if type(value) is float and math.isfinite(value):
        return repr(value)
    if not isinstance(value, dict | list | tuple) or not value:
        return _encoder(0).encode(value)
    inner = "\n" + " " * (depth + 1)
    if _SCALARS.issuperset(map(type, value.values() if isinstance(value, dict) else value)):
        flat = _encoder(depth + 1).encode(value)
        return f"{flat[0]}{inner}{flat[1:-1]}\n{' ' * depth}{flat[-1]}"
    if isinstance(value, dict):
        parts = [f"{_key(key)}: {_indented(item, depth + 1)}" for key, item in value.items()]
        return f"{{{inner}{(',' + inner).join(parts)}\n{' ' * depth}}}"
    return f"[{inner}{(',' + inner).join([_indented(item, depth + 1) for item in value])}\n{' ' * depth}]"


_SCALARS = {str, int, float, bool, type(None)}


def _key(key: Any) -> str:
    return encode_basestring(key) if isinstance(key, str) else _encoder(0).encode({key: 0})[1:-4]  # 1 becomes "1"


@functools.cache
def _encoder(depth: int) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",\n" + " " * depth, ": "))


def _finite(value: Any) -> Any:
    """The same with what is not finite as the strings "nan", "inf" and "-inf", as in evidence."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
