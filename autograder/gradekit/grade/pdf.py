"""What a person marks of a submission, as a PDF: for `otter grade --pdfs`, and for Gradescope."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gradekit.grade.bundle import Bundle
from gradekit.grade.handed_in import handed_in
from gradekit.grade.result import Result
from gradekit.grade.submission import Submission
from gradekit.problem import Problem

__all__ = ["write_pdf"]


def write_pdf(path: Path, bundle: Bundle, submission: Submission, result: Result) -> None:
    """Write the questions that a person marks, and what was answered, to `path`; all of the notebook if there are none.

    By way of HTML and Otter's exporter, so it takes a Chromium that Playwright finds. Not by way of LaTeX: a formula
    that a student writes could read any file there, hidden tests among them. Problem, saying so, where it fails.
    """
    import nbformat
    from otter.export import export_notebook

    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "notebook.ipynb", Path(folder) / "notebook.pdf"
        try:
            nbformat.write(handed_in(bundle, submission, result, marked_for_export=True), source)
            export_notebook(str(source), dest=str(made), exporter_type="html", filtering=bool(bundle.manual))
            path.write_bytes(made.read_bytes())
        except Exception as error:  # of a browser, which has many
            first = (str(error).splitlines() or [""])[0][:200]
            raise Problem(
                f"no PDF was made of {submission.name}: {type(error).__name__}: {first}",
                mend="have Chromium in the image: playwright install --with-deps chromium",
            ) from error
