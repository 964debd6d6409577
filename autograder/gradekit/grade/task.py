"""What a worker process is told, and how it settles in before it runs anything of a student's."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Task", "work"]

_PR_SET_PDEATHSIG = 1
_LARGEST_FILE = 2**30  # bytes that a submission may write to one file, the log of its output among them
_KEPT = {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "GRADEKIT_DEVICE"}


@dataclass(frozen=True)
class Task:
    """One grading. All paths lie in a scratch folder that is removed afterwards, but for `tests`."""

    tests: Path
    notebook: Path
    results: Path
    log: Path
    work: Path
    home: Path
    threads: int
    seed: int


def work(task: Task) -> None:
    """Grade one notebook in this process, which exists for nothing else."""
    os.setsid()  # so that what it starts can be ended with it
    _set_bounds()
    _redirect(task.log)
    results = task.results.open("a", encoding="utf-8")
    _set_environment(task)
    os.chdir(task.work)
    sys.path.insert(0, str(task.work))  # the files of the bundle, `reference` among them
    import torch

    from gradekit.grade.worker import grade_notebook

    torch.set_num_threads(task.threads)
    with results:
        grade_notebook(task.tests, task.notebook, results)
    os._exit(0)  # without waiting for threads that the notebook left running


def _set_bounds() -> None:
    """No worker goes on after the process that it was forked from (on Linux), or writes without end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _redirect(log: Path) -> None:
    """What the process writes below Python (a crash report, a child's output) goes to the log; it reads nothing."""
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(nothing)
    os.close(target)


def _set_environment(task: Task) -> None:
    kept = {n: v for n, v in os.environ.items() if n in _KEPT or n.startswith(("CUDA_", "NVIDIA_"))}
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(
        HOME=str(task.home),
        TMPDIR=str(task.home),
        IPYTHONDIR=str(task.home),
        MPLCONFIGDIR=str(task.home),
        MPLBACKEND="Agg",
        PYTHONDONTWRITEBYTECODE="1",
        OMP_NUM_THREADS=str(task.threads),
        GRADEKIT_SEED=str(task.seed),
    )
