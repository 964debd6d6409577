"""Who may import whom: imports run downwards only, and the light parts stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gradekit

PACKAGE = Path(gradekit.__file__).parent
LEVELS = ["cli", "author", "report", "collect", "plan", "verify", "grade"]
LEVELS += ["build", "sandbox", "check", "device", "data"]


def imported(path: Path) -> set[str]:
    """The rooms of gradekit that a file imports, at its top or anywhere else."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("gradekit.") and name.count(".")}
    return rooms


@pytest.mark.parametrize("room", LEVELS)
def test_imports_run_downwards(room: str) -> None:
    files = [*(PACKAGE / room).rglob("*.py"), *PACKAGE.glob(f"{room}.py")]
    for path in files:
        for other in imported(path) & set(LEVELS) - {room}:
            down = LEVELS.index(other) > LEVELS.index(room)
            assert down, f"{path.relative_to(PACKAGE)} imports gradekit.{other}, which lies above it"
            if {room, other} <= {"build", "grade"}:
                pytest.fail(f"{path.relative_to(PACKAGE)}: building and grading know nothing of each other")


def test_nothing_imports_the_reference() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert "import reference" not in text
        assert "from reference" not in text


@pytest.mark.parametrize(
    "module",
    ["gradekit.check", "gradekit.device", "gradekit.data", "reference.week05_conv", "reference.week18_quantization"],
)
def test_what_runs_on_a_bare_gpu_machine_imports_without_otter_and_jupyter(module: str) -> None:
    heavy = [
        "otter",
        "nbgrader",
        "IPython",
        "jupytext",
        "nbformat",
        "sklearn",
        "matplotlib",
        "torchvision",
        "typer",
        "pandas",
    ]
    code = f"import sys\nfor name in {heavy!r}: sys.modules[name] = None\nimport {module}"
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PACKAGE.parents[1]
    )
    assert outcome.returncode == 0, outcome.stderr


def test_the_command_starts_without_its_heavy_libraries() -> None:
    code = (
        "import sys, gradekit.cli; print([m for m in ('torch', 'otter', 'jupytext', 'pydantic') if m in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
