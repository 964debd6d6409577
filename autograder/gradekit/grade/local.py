"""A student's own check: the public tests that lie beside the notebook, in the same kind of process as grading."""

from __future__ import annotations

import ast
import hashlib
import shutil
import tempfile
from pathlib import Path

from gradekit.grade.bundle import Bundle
from gradekit.grade.inprocess import run_notebook
from gradekit.grade.result import Result
from gradekit.grade.submission import Submission
from gradekit.problem import Problem, UsageProblem

__all__ = ["check_notebook"]


def check_notebook(notebook: Path, questions: list[str], *, seconds: float) -> Result:
    """Run the tests in `notebook`'s folder `tests/` (of `questions`, or all) on the notebook.

    UsageProblem where the notebook, its tests or a question named does not exist.
    """
    if not notebook.is_file():
        raise UsageProblem("there is no such notebook", where=notebook)
    tests = notebook.parent / "tests"
    paths = {path.stem: path for path in sorted(tests.glob("*.py"))}
    if not paths:
        raise UsageProblem("there are no tests beside the notebook", where=tests, mend="copy the whole release folder")
    for question in questions:
        if question not in paths:
            raise UsageProblem(f"there is no question {question!r}", where=tests, mend=f"there are {', '.join(paths)}")
    chosen = {name: path for name, path in paths.items() if not questions or name in questions}
    folder = Path(tempfile.mkdtemp(prefix="gradekit-check-"))
    try:
        (folder / "tests").mkdir()
        for path in chosen.values():
            shutil.copy(path, folder / "tests")
        beside = shutil.ignore_patterns("tests", "*.ipynb", ".*", "__pycache__")
        shutil.copytree(notebook.parent, folder / "files", ignore=beside)
        points = {name: _points(path) for name, path in chosen.items()}
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in chosen.values())).hexdigest()
        bundle = Bundle("", points, folder, digest, ())
        return run_notebook(bundle, Submission(notebook.stem, notebook), seconds=seconds, threads=2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _points(test_file: Path) -> float:
    """What a test file says it is worth; read, not run, so that nothing heavy is imported in this process."""
    for node in ast.parse(test_file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["points"]:
            return float(ast.literal_eval(node.value))
    raise Problem("says no points", where=test_file, mend="copy the release folder anew")
