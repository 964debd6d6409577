"""nbgrader's gradebook in PostgreSQL: a server of the machine's own packages, in a folder of this test.

Where there is none the test is skipped, and says so; GRADEKIT_REQUIRE=postgresql makes that a failure (CI does).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from gradekit.course import Week
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import open_bundle
from gradekit.grade.engine import Terms
from gradekit.grade.gradebook import write_gradebook
from gradekit.grade.submission import Submission


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of an empty database. PostgreSQL refuses to run as root: then it runs as the user of its package."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    program = programs[-1] if programs else Path(shutil.which("pg_ctl") or "pg_ctl")
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    if not program.exists() or user not in {entry.pw_name for entry in pwd.getpwall()}:
        missing = "no PostgreSQL server is installed (apt-get install postgresql)"
        if "postgresql" in os.environ.get("GRADEKIT_REQUIRE", "").split(","):
            pytest.fail(missing)
        pytest.skip(missing)
    as_user = {"user": user} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # a socket's path has to be short
        folder = Path(name)
        shutil.chown(folder, user) if os.getuid() == 0 else None

        def run(*words: Any) -> None:
            subprocess.run([*map(str, words)], check=True, cwd=folder, stdout=subprocess.DEVNULL, **as_user)

        run(program.with_name("initdb"), "-D", folder / "data", "-U", "kit", "--auth=trust", "--no-sync")
        listen = f"-k {folder} -c listen_addresses= -c fsync=off"
        run(program, "-D", folder / "data", "-w", "-l", folder / "log", "-o", listen, "start")
        try:
            run(program.with_name("createdb"), "-h", folder, "-U", "kit", "gradebook")
            yield f"postgresql+psycopg://kit@/gradebook?host={folder}"
        finally:
            run(program, "-D", folder / "data", "-m", "immediate", "stop")


def test_scores_reach_a_gradebook_in_postgresql(server: str, built_manual_week: Week, tmp_path: Path) -> None:
    week = built_manual_week
    with open_bundle(week.bundle) as bundle:
        submissions = []
        for student, folder in (("ada", week.solutions), ("ben", week.release)):
            nbformat.write(nbformat.read(folder / week.notebook_name, as_version=4), tmp_path / f"{student}.ipynb")
            submissions.append(Submission(student, tmp_path / f"{student}.ipynb"))
        results = grade_batch(bundle, submissions, jobs=2, terms=Terms())
        for _ in range(2):  # the second time everything is there already
            write_gradebook(server, bundle, submissions, results, tmp_path)
    with Gradebook(server) as gradebook:
        ada, ben = (gradebook.find_submission(week.slug, student) for student in ("ada", "ben"))
        assert (ada.score, ada.max_score, ada.needs_manual_grade) == (5, 7, True)
        assert (ben.score, ben.needs_manual_grade) == (0, False)
    assert (tmp_path / "autograded" / "ada" / week.slug / week.notebook_name).is_file()
