"""Write results down: grades.csv for the class, one JSON file a submission."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from gradekit.grade.result import Result

__all__ = ["write_grades", "write_result"]


def write_result(folder: Path, result: Result) -> Path:
    """`folder/results/<submission>.json`, in Gradescope's schema."""
    path = folder / "results" / f"{_file_name(result.submission)}.json"
    _write(path, json.dumps(result.to_gradescope(), indent=1, ensure_ascii=False) + "\n")
    return path


def write_grades(folder: Path, results: Sequence[Result]) -> Path:
    """`folder/grades.csv`: submission, status, score, possible, and a column a question."""
    questions = list(dict.fromkeys(q.name for result in results for q in result.questions))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["submission", "status", "score", "possible", *questions])
    for result in sorted(results, key=lambda r: r.submission):
        scores = {question.name: f"{question.score:g}" for question in result.questions}
        name = _plain(result.submission)
        table.writerow([name, result.status, f"{result.score:g}", f"{result.possible:g}", *map(scores.get, questions)])
    path = folder / "grades.csv"
    _write(path, text.getvalue())
    return path


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(partial, path)


def _file_name(submission: str) -> str:
    """A safe file name that people still recognise; a digest keeps apart what cleaning would make the same."""
    clean = re.sub(r"[^\w.\- ]", "_", submission).strip(". ").encode()[:120].decode(errors="ignore") or "submission"
    if clean == submission:
        return clean
    return f"{clean}-{hashlib.sha256(submission.encode(errors='backslashreplace')).hexdigest()[:8]}"


def _plain(name: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name
