"""What was collected is graded as it is, under the students' names; nbgrader reads what was written for it."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

from gradekit.cli.grade import grade_and_show
from gradekit.course import Week
from gradekit.grade.engine import Terms
from tests.collect.conftest import NOTEBOOK, Collecting, notebook, put, zipped


def test_a_canvas_download_is_graded_by_student(built_week: Week, collecting: Collecting, tmp_path: Path) -> None:
    solution = (built_week.solutions / built_week.notebook_name).read_bytes()
    blank = (built_week.release / built_week.notebook_name).read_bytes()
    source = zipped(
        tmp_path / "submissions.zip",
        {
            "lovelaceada_1042_88120_week01_double.ipynb": blank,
            "lovelaceada_1042_88199_week01_double-1.ipynb": solution,
            "turingalan_LATE_1045_88150_essay.pdf": b"%PDF",
        },
    )
    collecting(source, notebook="week01_double.ipynb")
    grade_and_show(built_week.bundle, [collecting.output], tmp_path / "results", Terms(), jobs=1, worst_first=False)
    with (tmp_path / "results" / "grades.csv").open() as stream:
        grades = {row["submission"]: (row["status"], row["score"]) for row in csv.DictReader(stream)}
    assert grades == {"lovelaceada": ("graded", "5"), "turingalan": ("invalid", "0")}


def test_nbgrader_reads_the_times_that_were_written(collecting: Collecting) -> None:
    from nbgrader.coursedir import CourseDirectory

    put(collecting.source, {f"ada+week05_conv+2026-11-24 18:30:00.250000 CET+r/{NOTEBOOK}": notebook()})
    collecting(nbgrader="week05_conv")
    course = CourseDirectory(root=str(collecting.output.parent), submitted_directory=collecting.output.name)
    written = course.format_path(course.submitted_directory, "ada", "week05_conv")
    assert course.get_existing_timestamp(written) == datetime(2026, 11, 24, 17, 30, 0, 250000)
