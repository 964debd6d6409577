"""A judge takes in plain data: it unpickles nothing and starts nothing, shown in its code and at work."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import gradekit

PACKAGE = Path(gradekit.__file__).parent
NEVER = {"pickle", "dill", "cloudpickle", "shelve", "joblib"}
LOADS = {"load", "loads", "Unpickler"}


def used(path: Path) -> set[str]:
    """Modules imported, and calls of eval, exec, torch.load, np.load, marshal.loads in a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & NEVER
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module.split(".")[0]} & NEVER
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in {"eval", "exec", "torch.load", "np.load", "numpy.load", "marshal.load", "marshal.loads"}:
                found.add(name)
            if name.split(".")[0] in NEVER and name.split(".")[-1] in LOADS:
                found.add(name)
    return found


def test_nothing_on_the_judges_side_unpickles_or_evaluates() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): names
        for room in ("check", "sandbox", "grade")
        for path in (PACKAGE / room).rglob("*.py")
        if (names := used(path))
    }
    # The worker takes an experiment's code from the judge; a judge executes the instructor's test files, and a cell
    # that nbgrader runs the reference; the container writes a pickle, of objects of Otter's.
    assert found == {
        "sandbox/worker.py": {"marshal.loads"},
        "grade/test_file.py": {"exec"},
        "grade/inkernel.py": {"exec"},
        "grade/container.py": {"dill"},
    }


def test_at_work_unpickling_and_starting_programs_are_refused(tmp_path: Path) -> None:
    harmless = tmp_path / "harmless.pickle"
    harmless.write_bytes(pickle.dumps(OrderedDict(a=1)))
    code = (
        "import os, pickle, subprocess, sys\n"
        "from gradekit.grade.judge import refuse\n"
        "sys.addaudithook(refuse)\n"
        "def tried(what):\n"
        "    try: what()\n"
        "    except RuntimeError as error: print(error)\n"
        "    else: print('done')\n"
        f"tried(lambda: pickle.loads(open({str(harmless)!r}, 'rb').read()))\n"
        "tried(lambda: os.system('true'))\n"
        "tried(lambda: subprocess.run(['true']))\n"
        "tried(lambda: sorted([2, 1]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert ran.stdout.splitlines() == [
        "a judge does no pickle.find_class",
        "a judge does no os.system",
        "a judge does no subprocess.Popen",
        "done",
    ]
