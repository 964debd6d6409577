"""CONTRIBUTING.md: the week that it shows builds, and verifies."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
WEEK = "week05_conv"


def examples(first_line: str) -> str:
    """The indented blocks of the guide that begin with `first_line`, one after the other."""
    blocks = re.findall(r"(?:^ {4}.*\n(?:\n(?= {4}))*)+", GUIDE, re.MULTILINE)
    found = [block for block in map(textwrap.dedent, blocks) if block.startswith(first_line)]
    assert found, f"the guide shows no example that begins with {first_line!r}"
    return "\n".join(found)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    room = tmp_path / "source" / WEEK
    (room / "figures").mkdir(parents=True)
    (room / "figures" / "window.txt").write_text("a figure\n")
    (room / "about.toml").write_text(examples("objectives"))
    (room / f"{WEEK}.py").write_text(examples("# %% [raw]"))
    (room / "mutants.py").write_text(examples("from gradekit.verify"))
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "__init__.py").touch()
    reference = "def output_size(size, kernel, stride):\n    return (size - kernel) // stride + 1\n"
    (tmp_path / "reference" / f"{WEEK}.py").write_text(reference)
    return tmp_path


def test_the_week_in_the_guide_builds_and_verifies(course):
    command = [sys.executable, "-c", "from gradekit.cli import main; main()", "verify", "--repeats", "2"]
    outcome = subprocess.run([*command, "--course", str(course)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert (course / "release" / WEEK / f"{WEEK}.ipynb").is_file()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)`", GUIDE))))
def test_make_knows_the_targets_that_the_guide_names(target):
    outcome = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
